"""SIGKILL during every writing command, with a reader that searches all the while."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from faults.cases import Case, Result
from faults.children import SECONDS, forks, problem, start
from faults.toys import check_hits, content, is_whole, run_command
from faults.writing import WRITING, Stage, steps
from support.flaky_disk import FlakyDisk

References = dict[str, tuple[int, str, str]]
"""By command: steps of a whole run, and digests of the collection before and after it."""


def references(stage: Stage, place: Path) -> References:
    """Measure every command once; runs in a child process."""
    found = {}
    for command in WRITING:
        root = stage.copy(command, place / command)
        before = content(root)
        count, _, _ = steps(stage, command, place / command)
        found[command] = (count, before, content(root))
    return found


def kill_case(case: Case, stage: Stage, known: References) -> Result:
    """Kill a command at a step chosen by chance, read meanwhile, run it again, compare."""
    command = WRITING[case.number % len(WRITING)]
    count, before, after = known[command]
    variant = case.number // len(WRITING)
    step = case.chance().randint(1, count)
    place = stage.folder / f"kill-{case.number}"
    root = stage.copy(command, place)
    read, stopping = forks.Pipe()
    reader = start(_read_until_told, stopping, root)
    try:
        assert read.poll(SECONDS), "the reader never began"
        assert read.recv() == ""
        killed = start(_run, stage, command, root, variant, step)
        killed.join(SECONDS)
        assert killed.exitcode == -9, f"{command} ended with {killed.exitcode} at step {step}"
        is_whole(root)
        assert content(root) in (before, after), "neither the rows of before nor those of after"
        _check_output(command, root, whole=False)
        again = start(_run, stage, command, root, variant, 0)
        again.join(SECONDS)
        assert again.exitcode == 0, f"the next {command} ended with {again.exitcode}"
        is_whole(root)
        assert content(root) == after, "other rows than after a run without a kill"
        _check_output(command, root, whole=True)
        read.send("stop")
        assert read.poll(SECONDS), "the reader hangs"
        said = read.recv()
        assert isinstance(said, int), said
    except (AssertionError, EOFError) as error:
        return Result(case, command, f"{command}, step {step} of {count}: {problem(error)}")
    finally:
        reader.kill()
        reader.join()
    shutil.rmtree(place)
    return Result(case, f"kills of {command}; the next run ends like one without a kill")


def _check_output(command: str, root: Path, *, whole: bool) -> None:
    """Expect what `export` writes to be there wholly or not at all."""
    if command == "export":
        out = root.parent / "out"
        assert out.exists() or not whole, "no output"
        assert not out.exists() or (out / "space.json").exists() or list(out.glob("*/space.json"))


def _run(stage: Stage, command: str, root: Path, variant: int, kill_at: int) -> None:
    if kill_at == 0 and command == "export":
        shutil.rmtree(root.parent / "out", ignore_errors=True)  # whole before it was killed
    with FlakyDisk(stage.written(command, root), kill_at=kill_at):
        outcome = run_command(*stage.words(command, root, variant))
    os._exit(outcome.code)


def _read_until_told(pipe: Any, root: Path) -> None:
    """Search again and again; sends a word at the first answer, and the count in the end."""
    answers = 0
    generation = 0
    try:
        while not pipe.poll(0):
            newer = check_hits(root)
            assert newer >= generation, f"generation {newer} after {generation}"
            generation = newer
            if answers == 0:
                pipe.send("")
            answers += 1
    except BaseException as error:
        pipe.send(problem(error))
        return
    pipe.send(answers)
