"""What a source of vectors is: a folder of clip-retrieval, Parquet or .npy files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from retrieval.columns.notices import Notices
from retrieval.errors import DimensionMismatchError, SourceError
from retrieval.exchange.pieces import Block, NpyPiece, ParquetPiece, Piece
from retrieval.media.lists.rows import LIST_EXTENSIONS


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of a source, in order.

    Attributes:
        base: The folder that relative paths start from.
        pieces: At least one, all of one dimension.
        note: What was left aside; often empty.
        notices: Told of columns and shards that are left out while it is read.
    """

    base: Path
    pieces: tuple[Piece, ...]
    note: str = ""
    notices: Notices = field(default_factory=Notices)

    @property
    def rows(self) -> int:
        """Rows of all pieces."""
        return sum(piece.rows for piece in self.pieces)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.pieces[0].dim

    def blocks(self) -> Iterator[Block]:
        """Rows of all pieces in order."""
        for piece in self.pieces:
            yield from piece.blocks(self.notices)


def open_layout(
    source: Path, *, vector_column: str | None = None, metadata: Path | None = None
) -> Layout:
    """Find out what a source is; files are opened and their sizes compared, no row is read.

    Args:
        source: A folder of clip-retrieval, of Parquet or of .npy files, or one such file.
        vector_column: The Parquet column of vectors; by default the only one, or a usual name.
        metadata: Parquet, CSV, TSV or JSONL that describes the rows of a single .npy file.

    Raises:
        SourceError: None of these, damaged, or vectors and descriptions differ in number.
        DimensionMismatchError: The files' vectors differ in length.
    """
    if source.is_dir():
        layout = _folder(source, vector_column, metadata)
    elif source.suffix == ".parquet":
        layout = Layout(source.absolute().parent, (ParquetPiece.open(source, vector_column),))
    elif source.suffix == ".npy":
        described = metadata or _beside(source)
        layout = Layout(source.absolute().parent, (NpyPiece.open(source, described),))
    elif not source.exists():
        raise SourceError(f"{source}: no such file or folder; check the name")
    else:
        raise SourceError(f"{source}: expected a folder, a .parquet or a .npy file of vectors")
    lists = [piece.described for piece in layout.pieces if isinstance(piece, NpyPiece)]
    if metadata is not None and lists != [metadata]:
        raise SourceError(f"--metadata describes a .npy file, {source} is none")
    layout = _without_empty(layout)
    for piece in layout.pieces:
        if piece.dim != layout.dim:
            raise DimensionMismatchError(
                f"{piece.path} holds {piece.dim}-d vectors, {layout.pieces[0].path} "
                f"{layout.dim}-d ones; import them apart"
            )
    return layout


def _without_empty(layout: Layout) -> Layout:
    """Leave out pieces without rows, which have no dimension; one stays where all are empty."""
    filled = tuple(piece for piece in layout.pieces if piece.rows)
    for piece in layout.pieces:
        if filled and not piece.rows:
            layout.notices.add(f"{piece.path} holds no rows")
    return replace(layout, pieces=filled or layout.pieces[:1])


def _folder(source: Path, vector_column: str | None, metadata: Path | None) -> Layout:
    base = source.absolute()
    if (source / "img_emb").is_dir():
        return Layout(base, tuple(_clip_retrieval(source)), _left_aside(source))
    if (source / "text_emb").is_dir():
        raise SourceError(
            f"{source} holds vectors of texts only; a collection needs those of media"
        )
    arrays = _numbered(source, "*.npy")
    if arrays:
        if len(arrays) > 1 and metadata is not None:
            raise SourceError(f"{source} holds {len(arrays)} .npy files; --metadata is for one")
        described = [metadata or _beside(path) for path in arrays]
        pairs = zip(arrays, described, strict=True)
        return Layout(base, tuple(NpyPiece.open(*pair) for pair in pairs))
    tables = _numbered(source, "*.parquet")
    if tables:
        return Layout(base, tuple(ParquetPiece.open(path, vector_column) for path in tables))
    raise SourceError(
        f"{source} holds neither img_emb/ nor .npy nor .parquet files; name the folder with them"
    )


def _clip_retrieval(source: Path) -> Iterator[NpyPiece]:
    arrays = _numbered(source / "img_emb", "*.npy")
    if not arrays:
        raise SourceError(f"{source / 'img_emb'} is empty; expected img_emb_0.npy and so on")
    for path in arrays:
        number = path.stem.rpartition("_")[2]
        described = source / "metadata" / f"metadata_{number}.parquet"
        if not described.is_file():
            raise SourceError(f"{described} is missing; it describes the rows of {path.name}")
        yield NpyPiece.open(path, described)


def _left_aside(source: Path) -> str:
    if not (source / "text_emb").is_dir():
        return ""
    return "text_emb/ is left aside: a collection holds the vectors of media, texts come as queries"


def _numbered(folder: Path, pattern: str) -> list[Path]:
    """Files in the order of their numbers: 2 comes before 10."""

    def key(path: Path) -> list[tuple[int, str]]:
        # ASCII alone: "²" is a digit to Python, and no number.
        return [(int(part), "") if part.isascii() and part.isdecimal() else (0, part)
                for part in re.split(r"([0-9]+)", path.name)]  # fmt: skip

    return sorted((p for p in folder.glob(pattern) if not p.name.startswith(".")), key=key)


def _beside(path: Path) -> Path | None:
    """The description of a .npy file: of its name, else the folder's only one."""
    for stem in (path.stem, "metadata"):
        for suffix in LIST_EXTENSIONS:
            found = path.with_name(f"{stem}.{suffix}")
            if found.is_file():
                return found
    return None
