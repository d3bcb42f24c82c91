"""What a worker reports about its node, called in this process."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

import retrieval
from retrieval.embedding.options import EmbedOptions
from retrieval.embedding.units import Unit
from retrieval.engines.ray.problems import Problem, error_of
from retrieval.engines.ray.worker import Job, UnitWorker, worker_options
from retrieval.errors import ClusterError, StorageError
from retrieval.types import Source
from support.flaky_system import FlakySystem, use_system
from support.toy_runs import pictures

NODE = socket.gethostname()
OPTIONS = EmbedOptions(("toy:toy",), workers=0)


def job(tmp_path: Path, **changes: object) -> Job:
    token = tmp_path / "c/.units/run/token"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text("secret")
    fields = {"options": OPTIONS, "spaces": (), "token_file": token, "token": "secret",
              "version": retrieval.__version__} | changes  # type: ignore[attr-defined]  # fmt: skip
    return Job(**fields)  # type: ignore[arg-type]


def unit_of(folder: Path) -> Unit:
    return Unit(tuple(Source(str(path), str(path)) for path in sorted(folder.iterdir())))


def test_another_release_is_one_line(tmp_path: Path) -> None:
    problem = UnitWorker().prepare(job(tmp_path, version="0.0.1"), 1)
    assert problem == Problem(
        "ClusterError",
        f"node {NODE} runs release {retrieval.__version__} of this package, expected 0.0.1; "
        "install the same on all nodes",
    )


@pytest.mark.parametrize("is_missing", [True, False])
def test_a_node_without_the_file_system_is_one_line(tmp_path: Path, is_missing: bool) -> None:
    given = job(tmp_path)
    if is_missing:
        given.token_file.unlink()
    else:
        given.token_file.write_text("of another disk at the same path")
    problem = UnitWorker().prepare(given, 1)
    assert isinstance(problem, Problem)
    assert problem.message == (
        f"node {NODE} does not see {tmp_path}/c/.units; mount the same file system at the same "
        "path on all nodes"
    )
    assert isinstance(error_of(problem), ClusterError)


def test_a_node_without_the_sources_is_one_line(tmp_path: Path) -> None:
    worker = UnitWorker()
    worker._job = job(tmp_path)
    unit = Unit((Source("/no/such.jpg", "/no/such.jpg"),))
    problem = worker.embed(unit, tmp_path / "unit")
    assert isinstance(problem, Problem)
    assert problem.message.startswith(f"node {NODE} does not see /no/such.jpg; mount the same")
    assert not (tmp_path / "unit").exists()


def test_a_full_disk_of_one_node_is_one_line_and_publishes_nothing(
    tmp_path: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    media = pictures(tmp_path / "media", "red", "green")
    worker = UnitWorker()
    worker._job = job(tmp_path)
    monkeypatch.setattr(worker, "_load", load_toy)
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        use_system(FlakySystem(fail_at=12, error=full), patch.setattr)
        problem = worker.embed(unit_of(media), tmp_path / "unit")
    assert isinstance(problem, Problem)
    assert problem.message.startswith(f"node {NODE}: no space left to write {tmp_path}/unit/")
    assert isinstance(error_of(problem), StorageError)
    assert not (tmp_path / "unit/CURRENT").exists()
    result = worker.embed(unit_of(media), tmp_path / "unit")
    assert not isinstance(result, Problem)
    assert sum(result.report.added.values()) == 2
    assert worker.seen() == 2


def load_toy(spec: str, *, device: str) -> object:
    from support.embed_process import TOYS

    return TOYS[spec]


def test_workers_neither_prune_nor_divide(tmp_path: Path) -> None:
    from retrieval.embedding.units import UnitNumber

    options = EmbedOptions(prune=True, exclude=("*.png",), unit=UnitNumber(1, 2), strict=True)
    assert worker_options(options, 3) == EmbedOptions(workers=3, strict=True)
