"""A disk that fails or is full at every step of every writing command."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults.cases import Case
from faults.toys import content, is_whole, run_command
from faults.writing import WRITING, Stage, steps
from support.flaky_disk import FlakyDisk

LIMITS = (0, 1, 100, 1_000, 3_000, 5_000, 8_000, 12_000, 20_000)
"""Bytes that no file may pass."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong: at which step, file or size."""

    command: str
    kind: str
    at: int


def faults(stage: Stage, place: Path) -> list[Fault]:
    """Every fault of every command; runs in a child process."""
    found = []
    for command in WRITING:
        count, files, _ = steps(stage, command, place)
        found += [Fault(command, "failing step", at) for at in range(1, count + 1)]
        found += [Fault(command, "/dev/full", at) for at in range(1, files + 1)]
        found += [Fault(command, "RLIMIT_FSIZE", at) for at in LIMITS]
    shutil.rmtree(place)
    return found


@dataclass(frozen=True, slots=True)
class FullDisk:
    """Runs the cases; a case's number chooses the fault."""

    stage: Stage
    faults: list[Fault]

    def __call__(self, case: Case) -> str:
        """Run into the fault, expect the generation of before, and run again."""
        fault = self.faults[case.number]
        place = self.stage.folder / f"full-{case.number}"
        root = self.stage.copy(fault.command, place)
        before = content(root)
        words = self.stage.words(fault.command, root, case.number)
        written = self.stage.written(fault.command, root)
        with _disturbed(fault, written):
            outcome = run_command(*words).check()
        is_whole(root)
        now = content(root)
        out = place / "out"
        if outcome.code == 0:
            result = f"{fault.kind}: {fault.command} gets over it"
        else:
            lines = outcome.stderr.strip().splitlines()
            assert lines[-1].startswith("retrieval: "), outcome
            assert str(place) in lines[-1], f"names no path: {lines[-1]}"
            full = fault.kind != "failing step" or fault.at % 2 == 0
            assert ("no space left" in lines[-1]) == full, f"the reason is wrong: {lines[-1]}"
            assert not out.exists(), "a part of an export is left"
            result = f"{fault.kind}: {fault.command} says so and leaves the generation before"
        partial = [path for path in written.rglob("*.tmp") if path.exists()]
        shutil.rmtree(out, ignore_errors=True)
        again = run_command(*words).check()
        assert again.code == 0, again
        assert outcome.code != 0 or now == content(root), "said that it worked, and did not"
        assert outcome.code == 0 or now in (before, content(root)), "neither before nor after"
        assert not partial, f"left behind: {partial}"
        is_whole(root)
        shutil.rmtree(place)
        return result


@contextmanager
def _disturbed(fault: Fault, folder: Path) -> Iterator[None]:
    if fault.kind == "RLIMIT_FSIZE":
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.at, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    elif fault.kind == "/dev/full":
        with FlakyDisk(folder, full_at=fault.at):
            yield
    else:
        number = errno.EIO if fault.at % 2 else errno.ENOSPC
        with FlakyDisk(folder, fail_at=fault.at, error=OSError(number, os.strerror(number))):
            yield
