import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from indexes.errors import DimensionMismatchError
from retrieval.encoders.catalogue import load_encoder
from retrieval.errors import SourceError, WeightsFormatError
from retrieval.localization.hammer_files import read_config
from retrieval.localization.hammer_model import Level
from retrieval.training.moments.annotations import (
    read_annotated_moments,
    train_annotated_hammer,
)
from retrieval.training.moments.annotations import read_features as read
from retrieval.training.moments.batches import BatchShape
from retrieval.training.moments.objective import HammerSettings
from retrieval.training.moments.train import HammerOptions


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
    with pytest.raises(SourceError, match="b: the annotations have no duration"):
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


@pytest.mark.long
def test_training_on_official_annotations_with_features(
    real_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = load_encoder("tiny-image", device="cpu")
    annotations, features = charades(real_data, tmp_path, dim=encoder.dim, videos=24)
    options = HammerOptions(
        tmp_path / "out", HammerSettings(2), levels=(Level(8, 1),), width=32,
        shape=BatchShape(4, 1, 64), vocabulary=300, device="cpu",
    )  # fmt: skip
    caplog.set_level("INFO", "retrieval.training")
    report = train_annotated_hammer(
        options, annotations, features, model="tiny-image", row_seconds=0.5
    )
    assert "of 21 videos with features" in caplog.messages[0]
    assert report.queries + report.score.queries == len(annotations.read_text().splitlines())
    assert read_config(tmp_path / "out/config.json").dim == encoder.dim


def test_features_of_another_dimension_or_none_fail(real_data: Path, tmp_path: Path) -> None:
    encoder = load_encoder("tiny-image", device="cpu")
    annotations, features = charades(real_data, tmp_path, dim=8, videos=24)
    with pytest.raises(DimensionMismatchError, match="8-d rows"):
        read_annotated_moments(annotations, features, encoder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="features of 0 of"):
        read_annotated_moments(annotations, tmp_path / "empty", encoder)
