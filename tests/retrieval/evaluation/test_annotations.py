import json
from pathlib import Path

import pytest

from retrieval.errors import SourceError
from retrieval.evaluation.annotations import AnnotatedQuery, read_annotations

OFFICIAL = [  # file, queries, the first one
    (
        "tvr/tvr_val_release.jsonl", 10_895,
        AnnotatedQuery("friends_s01e03_seg02_clip_19",
                       "Phoebe puts one of her ponytails in her mouth.", ((16.48, 33.87),),
                       61.46, "90200"),
    ),
    (
        "lighthouse/activitynet_val_release.jsonl", 17_505,
        AnnotatedQuery("v_uqiMw7tQ1Cc", "A weight lifting tutorial is given.", ((0.28, 55.15),),
                       55.15, "37421"),
    ),
    (
        "lighthouse/charades_test_release.jsonl", 3_720,
        AnnotatedQuery("3MSZA", "person turn a light on.", ((24.3, 30.4),), 30.96, "12404"),
    ),
    (
        "lighthouse/tacos_test_release.jsonl", 4_001,
        AnnotatedQuery("s30-d52", "She took out kiwi", ((4.795918367346939, 12.040816326530614),),
                       249.8639455782313, "s30-d52_0"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("file", "queries", "first"), OFFICIAL)
def test_official_files_are_read(
    real_data: Path, file: str, queries: int, first: AnnotatedQuery
) -> None:
    read = list(read_annotations(real_data / "annotations" / file))
    assert len(read) == queries
    assert read[0] == first
    assert all(one.windows and one.query and one.duration_seconds for one in read)


def test_qvhighlights_has_several_windows(real_data: Path) -> None:
    read = list(
        read_annotations(real_data / "annotations/qvhighlights/highlight_val_release.jsonl")
    )
    assert len(read) == 1_550
    assert read[0].windows == ((82.0, 150.0),)
    assert max(len(one.windows) for one in read) > 3


def test_original_formats_are_read(tmp_path: Path) -> None:
    charades = tmp_path / "charades_sta_test.txt"
    charades.write_text("3MSZA 24.3 30.4##person turn a light on.\n")
    assert list(read_annotations(charades)) == [
        AnnotatedQuery("3MSZA", "person turn a light on.", ((24.3, 30.4),), None, "0")
    ]
    captions = tmp_path / "val_1.json"
    captions.write_text(
        json.dumps({"v_a": {"duration": 60, "timestamps": [[50, 20]], "sentences": [" He runs."]}})
    )
    assert list(read_annotations(captions)) == [
        AnnotatedQuery("v_a", "He runs.", ((20.0, 50.0),), 60.0, "v_a_0")
    ]
    tacos = tmp_path / "test.json"
    tacos.write_text(
        json.dumps(
            {"s13-d21.avi": {"timestamps": [[25, 50]], "sentences": ["He cuts."], "fps": 25.0,
                             "num_frames": 500}}
        )
    )  # fmt: skip
    assert list(read_annotations(tacos)) == [
        AnnotatedQuery("s13-d21", "He cuts.", ((1.0, 2.0),), 20.0, "s13-d21_0")
    ]


@pytest.mark.parametrize(
    "line", ['{"vid": "a", "query": "b"}', '{"vid_name": "a"', "3MSZA 24.3##x", "[1]", "nonsense"]
)
def test_unknown_format_fails(tmp_path: Path, line: str) -> None:
    path = tmp_path / "moments.jsonl"
    path.write_text('{"vid":"a","query":"b","duration":9,"relevant_windows":[[1,2]]}\n' + line)
    with pytest.raises(
        SourceError, match=r"moments\.jsonl, line 2: (in none of the known formats|not JSON)"
    ):
        list(read_annotations(path))


def test_missing_file_fails(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        list(read_annotations(tmp_path / "none.jsonl"))


def didemo(*times: tuple[int, int]) -> dict[str, object]:
    return {
        "annotation_id": 7, "video": "a_b.mov", "description": "a dog", "num_segments": 6,
        "times": [list(one) for one in times], "dl_link": "",
    }  # fmt: skip


def test_didemo_windows_are_those_most_annotators_chose(tmp_path: Path) -> None:
    path = tmp_path / "test_data.json"
    path.write_text(json.dumps([didemo((0, 0), (1, 2), (1, 2), (5, 5))]))
    assert list(read_annotations(path)) == [
        AnnotatedQuery("a_b.mov", "a dog", ((5.0, 15.0),), 30.0, "7")
    ]
    path.write_text(json.dumps([didemo((4, 4), (0, 0), (4, 4), (0, 0))]))
    assert next(read_annotations(path)).windows == ((0.0, 5.0), (20.0, 25.0))


def test_official_didemo_files(real_data: Path) -> None:
    for split, queries, videos in (("val", 4_180, 1_094), ("test", 4_021, 1_037)):
        read = list(read_annotations(real_data / f"annotations/didemo/{split}_data.json"))
        assert len(read) == queries
        assert len({one.video_id for one in read}) == videos
        assert len({one.query_id for one in read}) == queries


def test_entries_without_id_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "moments.jsonl"
    line = {"vid": "a", "query": "b", "duration": 9, "relevant_windows": [[1, 2]]}
    path.write_text("\n".join(json.dumps(line | {"qid": qid}) for qid in ("x", 7)))
    assert [one.query_id for one in read_annotations(path)] == ["x", "7"]
    path.write_text("\n".join([json.dumps(line)] * 2))
    assert [one.query_id for one in read_annotations(path)] == ["0", "1"]


@pytest.mark.parametrize(
    "wrong", [{"duration": 0}, {"duration": "NaN"}, {"relevant_windows": [[1, float("nan")]]}]
)
def test_invalid_times_fail(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = tmp_path / "moments.jsonl"
    line = {"vid": "a", "query": "b", "duration": 9, "relevant_windows": [[1, 2]]}
    path.write_text(json.dumps(line | wrong))
    with pytest.raises(SourceError, match=r"line 1: .* is not a "):
        list(read_annotations(path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"relevant_windows": [[10, 4]]}, r"the window \[10, 4\] ends before it starts"),
        ({"relevant_windows": [[1, 2], [20, 99]]}, r"\[20, 99\] is outside its video of 30 s"),
        ({"relevant_windows": [[30, 31]]}, r"\[30, 31\] is outside its video of 30 seconds"),
        ({"relevant_windows": [[-1, 4]]}, r"\[-1, 4\] is not a time span"),
        ({"relevant_windows": [[1, 2, 3]]}, "too many values"),
        ({"duration": None}, "None is not a duration"),
        ({"duration": ...}, "lacks 'duration'"),
        ({"query": ...}, "lacks 'query'"),
    ],
)
def test_field_26_impossible_windows_fail_with_their_line(
    tmp_path: Path, line: dict[str, object], message: str
) -> None:
    path = tmp_path / "moments.jsonl"
    good = {"vid": "a", "query": "b", "duration": 30, "relevant_windows": [[1, 2]]}
    bad = {name: value for name, value in (good | line).items() if value is not ...}
    path.write_text(f"{json.dumps(good)}\n\n{json.dumps(bad)}\n")
    with pytest.raises(SourceError, match=rf"moments\.jsonl, line 3: .*{message}"):
        list(read_annotations(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.txt", "V1 10 4##a dog\n"),
        ("a.json", '{"v": {"duration": 30, "timestamps": [[10, 4]], "sentences": ["a"]}}'),
        ("t.jsonl", '{"vid_name": "v", "desc": "d", "duration": 30, "ts": [10, 4]}'),
        ("d.json", json.dumps([didemo((2, 1))])),
    ],
)
def test_field_26_reversed_windows_fail_in_all_formats(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=r"(line|entry) 1: .* ends before it starts"):
        list(read_annotations(tmp_path / name, strict=True))


def test_field_26_windows_rounded_past_the_end_are_clipped(tmp_path: Path) -> None:
    path = tmp_path / "moments.jsonl"
    line = {"vid": "a", "query": "b", "duration": 30, "relevant_windows": [[20, 31.5]]}
    path.write_text(json.dumps(line))
    assert next(read_annotations(path)).windows == ((20.0, 30.0),)
