"""What an encoder's vectors are like, where possible without loading it."""

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
"""What every encoder of sound in the catalogue hears at a time."""

CLAP_DIM = 512


@dataclass(frozen=True, slots=True)
class Shape:
    """What a space's rows depend on.

    Attributes:
        spec: The encoder's specification.
        dim: Length of a vector.
        media: What it embeds.
        keeps_frames: Whether the frames of videos are stored beside their segments.
        hop_seconds: Distance of two windows of sound.
    """

    spec: str
    dim: int
    media: tuple[Medium, ...]
    keeps_frames: bool = True
    hop_seconds: float = WINDOW_SECONDS


def shapes_of_spaces(spaces: Spaces) -> list[Shape]:
    """The shapes of loaded encoders."""
    return [
        Shape(
            space.encoder,
            space.dim,
            space.media,
            keeps_frames=Medium.VIDEO in space.media and not reads_clips(encoder),
            hop_seconds=space.windows.hop_seconds if space.windows else WINDOW_SECONDS,
        )
        for space, encoder in spaces.values()
    ]


def shapes_of_models(models: tuple[str, ...]) -> list[Shape]:
    """The shapes of models by name, from their configurations alone.

    Raises:
        UnknownModelError: No such model.
        ModelError: It must be loaded to be known.
    """
    specs = dict.fromkeys(spec for model in models for spec in catalogue.resolve(model))
    return [_shape(spec) for spec in specs]


def _shape(spec: str) -> Shape:
    backend, _, location = spec.partition(":")
    if spec in catalogue.BUNDLED:
        folder = Path(catalogue.__file__).parents[1] / "weights" / spec
        media = catalogue.CATALOGUE["tiny"].encoders[spec]
        if catalogue.BUNDLED[spec] == "open_clip":
            config = json.loads(read_text(folder / "open_clip_config.json"))
            return Shape(spec, int(config["model_cfg"]["embed_dim"]), media)
        config = json.loads(read_text(folder / "config.json"))
        hop_seconds = config.get("window_seconds", WINDOW_SECONDS)
        return Shape(spec, int(config["dim"]), media, keeps_frames=False, hop_seconds=hop_seconds)
    if backend == "clap":
        return Shape(spec, CLAP_DIM, catalogue.AUDIO)
    if backend == "open_clip":
        import open_clip

        known = open_clip.get_model_config(location.partition("/")[0])
        if known:
            return Shape(spec, int(known["embed_dim"]), catalogue.VISUAL)
    raise ModelError(f"{spec}: its vectors are known only once it is loaded; leave --no-time out")
