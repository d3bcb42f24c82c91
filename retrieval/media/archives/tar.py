"""Tars of media files, read from front to back; nothing is ever extracted to a name they choose.

`KEY.jpg` is an item, `KEY.txt` its caption, `KEY.json` its columns (and another caption, if it has
one); `tar_partners` says which belong together. A tar is read twice: first its names and texts,
then its media, each with the texts that belong to it. Tars may be compressed, and may lie in a tar.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from retrieval.columns.types import portable
from retrieval.errors import DamagedMediaError
from retrieval.files.reading import check_regular, open_regular
from retrieval.media.archives.tar_partners import Media
from retrieval.media.captions import MAX_CAPTION_CHARACTERS, join_captions
from retrieval.media.files import EXTENSIONS, OpenFile
from retrieval.media.lists.formats import parse_exact_json
from retrieval.media.lists.rows import CAPTION_COLUMNS
from retrieval.media.names import TAR_NAME, extension, is_tar_name, quote
from retrieval.types import Failure, Scalar, Source

SPOOL_BYTES = 64 << 20
"""Members up to this size are read in memory, larger ones through an unnamed temporary file."""

MAX_TEXT_BYTES = 16 << 20
"""Captions and columns above this size are refused."""

MAX_DEPTH = 2
"""How deep tars may lie in tars."""

_DAMAGE = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)


def open_members(source: Source) -> Iterator[OpenFile | Failure]:
    """Yield the media members of a tar in their order, and a failure for each that is refused.

    Refused are links, devices, absolute names, names with `..`, the second member of a name,
    captions and columns without a media file or with several that are as near, tars more than two
    deep, and what follows where a tar is cut short.

    Raises:
        OSError: The tar cannot be opened.
    """
    with open_regular(source.path) as file:
        stat = os.fstat(file.fileno())
        whole = OpenFile(source.uri, source.path, file, stat.st_size, stat.st_mtime)
        yield from _Tar(source, whole, 0).members()


@contextmanager
def open_member(path: str, name: str) -> Iterator[BinaryIO]:
    """Open one member of a tar for reading, or of a tar in it: `inner.tar!a.jpg`.

    Raises:
        DamagedMediaError: The tar is damaged, is no regular file, or holds no such member.
    """
    try:
        check_regular(path)
    except OSError as error:
        raise DamagedMediaError(f"{path}: {error.strerror}") from error
    try:
        with ExitStack() as stack:
            file = cast(BinaryIO, stack.enter_context(open_regular(path)))
            for part in _levels(name):
                file = stack.enter_context(_opened_member(file, part))
            yield file
    except (*_DAMAGE, KeyError) as error:
        raise DamagedMediaError(f"{path}: no member {name} can be read; pack it again") from error


def list_members(path: str) -> Iterator[tuple[str, int]]:
    """Names and sizes of the regular members; of tars in it, the tars.

    Raises:
        DamagedMediaError: The tar is damaged.
    """
    try:
        with open_regular(path) as file, _opened(file) as tar:
            for member in _infos(tar):
                if member.isreg():
                    yield member.name, member.size
    except _DAMAGE as error:
        raise DamagedMediaError(f"{path}: the tar cannot be read; pack it again") from error


# ---------------------------------------------------------------- opening


@contextmanager
def _opened(file: BinaryIO) -> Iterator[tarfile.TarFile]:
    """Open a tar from its beginning, compressed or not: its content says."""
    file.seek(0)
    head = file.read(6)
    file.seek(0)
    stream = _decompressed(file, head)
    with tarfile.open(
        fileobj=stream or file, mode="r:" if stream is None else "r|", errorlevel=0
    ) as tar:
        yield tar


def _decompressed(file: BinaryIO, head: bytes) -> BinaryIO | None:
    stream: object = None
    if head.startswith(b"\x1f\x8b"):
        stream = gzip.GzipFile(fileobj=file, mode="rb")
    elif head.startswith(b"BZh"):
        stream = bz2.BZ2File(file)
    elif head.startswith(b"\xfd7zXZ\0"):
        stream = lzma.LZMAFile(file)  # noqa: SIM115 (closing it would close nothing)
    elif head.startswith(b"\x28\xb5\x2f\xfd"):
        import pyarrow as pa  # only here: workers start without it

        stream = pa.CompressedInputStream(pa.PythonFile(_Borrowed(file), mode="r"), "zstd")
    return cast(BinaryIO | None, stream)


class _Borrowed(io.RawIOBase):
    """A file that stays open when its reader closes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


def _infos(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        yield member
        tar.members = []  # type: ignore[attr-defined]  # else it would hold those of the whole tar


@contextmanager
def _opened_member(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    with _opened(file) as tar:
        for member in _infos(tar):
            if member.name == name and member.isreg():
                break
        else:
            raise KeyError(name)
        content = cast(BinaryIO, tar.extractfile(member))
        if tar.fileobj is file:  # a compressed one is read forwards only
            yield content
        else:
            with _spooled(content) as copy:
                yield copy


@contextmanager
def _spooled(content: BinaryIO) -> Iterator[BinaryIO]:
    with SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        file = cast(BinaryIO, spool)
        shutil.copyfileobj(content, file, 1 << 20)
        file.seek(0)
        yield file


def _levels(name: str) -> list[str]:
    """The names of a member in a tar in a tar, from the outside in."""
    found = re.search(f"{TAR_NAME}!", name, re.IGNORECASE)
    if found is None:
        return [name]
    return [name[: found.end() - 1], *_levels(name[found.end() :])]


# ---------------------------------------------------------------- texts


@dataclass(slots=True)
class _Texts:
    """Captions and columns of one tar, held aside until their media come."""

    file: BinaryIO
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    of_media: dict[str, list[str]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)  # by partner

    def take(self, name: str, content: bytes) -> None:
        if len(content) > MAX_TEXT_BYTES:
            self.problems[name] = f"text of more than {MAX_TEXT_BYTES:,} bytes; shorten it"
            return
        self.places[name] = (self.file.tell(), len(content))
        self.file.write(content)

    def pair(self, media: Media) -> None:
        for name in self.places:
            found = media.of(name)
            if found is None:
                self.problems[name] = (
                    "it belongs to several media files alike; name it after one of them"
                )
            elif not found:
                self.problems[name] = (
                    "a caption or columns without a media file of its name; pack them together"
                )
            for each in found or ():
                self.of_media.setdefault(each, []).append(name)

    def read(self, media: str) -> tuple[list[object], dict[str, Scalar]]:
        """The captions and the columns of one media file."""
        captions: list[object] = []
        columns: dict[str, object] = {}
        for name in self.of_media.get(media, ()):
            place, length = self.places[name]
            self.file.seek(place)
            content = self.file.read(length)
            if extension(name) == "txt":
                captions.append(content[: 4 * MAX_CAPTION_CHARACTERS].decode("utf-8", "replace"))
                continue
            try:
                read = parse_exact_json(content)
                if not isinstance(read, dict):
                    raise ValueError("not an object, as {…}")
                columns = {**read, **columns}
            except (ValueError, RecursionError) as error:
                self.problems[name] = f"its JSON cannot be read ({error}); mend it"
        named = next((name for name in CAPTION_COLUMNS if columns.get(name) is not None), None)
        if named is not None:
            captions.append(columns.pop(named))
        return captions, {name: portable(value) for name, value in columns.items()}


# ---------------------------------------------------------------- reading


@dataclass(slots=True)
class _Tar:
    """One tar, which may lie in another."""

    source: Source
    whole: OpenFile
    depth: int
    read: int = 0

    def members(self) -> Iterator[OpenFile | Failure]:
        with SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            texts = _Texts(cast(BinaryIO, spool))
            self._survey(texts)
            try:
                with _opened(self.whole.file) as tar:
                    yield from self._media(tar, texts)
            except _DAMAGE as error:
                yield self._failure(
                    f"the tar breaks off after {self.read} members ({error}); copy it again"
                )
            else:
                if not self.read:
                    yield self._failure("the tar holds no members; expected media files")
            for name, problem in texts.problems.items():
                uri, whole = self._uri(name), self.whole
                yield Failure(uri, "open", problem, texts.places.get(name, (0, 0))[1], whole.mtime)

    def _survey(self, texts: _Texts) -> None:
        """Read the texts, and find out whose they are; damage is found again with the media."""
        media = Media()
        try:
            with _opened(self.whole.file) as tar:
                seen: set[str] = set()
                for member in _infos(tar):
                    if _refusal(member, seen) is None:
                        kind = extension(member.name)
                        if kind in EXTENSIONS:
                            media.add(member.name)
                        elif kind in ("txt", "json") and (content := tar.extractfile(member)):
                            texts.take(member.name, content.read(MAX_TEXT_BYTES + 1))
                    seen.add(member.name)
        except _DAMAGE:
            pass
        texts.pair(media)

    def _media(self, tar: tarfile.TarFile, texts: _Texts) -> Iterator[OpenFile | Failure]:
        seen: set[str] = set()
        for member in _infos(tar):
            self.read += 1
            if member.isdir():
                continue
            uri = self._uri(member.name)
            refusal = _refusal(member, seen)
            if refusal is None and is_tar_name(member.name) and self.depth == MAX_DEPTH:
                refusal = f"a tar more than {MAX_DEPTH} deep in others; unpack the outer one"
            if refusal is not None:
                # Another uri than the first member's, whose rows are good.
                shown = f"{uri}#again" if member.name in seen else uri
                yield Failure(shown, "open", refusal, member.size, member.mtime)
            elif extension(member.name) in EXTENSIONS or is_tar_name(member.name):
                yield from self._opened_media(tar, member, uri, texts)
            seen.add(member.name)

    def _opened_media(
        self, tar: tarfile.TarFile, member: tarfile.TarInfo, uri: str, texts: _Texts
    ) -> Iterator[OpenFile | Failure]:
        with _spooled(cast(BinaryIO, tar.extractfile(member))) as file:
            opened = OpenFile(uri, member.name, file, member.size, member.mtime)
            if is_tar_name(member.name):
                yield from _Tar(self.source, opened, self.depth + 1).members()
                return
            captions, columns = texts.read(member.name)
            yield OpenFile(
                uri,
                member.name,
                file,
                member.size,
                member.mtime,
                join_captions(captions) or self.source.caption,
                {**self.source.columns, **columns},
            )

    def _uri(self, name: str) -> str:
        return f"{self.whole.uri}!{quote(name)}"

    def _failure(self, reason: str) -> Failure:
        return Failure(self.whole.uri, "open", reason, self.whole.bytes, self.whole.mtime)


def _refusal(member: tarfile.TarInfo, seen: set[str]) -> str | None:
    if member.name.startswith("/") or ".." in member.name.split("/"):
        return "a member's name leads out of the tar; pack it again with relative names"
    if not member.isreg():
        return "a member is a link or a device; pack the file itself"
    if member.name in seen:
        return "a second member of this name; only the first is used"
    return None
