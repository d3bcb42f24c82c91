"""ESC-10 (Piczak 2015): 400 recordings of 5 s in ten classes and five folds, read from its folder.

Recordings of one source lie in one fold, so a held-out fold is new to a model trained on the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import SourceError
from retrieval.media.audio.reader import open_sound

CLASSES: Final = 10
FOLDS: Final = (1, 2, 3, 4, 5)
_CLASS = re.compile(r"\d{3} - (?P<name>.+)")
_CLIP = re.compile(r"(?P<fold>[1-5])-.+\.(?:ogg|wav|flac)")


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording.

    Attributes:
        label: Number of its class, from 0.
        fold: 1 to 5.
        sound: (n,) float32 mono; most are 5 s long, short ones padded with silence.
        name: Of its file.
    """

    label: int
    fold: int
    sound: NDArray[np.float32]
    name: str = ""


def read_clips(folder: Path, sample_rate_hz: int) -> tuple[list[str], list[Clip]]:
    """Read every clip of `NNN - Class name/FOLD-ID-TAKE.ogg`.

    Returns:
        Names of the classes in lower case, as in "dog bark", and the clips in order of their paths.

    Raises:
        SourceError: Other than ten classes, or a class without clips in one of the folds.
        MediaError: A clip cannot be read.
    """
    found = {match["name"].lower(): path for path in _inside(folder)
             if path.is_dir() and (match := _CLASS.fullmatch(path.name))}  # fmt: skip
    if len(found) != CLASSES:
        raise SourceError(
            f"{folder} holds {len(found)} folders like '001 - Dog bark', expected {CLASSES}; "
            "name the folder of ESC-10 with --data (https://github.com/karoldvl/ESC-10)"
        )
    clips = []
    for label, path in enumerate(found.values()):
        files = [(file, match) for file in _inside(path) if (match := _CLIP.fullmatch(file.name))]
        folds = {int(match["fold"]) for _, match in files}
        if folds != set(FOLDS):
            raise SourceError(f"{path} has clips of the folds {sorted(folds)}, expected 1 to 5")
        for file, match in files:
            sound = read_sound(file, sample_rate_hz)
            clips.append(Clip(label, int(match["fold"]), sound, file.name))
    return list(found), clips


def read_sound(path: Path, sample_rate_hz: int) -> NDArray[np.float32]:
    """Decode a recording to (n,) float32 mono."""
    with open_sound(str(path)) as reader:
        return np.concatenate(list(reader.mono(sample_rate_hz)))


def split(clips: Sequence[Clip], held_out: int) -> tuple[list[Clip], list[Clip]]:
    """Clips of the other folds, and of the one held out."""
    return (
        [clip for clip in clips if clip.fold != held_out],
        [clip for clip in clips if clip.fold == held_out],
    )


def _inside(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder; name that of ESC-10 with --data")
    return sorted(folder.iterdir())
