from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from retrieval.progress import Progress
from retrieval.search.reranking.reranker import load_reranker
from retrieval.training.bundled import reranker, reranker_stages
from retrieval.training.bundled.reranker import train_tiny_rerank
from retrieval.training.bundled.reranker_pairs import COMPARED, MEMBERS
from support.stopped import assert_ends_the_same

pytestmark = pytest.mark.long

FAMILIES = 3
"""A caption is compared with its own family and two others."""


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (reranker, reranker_stages):
        monkeypatch.setattr(module, "FAMILIES_PER_BATCH", FAMILIES)


def test_training_writes_a_folder_that_loads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "retrieval.training")
    report = train_tiny_rerank(tmp_path, steps=1, device="cpu", gallery=12)
    assert report.pairs == FAMILIES * MEMBERS * COMPARED
    assert report.relations.scenes == 12
    assert 0 <= report.relations.reranked <= report.relations.reachable <= 1
    trained = load_reranker(f"tiny:{tmp_path}", device="cpu")
    probabilities = trained.probabilities("a red circle", np.zeros((2, 128, 128, 3), np.uint8))
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-6)
    with safe_open(tmp_path / "model.safetensors", "pt") as weights:
        types = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - no mapping
    # Matrices, their scales, vectors; and what counts batches, for the normalisation.
    assert types == {"I8", "F32", "F16", "I64"}
    card = (tmp_path / "README.md").read_text()
    assert str(report.relations) in card
    assert str(report.look_alikes) in card
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2**20
    assert caplog.messages[0] == f"{FAMILIES} families of 3 pictures drawn"


def test_a_stopped_training_resumes_and_ends_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def train(out: Path, progress: Progress) -> None:
        train_tiny_rerank(out, steps=3, device="cpu", gallery=12, progress=progress)

    caplog.set_level("INFO", "retrieval.training")
    stops = ("training, stage 1", 2), ("training, stage 2", 3)
    assert_ends_the_same(train, tmp_path, *stops)
    assert [line for line in caplog.messages if "resuming" in line] == [
        "stage 1, resuming after 1 of 3 steps",
        "stage 1, resuming after 3 of 3 steps",
        "stage 2, resuming after 2 of 3 steps",
    ]
