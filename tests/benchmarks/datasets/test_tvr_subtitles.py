import json
from pathlib import Path

import pytest

from benchmarks.datasets.tvr_subtitles import read_groups, read_subtitles
from benchmarks.hybrid.comparison import Group
from retrieval.errors import SourceError
from retrieval.types import TextSource, TimedText

LINES = [
    {"vid_name": "friends_s01e03_seg02_clip_19", "sub": [
        {"text": "Phoebe : I ate it .", "start": 0.62, "end": 2.5},
        {"text": " ", "start": 2.5, "end": 3.0},
        {"text": "Monica : Again?", "start": 3.0, "end": 3.0},
        {"text": "Ross : No.", "start": 61, "end": 62.25},
    ]},
    {"vid_name": "house_s04e03_seg02_clip_04", "sub": []},
    {"vid_name": "castle_s06e12_seg02_clip_22", "sub": [
        {"text": "Castle : Hey.", "start": 1.0, "end": 2.0}
    ]},
]  # fmt: skip


def test_the_cues_of_some_videos(tmp_path: Path) -> None:
    path = tmp_path / "tvqa_preprocessed_subtitles.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)) + "\n\n")
    first, second = LINES[0]["vid_name"], LINES[1]["vid_name"]
    assert read_subtitles(path, [str(first), str(second), "absent"]) == {
        first: [
            TimedText(TextSource.TRANSCRIPT, "Phoebe : I ate it .", 0.62, 2.5),
            TimedText(TextSource.TRANSCRIPT, "Ross : No.", 61.0, 62.25),
        ],
        second: [],
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: list indices"),
        ('{"sub": []}', "line 2: lacks 'vid_name'"),
        ('{"vid_name": "a"}', "line 2: lacks 'sub'"),
        ('{"vid_name": 3, "sub": []}', "line 2: 3 is no str"),
        ('{"vid_name": "a", "sub": {}}', "line 2: {} is no list"),
        ('{"vid_name": "a", "sub": [{"text": "x", "start": 1}]}', "line 2: lacks 'end'"),
        ('{"vid_name": "a", "sub": [{"text": 1, "start": 1, "end": 2}]}', "line 2: 1 is no str"),
        ('{"vid_name": "a", "sub": [{"text": "x", "start": NaN, "end": 2}]}', "no valid times"),
        ('{"vid_name": "a", "sub": [{"text": "x", "start": -1, "end": 2}]}', "no valid times"),
        ('{"vid_name": "a", "sub": [{"text": "x", "start": "s", "end": 2}]}', "line 2: could not"),
    ],
)
def test_malformed_lines_fail_by_number(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(f"{json.dumps(LINES[1])}\n{line}\n")
    with pytest.raises(SourceError) as error:
        read_subtitles(path, ["a"])
    assert str(error.value).startswith(f"{path}, line 2: ")
    assert message in str(error.value)


def test_unreadable_files_fail(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        read_subtitles(tmp_path / "absent.jsonl", [])
    (tmp_path / "s.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match="is not UTF-8"):
        read_subtitles(tmp_path / "s.jsonl", [])


def test_the_official_types_are_the_groups(tmp_path: Path) -> None:
    path = tmp_path / "tvr_val_release.jsonl"
    rows = [{"desc_id": number, "type": kind} for number, kind in enumerate(("v", "t", "vt"))]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read_groups(path) == {"0": Group.VECTORS, "1": Group.WORDS, "2": Group.BOTH}
    path.write_text('{"desc_id": 1, "type": "x"}')
    with pytest.raises(SourceError, match=r"line 1: the type is 'x', expected v, t or vt"):
        read_groups(path)


def test_the_types_of_the_real_queries(real_data: Path) -> None:
    groups = read_groups(real_data / "annotations/tvr/tvr_val_release.jsonl")
    counts = [list(groups.values()).count(group) for group in Group]
    assert counts == [8097, 0, 964, 1834]
