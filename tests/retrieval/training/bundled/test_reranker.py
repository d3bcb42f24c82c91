from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from retrieval.search.reranking.reranker import load_reranker
from retrieval.training.bundled.reranker import train_tiny_rerank
from retrieval.training.bundled.reranker_pairs import CANDIDATES, MEMBERS


def test_training_writes_a_folder_that_loads(tmp_path: Path) -> None:
    said: list[str] = []
    report = train_tiny_rerank(tmp_path, steps=1, device="cpu", gallery=30, progress=said.append)
    assert report.pairs == 20 * MEMBERS * CANDIDATES
    assert report.relations.scenes == 30
    assert 0 <= report.relations.reranked <= report.relations.reachable <= 1
    reranker = load_reranker(f"tiny:{tmp_path}", device="cpu")
    chances = reranker.probabilities("a red circle", np.zeros((2, 128, 128, 3), np.uint8))
    assert chances[0] == pytest.approx(chances[1], abs=1e-6)
    with safe_open(tmp_path / "model.safetensors", "pt") as weights:
        types = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - no mapping
    # Matrices, their scales, vectors; and what counts batches, for the normalisation.
    assert types == {"I8", "F32", "F16", "I64"}
    card = (tmp_path / "README.md").read_text()
    assert str(report.relations) in card
    assert str(report.look_alikes) in card
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2**20
    assert said[0] == "20 families of 3 pictures drawn"
