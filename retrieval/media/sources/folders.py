"""The media files below a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from retrieval.errors import SourceError
from retrieval.media.captions import CAPTIONS_FILE
from retrieval.media.names import extension, path_to_uri
from retrieval.media.sources.ignore_rules import IgnoreRules
from retrieval.media.sources.listing import Listing


def walk(folder: str, listing: Listing, is_media: Callable[[str], bool]) -> Iterator[str]:
    """Yield the media files below a folder, sorted by name, folder by folder.

    Hidden files and collections are passed over in silence. Other files than media are counted, and
    so are links to folders, which could lead in a circle. What an ignore file or the user excludes
    is left out.

    Args:
        folder: Where to begin.
        listing: Takes what cannot be listed, and what is passed over.
        is_media: Tells by its name whether a file is listed.

    Raises:
        SourceError: The folder cannot be read, or, without a taker of failures, one below it.
    """
    listing.cover_folder(folder)
    todo = [(folder, IgnoreRules.of(listing.exclude, folder))]
    while todo:
        path, rules = todo.pop()
        try:
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            if _is_collection({entry.name for entry in entries}):
                continue
            rules = rules.within(path)
        except (OSError, SourceError) as error:
            reason = str(error)
            if isinstance(error, OSError) and not isinstance(error, SourceError):
                reason = f"{path}: {error.strerror}; make it readable or leave it out"
            if path == folder:
                raise SourceError(reason) from error
            listing.fail(path_to_uri(path), reason, error)
            continue
        shown = [
            entry
            for entry in entries
            if not entry.name.startswith(".")
            and not rules.ignore(entry.path, is_folder=_is_folder(entry))
        ]
        todo += [(e.path, rules) for e in reversed(shown) if _is_folder(e)]
        yield from _files([e for e in shown if not _is_folder(e)], listing, is_media)


def _is_collection(names: set[str]) -> bool:
    """Whether a folder with these files is a collection, or becomes one now."""
    return names >= {"CURRENT", "manifests"} or ".lock.holder" in names


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _files(
    entries: list[os.DirEntry[str]], listing: Listing, is_media: Callable[[str], bool]
) -> Iterator[str]:
    """Yield the media among the files of one folder, and count the others."""
    stems = {os.path.splitext(entry.name)[0] for entry in entries if is_media(entry.name)}
    for entry in entries:
        if entry.is_symlink() and os.path.isdir(entry.path):
            listing.passed_over["links to folders"] += 1
        elif is_media(entry.name):
            yield entry.path
        elif not _is_caption(entry.name, stems):
            listing.pass_over(entry.name)


def _is_caption(name: str, stems: set[str]) -> bool:
    """Whether a file of a folder holds captions of its media."""
    if name == CAPTIONS_FILE:
        return True
    return extension(name) == "txt" and os.path.splitext(name)[0] in stems
