"""What a run of `embed` is told, what it reports, and the spaces that it works in."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field, replace

from retrieval.encoders.catalogue import caution_of, load_encoder, resolve
from retrieval.encoders.spaces import check_encoder, make_space
from retrieval.protocols import Encoder
from retrieval.store.reader import Snapshot
from retrieval.types import Failure, Medium, Sampling, Space

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "small"

Spaces = dict[str, tuple[Space, Encoder]]


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """How a run reads its files.

    Attributes:
        models: Catalogue names or specifications; empty: the collection's own, else the default.
        device: `auto`, `cpu` or `cuda`.
        workers: Decoding processes; 0 decodes in this one.
        window_seconds: Length of an audio window; None: the model's own.
        hop_seconds: Distance of two windows; None: the length of a window.
        strict: The first file that cannot be used ends the run with an error.
        retry_failed: Try files again that failed before and have not changed since.
    """

    models: tuple[str, ...] = ()
    device: str = "auto"
    workers: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    batch_samples: int = 64
    sampling: Sampling = field(default_factory=Sampling)
    window_seconds: float | None = None
    hop_seconds: float | None = None
    sound_of_videos: bool = True
    strict: bool = False
    retry_failed: bool = False
    path_column: str | None = None
    caption_column: str | None = None


@dataclass(slots=True)
class EmbedReport:
    """What a run did, counted as it goes.

    `without_segments` are those of the added items that no model here finds anything in, such as a
    silent video where all models read sound: they are kept, for a further model may.
    """

    added: dict[Medium, int] = field(default_factory=lambda: dict.fromkeys(Medium, 0))
    replaced: int = 0
    unchanged: int = 0
    completed: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    without_encoder: int = 0
    without_segments: int = 0
    seconds: float = 0.0

    @property
    def seen(self) -> int:
        """Items looked at so far, whatever became of them."""
        return (
            sum(self.added.values())
            + self.unchanged
            + self.completed
            + self.failed
            + self.without_encoder
        )


FAILURES_KEPT = 20
"""Failures a report quotes; the collection's `failures/` holds them all."""


def open_spaces(snapshot: Snapshot | None, options: EmbedOptions) -> Spaces:
    """Load an encoder for every space of the collection and for every model asked for.

    Raises:
        SpaceMismatchError: An encoder's weights are not those the collection was made with.
    """
    spaces: Spaces = {}
    for space in snapshot.spaces if snapshot else ():
        encoder = load_encoder(space.encoder, device=options.device)
        check_encoder(space, encoder)
        spaces[space.name] = (space, encoder)
    known = {space.encoder for space, _ in spaces.values()}
    models = options.models or (() if spaces else (DEFAULT_MODEL,))
    specs = dict.fromkeys(spec for model in models for spec in resolve(model))
    for spec in specs:
        if spec in known:
            continue
        encoder = load_encoder(spec, device=options.device)
        if caution_of(spec):
            logger.warning("%s: %s", spec, caution_of(spec))
        windows = encoder.windows
        if windows is not None and options.window_seconds is not None:
            windows = replace(windows, window_seconds=options.window_seconds)
        if windows is not None:
            windows = replace(windows, hop_seconds=options.hop_seconds or windows.window_seconds)
        space = make_space(encoder, sampling=options.sampling, windows=windows)
        spaces[space.name] = (space, encoder)
    return spaces
