import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

import retrieval.embedding.run
from retrieval.embedding.options import EmbedOptions
from retrieval.embedding.run import embed
from retrieval.errors import CollectionLockedError, DamagedMediaError, SourceError
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import Medium
from support import embed_process
from support.media_files import make_tone, write_video

BOTH = EmbedOptions(models=("toy:toy", "toy:toy-music"), workers=0)


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    embed_process.use_toys(monkeypatch.setattr)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Twelve pictures and four recordings."""
    folder = tmp_path / "media"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        colour = tuple(rng.integers(0, 256, 3).tolist())
        Image.new("RGB", (20, 20), colour).save(folder / f"p{number:02}.png")
    for number in range(4):
        times = np.arange(8000 * (3 + number)) / 8000
        sound = 0.5 * np.sin(2 * np.pi * 110 * 4**number * times)
        soundfile.write(folder / f"s{number}.wav", sound, 8000)
    return folder


def test_a_silent_video_is_an_item_without_segments_for_a_sound_model(
    tmp_path: Path,
) -> None:
    write_video(tmp_path / "silent.mp4", [40] * 10)
    write_video(tmp_path / "loud.mp4", [40] * 10, sound=make_tone(1.0))
    sound = EmbedOptions(models=("toy:toy-music",), workers=0)
    report = embed([tmp_path], tmp_path / "c", sound)
    assert (report.added[Medium.VIDEO], report.without_segments, report.seen) == (2, 1, 2)
    assert embed([tmp_path], tmp_path / "c", sound).unchanged == 2
    assert embed([tmp_path], tmp_path / "c2", BOTH).without_segments == 0
    pictures = embed([tmp_path], tmp_path / "c", BOTH)
    assert pictures.completed == 2


def rows(root: Path) -> dict[str, list[tuple[str, str, bytes]]]:
    """Everything stored, by space: uri, times and vector of every living row, sorted."""
    snapshot = Snapshot.open(root)
    uris = {file.item_id: uri for uri, file in snapshot.known_files().items()}
    found: dict[str, list[tuple[str, str, bytes]]] = {}
    for space in snapshot.spaces:
        lines = [
            (uris[int(item)], f"{start}-{end}", vector.tobytes())
            for block in snapshot.iter_segments(space.name)
            for item, start, end, vector in zip(
                block.item_ids, block.start_seconds, block.end_seconds, block.vectors, strict=True
            )
        ]
        found[space.name] = sorted(lines)
    return found


def ids(root: Path) -> dict[str, int]:
    known = Snapshot.open(root).known_files()
    return {Path(uri).name: file.item_id for uri, file in known.items()}


def test_media_become_items_in_order(media: Path, tmp_path: Path) -> None:
    report = embed([media], tmp_path / "c", BOTH)
    assert report.added == {Medium.IMAGE: 12, Medium.AUDIO: 4, Medium.VIDEO: 0}
    assert list(ids(tmp_path / "c").values()) == list(range(16))
    images, sound = rows(tmp_path / "c").values()
    assert len(images) == 12
    assert len(sound) == sum(-(-seconds // 2) for seconds in (3, 4, 5, 6))


def test_a_second_run_changes_nothing(media: Path, tmp_path: Path) -> None:
    embed([media], tmp_path / "c", BOTH)
    before = (tmp_path / "c" / "CURRENT").read_text()
    report = embed([media], tmp_path / "c", EmbedOptions(workers=0))
    assert (report.unchanged, sum(report.added.values())) == (16, 0)
    assert (tmp_path / "c" / "CURRENT").read_text() == before


def test_fault_29_a_changed_file_replaces_its_rows(media: Path, tmp_path: Path) -> None:
    embed([media], tmp_path / "c", BOTH)
    Image.new("RGB", (20, 20), "white").save(media / "p03.png")
    report = embed([media], tmp_path / "c", BOTH)
    assert (report.replaced, report.unchanged) == (1, 15)
    after = ids(tmp_path / "c")
    assert after.pop("p03.png") == 16
    assert sorted(after.values()) == [number for number in range(16) if number != 3]
    embed([media], tmp_path / "fresh", BOTH)
    assert rows(tmp_path / "c") == rows(tmp_path / "fresh")


def test_fault_29_the_same_bytes_with_a_new_time_keep_their_id(media: Path, tmp_path: Path) -> None:
    embed([media], tmp_path / "c", BOTH)
    before = ids(tmp_path / "c")
    os.utime(media / "p03.png", (1, 1))
    report = embed([media], tmp_path / "c", BOTH)
    assert report.unchanged == 16
    assert ids(tmp_path / "c") == before


def test_fault_19_failures_are_recorded_skipped_and_retried(media: Path, tmp_path: Path) -> None:
    (media / "page.jpg").write_text("<html>no picture</html>")
    first = embed([media], tmp_path / "c", BOTH)
    assert first.failed == 1
    (failure,) = Snapshot.open(tmp_path / "c").failures().values()
    assert failure.uri.endswith("page.jpg")
    assert failure.reason
    current = (tmp_path / "c" / "CURRENT").read_text()
    assert embed([media], tmp_path / "c", BOTH).failed == 1
    assert (tmp_path / "c" / "CURRENT").read_text() == current
    Image.new("RGB", (20, 20), "blue").save(media / "page.jpg", "JPEG")
    assert sum(embed([media], tmp_path / "c", BOTH).added.values()) == 1
    assert Snapshot.open(tmp_path / "c").failures() == {}


def test_fault_19_a_failure_is_an_error_with_strict(media: Path, tmp_path: Path) -> None:
    (media / "empty.jpg").touch()
    options = EmbedOptions(models=("toy:toy",), workers=0, strict=True)
    with pytest.raises(DamagedMediaError, match=r"empty\.jpg"):
        embed([media], tmp_path / "c", options)


def test_media_without_an_encoder_are_counted_and_embedded_later(
    media: Path, tmp_path: Path
) -> None:
    report = embed([media], tmp_path / "c", EmbedOptions(models=("toy:toy",), workers=0))
    assert (report.without_encoder, report.failed) == (4, 0)
    report = embed([media], tmp_path / "c", BOTH)
    assert report.added[Medium.AUDIO] == 4


def test_a_further_model_adds_a_space_to_the_same_items(media: Path, tmp_path: Path) -> None:
    embed([media], tmp_path / "c", EmbedOptions(models=("toy:toy-music",), workers=0))
    before = ids(tmp_path / "c")
    report = embed([media], tmp_path / "c", BOTH)
    assert report.completed == 4
    after = ids(tmp_path / "c")
    assert {name: after[name] for name in before} == before
    embed([media], tmp_path / "fresh", BOTH)
    want = rows(tmp_path / "fresh")
    got = rows(tmp_path / "c")
    assert {name: got[name] for name in want} == want


def test_options_shape_the_windows(media: Path, tmp_path: Path) -> None:
    options = EmbedOptions(
        models=("toy:toy-music",), workers=0, window_seconds=1.0, hop_seconds=0.5
    )
    embed([media / "s0.wav"], tmp_path / "c", options)
    ((_, *lines),) = [[name, *found] for name, found in rows(tmp_path / "c").items()]
    assert [line[1] for line in lines] == [f"{i / 2}-{i / 2 + 1}" for i in range(5)]


def test_a_missing_source_fails_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        embed([tmp_path / "nowhere"], tmp_path / "c", BOTH)


def test_fault_04_an_interrupt_keeps_complete_items(media: Path, tmp_path: Path) -> None:
    def stop_after_five(task: str, done: float, total: float | None, note: str = "") -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed([media], tmp_path / "c", BOTH, stop_after_five)
    assert 5 <= len(ids(tmp_path / "c")) < 16
    embed([media], tmp_path / "c", BOTH)
    embed([media], tmp_path / "fresh", BOTH)
    assert rows(tmp_path / "c") == rows(tmp_path / "fresh")


def test_fault_08_a_live_writer_is_named(media: Path, tmp_path: Path) -> None:
    embed([media], tmp_path / "c", BOTH)
    holder = CollectionWriter.open(tmp_path / "c")
    with holder, pytest.raises(CollectionLockedError, match=str(os.getpid())):
        embed([media], tmp_path / "c", BOTH)


@pytest.mark.long
def test_fault_01_sigkill_anywhere_then_resume(media: Path, tmp_path: Path) -> None:
    """Killed at seeded random moments, every generation is whole and the end is the same."""
    command = [sys.executable, embed_process.__file__, str(media), str(tmp_path / "c")]
    environment = {**os.environ, "PYTHONPATH": str(Path(retrieval.__file__).parents[1])}
    rng = random.Random(0)
    began = time.monotonic()
    subprocess.run(
        [*command[:3], str(tmp_path / "timed")], check=True, env=environment, capture_output=True
    )
    whole_run = time.monotonic() - began
    for _ in range(6):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:
            process.wait(rng.uniform(0.5, 1.0) * whole_run)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if (tmp_path / "c" / "CURRENT").exists():
            assert verify(tmp_path / "c") == []
    embed([media], tmp_path / "c", BOTH)
    assert rows(tmp_path / "c") == rows(tmp_path / "timed")
    assert sorted(ids(tmp_path / "c").values()) == list(range(16))
