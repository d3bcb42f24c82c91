"""The options, the report and the spaces of an `embed` run."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from retrieval.embedding.units import UnitNumber
from retrieval.encoders.catalogue import (
    CATALOGUE,
    caution_of,
    check_embeds,
    load_encoder,
    resolve,
)
from retrieval.encoders.names import DEFAULT_SPEECH_MODEL
from retrieval.encoders.spaces import check_encoder, make_space
from retrieval.errors import MissingExtraError, SourceError, WeightsNotAvailableError
from retrieval.media.files import possible_modalities
from retrieval.protocols import Encoder
from retrieval.types import Failure, Medium, Sampling, Space, TextSource

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "small"

DEFAULT_TEXTS = (TextSource.NAME, TextSource.CAPTION, TextSource.TAG, TextSource.TRANSCRIPT)
"""Sources of texts that need no model. The others take longer than embedding."""

SOUND_ONLY = (Medium.AUDIO,)

Spaces = dict[str, tuple[Space, Encoder]]


class HasSpaces(Protocol):
    """A generation of a collection, or a part of a run that belongs to one."""

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces of the collection."""


class EncoderLoader(Protocol):
    """Loads an encoder, or returns one that is loaded already; see `load_encoder`."""

    def __call__(self, spec: str, *, device: str) -> Encoder:
        """Return the encoder of a specification."""


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """Models, sampling and reading options of a run.

    Attributes:
        models: Catalogue names or specifications. If empty, the collection's models are used, or
            the default model in a new collection.
        device: `auto`, `cpu` or `cuda`.
        workers: Decoding processes; 0 decodes in the calling process.
        batch_samples: Pictures, frames or windows per encoder call.
        window_seconds: Length of an audio window; by default the model's.
        hop_seconds: Distance between windows; by default their length.
        sound_of_videos: Embed the sound of videos as well.
        strict: Raise an error at the first file that cannot be used.
        retry_failed: Retry files that failed before and have not changed since.
        path_column: Column of lists with the paths; detected by default.
        caption_column: Column of lists with the captions; detected by default.
        exclude: Gitignore patterns of files to skip.
        prune: Remove the items whose files no longer exist in the given folders and patterns.
        texts: Sources of texts to store with the items; none if empty. Writing and speech are read
            after everything is embedded.
        speech_model: The model that reads speech: a name of the catalogue or a specification.
        refresh: Read the texts and columns of unchanged files again, without embedding.
        modalities: Decode only new and changed files that may have one of these modalities, by
            extension; a later run embeds the others. None: all.
        media: Decode only files that may contain one of these media, and use only encoders that
            embed one. None: all.
        unit: Embed one part of the sources only; None: all.
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
    texts: tuple[TextSource, ...] = DEFAULT_TEXTS
    speech_model: str = DEFAULT_SPEECH_MODEL
    refresh: bool = False
    modalities: frozenset[Medium] | None = None
    media: frozenset[Medium] | None = None
    unit: UnitNumber | None = None

    def __post_init__(self) -> None:
        if isinstance(self.models, str):  # one name instead of a tuple
            object.__setattr__(self, "models", (self.models,))
        object.__setattr__(self, "texts", text_sources(self.texts))

    def needs(self, path: str) -> bool:
        """Whether `modalities` and `media` allow a file, by its extension."""
        possible = set(possible_modalities(path))
        return all(
            allowed is None or not allowed.isdisjoint(possible)
            for allowed in (self.modalities, self.media)
        )


def text_sources(names: str | Iterable[str]) -> tuple[TextSource, ...]:
    """Return the sources of texts that names or one name mean; `none` means none.

    Raises:
        SourceError: There is no source of that name.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    if names == ("none",):
        return ()
    unknown = [name for name in names if name not in list(TextSource)]
    if unknown:
        raise SourceError(
            f"no source of texts {unknown[0]!r}; expected none, or some of {', '.join(TextSource)}"
        )
    return tuple(dict.fromkeys(map(TextSource, names)))


@dataclass(slots=True)
class EmbedReport:
    """Counts of a run, updated while it runs.

    Attributes:
        added: New items by modality.
        replaced: Added items that replace an older version of their file.
        renamed: Items whose files were renamed; not embedded again.
        updated: Items with new captions, columns or texts; not embedded again.
        other_paths: Further paths of files that are already items.
        gone: Items whose files no longer exist.
        pruned: Items that were removed because their files no longer exist.
        deferred: New and changed files that `EmbedOptions` leaves to a later run.
        completed: Rows added for existing items in a space that lacked them.
        failures: The first `FAILURES_KEPT` failures.
        without_encoder: Items of a modality that no model embeds.
        without_segments: Added items without vectors, such as silent videos with models for sound
            only. A further model may embed them.
        notices: Values that are stored under another name or in another form.
        passed_over: Files of folders that are not media, by suffix.
        read: Items in which writing or speech was read, by source; also those without any.
        unread: Items in which it could not be read.
        without_texts: Unchanged items of a collection that has no texts, because it is older than
            they are or was made without them.
    """

    added: dict[Medium, int] = field(default_factory=lambda: dict.fromkeys(Medium, 0))
    replaced: int = 0
    unchanged: int = 0
    renamed: int = 0
    updated: int = 0
    other_paths: int = 0
    gone: int = 0
    pruned: int = 0
    deferred: int = 0
    completed: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    without_encoder: int = 0
    without_segments: int = 0
    notices: list[str] = field(default_factory=list)
    passed_over: Mapping[str, int] = field(default_factory=dict)
    read: dict[TextSource, int] = field(default_factory=Counter)
    unread: int = 0
    without_texts: int = 0
    seconds: float = 0.0

    @property
    def in_collection(self) -> int:
        """Number of the run's items that are in the collection."""
        return (
            sum(self.added.values()) + self.unchanged + self.renamed + self.updated + self.completed
        )

    @property
    def seen(self) -> int:
        """Number of items processed so far."""
        return self.in_collection + self.failed + self.without_encoder + self.deferred

    def counts(self) -> tuple[int, int]:
        """Return the numbers of items in the collection and of failures."""
        return self.in_collection, self.failed


FAILURES_KEPT = 20
"""Maximal number of failures in a report; the collection stores all of them."""


@dataclass(frozen=True, slots=True)
class RequiredEncoder:
    """An encoder that a run needs.

    Attributes:
        spec: Its specification.
        model: The requested model name; the specification for spaces of the collection.
        space: Its space in the collection; None for a new space.
        optional: Whether the run can do without it: it embeds sound, others embed pictures.
    """

    spec: str
    model: str
    space: Space | None
    optional: bool


def required_encoders(snapshot: HasSpaces | None, options: EmbedOptions) -> list[RequiredEncoder]:
    """Return the encoders of the collection's spaces, then those of the requested models.

    Encoders that embed none of `options.media` are left out, as far as this is known unloaded.

    Raises:
        UnknownModelError: The catalogue has no such model.
        WeightsNotAvailableError: A hub repository must be downloaded to identify its model.
    """
    required: dict[str, RequiredEncoder] = {}
    spaces = snapshot.spaces if snapshot else ()
    has_pictures = any(space.media != SOUND_ONLY for space in spaces)
    needed = frozenset(Medium) if options.media is None else options.media
    for space in spaces:
        optional = has_pictures and space.media == SOUND_ONLY
        required[space.encoder] = RequiredEncoder(space.encoder, space.encoder, space, optional)
    for model in options.models or (() if required else (DEFAULT_MODEL,)):
        entry = CATALOGUE.get(model.casefold())
        for spec in resolve(model):
            check_embeds(spec)
            media = entry.encoders[spec] if entry else tuple(Medium)
            optional = media == SOUND_ONLY and entry is not None and len(entry.encoders) > 1
            if needed & set(media):
                required.setdefault(spec, RequiredEncoder(spec, model, None, optional))
    return [one for one in required.values() if not one.space or needed & set(one.space.media)]


def open_spaces(
    snapshot: HasSpaces | None, options: EmbedOptions, load: EncoderLoader | None = None
) -> Spaces:
    """Load the encoders of the collection's spaces and of the requested models.

    Optional encoders whose weights are not on this machine are skipped with a warning.

    Args:
        snapshot: The current generation of the collection, if there is one.
        options: The requested models, and their device.
        load: Loads an encoder; None: `load_encoder`.

    Raises:
        SpaceMismatchError: An encoder differs from the one of the collection's space.
        WeightsNotAvailableError: The weights of a required encoder are not on this machine.
    """
    # What texts need is remembered for the first search.
    load = load or partial(load_encoder, text_first=True)
    spaces: Spaces = {}
    for required in required_encoders(snapshot, options):
        try:
            encoder = load(required.spec, device=options.device)
        except (WeightsNotAvailableError, MissingExtraError) as error:
            if not required.optional:
                raise
            logger.warning("sound is left out of this run: %s; then embed again", error)
            continue
        if options.media is not None and options.media.isdisjoint(encoder.media):
            continue
        space = required.space
        if space is not None:
            check_encoder(space, encoder)
        else:
            if caution_of(required.spec):
                logger.warning("%s: %s", required.spec, caution_of(required.spec))
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
