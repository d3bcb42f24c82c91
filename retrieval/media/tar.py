"""Tars of media files, read from front to back; nothing is ever extracted to a name they choose.

Neighbouring members whose names agree up to the first dot belong together, as in webdataset:
`KEY.jpg` is the item, `KEY.txt` its caption, `KEY.json` its columns (and its caption, where there
is no text). Other members are passed over.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import groupby
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from retrieval.errors import DamagedMediaError
from retrieval.media.captions import MAX_CAPTION_CHARACTERS, clean_caption, clean_text
from retrieval.media.files import EXTENSIONS, OpenFile, extension, quote
from retrieval.media.lists import CAPTION_COLUMNS, to_scalar
from retrieval.types import Failure, Scalar, Source

SPOOL_BYTES = 64 << 20
"""Members up to this size are read in memory, larger ones through an unnamed temporary file."""

MAX_TEXT_BYTES = 16 << 20
"""Captions and columns above this size are refused."""


@dataclass(slots=True)
class _Group:
    """The members of one key: media files held open until its caption and columns are known."""

    files: ExitStack  # closes them
    media: list[OpenFile] = field(default_factory=list)
    caption: str | None = None
    columns: dict[str, Scalar] = field(default_factory=dict)
    partners: list[str] = field(default_factory=list)  # uris of captions and columns
    failures: list[Failure] = field(default_factory=list)


def open_members(source: Source) -> Iterator[OpenFile | Failure]:
    """Yield the media members of a tar in their order, and a failure for each that is refused.

    Refused are links, devices, absolute names, names with `..`, the second member of a name,
    captions and columns without a media file, and what follows where a tar is cut short.
    """
    stat = os.stat(source.path)
    whole = Failure(source.uri, "open", "", stat.st_size, stat.st_mtime)
    seen: set[str] = set()
    read = 0
    try:
        with tarfile.open(source.path, mode="r|", errorlevel=0) as tar:
            for _, members in groupby(tar, key=lambda member: _key(member.name)):
                with ExitStack() as files:
                    group = _Group(files)
                    for member in members:
                        read += 1
                        _take(source, tar, member, group, seen)
                    yield from _finish(source, group)
    except (tarfile.TarError, EOFError) as error:
        yield replace(
            whole, reason=f"the tar breaks off after {read} members ({error}); copy it again"
        )
        return
    if read == 0:
        yield replace(whole, reason="the tar holds no members; expected media files")


@contextmanager
def open_member(path: str, name: str) -> Iterator[BinaryIO]:
    """Open one member of a tar for reading, without reading those before it.

    Raises:
        DamagedMediaError: The tar is damaged, or holds no such file.
    """
    try:
        with tarfile.open(path) as tar, tar.extractfile(name) or nullcontext() as member:
            if member is None:
                raise KeyError(name)
            yield cast(BinaryIO, member)
    except (tarfile.TarError, KeyError) as error:
        raise DamagedMediaError(f"{path}: no member {name} can be read; pack it again") from error


def _key(name: str) -> str:
    folder, base = os.path.split(name)
    return os.path.join(folder, base.partition(".")[0])


def _take(
    source: Source, tar: tarfile.TarFile, member: tarfile.TarInfo, group: _Group, seen: set[str]
) -> None:
    """Read one member into its group."""
    if member.isdir():
        return
    uri = f"{source.uri}!{quote(member.name)}"
    kind = extension(member.name)
    refusal = _refusal(member, seen)
    seen.add(member.name)
    if refusal is not None:
        # Another uri than the first member's, whose rows are good.
        shown = f"{uri}#again" if "second" in refusal else uri
        group.failures.append(Failure(shown, "open", refusal, member.size, member.mtime))
        return
    content = tar.extractfile(member)
    if content is None:
        return
    if kind in EXTENSIONS:
        spool = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 (the stack closes it)
        file = group.files.enter_context(spool)
        shutil.copyfileobj(content, file, 1 << 20)
        file.seek(0)
        opened = OpenFile(uri, member.name, cast(BinaryIO, file), member.size, member.mtime)
        group.media.append(opened)
    elif kind in ("txt", "json"):
        group.partners.append(uri)
        reason = _read_partner(kind, content.read(MAX_TEXT_BYTES + 1), group)
        if reason is not None:
            group.failures.append(Failure(uri, "open", reason, member.size, member.mtime))


def _refusal(member: tarfile.TarInfo, seen: set[str]) -> str | None:
    if member.name.startswith("/") or ".." in member.name.split("/"):
        return "a member's name leads out of the tar; pack it again with relative names"
    if not member.isreg():
        return "a member is a link or a device; pack the file itself"
    if member.name in seen:
        return "a second member of this name; only the first is used"
    return None


def _read_partner(kind: str, content: bytes, group: _Group) -> str | None:
    """Read a caption or columns into the group; returns why it cannot."""
    if len(content) > MAX_TEXT_BYTES:
        return f"text of more than {MAX_TEXT_BYTES:,} bytes; shorten it"
    if kind == "txt":
        text = content[: 4 * MAX_CAPTION_CHARACTERS].decode("utf-8", "replace")
        group.caption = clean_caption(text)
        return None
    try:
        columns = json.loads(content)
    except (ValueError, RecursionError) as error:
        return f"its JSON cannot be read ({error}); mend it"
    if not isinstance(columns, dict):
        return "its JSON is not an object, as {…}; mend it"
    group.columns = {clean_text(name): to_scalar(value) for name, value in columns.items()}
    return None


def _finish(source: Source, group: _Group) -> Iterator[OpenFile | Failure]:
    """Yield a group's media files with what was learned of them, and its failures."""
    columns = {**source.columns, **group.columns}
    caption = group.caption
    for name in CAPTION_COLUMNS:
        text = columns.pop(name, None)
        caption = caption or (clean_caption(text) if isinstance(text, str) else None)
    for media in group.media:
        yield replace(media, caption=caption or source.caption, columns=columns)
    yield from group.failures
    if not group.media:
        reason = "a caption or columns without a media file beside it; pack them together"
        reported = {failure.uri for failure in group.failures}
        for uri in group.partners:
            if uri not in reported:
                yield Failure(uri, "open", reason)
