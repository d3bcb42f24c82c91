"""Export hits as a playlist, as chapters, or as a table."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import fields
from urllib.parse import quote

from retrieval.errors import QueryError, UnsupportedMediaError
from retrieval.files.writing import partial_path
from retrieval.media.names import container_of, is_address, uri_to_path
from retrieval.media.sources.presence import is_missing
from retrieval.timelines.moments import Moment
from retrieval.timelines.names import clock, one_line
from retrieval.timelines.options import ExportedFile, ExportJob
from retrieval.types import Hit

_LEFT_OUT = ("metadata", "vector", "matched")


def file_url(uri: str) -> str:
    """Return a `file://` address, which every program reads whatever characters a name has.

    Raises:
        MediaError: The file is inside an archive.
    """
    if is_address(uri):
        return uri
    if container_of(uri)[1] is not None:
        raise UnsupportedMediaError("inside an archive, where other programs cannot open it")
    return "file://" + quote(uri_to_path(uri).encode("utf-8", "surrogateescape"), safe="/")


def title_of(moment: Moment) -> str:
    """Return the query, rank and file name of a moment on one line."""
    parts = [moment.query, f"{moment.hit.rank}", moment.file_name]
    return one_line(" · ".join(part for part in parts if part))


def export_playlist(job: ExportJob) -> list[ExportedFile]:
    """Write an extended M3U playlist; players such as VLC begin and stop at the given seconds."""
    lines = ["#EXTM3U"]
    if job.title:
        lines.append(f"#PLAYLIST:{one_line(job.title)}")
    head = len(lines)
    for moment in job.each():
        with job.failures_of(moment):
            url = _existing_url(moment)
            start, end = moment.start_seconds, moment.end_seconds
            seconds = -1 if start is None or end is None or math.isinf(end) else end - start
            lines.append(f"#EXTINF:{seconds:.3f},{title_of(moment)}".replace("-1.000", "-1"))
            if seconds >= 0:
                lines.append(f"#EXTVLCOPT:start-time={start:.3f}")
                lines.append(f"#EXTVLCOPT:stop-time={end:.3f}")
            lines.append(url)
    if len(lines) == head:
        return []
    return _write(job, "\n".join(lines) + "\n")


def export_chapters(job: ExportJob) -> list[ExportedFile]:
    """Write WebVTT chapters of one file.

    Raises:
        QueryError: The hits are of several files, or have no times.
    """
    uris = {moment.hit.uri for moment in job.moments}
    if len(uris) > 1:
        raise QueryError(
            f"chapters describe one file, the hits are of {len(uris)}; search one file, or write "
            "a playlist (.m3u8) or a table (.csv)"
        )
    timed = [m for m in job.moments if m.end_seconds is not None and m.end_seconds < math.inf]
    if not timed:
        raise QueryError("chapters need times; search for moments")
    blocks = ["WEBVTT"]
    for moment in sorted(timed, key=lambda moment: moment.span):
        start, end = moment.span
        score = moment.hit.score
        title = one_line(moment.query) or one_line(moment.file_name)
        if score is not None:
            title += f" ({moment.hit.rank}, {score:.3f})"
        escaped = title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{clock(start)} --> {clock(end)}\n{escaped}")
    return _write(job, "\n\n".join(blocks) + "\n")


def export_table(job: ExportJob) -> list[ExportedFile]:
    """Write CSV: the query, the fields of each hit with padded times, its path and its caption."""
    names = [field.name for field in fields(Hit) if field.name not in _LEFT_OUT]
    if all(moment.hit.collection is None for moment in job.moments):
        names.remove("collection")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["query", *names, "path", "caption"])
    for moment in job.moments:
        row = {name: getattr(moment.hit, name) for name in names}
        end = moment.end_seconds
        row["start_seconds"] = moment.start_seconds
        row["end_seconds"] = None if end is None or math.isinf(end) else end
        caption = moment.hit.metadata.get("caption") or ""
        path = moment.hit.uri if is_address(moment.hit.uri) else uri_to_path(moment.hit.uri)
        writer.writerow([moment.query, *row.values(), path, caption])
    return _write(job, text.getvalue())


def _existing_url(moment: Moment) -> str:
    url = file_url(moment.hit.uri)
    if is_missing(moment.hit.uri):
        raise UnsupportedMediaError("the file is missing")
    return url


def _write(job: ExportJob, text: str) -> list[ExportedFile]:
    with partial_path(job.out, replace=job.options.force) as partial:
        # Bytes of names that are not UTF-8 stay as they are; other surrogates have no bytes.
        content = text.encode("utf-8", "surrogateescape" if _is_plain(text) else "replace")
        partial.write_bytes(content)
    return [ExportedFile(job.out)]


def _is_plain(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
