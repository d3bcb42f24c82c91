"""The writing commands, each with a collection it runs on and what it must leave."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faults.toys import MODELS, content, run_command, write_media
from support.flaky_disk import FlakyDisk

WRITING = ("embed", "index", "remove", "compact", "import", "export")


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the commands run: `base` folders are copied for every case."""

    folder: Path

    def base(self, command: str) -> Path:
        """The collection before the command."""
        return self.folder / f"base-{command}"

    def copy(self, command: str, place: Path) -> Path:
        """A fresh copy of it; `place` is where everything of one case lies."""
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.base(command), place / "c")
        return place / "c"

    def words(self, command: str, root: Path, variant: int = 0) -> list[object]:
        """The command line."""
        layouts = ("parquet", "npy", "clip-retrieval", "faiss")
        return {
            "embed": ["embed", self.folder / "media", "-c", root, *MODELS, "--workers", 0],
            "index": ["index", root, "--device", "cpu"],
            "remove": ["remove", root, "--where", "caption LIKE 'picture%'"],
            "compact": ["compact", root],
            "import": ["import", self.folder / "exported", "-c", root],
            "export": ["export", root, root.parent / "out", "--to", layouts[variant % 4]],
        }[command]

    def written(self, command: str, root: Path) -> Path:
        """The folder that the command writes into."""
        return root.parent if command == "export" else root


def prepare(folder: Path) -> Stage:
    """Make the media and the collections; runs in a child process, which loads the models."""
    stage = Stage(folder)
    media = write_media(folder / "media")
    first = [media / name for name in ("p00.png", "p01.png", "p02.png", "s0.wav", "v0.mp4")]
    embedded, grown, whole = stage.base("embed"), stage.base("index"), stage.base("export")
    expect(["embed", *first, "-c", embedded, *MODELS, "--workers", 0])
    expect(["index", embedded, "--device", "cpu"])
    shutil.copytree(embedded, grown)
    expect(["embed", media, "-c", grown, "--workers", 0])
    shutil.copytree(grown, stage.base("compact"))
    expect(["remove", stage.base("compact"), "--ids", 1])
    shutil.copytree(grown, whole)
    expect(["index", whole, "--device", "cpu"])
    shutil.copytree(whole, stage.base("remove"))
    expect(["export", whole, folder / "exported", "--to", "parquet"])
    expect(["export", embedded, folder / "part", "--to", "parquet"])
    expect(["import", folder / "part", "-c", stage.base("import")])
    return stage


def expect(words: Sequence[object]) -> None:
    """Run a command that must succeed."""
    outcome = run_command(*words)
    assert outcome.code == 0, (words, outcome)


def steps(stage: Stage, command: str, place: Path) -> tuple[int, int, str]:
    """Steps and files of an undisturbed run, and a digest of what it leaves."""
    root = stage.copy(command, place)
    with FlakyDisk(stage.written(command, root)) as disk:
        expect(stage.words(command, root))
    return disk.steps, disk.files, left(command, root)


def left(command: str, root: Path) -> str:
    """A digest of what a command leaves: the collection, and of `export` its files' names."""
    if command != "export":
        return content(root)
    out = root.parent / "out"
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*")) if out.exists() else []
    return f"{content(root)} {files}"
