"""Find the transcript files beside recordings and videos."""

from __future__ import annotations

import os
import re
from collections import defaultdict

from retrieval.media.files import EXTENSIONS
from retrieval.media.languages import language_code
from retrieval.media.names import extension, path_to_uri
from retrieval.media.transcripts.formats import TRANSCRIPT_EXTENSIONS
from retrieval.types import Medium, Sidecar, Source

MAX_SIDECARS = 32
"""Transcript files of one item, in order of their names."""

_MARK = re.compile(r"\.(?:forced|sdh|cc|hi|default)$", re.IGNORECASE)


def can_have_transcript(name: str) -> bool:
    """Whether a file of this name can be spoken or sung: a recording or a video."""
    media = EXTENSIONS.get(extension(name), ())
    return bool(media) and media != (Medium.IMAGE,)


def stems_of(name: str) -> list[str]:
    """Return the names of which a transcript can be one.

    `film.en.srt` belongs to `film.mp4`, and so do `film.srt`, `film.mp4.srt` and
    `film.en.forced.srt`. The result has the names of media without and with their extension.
    """
    stem = os.path.splitext(name)[0]
    stems = [stem]
    unmarked = _MARK.sub("", stem)
    if unmarked != stem:
        stems.append(unmarked)
    base, _, language = unmarked.rpartition(".")
    if base and language_code(language) is not None:
        stems.append(base)
    return stems


def language_of(name: str) -> str | None:
    """Return the language in the name of a transcript file, as in `film.en.srt`."""
    return language_code(_MARK.sub("", os.path.splitext(name)[0]).rpartition(".")[2])


def sidecar_uris(source: Source) -> list[str]:
    """Return the URIs of the transcript files beside a source."""
    folder = os.path.dirname(source.path)
    return [path_to_uri(os.path.join(folder, sidecar.name)) for sidecar in source.sidecars]


def is_sidecar(name: str, media: frozenset[str]) -> bool:
    """Whether a file is a transcript of a media file.

    Args:
        name: Name of the file.
        media: Names of the media files in its folder, and their names without extensions.
    """
    return extension(name) in TRANSCRIPT_EXTENSIONS and not media.isdisjoint(stems_of(name))


class SidecarFinder:
    """Finds the transcript files of media files; lists every folder once."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, list[str]]] = {}

    def find(self, path: str) -> tuple[Sidecar, ...]:
        """Return the transcript files of a media file, by name, with their state."""
        folder, name = os.path.split(path)
        if not can_have_transcript(name):
            return ()
        if folder not in self._folders:
            self._folders[folder] = _list_folder(folder)
        by_stem = self._folders[folder]
        if not by_stem:
            return ()
        names = {*by_stem.get(name, ()), *by_stem.get(os.path.splitext(name)[0], ())}
        sidecars = []
        for each in sorted(names)[:MAX_SIDECARS]:
            try:
                status = os.stat(os.path.join(folder, each))
            except OSError:
                continue
            sidecars.append(Sidecar(each, status.st_size, status.st_mtime))
        return tuple(sidecars)


def _list_folder(folder: str) -> dict[str, list[str]]:
    """Return the transcript files of a folder by the names of media that they may belong to."""
    by_stem: defaultdict[str, list[str]] = defaultdict(list)
    try:
        with os.scandir(folder) as scan:
            for entry in scan:
                if extension(entry.name) in TRANSCRIPT_EXTENSIONS and _is_unicode(entry.name):
                    for stem in stems_of(entry.name):
                        by_stem[stem].append(entry.name)
    except OSError:
        return {}
    return dict(by_stem)


def _is_unicode(name: str) -> bool:
    """Whether a name can be stored; others have bytes that are not UTF-8."""
    return name.isprintable() or not any("\udc80" <= each <= "\udcff" for each in name)
