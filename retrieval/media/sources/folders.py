"""List the media files below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from retrieval.errors import SourceError
from retrieval.media.captions import CAPTIONS_FILE
from retrieval.media.files import is_media_name
from retrieval.media.names import extension, path_to_uri
from retrieval.media.sources.ignore_rules import IgnoreRules
from retrieval.media.sources.listing import Listing
from retrieval.media.transcripts.sidecars import is_sidecar


class WalkedFile(NamedTuple):
    """A media file, and whether a file next to it may contain its caption."""

    path: str
    has_caption: bool


def walk(folder: str, listing: Listing) -> Iterator[WalkedFile]:
    """Yield the media files below a folder, sorted by name, folder by folder.

    Hidden files, collections and excluded files are skipped silently. Other files that are not
    media are counted, and so are links to folders, which are not followed because they can form
    cycles.

    Raises:
        SourceError: The folder cannot be read, or, without `listing.on_failure`, a subfolder.
    """
    listing.add_folder(folder)
    todo = [(folder, IgnoreRules.from_patterns(listing.exclude, folder))]
    while todo:
        path, rules = todo.pop()
        try:
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
            if _is_collection({entry.name for entry in entries}):
                continue
            rules = rules.for_subfolder(path)
        except (OSError, SourceError) as error:
            reason = str(error)
            if isinstance(error, OSError) and not isinstance(error, SourceError):
                reason = f"{path}: {error.strerror}; make it readable or exclude it"
            if path == folder:
                raise SourceError(reason) from error
            listing.fail(path_to_uri(path), reason, error)
            continue
        visible = [
            entry
            for entry in entries
            if not entry.name.startswith(".")
            and not rules.ignores(entry.path, is_folder=_is_folder(entry))
        ]
        todo += [(entry.path, rules) for entry in reversed(visible) if _is_folder(entry)]
        yield from _media_files([entry for entry in visible if not _is_folder(entry)], listing)


def _is_collection(names: set[str]) -> bool:
    """Whether a folder with these files is a collection, or one that is being created."""
    return names >= {"CURRENT", "manifests"} or ".lock.holder" in names


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _media_files(entries: list[os.DirEntry[str]], listing: Listing) -> Iterator[WalkedFile]:
    """Yield the media among the files of one folder, and count the others."""
    files: list[os.DirEntry[str]] = []
    for entry in entries:
        if entry.is_symlink() and os.path.isdir(entry.path):
            listing.skipped["links to folders"] += 1
        else:
            files.append(entry)
    media = [entry for entry in files if is_media_name(entry.name)]
    if len(media) == len(files):
        yield from (WalkedFile(entry.path, False) for entry in media)
        return
    others = {entry.name for entry in files} - {entry.name for entry in media}
    stems = {os.path.splitext(entry.name)[0] for entry in media}
    names = frozenset(stems.union(entry.name for entry in media))
    for name in sorted(others):
        if not _is_caption(name, stems) and not is_sidecar(name, names):
            listing.count_skipped(name)
    for entry in media:
        text_file = os.path.splitext(entry.name)[0] + ".txt"
        yield WalkedFile(entry.path, CAPTIONS_FILE in others or text_file in others)


def _is_caption(name: str, stems: set[str]) -> bool:
    """Whether a file holds captions of media in its folder, which have these stems."""
    if name == CAPTIONS_FILE:
        return True
    return extension(name) == "txt" and os.path.splitext(name)[0] in stems
