"""Timelines read back with OpenTimelineIO name the frames of the moments."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from importlib import util
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import opentimelineio as otio
import pytest

from retrieval.errors import MissingExtraError
from retrieval.timelines import editing
from retrieval.types import Medium
from support.exports import export_here, hit_of
from support.media_files import picture_bytes, sound_bytes
from support.numbered_videos import clicks, read_frames, write_numbered

NTSC = Fraction(30_000, 1_001)


def clips_of(path: Path, rate: float | None = None) -> list[otio.schema.Clip]:
    options = {} if rate is None else {"rate": rate}
    timeline = otio.adapters.read_from_file(str(path), **options)
    return list(timeline.video_tracks()[0].find_clips())


def shown_by(path: Path, start: float, end: float, out: Path) -> list[int]:
    """The numbers of the frames that the clip of a moment shows."""
    report = export_here([hit_of(path, start, end)], out)
    return [number for _, number in read_frames(report.files[0].path)]


@pytest.mark.parametrize("rate", [24, 25, 30, NTSC, Fraction(24_000, 1_001), 60, 10])
@pytest.mark.parametrize(("start", "end"), [(0.4, 1.2), (0.413, 0.871)])
def test_otio_times_equal_the_frames_of_the_clip(
    tmp_path: Path, rate: Fraction | int, start: float, end: float
) -> None:
    path = write_numbered(tmp_path / "a b'é.mp4", 90, rate=rate)
    report = export_here([hit_of(path, start, end)], tmp_path / "t.otio", "a & <b> 'c'")
    assert report.failures == ()
    (clip,) = clips_of(tmp_path / "t.otio")
    frames = shown_by(path, start, end, tmp_path / "clips")
    assert clip.source_range.start_time.value == frames[0]
    assert clip.source_range.duration.value == len(frames)
    assert clip.source_range.start_time.rate == float(rate)
    assert clip.media_reference.available_range.duration.value == 90
    assert unquote(urlsplit(clip.media_reference.target_url).path) == str(path)
    assert clip.metadata["retrieval"]["query"] == "a & <b> 'c'"


@pytest.mark.parametrize(
    ("rate", "edl_rate"), [(24, 24), (25, 25), (30, 30), (NTSC, float(NTSC)), (10, 30), (15, 30)]
)
def test_edl_times_equal_the_frames(tmp_path: Path, rate: Fraction | int, edl_rate: float) -> None:
    path = write_numbered(tmp_path / "v.mp4", 90, rate=rate)
    assert not export_here([hit_of(path, 0.4, 1.2), hit_of(path, 2.0, 2.6, rank=2)],
                           tmp_path / "t.edl").failures  # fmt: skip
    clips = clips_of(tmp_path / "t.edl", edl_rate)
    factor = Fraction(edl_rate).limit_denominator(1_001) / rate
    for clip, (start, end) in zip(clips, [(0.4, 1.2), (2.0, 2.6)], strict=True):
        first, last = (math.ceil((time - 1e-3) * float(rate)) for time in (start, end))
        assert clip.source_range.start_time.value == round(first * factor)
        assert clip.source_range.duration.value == round((last - first) * factor)
        assert clip.media_reference.target_url.endswith("/v.mp4")


@pytest.mark.parametrize("rate", [24, 25, 30, 60])
def test_fcpxml_times_equal_the_frames(tmp_path: Path, rate: int) -> None:
    path = write_numbered(tmp_path / 'it\'s a "video".mp4', 90, rate=rate, sound=clicks((1,), 1.5))
    assert not export_here([hit_of(path, 0.5, 1.25)], tmp_path / "t.fcpxml").failures
    (clip,) = clips_of(tmp_path / "t.fcpxml")
    first = math.ceil(0.5 * rate)
    assert clip.source_range.start_time == otio.opentime.RationalTime(first, rate)
    assert clip.source_range.duration.value == math.ceil(1.25 * rate) - first
    assert unquote(urlsplit(clip.media_reference.target_url).path) == str(path)


def test_fcpxml_has_exact_times_at_any_rate(tmp_path: Path) -> None:
    first = write_numbered(tmp_path / "a.mp4", 60, rate=NTSC)
    second = write_numbered(tmp_path / "b.mp4", 30, rate=10)
    picture = tmp_path / "p.jpg"
    picture.write_bytes(picture_bytes())
    hits = [
        hit_of(first, 0.5, 1.0),
        hit_of(picture, rank=2, modality=Medium.IMAGE),
        hit_of(second, 0.5, 1.0, rank=3),
    ]
    assert not export_here(hits, tmp_path / "t.fcpxml").failures
    root = ElementTree.parse(tmp_path / "t.fcpxml").getroot()
    spine = root.find("project/sequence/spine")
    assert spine is not None

    def seconds(element: ElementTree.Element, name: str) -> Fraction:
        return Fraction(element.attrib[name].removesuffix("s"))

    frame = 1 / NTSC
    assert [element.tag for element in spine] == ["asset-clip", "clip", "asset-clip"]
    assert seconds(spine[0], "start") == 15 * frame
    assert seconds(spine[0], "duration") == 15 * frame
    assert seconds(spine[2], "start") == Fraction(5, 10)
    for before, after in itertools.pairwise(spine):
        assert seconds(before, "offset") + seconds(before, "duration") == seconds(after, "offset")
    for element in spine:  # whole frames of the project
        assert (seconds(element, "offset") / frame).denominator == 1


def test_sound_is_in_a_track_of_its_own(tmp_path: Path) -> None:
    video = write_numbered(tmp_path / "v.mp4", 30, sound=clicks((0.5,), 1.2))
    silent = write_numbered(tmp_path / "s.mp4", 30)
    recording = tmp_path / "r.wav"
    recording.write_bytes(sound_bytes(clicks((0.5,), 2.0), 48_000))
    hits = [
        hit_of(video, 0.2, 0.8),
        hit_of(recording, 0.4, 1.2, rank=2, modality=Medium.AUDIO),
        hit_of(silent, 0.2, 0.8, rank=3),
        hit_of(f"{tmp_path}/a.tar!v.mp4", 0.2, 0.8, rank=4),
        hit_of(tmp_path / "gone.mp4", 0.2, 0.8, rank=5),
    ]
    report = export_here(hits, tmp_path / "t.otio")
    reasons = {failure.rank: failure.reason for failure in report.failures}
    assert "inside an archive" in reasons[4]
    assert "No such file" in reasons[5]
    timeline = otio.adapters.read_from_file(str(tmp_path / "t.otio"))
    tracks = [
        [(type(item).__name__, item.source_range.duration.value) for item in track]
        for track in timeline.tracks
    ]
    assert tracks == [
        [("Clip", 15), ("Gap", 20), ("Clip", 15)],
        [("Clip", 15), ("Clip", 20), ("Gap", 15)],
    ]
    report = export_here(hits[1:3], tmp_path / "t.edl")
    assert "a recording" in report.failures[0].reason
    assert len(clips_of(tmp_path / "t.edl", 25)) == 1


def test_time_codes_of_cameras_are_kept(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mov", 50, timecode="01:00:00:00")
    assert not export_here([hit_of(path, 0.4, 1.2)], tmp_path / "t.otio").failures
    (clip,) = clips_of(tmp_path / "t.otio")
    assert clip.source_range.start_time.to_timecode() == "01:00:00:10"
    assert clip.media_reference.available_range.start_time.to_timecode() == "01:00:00:00"


def test_a_missing_adapter_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        editing, "find_spec", lambda name: None if "cmx" in name else util.find_spec(name)
    )
    path = write_numbered(tmp_path / "v.mp4", 10)
    with pytest.raises(MissingExtraError, match=r"retrieval\[timelines\]"):
        export_here([hit_of(path, 0.0, 0.2)], tmp_path / "t.edl")
    for suffix in ("otio", "fcpxml"):  # what the message advises
        assert export_here([hit_of(path, 0.0, 0.2)], tmp_path / f"t.{suffix}").files
