import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from retrieval.media.decode import decode
from retrieval.media.sources.find import find_sources
from retrieval.media.workers import pool as pool_module
from retrieval.media.workers import process as process_module
from retrieval.media.workers.pool import decode_all
from retrieval.types import (
    AudioWindows,
    DecodedChunk,
    DecodeEvent,
    DecodePlan,
    Failure,
    ImageGeometry,
    ItemDecoded,
    ItemUnchanged,
    KnownFile,
    Source,
)
from support.media_files import make_picture, make_tone, sound_bytes, write_tar, write_video

PLAN = DecodePlan(
    images={"small": ImageGeometry(32, 32)},
    frames={"small": ImageGeometry(32, 32)},
    audio={"sound": AudioWindows(16_000, 1.0, 1.0)},
)

# Stands in for decoders that crash or hang inside a C library.
FAULTY_WORKER = """
import itertools, os, signal, sys, time
from retrieval.media.workers import worker
from retrieval.media.decode import decode_file as real
from retrieval.media import decode


def faulty(media, plan, known):
    events = real(media, plan, known)
    name = os.path.basename(media.name)
    if "crash" in name:
        yield from itertools.islice(events, 1)
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in name:
        time.sleep(1e6)
    if "bug" in name:
        raise AssertionError("a bug")
    if "once" in name and not os.path.exists(media.name + ".seen"):
        yield from itertools.islice(events, 1)
        open(media.name + ".seen", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    yield from events

decode.decode_file = faulty
worker.serve(int(sys.argv[1]))
"""


def save_pictures(folder: Path, *names: str) -> list[Source]:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        make_picture(seed=number).save(folder / name)
    return list(find_sources([str(folder / name) for name in names]))


def summary(events: Iterator[DecodeEvent] | list[DecodeEvent]) -> list[str]:
    """Name what every event says: chunks by their bytes, items and failures by their file."""
    words = []
    for event in events:
        if isinstance(event, DecodedChunk):
            words.append(f"{event.space} {event.samples.shape} {hash(event.samples.tobytes())}")
        elif isinstance(event, ItemDecoded):
            words.append(f"item {event.info.uri}")
        elif isinstance(event, Failure):
            words.append(f"{event.stage} failed {event.uri}")
        else:
            words.append(f"unchanged {event.uri}")
    return words


def items(events: list[DecodeEvent]) -> list[str]:
    return [Path(e.info.uri).name for e in events if isinstance(e, ItemDecoded)]


@pytest.fixture
def mixed(tmp_path: Path) -> list[Source]:
    folder = tmp_path / "mixed"
    save_pictures(folder, *(f"{number:03}.png" for number in range(80)))
    (folder / "040.wav").write_bytes(sound_bytes(make_tone(12.0)))
    (folder / "041.png").write_bytes(b"<html>")
    write_video(folder / "050.mp4", [40] * 20, sound=make_tone(2.0))
    members = {f"{n}.png": (folder / f"{n:03}.png").read_bytes() for n in range(5)}
    write_tar(folder / "060.tar", members)
    return list(find_sources([str(folder)]))


def test_events_equal_those_of_sequential_decoding(mixed: list[Source]) -> None:
    expected = [event for source in mixed for event in decode(source, PLAN, {})]
    assert summary(decode_all(mixed, PLAN, {}, workers=2)) == summary(expected)
    assert summary(decode_all(mixed, PLAN, {}, workers=0)) == summary(expected)


def test_idle_workers_are_used_again_unless_they_ended(mixed: list[Source]) -> None:
    expected = summary(decode_all(mixed, PLAN, {}, workers=0))
    spare: list[process_module.WorkerProcess] = []
    try:
        assert summary(decode_all(mixed, PLAN, {}, workers=2, spare=spare)) == expected
        first = {worker._process.pid for worker in spare}
        assert 1 <= len(first) <= 2
        assert summary(decode_all(mixed, PLAN, {}, workers=1, spare=spare)) == expected
        assert first <= {worker._process.pid for worker in spare}
        for worker in spare:
            worker._process.kill()
        assert summary(decode_all(mixed, PLAN, {}, workers=1, spare=spare)) == expected
        # A generator that is closed early ends its workers.
        idle = len(spare)
        events = decode_all(mixed, PLAN, {}, workers=1, spare=spare)
        next(events)
        events.close()  # type: ignore[attr-defined]
        assert len(spare) == idle - 1
    finally:
        for worker in spare:
            worker.kill()
            worker.close()


def test_no_sources_give_no_events() -> None:
    assert list(decode_all([], PLAN, {}, workers=1)) == []


def test_workers_receive_the_known_files_of_their_sources(mixed: list[Source]) -> None:
    known: dict[str, KnownFile] = {}
    for source in mixed:
        for event in decode(source, PLAN, {}):
            if isinstance(event, ItemDecoded):
                info = event.info
                known[info.uri] = KnownFile(0, info.bytes, info.mtime, info.sha256)
    events = list(decode_all(mixed, PLAN, known, workers=1))
    assert {type(event) for event in events} == {ItemUnchanged, Failure}
    assert len(events) == len(known) + 1


def test_buffered_events_are_limited_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that stops is not drowned: workers stop too, and nothing is lost or locked."""
    monkeypatch.setattr(pool_module, "MAX_BUFFER_BYTES", 20_000)
    sources = save_pictures(tmp_path / "p", *(f"{n:03}.png" for n in range(100)))
    most = 0
    with pool_module._WorkerPool(PLAN, 2, 60.0) as pool:
        known = pool_module.KnownFiles({})
        for _ in pool.run(pool_module._make_jobs(sources, known)):
            most = max(most, pool._buffered_bytes)
    assert 0 < most < 20_000 + 5_000


def test_sources_are_read_as_needed_in_the_callers_thread(tmp_path: Path) -> None:
    (source,) = save_pictures(tmp_path / "p", "a.png")
    taken = 0

    def endless() -> Iterator[Source]:
        nonlocal taken
        while True:
            taken += 1
            yield source

    events = decode_all(endless(), PLAN, {}, workers=1)
    next(events)
    events.close()
    assert taken <= (pool_module.MAX_JOBS + 1) * pool_module.JOB_SOURCES


def test_error_of_the_sources_reaches_the_caller(tmp_path: Path) -> None:
    sources = save_pictures(tmp_path / "p", "a.png")

    def broken() -> Iterator[Source]:
        yield from sources
        raise ValueError("row 2 is broken")

    with pytest.raises(ValueError, match="row 2 is broken"):
        list(decode_all(broken(), PLAN, {}, workers=1))


# ---------------------------------------------------------------- faults


@pytest.fixture
def faulty_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "WORKER_CODE", FAULTY_WORKER)


@pytest.mark.usefixtures("faulty_workers")
def test_fault_11_crashing_file_is_tried_twice_and_the_run_continues(tmp_path: Path) -> None:
    sources = save_pictures(tmp_path / "p", "a.png", "b.png", "crash.png", "c.png", "d.png")
    events = list(decode_all(sources, PLAN, {}, workers=1))
    assert items(events) == ["a.png", "b.png", "c.png", "d.png"]
    (failure,) = [event for event in events if isinstance(event, Failure)]
    assert (failure.uri, failure.stage) == (sources[2].uri, "worker")
    assert "ended by signal 11, twice" in failure.reason
    # Its first chunk came through, and the failure that follows tells to drop it.
    assert [type(event) for event in events[4:6]] == [DecodedChunk, Failure]


@pytest.mark.usefixtures("faulty_workers")
def test_fault_11_bug_in_a_decoder_costs_one_file(tmp_path: Path) -> None:
    sources = save_pictures(tmp_path / "p", "a.png", "bug.png", "b.png")
    events = list(decode_all(sources, PLAN, {}, workers=1))
    assert items(events) == ["a.png", "b.png"]
    (failure,) = [event for event in events if isinstance(event, Failure)]
    assert (failure.stage, "crashed with exit code 1" in failure.reason) == ("worker", True)


@pytest.mark.usefixtures("faulty_workers")
def test_fault_11_file_that_crashed_once_is_complete_the_second_time(tmp_path: Path) -> None:
    sources = save_pictures(tmp_path / "p", "a.png", "once.png", "b.png")
    expected = [event for source in sources for event in decode(source, PLAN, {})]
    assert summary(decode_all(sources, PLAN, {}, workers=1)) == summary(expected)


@pytest.mark.usefixtures("faulty_workers")
def test_fault_11_hanging_file_is_given_up(tmp_path: Path) -> None:
    sources = save_pictures(tmp_path / "p", "a.png", "hang.png", "b.png")
    events = list(decode_all(sources, PLAN, {}, workers=1, timeout_seconds=3.0))
    assert items(events) == ["a.png", "b.png"]
    (failure,) = [event for event in events if isinstance(event, Failure)]
    assert "did not respond for 3 seconds, twice" in failure.reason


@pytest.mark.usefixtures("faulty_workers")
def test_fault_11_only_the_crashing_member_of_a_tar_fails(tmp_path: Path) -> None:
    save_pictures(tmp_path / "p", "a.png")
    picture = (tmp_path / "p/a.png").read_bytes()
    names = ["a.png", "crash.png", "b.png", "crash2.png", "c.png"]
    path = write_tar(tmp_path / "t.tar", dict.fromkeys(names, picture))
    events = list(decode_all(find_sources([str(path)]), PLAN, {}, workers=1))
    assert items(events) == ["t.tar!a.png", "t.tar!b.png", "t.tar!c.png"]
    failed = [event.uri for event in events if isinstance(event, Failure)]
    assert failed == [f"{path}!crash.png", f"{path}!crash2.png"]


def test_workers_that_cannot_start_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "WORKER_CODE", "raise SystemExit(3)")
    sources = save_pictures(tmp_path / "p", "a.png")
    with pytest.raises(RuntimeError, match="cannot start: crashed with exit code 3"):
        list(decode_all(sources, PLAN, {}, workers=1))


# ---------------------------------------------------------------- the end


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_closing_the_generator_ends_the_workers(mixed: list[Source]) -> None:
    before = children()
    events = decode_all(mixed, PLAN, {}, workers=2)
    next(events)
    started = [child for child in children() if child not in before]
    assert len(started) == 2
    events.close()
    assert not any(child.is_running() for child in started)


def test_running_to_the_end_leaves_no_process(mixed: list[Source]) -> None:
    before = children()
    list(decode_all(mixed, PLAN, {}, workers=2))
    assert children() == before


PARENT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from retrieval.media.sources.find import find_sources
from retrieval.media.workers.pool import decode_all
from retrieval.types import DecodePlan, ImageGeometry
plan = DecodePlan(images={"small": ImageGeometry(32, 32)})
for event in decode_all(find_sources(sys.argv[1:]), plan, {}, workers=2):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_their_parent(mixed: list[Source], number: signal.Signals) -> None:
    folder = os.path.dirname(mixed[0].path)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        workers = psutil.Process(parent.pid).children()
        assert len(workers) == 2
        parent.send_signal(number)
        parent.wait(timeout=30)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []


def test_workers_load_no_model_library() -> None:
    code = (
        "import sys, retrieval.media.workers.worker, retrieval.media.workers.pool\n"
        "print([m for m in ('torch', 'faiss', 'transformers', 'pyarrow') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "[]"


def test_samples_arrive_as_they_were_decoded(tmp_path: Path) -> None:
    sources = save_pictures(tmp_path / "p", "a.png")
    (here, _), (there, _) = (list(decode_all(sources, PLAN, {}, workers=n)) for n in (0, 1))
    assert isinstance(here, DecodedChunk)
    assert isinstance(there, DecodedChunk)
    np.testing.assert_array_equal(here.samples, there.samples)
    assert there.samples.flags.writeable
