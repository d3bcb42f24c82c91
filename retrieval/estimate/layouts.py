"""Determines which rows an encoder creates, without loading it where possible."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from retrieval.embedding.options import Spaces
from retrieval.encoders import catalogue
from retrieval.errors import ModelError
from retrieval.files.reading import read_text
from retrieval.protocols import reads_clips
from retrieval.types import Medium

WINDOW_SECONDS = 10.0
"""Window of every audio encoder in the catalogue."""

CLAP_DIM = 512


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Properties of an encoder that determine the rows of its space.

    Attributes:
        spec: The encoder's specification.
        dim: Length of a vector.
        media: Media that it embeds.
        keeps_frames: Whether the space stores frames of videos in addition to segments.
        hop_seconds: Seconds between the starts of two audio windows.
    """

    spec: str
    dim: int
    media: tuple[Medium, ...]
    keeps_frames: bool = True
    hop_seconds: float = WINDOW_SECONDS


def layouts_of_spaces(spaces: Spaces) -> list[RowLayout]:
    """Return the layouts of loaded encoders."""
    return [
        RowLayout(
            space.encoder,
            space.dim,
            space.media,
            keeps_frames=Medium.VIDEO in space.media and not reads_clips(encoder),
            hop_seconds=space.windows.hop_seconds if space.windows else WINDOW_SECONDS,
        )
        for space, encoder in spaces.values()
    ]


def layouts_of_models(models: tuple[str, ...]) -> list[RowLayout]:
    """Return the layouts of models by name, from their configurations alone.

    Raises:
        UnknownModelError: No such model.
        ModelError: The layout is known only after loading the model.
    """
    specs = dict.fromkeys(spec for model in models for spec in catalogue.resolve(model))
    return [_layout(spec) for spec in specs]


def _layout(spec: str) -> RowLayout:
    backend, _, location = spec.partition(":")
    if spec in catalogue.BUNDLED:
        folder = Path(catalogue.__file__).parents[1] / "weights" / spec
        media = catalogue.CATALOGUE["tiny"].encoders[spec]
        if catalogue.BUNDLED[spec] == "open_clip":
            config = json.loads(read_text(folder / "open_clip_config.json"))
            return RowLayout(spec, int(config["model_cfg"]["embed_dim"]), media)
        config = json.loads(read_text(folder / "config.json"))
        hop_seconds = config.get("window_seconds", WINDOW_SECONDS)
        return RowLayout(
            spec, int(config["dim"]), media, keeps_frames=False, hop_seconds=hop_seconds
        )
    if backend == "clap":
        return RowLayout(spec, CLAP_DIM, catalogue.AUDIO)
    if backend == "open_clip":
        import open_clip

        config = open_clip.get_model_config(location.partition("/")[0])
        if config:
            return RowLayout(spec, int(config["embed_dim"]), catalogue.VISUAL)
    raise ModelError(
        f"{spec}: the length of its vectors is known only after loading it; estimate with timing"
    )
