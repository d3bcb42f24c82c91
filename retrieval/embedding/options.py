"""What a run of `embed` is told, what it reports, and the spaces that it works in."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from retrieval.encoders.catalogue import CATALOGUE, caution_of, load_encoder, resolve
from retrieval.encoders.spaces import check_encoder, make_space
from retrieval.errors import MissingExtraError, WeightsNotAvailableError
from retrieval.protocols import Encoder
from retrieval.store.reader import Snapshot
from retrieval.types import Failure, Medium, Sampling, Space

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "small"

SOUND_ONLY = (Medium.AUDIO,)

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
        exclude: Patterns of files that are left out, in the syntax of gitignore.
        prune: Remove the items whose files are gone from the folders and patterns given.
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
    exclude: tuple[str, ...] = ()
    prune: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.models, str):  # one name is clearly meant, not its letters
            object.__setattr__(self, "models", (self.models,))


@dataclass(slots=True)
class EmbedReport:
    """What a run did, counted as it goes.

    `renamed` items follow their files to another path, and `updated` ones have new captions or
    columns: neither is embedded again. `other_paths` are further paths of files that are items
    already. `gone` are items whose files are no longer where the run looked, `pruned` those of
    them that were removed. `passed_over` counts the other files of folders by suffix.
    `without_segments` are those of the added items that no model here finds anything in, such as a
    silent video where all models read sound: they are kept, for a further model may. `notices` say
    what is stored under another name or in another form than it was given in.
    """

    added: dict[Medium, int] = field(default_factory=lambda: dict.fromkeys(Medium, 0))
    replaced: int = 0
    unchanged: int = 0
    renamed: int = 0
    updated: int = 0
    other_paths: int = 0
    gone: int = 0
    pruned: int = 0
    completed: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    without_encoder: int = 0
    without_segments: int = 0
    notices: list[str] = field(default_factory=list)
    passed_over: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def in_collection(self) -> int:
        """Items of the run that the collection holds."""
        return (
            sum(self.added.values()) + self.unchanged + self.renamed + self.updated + self.completed
        )

    @property
    def seen(self) -> int:
        """Items looked at so far, whatever became of them."""
        return self.in_collection + self.failed + self.without_encoder


FAILURES_KEPT = 20
"""Failures a report quotes; the collection's `failures/` holds them all."""


@dataclass(frozen=True, slots=True)
class WantedEncoder:
    """An encoder that a run works with.

    Attributes:
        spec: Its specification.
        model: The name that was asked for; the specification for spaces of the collection.
        space: The space of the collection that it made; None: it makes a new one.
        optional: It embeds sound, and others embed pictures: a run goes on without it.
    """

    spec: str
    model: str
    space: Space | None
    optional: bool


def wanted_encoders(snapshot: Snapshot | None, options: EmbedOptions) -> list[WantedEncoder]:
    """The encoders of the collection's spaces, then those of the models asked for.

    Raises:
        UnknownModelError: No such model.
        WeightsNotAvailableError: A repository that only its files can identify is not here.
    """
    wanted: dict[str, WantedEncoder] = {}
    spaces = snapshot.spaces if snapshot else ()
    beside_pictures = any(space.media != SOUND_ONLY for space in spaces)
    for space in spaces:
        optional = beside_pictures and space.media == SOUND_ONLY
        wanted[space.encoder] = WantedEncoder(space.encoder, space.encoder, space, optional)
    for model in options.models or (() if wanted else (DEFAULT_MODEL,)):
        entry = CATALOGUE.get(model.casefold())
        for spec in resolve(model):
            optional = bool(
                entry and len(entry.encoders) > 1 and entry.encoders[spec] == SOUND_ONLY
            )
            wanted.setdefault(spec, WantedEncoder(spec, model, None, optional))
    return list(wanted.values())


def open_spaces(snapshot: Snapshot | None, options: EmbedOptions) -> Spaces:
    """Load an encoder for every space of the collection and for every model asked for.

    Where the model for sound is not on this machine, the others are opened without it.

    Raises:
        SpaceMismatchError: An encoder's weights are not those the collection was made with.
        WeightsNotAvailableError: An encoder for pictures is not on this machine.
    """
    spaces: Spaces = {}
    for wanted in wanted_encoders(snapshot, options):
        try:
            encoder = load_encoder(wanted.spec, device=options.device)
        except (WeightsNotAvailableError, MissingExtraError) as error:
            if not wanted.optional:
                raise
            logger.warning("sound is left out of this run: %s; then embed again", error)
            continue
        if wanted.space is not None:
            check_encoder(wanted.space, encoder)
            spaces[wanted.space.name] = (wanted.space, encoder)
            continue
        if caution_of(wanted.spec):
            logger.warning("%s: %s", wanted.spec, caution_of(wanted.spec))
        space = _new_space(encoder, options)
        spaces[space.name] = (space, encoder)
    return spaces


def _new_space(encoder: Encoder, options: EmbedOptions) -> Space:
    windows = encoder.windows
    if windows is not None and options.window_seconds is not None:
        windows = replace(windows, window_seconds=options.window_seconds)
    if windows is not None:
        windows = replace(windows, hop_seconds=options.hop_seconds or windows.window_seconds)
    return make_space(encoder, sampling=options.sampling, windows=windows)
