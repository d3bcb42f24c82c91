"""Export one file per hit: clips of videos and recordings, links to images or copies of them."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from retrieval.errors import OutputExistsError, UnsupportedMediaError
from retrieval.files.writing import partial_path, storage_errors, write_atomically
from retrieval.media.names import container_of, extension
from retrieval.timelines.clips.copying import copy_container, copy_span
from retrieval.timelines.clips.cutting import Cut, cut_recording, cut_video
from retrieval.timelines.moments import Moment
from retrieval.timelines.options import ExportedFile, ExportJob
from retrieval.timelines.source_files import local_path, open_source
from retrieval.types import Medium


def export_folder(job: ExportJob) -> list[ExportedFile]:
    """Write one file per hit into a folder, which is created.

    Raises:
        OutputExistsError: A file exists; nothing is written.
        StorageError: The folder cannot be written.
    """
    targets = [job.out / _file_name(moment, copy=job.options.copy) for moment in job.moments]
    if not job.options.force:
        for target in targets:
            if os.path.lexists(target):
                raise OutputExistsError(f"{target} exists; choose another folder or replace it")
    with storage_errors(job.out):
        job.out.mkdir(exist_ok=True)
    files = []
    for moment, target in zip(job.each(), targets, strict=True):
        with job.failures_of(moment):
            files.append(_export(job, moment, target))
    return files


def _file_name(moment: Moment, *, copy: bool) -> str:
    if moment.is_image:
        suffix = extension(moment.file_name)
        suffix = suffix if suffix.isascii() and suffix.isalnum() and len(suffix) < 9 else "image"
        return f"{moment.stem}.{suffix}"
    is_recording = moment.hit.modality is Medium.AUDIO
    if copy:
        return f"{moment.stem}.{copy_container(moment.file_name, is_recording=is_recording)[0]}"
    return f"{moment.stem}.{'flac' if is_recording else 'mp4'}"


def _export(job: ExportJob, moment: Moment, target: Path) -> ExportedFile:
    if moment.is_image:
        _export_image(moment, target, copy=job.options.copy)
        return ExportedFile(target, moment)
    is_recording = moment.hit.modality is Medium.AUDIO

    def report(seconds: float) -> None:
        job.note(f"{moment.file_name} {seconds:.1f} s")

    with partial_path(target, replace=job.options.force) as partial:
        uri, span = moment.hit.uri, moment.span
        if job.options.copy:
            muxer = copy_container(moment.file_name, is_recording=is_recording)[1]
            cut: Cut = job.worker.call(copy_span, uri, span, str(partial), muxer, report=report)
        else:
            function = cut_recording if is_recording else cut_video
            cut = job.worker.call(function, uri, span, str(partial), report=report)
    return ExportedFile(target, moment, cut.start_seconds, cut.end_seconds, cut.notes)


def _export_image(moment: Moment, target: Path, *, copy: bool) -> None:
    """Link to an image; copy it on request, from an archive, and where links are impossible."""
    uri = moment.hit.uri
    with open_source(uri) as file:
        if not copy and container_of(uri)[1] is None and _link(local_path(uri), target):
            return
        if os.path.islink(target):
            target.unlink()
        with write_atomically(target) as out:
            shutil.copyfileobj(file, out)


def _link(path: str, target: Path) -> bool:
    """Create or replace a symbolic link; return False where the file system has none."""
    if os.path.realpath(path) == os.path.join(os.path.realpath(target.parent), target.name):
        raise UnsupportedMediaError("the link would replace the image itself; choose a folder")
    partial = target.with_name(f".{target.name}.tmp")
    try:
        partial.unlink(missing_ok=True)
        partial.symlink_to(path)
        partial.replace(target)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        return False
    return True
