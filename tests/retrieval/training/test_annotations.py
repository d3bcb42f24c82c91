import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from retrieval.encoders.catalogue import load_encoder
from retrieval.errors import DimensionMismatchError, SourceError, WeightsFormatError
from retrieval.localization.hammer_files import read_config
from retrieval.training.annotations import AnnotatedQuery, annotated_moments, read_annotations
from retrieval.training.annotations import read_features as read
from retrieval.training.hammer_sources import train_annotated_hammer
from retrieval.training.run import Telling

OFFICIAL = [  # file, queries, the first one
    (
        "tvr/tvr_val_release.jsonl", 10_895,
        AnnotatedQuery("friends_s01e03_seg02_clip_19",
                       "Phoebe puts one of her ponytails in her mouth.", ((16.48, 33.87),), 61.46),
    ),
    (
        "lighthouse/activitynet_val_release.jsonl", 17_505,
        AnnotatedQuery("v_uqiMw7tQ1Cc", "A weight lifting tutorial is given.", ((0.28, 55.15),),
                       55.15),
    ),
    (
        "lighthouse/charades_test_release.jsonl", 3_720,
        AnnotatedQuery("3MSZA", "person turn a light on.", ((24.3, 30.4),), 30.96),
    ),
    (
        "lighthouse/tacos_test_release.jsonl", 4_001,
        AnnotatedQuery("s30-d52", "She took out kiwi", ((4.795918367346939, 12.040816326530614),),
                       249.8639455782313),
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


def test_the_data_sets_own_forms_are_read(tmp_path: Path) -> None:
    charades = tmp_path / "charades_sta_test.txt"
    charades.write_text("3MSZA 24.3 30.4##person turn a light on.\n")
    assert list(read_annotations(charades)) == [
        AnnotatedQuery("3MSZA", "person turn a light on.", ((24.3, 30.4),), None)
    ]
    captions = tmp_path / "val_1.json"
    captions.write_text(
        json.dumps({"v_a": {"duration": 60, "timestamps": [[50, 20]], "sentences": [" He runs."]}})
    )
    assert list(read_annotations(captions)) == [
        AnnotatedQuery("v_a", "He runs.", ((20.0, 50.0),), 60.0)
    ]
    tacos = tmp_path / "test.json"
    tacos.write_text(
        json.dumps(
            {"s13-d21.avi": {"timestamps": [[25, 50]], "sentences": ["He cuts."], "fps": 25.0,
                             "num_frames": 500}}
        )
    )  # fmt: skip
    assert list(read_annotations(tacos)) == [
        AnnotatedQuery("s13-d21", "He cuts.", ((1.0, 2.0),), 20.0)
    ]


@pytest.mark.parametrize(
    "line", ['{"vid": "a", "query": "b"}', '{"vid_name": "a"', "3MSZA 24.3##x", "[1]", "nonsense"]
)
def test_an_entry_in_no_known_format_fails(tmp_path: Path, line: str) -> None:
    path = tmp_path / "moments.jsonl"
    path.write_text('{"vid":"a","query":"b","duration":9,"relevant_windows":[[1,2]]}\n' + line)
    with pytest.raises(SourceError, match=r"moments\.jsonl, entry 2: in none of the known formats"):
        list(read_annotations(path))


def test_a_missing_file_fails(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        list(read_annotations(tmp_path / "none.jsonl"))


def test_rows_share_the_duration_and_have_unit_length(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((4, 2), 3.0))
    save_file({"features": np.ones((2, 2), np.float32)}, tmp_path / "b.safetensors")
    rows = read(tmp_path, "a", duration_seconds=10.0, row_seconds=None)
    assert rows is not None
    np.testing.assert_allclose(rows.end_seconds, [2.5, 5.0, 7.5, 10.0])
    np.testing.assert_allclose(np.linalg.norm(rows.vectors.astype(float), axis=1), 1, atol=1e-3)
    rows = read(tmp_path, "b", duration_seconds=None, row_seconds=2.0)
    assert rows is not None
    np.testing.assert_allclose(rows.start_seconds, [0.0, 2.0])
    assert read(tmp_path, "c", duration_seconds=1.0, row_seconds=None) is None
    with pytest.raises(SourceError, match="--row-seconds"):
        read(tmp_path, "b", duration_seconds=None, row_seconds=None)


def test_fault_17_pickled_features_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(b"")
    np.save(tmp_path / "c.npy", np.ones(4))
    for name in "abc":
        with pytest.raises(WeightsFormatError, match=rf"{name}\.npy"):
            read(tmp_path, name, duration_seconds=1.0, row_seconds=None)


def charades(real_data: Path, folder: Path, *, dim: int, videos: int = 12) -> tuple[Path, Path]:
    """The first videos of Charades-STA with random features."""
    lines: list[str] = []
    ids: set[str] = set()
    source = real_data / "annotations/lighthouse/charades_test_release.jsonl"
    for line in source.read_text().splitlines():
        ids.add(json.loads(line)["vid"])
        if len(ids) > videos:
            break
        lines.append(line)
    annotations = folder / "moments.jsonl"
    annotations.write_text("\n".join(lines))
    (folder / "features").mkdir()
    rng = np.random.default_rng(0)
    for video_id in sorted({json.loads(line)["vid"] for line in lines}):
        rows = rng.normal(size=(60, dim)).astype(np.float32)
        np.save(folder / "features" / f"{video_id}.npy", rows)
    return annotations, folder / "features"


def test_training_on_official_annotations_with_features(real_data: Path, tmp_path: Path) -> None:
    encoder = load_encoder("tiny-image", device="cpu")
    annotations, features = charades(real_data, tmp_path, dim=encoder.dim, videos=24)
    said: list[str] = []
    report = train_annotated_hammer(
        tmp_path / "out", annotations, features, model="tiny-image", row_seconds=0.5, steps=2,
        device="cpu", telling=Telling(said.append),
    )  # fmt: skip
    assert "of 21 videos with features" in said[0]
    assert report.queries + report.score.queries == len(annotations.read_text().splitlines())
    assert read_config(tmp_path / "out/config.json").dim == encoder.dim


def test_features_of_another_dimension_or_none_fail(real_data: Path, tmp_path: Path) -> None:
    encoder = load_encoder("tiny-image", device="cpu")
    annotations, features = charades(real_data, tmp_path, dim=8, videos=24)
    with pytest.raises(DimensionMismatchError, match="8-d rows"):
        annotated_moments(annotations, features, encoder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="features of 0 of"):
        annotated_moments(annotations, tmp_path / "empty", encoder)
