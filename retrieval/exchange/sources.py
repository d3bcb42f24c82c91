"""Recognizes sources of vectors: clip-retrieval folders, Parquet and .npy files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from indexes.errors import DimensionMismatchError
from retrieval.columns.notices import Notices
from retrieval.errors import SourceError
from retrieval.exchange.vector_files import NpyVectors, ParquetVectors, VectorBlock, VectorFile
from retrieval.media.lists.rows import LIST_EXTENSIONS


@dataclass(frozen=True, slots=True)
class VectorSource:
    """The files of a source, in order.

    Attributes:
        base: The folder that relative paths start from.
        files: At least one; all have vectors of one dimension.
        notices: Receives notices about columns and files that are left out.
    """

    base: Path
    files: tuple[VectorFile, ...]
    notices: Notices = field(default_factory=Notices)

    @property
    def rows(self) -> int:
        """Number of rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.files[0].dim

    def blocks(self) -> Iterator[VectorBlock]:
        """Yield the rows of all files in order."""
        for file in self.files:
            yield from file.blocks(self.notices)


def open_source(
    source: Path, *, vector_column: str | None = None, metadata: Path | None = None
) -> VectorSource:
    """Open the files of a source and compare their sizes, without reading rows.

    Args:
        source: A folder of clip-retrieval, of Parquet or of .npy files, or one such file.
        vector_column: The Parquet column of vectors; None: the only one, or a usual name.
        metadata: Parquet, CSV, TSV or JSONL that describes the rows of a single .npy file.

    Raises:
        SourceError: The source is none of these, is damaged, or has another number of descriptions
            than vectors.
        DimensionMismatchError: The vectors of the files differ in length.
    """
    if source.is_dir():
        opened = _open_folder(source, vector_column, metadata)
    elif source.suffix == ".parquet":
        file = ParquetVectors.open(source, vector_column)
        opened = VectorSource(source.absolute().parent, (file,))
    elif source.suffix == ".npy":
        array = NpyVectors.open(source, metadata or _metadata_beside(source))
        opened = VectorSource(source.absolute().parent, (array,))
    elif not source.exists():
        raise SourceError(f"{source}: no such file or folder; check the name")
    else:
        raise SourceError(f"{source}: expected a folder, a .parquet or a .npy file of vectors")
    tables = [file.metadata for file in opened.files if isinstance(file, NpyVectors)]
    if metadata is not None and tables != [metadata]:
        raise SourceError(f"{source} is not a .npy file, so {metadata} cannot describe its rows")
    opened = _without_empty_files(opened)
    for each in opened.files:
        if each.dim != opened.dim:
            raise DimensionMismatchError(
                f"{each.path} holds {each.dim}-d vectors, {opened.files[0].path} "
                f"{opened.dim}-d ones; import them separately"
            )
    return opened


def _without_empty_files(source: VectorSource) -> VectorSource:
    """Drop files without rows, which have no dimension; keep one if all are empty."""
    filled = tuple(file for file in source.files if file.rows)
    for file in source.files:
        if filled and not file.rows:
            source.notices.add(f"{file.path} holds no rows")
    return replace(source, files=filled or source.files[:1])


def _open_folder(folder: Path, vector_column: str | None, metadata: Path | None) -> VectorSource:
    base = folder.absolute()
    has_texts = (folder / "text_emb").is_dir()
    if (folder / "img_emb").is_dir():
        source = VectorSource(base, tuple(_open_clip_retrieval(folder)))
        if has_texts:
            source.notices.add("text_emb/ is left out: a collection holds vectors of media only")
        return source
    if has_texts:
        raise SourceError(f"{folder} holds only vectors of texts; expected vectors of media")
    arrays = _sorted_files(folder, "*.npy")
    if arrays:
        if len(arrays) > 1 and metadata is not None:
            raise SourceError(
                f"{folder} holds {len(arrays)} .npy files, but {metadata} can describe only one"
            )
        files = (NpyVectors.open(path, metadata or _metadata_beside(path)) for path in arrays)
        return VectorSource(base, tuple(files))
    tables = _sorted_files(folder, "*.parquet")
    if tables:
        return VectorSource(
            base, tuple(ParquetVectors.open(path, vector_column) for path in tables)
        )
    raise SourceError(
        f"{folder} holds neither img_emb/ nor .npy nor .parquet files; name the folder with them"
    )


def _open_clip_retrieval(folder: Path) -> Iterator[NpyVectors]:
    arrays = _sorted_files(folder / "img_emb", "*.npy")
    if not arrays:
        raise SourceError(f"{folder / 'img_emb'} is empty; expected img_emb_0.npy and so on")
    for path in arrays:
        number = path.stem.rpartition("_")[2]
        metadata = folder / "metadata" / f"metadata_{number}.parquet"
        if not metadata.is_file():
            raise SourceError(f"{metadata} is missing; it describes the rows of {path.name}")
        yield NpyVectors.open(path, metadata)


def _sorted_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files that match a pattern, ordered by the numbers in their names."""

    def key(path: Path) -> list[tuple[int, str]]:
        # str.isdecimal accepts digits beyond ASCII.
        return [(int(part), "") if part.isascii() and part.isdecimal() else (0, part)
                for part in re.split(r"([0-9]+)", path.name)]  # fmt: skip

    return sorted((p for p in folder.glob(pattern) if not p.name.startswith(".")), key=key)


def _metadata_beside(path: Path) -> Path | None:
    """Return the table that describes a .npy file: of the same name, or else `metadata.*`."""
    for stem in (path.stem, "metadata"):
        for suffix in LIST_EXTENSIONS:
            table = path.with_name(f"{stem}.{suffix}")
            if table.is_file():
                return table
    return None
