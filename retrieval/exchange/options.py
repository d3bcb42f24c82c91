"""Options of an import of vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retrieval.types import Medium


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How the vectors and columns of a source are read.

    Attributes:
        model: The model that made the vectors, as a catalogue name or specification; None uses the
            space that the source names.
        medium: Modality of an item if neither a column nor the extension of its name gives it.
        vector_column: Parquet column of the vectors; None: the only one, or a usual name.
        path_column: Column of paths or addresses; None: a usual name.
        caption_column: Column of captions; None: a usual name.
        metadata: Table that describes the rows of one .npy file; None: `metadata.*` next to it.
        digest: Compute the sha256 of existing media files, which further models need.
        columns: Metadata columns to keep; None keeps all.
        drop: Metadata columns to leave out.
        device: Device on which the model is loaded.
    """

    model: str | None = None
    medium: Medium = Medium.IMAGE
    vector_column: str | None = None
    path_column: str | None = None
    caption_column: str | None = None
    metadata: Path | None = None
    digest: bool = True
    columns: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    device: str = "auto"
