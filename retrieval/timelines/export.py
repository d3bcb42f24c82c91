"""Export the hits of queries; the suffix of the output selects the format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from retrieval.errors import OutputExistsError, QueryError
from retrieval.files.writing import check_output, storage_errors
from retrieval.progress import Progress, no_progress
from retrieval.timelines.editing import check_adapter, export_timeline
from retrieval.timelines.folder import export_folder
from retrieval.timelines.merging import export_merged
from retrieval.timelines.moments import Answer, QueryHits, moments_of
from retrieval.timelines.options import ExportedFile, ExportJob, ExportOptions, ExportReport
from retrieval.timelines.playlists import export_chapters, export_playlist, export_table
from retrieval.timelines.sheets.preview import export_preview
from retrieval.timelines.sheets.sheet import export_sheet
from retrieval.timelines.worker import MediaWorker
from retrieval.types import Hit

WRITERS: dict[str, Callable[[ExportJob], list[ExportedFile]]] = {
    ".mp4": export_merged,
    ".otio": export_timeline,
    ".edl": export_timeline,
    ".fcpxml": export_timeline,
    ".m3u8": export_playlist,
    ".vtt": export_chapters,
    ".csv": export_table,
    ".jpg": export_sheet,
    ".jpeg": export_sheet,
    ".pdf": export_sheet,
    ".webp": export_preview,
}
"""The writer of each format, by suffix; a folder gets one file per hit."""


def export_hits(
    hits: Answer | Iterable[Hit] | Iterable[Answer],
    out: str | os.PathLike[str],
    *,
    pad_seconds: float = 0.0,
    copy: bool = False,
    force: bool = False,
    progress: Progress = no_progress,
) -> ExportReport:
    """Export hits to a file or a folder.

    Args:
        hits: What `search` returns, or what `answer` returns for one or several queries, whose
            texts then name the files.
        out: A folder for one clip, link or copy per hit; or a file with one of the suffixes of
            `WRITERS`. A folder whose name has a suffix must exist or end with `/`.
        pad_seconds: Seconds to add before and after each moment.
        copy: Copy streams instead of encoding them: faster and without loss, but a video begins at
            the keyframe before its moment. Copy images instead of linking to them.
        force: Replace existing files.
        progress: Receives the number of exported hits.

    Returns:
        The files, and the hits that could not be exported.

    Raises:
        QueryError: The suffix is unknown, or an argument does not fit the format.
        OutputExistsError: A file exists and `force` is not set; nothing is written.
        StorageError: The output cannot be written.
        MissingExtraError: The format needs a package that is not installed.
    """
    options = ExportOptions(pad_seconds, copy, force)
    return export(answers_of(hits), out, options, progress)


def export(
    answers: Iterable[Answer],
    out: str | os.PathLike[str],
    options: ExportOptions,
    progress: Progress = no_progress,
) -> ExportReport:
    """Export the hits of some queries; see `export_hits`."""
    path = check_export(out, options)
    moments = moments_of(answers, options.pad_seconds)
    if not moments:
        return ExportReport(())
    with MediaWorker(in_process=options.in_process) as worker:
        job = ExportJob(moments, path, options, worker, progress)
        files = _writer_of(out)(job)
    return ExportReport(tuple(files), tuple(job.failures))


def check_export(out: str | os.PathLike[str], options: ExportOptions) -> Path:
    """Refuse an output before any work is done; return its path.

    Raises:
        QueryError: The suffix is unknown.
        OutputExistsError: The file exists and may not be replaced.
        StorageError: The output cannot be written.
        MissingExtraError: The format needs a package that is not installed.
    """
    writer = _writer_of(out)
    path = Path(out)
    if writer is export_folder:
        with storage_errors(path):
            if path.exists() and not path.is_dir():
                raise NotADirectoryError(20, "not a folder")
            if not path.is_dir():
                check_output(path)
        return path
    check_adapter(path)
    if os.path.lexists(path) and not options.force:
        raise OutputExistsError(f"{path} exists; choose another name or replace it")
    check_output(path)
    return path


def answers_of(hits: Answer | Iterable[Hit] | Iterable[Answer]) -> list[Answer]:
    """Convert hits, one answer or several answers to answers.

    Raises:
        QueryError: Something else is given.
    """
    values: list[Any] = [hits] if hasattr(hits, "hits") else list(hits)
    if all(isinstance(value, Hit) for value in values):
        return [QueryHits("", tuple(values))]
    if all(hasattr(value, "hits") and hasattr(value, "query") for value in values):
        return values
    raise QueryError("expected hits, as `search` returns them, or results of `answer`")


def _writer_of(out: str | os.PathLike[str]) -> Callable[[ExportJob], list[ExportedFile]]:
    name = os.fspath(out)
    suffix = os.path.splitext(name)[1].lower()
    if not suffix or name.endswith(os.sep) or os.path.isdir(name):
        return export_folder
    if suffix not in WRITERS:
        raise QueryError(
            f"{name}: no format has the suffix {suffix}; the suffixes are {' '.join(WRITERS)}, and "
            "a new folder's name ends with /"
        )
    return WRITERS[suffix]
