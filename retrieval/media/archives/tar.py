"""Read the media in a tar from beginning to end, without extracting any file under its own name.

`KEY.jpg` is an item, `KEY.txt` its caption, `KEY.json` its columns and possibly another caption,
`KEY.srt` the transcript of a recording or video;
`tar_index.py` defines which belong together. A tar is read twice: first its names and texts, then
its media with their texts. Tars may be compressed, nested, and joined byte by byte.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import sqlite3
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from retrieval.errors import DamagedMediaError
from retrieval.files.reading import check_regular, open_regular
from retrieval.media.archives.tar_index import TarIndex
from retrieval.media.archives.tar_texts import MAX_TEXT_BYTES, TRANSCRIPT_SUFFIXES, TarTexts
from retrieval.media.captions import join_captions
from retrieval.media.files import EXTENSIONS, OpenFile, TranscriptFile
from retrieval.media.names import TAR_NAME, extension, is_tar_name, quote
from retrieval.media.transcripts.sidecars import can_have_transcript
from retrieval.types import Failure, Sidecar, Source

SPOOL_BYTES = 64 << 20
"""Members up to this size are read in memory, larger ones through an unnamed temporary file."""

MAX_DEPTH = 2
"""Maximum nesting of tars."""

_TEXT_SUFFIXES = TRANSCRIPT_SUFFIXES | {"txt", "json"}

_END_ERROR = tarfile.EOFHeaderError  # type: ignore[attr-defined]
_FOREIGN_ERRORS = (
    tarfile.InvalidHeaderError,  # type: ignore[attr-defined]
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
)
_TAR_ERRORS = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)


def open_members(source: Source) -> Iterator[OpenFile | Failure]:
    """Yield the media members of a tar in their order, and a failure for each refused member.

    Refused are links, devices, absolute names, names with `..`, repeated names, captions and
    columns that match no media file or several equally, tars nested more than two deep, and the
    rest of a cut tar.

    Raises:
        OSError: The tar cannot be opened, or its temporary index cannot be written.
    """
    with open_regular(source.path) as file:
        status = os.fstat(file.fileno())
        tar = OpenFile(source.uri, source.path, file, status.st_size, status.st_mtime)
        try:
            yield from _TarReader(source, tar, depth=0).members()
        except sqlite3.Error as error:
            raise OSError(
                f"cannot index the tar ({error}); free space for temporary files"
            ) from error


@contextmanager
def open_member(path: str, name: str) -> Iterator[BinaryIO]:
    """Open a member of a tar for reading; `inner.tar!a.jpg` names one of a nested tar.

    Raises:
        DamagedMediaError: The tar is damaged, is not a regular file, or has no such member.
    """
    try:
        check_regular(path)
    except OSError as error:
        raise DamagedMediaError(f"{path}: {error.strerror}") from error
    try:
        with ExitStack() as stack:
            file = cast(BinaryIO, stack.enter_context(open_regular(path)))
            for part in _split_nested(name):
                file = stack.enter_context(_open_in(file, part))
            yield file
    except (*_TAR_ERRORS, KeyError) as error:
        raise DamagedMediaError(f"{path}: no member {name} can be read; pack it again") from error


def list_members(path: str) -> Iterator[tuple[str, int]]:
    """Yield names and sizes of the regular members, nested tars included but not opened.

    Raises:
        DamagedMediaError: The tar is damaged.
    """
    try:
        with open_regular(path) as file, _open_tar(file) as tar:
            for member in _iterate(tar):
                if member.isreg():
                    yield member.name, member.size
    except _TAR_ERRORS as error:
        raise DamagedMediaError(f"{path}: the tar cannot be read; pack it again") from error


# ---------------------------------------------------------------- opening


@contextmanager
def _open_tar(file: BinaryIO) -> Iterator[_Tar]:
    """Open a tar at its beginning, decompressing it as its content requires."""
    file.seek(0)
    head = file.read(6)
    file.seek(0)
    stream = _decompress(file, head)
    # Joined tars have zeros between them. `_Tar` counts what else is ignored with the zeros.
    with _Tar.open(
        fileobj=stream or file,
        mode="r:" if stream is None else "r|",
        errorlevel=0,
        ignore_zeros=True,
    ) as tar:
        yield tar


class _Member(tarfile.TarInfo):
    """A member of a `_Tar`."""

    @classmethod
    def fromtarfile(cls, opened: tarfile.TarFile) -> _Member:
        tar = cast(_Tar, opened)
        try:
            member = super().fromtarfile(tar)
        except _END_ERROR:
            tar.has_end = True
            raise
        except _FOREIGN_ERRORS:
            tar.foreign_blocks += 1
            raise
        tar.has_end = False
        return member


class _Tar(tarfile.TarFile):
    """A tar, or several joined ones.

    Attributes:
        foreign_blocks: Blocks that are neither zeros nor belong to a member.
        has_end: Whether zeros follow the last member.
    """

    tarinfo = _Member
    members: list[tarfile.TarInfo]
    foreign_blocks = 0
    has_end = False


def _decompress(file: BinaryIO, head: bytes) -> BinaryIO | None:
    stream: object = None
    if head.startswith(b"\x1f\x8b"):
        stream = gzip.GzipFile(fileobj=file, mode="rb")
    elif head.startswith(b"BZh"):
        stream = bz2.BZ2File(file)
    elif head.startswith(b"\xfd7zXZ\0"):
        stream = lzma.LZMAFile(file)  # noqa: SIM115 (it does not own the file)
    elif head.startswith(b"\x28\xb5\x2f\xfd"):
        import pyarrow as pa  # lazily, because workers start without it

        stream = pa.CompressedInputStream(pa.PythonFile(_BorrowedFile(file), mode="r"), "zstd")
    return cast(BinaryIO | None, stream)


class _BorrowedFile(io.RawIOBase):
    """A file that stays open when its reader closes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


def _iterate(tar: _Tar) -> Iterator[tarfile.TarInfo]:
    has_members = False
    while (member := tar.next()) is not None:
        has_members = True
        yield member
        tar.members = []  # keep memory use constant
    if tar.foreign_blocks and not has_members:
        raise tarfile.ReadError("no block of it begins a member")


@contextmanager
def _open_in(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    with _open_tar(file) as tar:
        for member in _iterate(tar):
            if member.name == name and member.isreg():
                break
        else:
            raise KeyError(name)
        content = cast(BinaryIO, tar.extractfile(member))
        if tar.fileobj is file:  # a compressed tar is not seekable
            yield content
        else:
            with _spool(content) as copy:
                yield copy


@contextmanager
def _spool(content: BinaryIO) -> Iterator[BinaryIO]:
    with SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        file = cast(BinaryIO, spool)
        shutil.copyfileobj(content, file, 1 << 20)
        file.seek(0)
        yield file


def _split_nested(name: str) -> list[str]:
    """Split the name of a member of nested tars, outermost first."""
    match = re.search(f"{TAR_NAME}!", name, re.IGNORECASE)
    if match is None:
        return [name]
    return [name[: match.end() - 1], *_split_nested(name[match.end() :])]


# ---------------------------------------------------------------- reading


@dataclass(slots=True)
class _TarReader:
    """Reads one tar, which may be nested in another.

    Attributes:
        source: The outermost tar.
        tar: The open tar.
        depth: Number of tars around it.
        members_read: Number of members read so far.
    """

    source: Source
    tar: OpenFile
    depth: int
    members_read: int = 0

    def members(self) -> Iterator[OpenFile | Failure]:
        with SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool, closing(TarIndex()) as index:
            texts = TarTexts(cast(BinaryIO, spool), index)
            self._collect_texts(texts)
            try:
                with _open_tar(self.tar.file) as tar:
                    yield from self._media(tar, texts)
            except _TAR_ERRORS as error:
                yield self._failure(
                    f"the tar breaks off after {self.members_read} members ({error}); copy it again"
                )
            else:
                if not self.members_read:
                    yield self._failure("the tar holds no members; expected media files")
                elif tar.foreign_blocks:
                    yield self._failure(
                        f"{tar.foreign_blocks * tarfile.BLOCKSIZE:,} bytes between or after the "
                        f"{self.members_read} members belong to none of them; pack the tar again"
                    )
                elif not tar.has_end:
                    yield self._failure(
                        f"the tar has no end mark after {self.members_read} members and may be "
                        "cut; copy it again"
                    )
            for text, problem in index.problems():
                yield Failure(self._uri(text.name), "open", problem, text.size, self.tar.mtime)

    def _collect_texts(self, texts: TarTexts) -> None:
        """Store and pair the texts; damage is reported when the media are read."""
        index = texts.index
        try:
            with _open_tar(self.tar.file) as tar:
                for member in _iterate(tar):
                    if _refusal(member, index) is None:
                        suffix = extension(member.name)
                        if suffix in EXTENSIONS:
                            index.add_media(member.name)
                        elif suffix in _TEXT_SUFFIXES and (content := tar.extractfile(member)):
                            texts.add(member.name, content.read(MAX_TEXT_BYTES + 1))
                    index.add_seen(member.name)
        except _TAR_ERRORS:
            pass
        index.clear_seen()
        index.pair_texts()

    def _media(self, tar: _Tar, texts: TarTexts) -> Iterator[OpenFile | Failure]:
        index = texts.index
        for member in _iterate(tar):
            self.members_read += 1
            if member.isdir():
                continue
            uri = self._uri(member.name)
            refusal = _refusal(member, index)
            if refusal is None and is_tar_name(member.name) and self.depth == MAX_DEPTH:
                refusal = f"a tar nested more than {MAX_DEPTH} deep; unpack the outer one"
            if refusal is not None:
                # The URI differs from that of the first member with this name, which is good.
                failed_uri = f"{uri}#again" if index.is_seen(member.name) else uri
                yield Failure(failed_uri, "open", refusal, member.size, member.mtime)
            elif extension(member.name) in EXTENSIONS or is_tar_name(member.name):
                yield from self._open_media(tar, member, uri, texts)
            index.add_seen(member.name)

    def _open_media(
        self, tar: _Tar, member: tarfile.TarInfo, uri: str, texts: TarTexts
    ) -> Iterator[OpenFile | Failure]:
        with _spool(cast(BinaryIO, tar.extractfile(member))) as file:
            media = OpenFile(uri, member.name, file, member.size, member.mtime)
            if is_tar_name(member.name):
                yield from _TarReader(self.source, media, self.depth + 1).members()
                return
            beside = texts.read(member.name)
            yield replace(
                media,
                caption=join_captions(beside.captions)
                or self.source.caption
                or ("" if beside.captions else None),
                columns={**self.source.columns, **beside.columns},
                transcripts=tuple(self._transcripts(member.name, beside.transcripts)),
                rereads=self.source.rereads,
            )

    def _transcripts(
        self, media: str, transcripts: list[tuple[str, bytes]]
    ) -> Iterator[TranscriptFile]:
        for name, content in transcripts if can_have_transcript(media) else ():
            sidecar = Sidecar(quote(os.path.basename(name)), len(content), 0.0)
            yield TranscriptFile(self._uri(name), sidecar, content=content)

    def _uri(self, name: str) -> str:
        return f"{self.tar.uri}!{quote(name)}"

    def _failure(self, reason: str) -> Failure:
        return Failure(self.tar.uri, "open", reason, self.tar.bytes, self.tar.mtime)


def _refusal(member: tarfile.TarInfo, index: TarIndex) -> str | None:
    if member.name.startswith("/") or ".." in member.name.split("/"):
        return "a member's name leads out of the tar; pack it again with relative names"
    if not member.isreg():
        return "a member is a link or a device; pack the file itself"
    if index.is_seen(member.name):
        return "a second member of this name; only the first is used"
    return None
