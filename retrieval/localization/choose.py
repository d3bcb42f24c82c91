"""`--localizer`: which localizers answer, in order of preference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retrieval.errors import QueryError, SpaceMismatchError, WeightsNotAvailableError
from retrieval.localization.hammer_files import space_digest_of
from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.protocols import Localizer
from retrieval.types import Space

BUNDLED = Path(__file__).parents[1] / "weights" / "tiny-hammer"
"""Where the package brings a Hammer; it reads the frames of the bundled image model."""


def choose_localizers(
    name: str, spaces: Sequence[Space], *, device: str = "auto"
) -> tuple[Localizer, ...]:
    """Load what `--localizer` names; `similarity` is always the last one.

    Args:
        name: `auto` (the bundled Hammer where it fits one of the spaces), `similarity`, `hammer`
            (the bundled one) or `hammer:FOLDER`.
        spaces: Those of the collection.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        QueryError: No such localizer.
        SpaceMismatchError: The Hammer reads none of the spaces.
        WeightsNotAvailableError: There is no Hammer in the folder.
        WeightsFormatError: Its files are damaged, or a pickle.
    """
    similarity = SimilarityLocalizer()
    kind, colon, rest = name.partition(":")
    if name == "similarity":
        return (similarity,)
    if name != "auto" and (kind != "hammer" or bool(colon) != bool(rest)):
        raise QueryError(
            f"no localizer {name!r}; there is: auto, similarity, hammer, hammer:FOLDER"
        )
    folder = Path(rest).expanduser() if rest else BUNDLED
    digest = space_digest_of(folder)
    fits = any(space.digest == digest for space in spaces)
    if name == "auto" and not fits:
        return (similarity,)
    if digest is not None and not fits:
        names = ", ".join(space.name for space in spaces) or "none"
        raise SpaceMismatchError(
            f"{name} reads the space with digest {digest[:8]}, this collection has: {names}; "
            "train one on its frames with `retrieval train hammer`, or use --localizer similarity"
        )
    if digest is None and not folder.is_dir():
        raise WeightsNotAvailableError(
            f"{name}: {folder} is no folder; `retrieval train hammer --out DIR` writes one"
        )
    from retrieval.localization.hammer import HammerLocalizer

    return (HammerLocalizer.load(folder, device=device), similarity)
