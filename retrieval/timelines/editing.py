"""Export hits as a timeline for editing programs: OTIO, EDL and FCPXML."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.columns.types import json_value
from retrieval.errors import MissingExtraError
from retrieval.files.writing import partial_path
from retrieval.timelines.edit_clips import EditClip, edit_clips
from retrieval.timelines.facts import editing_rate
from retrieval.timelines.fcpxml import fcpxml
from retrieval.timelines.names import one_line
from retrieval.timelines.options import ExportedFile, ExportJob

if TYPE_CHECKING:
    import opentimelineio as otio

EDL_ADAPTER = "otio_cmx3600_adapter"
REEL_LENGTH = 8


def check_adapter(out: Path) -> None:
    """Refuse a format whose adapter is not installed.

    Raises:
        MissingExtraError: The extra `timelines` is missing.
    """
    if out.suffix.lower() == ".edl" and find_spec(EDL_ADAPTER) is None:
        raise MissingExtraError(
            "EDL needs an adapter that is not installed; `pip install 'retrieval[timelines]'`, or "
            "write .otio or .fcpxml"
        )


def export_timeline(job: ExportJob) -> list[ExportedFile]:
    """Write a timeline with one clip per hit, one after the other, in the format of the suffix.

    Raises:
        StorageError: The file cannot be written.
    """
    check_adapter(job.out)
    suffix = job.out.suffix.lower()
    clips = edit_clips(job, pictures_only=suffix == ".edl")
    if not clips:
        return []
    if suffix == ".otio":
        text = _to_json(clips, job.title)
    elif suffix == ".edl":
        text = _to_edl(clips, job.title)
    else:
        text = fcpxml(clips, one_line(job.title))
    with partial_path(job.out, replace=job.options.force) as partial:
        partial.write_bytes(text.encode("utf-8", "replace"))
    return [ExportedFile(job.out)]


# ---------------------------------------------------------------- OpenTimelineIO


def timeline_of(clips: Sequence[EditClip], title: str) -> otio.schema.Timeline:
    """Return a timeline with a video track and, if anything sounds, an audio track."""
    from opentimelineio import schema

    timeline = schema.Timeline(name=one_line(title) or "retrieval")
    tracks = [(schema.TrackKind.Video, "V1", [clip.has_picture for clip in clips])]
    if any(clip.facts.has_sound for clip in clips):
        sounds = [clip.facts.has_sound for clip in clips]
        tracks.append((schema.TrackKind.Audio, "A1", sounds))
    for kind, name, shown in tracks:
        track = schema.Track(name=name, kind=kind)
        for clip, is_shown in zip(clips, shown, strict=True):
            source_range = _range(clip.timecode_start + clip.start, clip.frames, clip.rate)
            if is_shown:
                track.append(_otio_clip(clip, source_range))
            else:
                track.append(schema.Gap(source_range=_range(0, clip.frames, clip.rate)))
        timeline.tracks.append(track)
    return timeline


def _otio_clip(clip: EditClip, source_range: otio.opentime.TimeRange) -> otio.schema.Clip:
    from opentimelineio import schema

    hit = clip.moment.hit
    reference = schema.ExternalReference(
        target_url=clip.url,
        available_range=_range(clip.timecode_start, clip.file_frames, clip.rate),
    )
    metadata: dict[str, Any] = {
        "query": one_line(clip.moment.query),
        "rank": hit.rank,
        "item_id": hit.item_id,
        "uri": one_line(hit.uri),
        "columns": json.loads(json.dumps(dict(hit.metadata), default=json_value)),
    }
    if hit.collection is not None:
        metadata["collection"] = one_line(hit.collection)
    if hit.score is not None:
        metadata["score"] = float(hit.score)
    reel = re.sub(r"[^A-Z0-9]", "", clip.name.rpartition(".")[0].upper())[:REEL_LENGTH]
    return schema.Clip(
        name=clip.name,
        media_reference=reference,
        source_range=source_range,
        metadata={"retrieval": metadata, "cmx_3600": {"reel": reel or "AX"}},
    )


def _range(start: int, frames: int, rate: Fraction) -> otio.opentime.TimeRange:
    from opentimelineio import opentime

    return opentime.TimeRange(
        opentime.RationalTime(start, float(rate)), opentime.RationalTime(frames, float(rate))
    )


def _to_json(clips: Sequence[EditClip], title: str) -> str:
    from opentimelineio import adapters

    return str(adapters.write_to_string(timeline_of(clips, title), "otio_json"))


def _to_edl(clips: Sequence[EditClip], title: str) -> str:
    """Write all clips at one rate, because an EDL has only one."""
    from opentimelineio import adapters

    rate = editing_rate(clips[0].rate)
    timeline = timeline_of([clip.at_rate(rate) for clip in clips], title)
    return str(adapters.write_to_string(timeline, "cmx_3600", rate=float(rate)))
