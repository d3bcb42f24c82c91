"""Reads ESC-10 (Piczak 2015): 400 recordings of 5 s in ten classes and five folds.

Recordings of one source are in the same fold, so a held-out fold is new to a model trained on the
others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.dataset import DataSet
from retrieval.errors import SourceError

ESC10: Final = DataSet(
    title="ESC-10",
    task="sounds and their classes",
    size="400 recordings, 10 classes, 5 folds",
    licence="CC BY 3.0",
    source="Piczak, ACM Multimedia 2015 (github.com/karoldvl/ESC-10)",
    files=(
        "001 - Dog bark/", "002 - Rain/", "003 - Sea waves/", "004 - Baby cry/",
        "005 - Clock tick/", "006 - Person sneeze/", "007 - Helicopter/", "008 - Chainsaw/",
        "009 - Rooster/", "010 - Fire crackling/",
    ),
)  # fmt: skip

CLASSES: Final = 10
FOLDS: Final = (1, 2, 3, 4, 5)
_CLASS = re.compile(r"\d{3} - (?P<name>.+)")
_FILE = re.compile(r"(?P<fold>[1-5])-.+\.(?:ogg|wav|flac)")


@dataclass(frozen=True, slots=True)
class SoundClip:
    """One recording.

    Attributes:
        label: Number of its class, from 0.
        fold: 1 to 5.
        sound: (n,) float32 mono, usually 5 s; short recordings are padded with silence.
        name: File name.
    """

    label: int
    fold: int
    sound: NDArray[np.float32]
    name: str = ""


def read_clips(folder: Path, sample_rate_hz: int) -> tuple[list[str], list[SoundClip]]:
    """Read all files `NNN - Class name/FOLD-ID-TAKE.ogg`.

    Returns:
        Class names in lower case, such as "dog bark", and the clips in order of their paths.

    Raises:
        SourceError: There are not ten classes, or a class lacks clips of a fold.
        MediaError: A clip cannot be read.
    """
    classes = {match["name"].lower(): path for path in _children(folder)
               if path.is_dir() and (match := _CLASS.fullmatch(path.name))}  # fmt: skip
    if len(classes) != CLASSES:
        raise SourceError(
            f"{folder} holds {len(classes)} folders like '001 - Dog bark', expected {CLASSES}; "
            "name the folder of ESC-10 (https://github.com/karoldvl/ESC-10)"
        )
    clips = []
    for label, path in enumerate(classes.values()):
        files = [(file, match) for file in _children(path) if (match := _FILE.fullmatch(file.name))]
        folds = {int(match["fold"]) for _, match in files}
        if folds != set(FOLDS):
            raise SourceError(f"{path} has clips of the folds {sorted(folds)}, expected 1 to 5")
        for file, match in files:
            sound = read_sound(file, sample_rate_hz)
            clips.append(SoundClip(label, int(match["fold"]), sound, file.name))
    return list(classes), clips


def read_sound(path: Path, sample_rate_hz: int) -> NDArray[np.float32]:
    """Decode a recording to (n,) float32 mono."""
    from retrieval.media.audio.reader import open_sound

    with open_sound(str(path)) as reader:
        return np.concatenate(list(reader.mono(sample_rate_hz)))


def split(clips: Sequence[SoundClip], held_out: int) -> tuple[list[SoundClip], list[SoundClip]]:
    """Split into the clips of the other folds and those of the held-out fold."""
    return (
        [clip for clip in clips if clip.fold != held_out],
        [clip for clip in clips if clip.fold == held_out],
    )


def _children(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder; name the folder of ESC-10")
    return sorted(folder.iterdir())
