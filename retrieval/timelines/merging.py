"""Export all hits as one video, one after the other."""

from __future__ import annotations

import tempfile
from pathlib import Path

from retrieval.errors import MediaError, QueryError
from retrieval.files.writing import partial_path, storage_errors
from retrieval.timelines.clips.cutting import Cut, cut_video
from retrieval.timelines.clips.joining import Part, join, still_part
from retrieval.timelines.facts import MediaFacts, read_facts
from retrieval.timelines.moments import Moment
from retrieval.timelines.options import ExportedFile, ExportJob
from retrieval.timelines.worker import ignore
from retrieval.types import Medium

DEFAULT_SIZE = (1280, 720)
"""Pixels of a video without any video among the hits."""

MAX_SIDE = 3_840


def export_merged(job: ExportJob) -> list[ExportedFile]:
    """Encode all hits into one MP4 of the first video's size.

    Raises:
        QueryError: Streams are to be copied.
        StorageError: The file cannot be written.
    """
    if job.options.copy:
        raise QueryError("a merged video is encoded again; do not ask for copied streams")
    facts = _facts_of(job)
    size = _size_of(list(facts.values()))
    with (
        storage_errors(job.out),
        tempfile.TemporaryDirectory(prefix=f".{job.out.name[:40]}.", dir=job.out.parent) as folder,
    ):
        parts = []
        for number, moment in enumerate(job.each()):
            if id(moment) not in facts:
                continue
            path = Path(folder) / f"{number}.mov"
            path.touch()
            with job.failures_of(moment):
                cut = _write_part(job, moment, facts[id(moment)], path, size)
                parts.append(Part(str(path), cut.end_seconds - cut.start_seconds))
        if not parts:
            return []
        with partial_path(job.out, replace=job.options.force) as partial:
            try:
                job.worker.call(join, parts, str(partial), report=ignore)
            except MediaError as error:
                raise MediaError(f"{job.out} cannot be joined: {error}") from error
    return [ExportedFile(job.out)]


def _facts_of(job: ExportJob) -> dict[int, MediaFacts]:
    """Read the facts of the files that can be opened, by id of their moments."""
    facts = {}
    for moment in job.moments:
        with job.failures_of(moment):
            facts[id(moment)] = job.worker.call(read_facts, moment.hit.uri)
    return facts


def _size_of(facts: list[MediaFacts]) -> tuple[int, int]:
    """Return the first video's size, with even sides of at most `MAX_SIDE`."""
    videos = (each for each in facts if each.modality is Medium.VIDEO)
    first = next(videos, None)
    if first is None or not first.width or not first.height:
        return DEFAULT_SIZE
    scale = min(1.0, MAX_SIDE / max(first.width, first.height))
    width, height = (max(16, round(side * scale / 2) * 2) for side in (first.width, first.height))
    return width, height


def _write_part(
    job: ExportJob, moment: Moment, facts: MediaFacts, path: Path, size: tuple[int, int]
) -> Cut:
    uri, span = moment.hit.uri, moment.span
    if facts.modality is Medium.VIDEO:
        cut: Cut = job.worker.call(cut_video, uri, span, str(path), size, report=ignore)
    else:
        cut = job.worker.call(still_part, uri, facts.modality, span, str(path), size, report=ignore)
    return cut
