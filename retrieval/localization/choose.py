"""Chooses and loads the localizers of a collection by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from retrieval.errors import QueryError, SpaceMismatchError, WeightsNotAvailableError
from retrieval.localization.hammer_files import read_space_digest
from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.protocols import Localizer
from retrieval.types import Space

BUNDLED = Path(__file__).parents[1] / "weights" / "tiny-hammer"
"""Folder of the bundled Hammer, which reads the frames of the bundled image model."""


def choose_localizers(
    name: str, spaces: Sequence[Space], *, device: str = "auto"
) -> tuple[Localizer, ...]:
    """Load the named localizers in order of preference; `similarity` is always the last one.

    Args:
        name: `auto` (the bundled Hammer if it fits one of the spaces), `similarity`, `hammer`
            (the bundled one) or `hammer:FOLDER`.
        spaces: The spaces of the collection.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        QueryError: There is no localizer of this name.
        SpaceMismatchError: The Hammer reads none of the spaces.
        WeightsNotAvailableError: The folder contains no Hammer.
        WeightsFormatError: Its files are damaged, or its weights are a pickle.
    """
    similarity = SimilarityLocalizer()
    prefix, colon, path = name.partition(":")
    if name == "similarity":
        return (similarity,)
    if name != "auto" and (prefix != "hammer" or bool(colon) != bool(path)):
        raise QueryError(
            f"no localizer {name!r}; expected auto, similarity, hammer or hammer:FOLDER"
        )
    folder = Path(path).expanduser() if path else BUNDLED
    digest = read_space_digest(folder)
    fits = any(space.digest == digest for space in spaces)
    if name == "auto" and not fits:
        return (similarity,)
    if digest is not None and not fits:
        names = ", ".join(space.name for space in spaces) or "none"
        raise SpaceMismatchError(
            f"{name} reads the space with digest {digest[:8]}, this collection has: {names}; "
            "train a Hammer on its frames, or use the localizer similarity"
        )
    if digest is None and not folder.is_dir():
        raise WeightsNotAvailableError(
            f"{name}: {folder} is no folder; name a folder with a trained Hammer"
        )

    def load() -> Localizer:
        from retrieval.localization.hammer import HammerLocalizer

        return HammerLocalizer.load(folder, device=device)

    # Most queries ask for no moments. A folder of the user can be damaged, which is reported first.
    hammer = load() if path else cast(Localizer, LazyLocalizer(load))
    return (hammer, similarity)


class LazyLocalizer:
    """Loads a localizer when one of its attributes is needed first."""

    def __init__(self, load: Callable[[], Localizer]) -> None:
        self._load = load

    @cached_property
    def localizer(self) -> Localizer:
        """The localizer."""
        return self._load()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.localizer, name)
