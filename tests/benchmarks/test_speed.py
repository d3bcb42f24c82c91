import subprocess
import sys
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.speed import SUBJECTS, embedding, members, memory, search, startup, video
from benchmarks.speed import filter as filtered
from benchmarks.speed.harness import Sample
from benchmarks.speed.photographs import write_photographs

pytestmark = pytest.mark.long


def test_photographs_are_jpegs_of_the_requested_sizes(tmp_path: Path) -> None:
    paths = write_photographs(tmp_path, 3, megapixels=(1.0, 12.0))
    sizes = []
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "JPEG"
            sizes.append(image.width * image.height / 1e6)
    assert sizes == pytest.approx([1.0, 6.5, 12.0], rel=0.35)
    # A camera's files take one to five bits for a pixel; flat pictures would decode too fast.
    bits = 8 * paths[1].stat().st_size / (sizes[1] * 1e6)
    assert 1 < bits < 6


def test_search_is_compared_with_faiss_on_the_same_index(tmp_path: Path) -> None:
    over, whole, filtered, slowest = search.run(folder=tmp_path, scale=0.01)
    assert whole.value is not None
    assert whole.baseline is not None
    assert (over.value or 0) > 0
    assert over.spread is not None
    assert over.goal == 2.0
    assert filtered.value is not None
    assert filtered.value > 0
    assert slowest.value is not None
    assert slowest.value >= whole.value


def test_four_collections_are_compared_with_one(tmp_path: Path) -> None:
    recall, whole, over = members.run(folder=tmp_path, scale=0.004)
    assert recall.task == "search 4,000 × 512 in 4 collections, k = 10"
    assert recall.goal == recall.baseline == pytest.approx(0.975, abs=0.03)
    assert recall.value == pytest.approx(0.975, abs=0.03)
    assert whole.value is not None
    assert whole.baseline is not None
    assert over.goal == 5.0
    assert over.value is not None


def test_filters_are_compared_with_no_filter_and_with_a_scan(tmp_path: Path) -> None:
    results = filtered.run(folder=tmp_path, scale=0.002)
    own, plain = results[:2]
    assert own.metric == "recall@10 without a filter"
    assert 0 < (own.value or 0) <= 1
    shares = [share for share in filtered.SHARES if share * 2_000 >= filtered.K]
    assert len(results) == 2 + len(shares) * (6 + 2 * 2)
    recall, ratio, took = results[2:5]
    assert recall.goal == own.value
    # The median of ratios is near the ratio of medians, and need not equal it.
    assert ratio.value == pytest.approx((took.value or 0) / (took.baseline or 1), rel=0.5)
    # So few rows are left that all of them are scored, wherever they lie.
    for result in results[-10:]:
        if result.metric == "recall@10":
            assert result.value == 1.0
    assert (plain.value or 0) > 0


def test_video_is_compared_with_both_other_ways(tmp_path: Path) -> None:
    results = video.run(folder=tmp_path, scale=0.05)
    assert len(results) == 4 * len(video.GROUPS)
    ratio, ours, everything, seeking = (result.value or 0.0 for result in results[:4])
    assert ratio == pytest.approx(ours / min(everything, seeking), rel=0.5)


@pytest.mark.slow
def test_the_first_answer_is_compared_with_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "RUNS", 1)
    monkeypatch.setattr(startup, "FIRST_ANSWERS", 1)
    of_help, *results = startup.run(folder=tmp_path, scale=0.2)
    assert of_help.goal == 0.3
    assert (of_help.value or 0) > (of_help.baseline or 0) > 0
    cpu, wall, other_cpu, other_wall = ((result.value or 0.0) for result in results)
    assert (results[0].baseline or 0) > 0
    assert other_cpu > cpu > 0
    assert other_wall > wall > 0


def test_embedding_costs_are_those_of_further_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock that the work sets: 5 seconds to start, and 1 or 4 for the photographs."""
    now = np.zeros(2)
    runs = []

    def work(run: str, source: Path) -> None:
        runs.append(run)
        now[:] += np.array([5 + {"third": 1, "all": 4}[source.name], 100.0])

    monkeypatch.setattr(embedding, "_clocks", now.copy)
    (cost,) = embedding.costs_in_turns({"way": work}, tmp_path).values()
    assert cost.processor.values == (3.0,) * embedding.TURNS
    assert cost.wall.values == (0.0,) * embedding.TURNS
    assert len(set(runs)) == 2 * embedding.TURNS  # a new collection each time


def test_embedding_costs_include_child_processes() -> None:
    code = "import time\nwhile time.process_time() < 0.3: pass"
    processor, _ = embedding._seconds(lambda: subprocess.run([sys.executable, "-c", code]))
    assert processor >= 0.25


def test_embedding_is_compared_with_its_parts_and_with_clip_retrieval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With stand-ins for everything that takes minutes."""
    seconds = {"embed": 0.6, "decode": 0.2, "encode": 0.3, "bare": 0.4, "theirs": 1.2}

    def costs(ways: Mapping[str, object], folder: Path) -> dict[str, embedding.Cost]:
        assert folder == tmp_path
        return {
            name: embedding.Cost(Sample((seconds[name],) * 2), Sample((seconds[name] / 2,) * 2))
            for name in ways
        }

    monkeypatch.setattr(embedding, "costs_in_turns", costs)
    for name in ("_embed", "_bare"):
        monkeypatch.setattr(embedding, name, lambda *arguments: None)
    monkeypatch.setattr(
        embedding, "_decode", lambda encoder, source: np.zeros((4, 64, 64, 3), np.uint8)
    )
    networks = SimpleNamespace(create_model=lambda name: torch.nn.Identity())
    monkeypatch.setattr(embedding, "open_clip", networks)
    weights = tmp_path / "weights"
    model = embedding._Model("tiny", "tiny-image", "unused", weights, 1.1, 1.2, 0.4)

    monkeypatch.delenv(embedding.CLIP_RETRIEVAL, raising=False)
    missing, *rows = embedding._measure(tmp_path, model, 5)
    assert (missing.value, missing.goal) == (None, 0.4)
    assert "RETRIEVAL_CLIP_RETRIEVAL_PYTHON" in missing.metric
    over_bare, over_both, ours, rate = rows[:4]
    assert (over_bare.value, over_bare.goal) == (pytest.approx(1.5), 1.1)
    assert (over_both.value, over_both.goal) == (pytest.approx(1.2), 1.2)
    assert (ours.metric, ours.value) == ("processor ms per photograph", pytest.approx(60))
    assert (rate.metric, rate.value) == ("photographs per second", pytest.approx(10 / 0.3))
    assert len(rows) == 2 + 2 * 4

    monkeypatch.setenv(embedding.CLIP_RETRIEVAL, "/env/bin/python")
    cpu, wall, *_, theirs, their_rate = embedding._measure(tmp_path, model, 5)
    assert (cpu.metric, cpu.value) == ("processor time ÷ clip-retrieval's", pytest.approx(0.5))
    assert (cpu.goal, wall.value) == (0.4, pytest.approx(0.5))
    assert theirs.value == pytest.approx(120)
    assert their_rate.metric == "photographs per second, clip-retrieval"


def test_clip_retrieval_runs_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(
        embedding.subprocess, "run", lambda command, **options: asked.append(command)
    )
    monkeypatch.setenv(embedding.CLIP_RETRIEVAL, "/env/bin/python")
    weights = tmp_path / "weights"
    model = embedding._Model("tiny", "tiny-image", "unused", weights)
    embedding._clip_retrieval(tmp_path, model)["theirs"]("run", tmp_path / "all")
    python, isolated, script, *arguments = asked[0]
    assert (python, isolated) == ("/env/bin/python", "-I")
    assert Path(script).exists()
    assert arguments[:3] == [str(tmp_path / "all"), str(weights), str(tmp_path / "run")]


def test_peak_memory_includes_child_processes() -> None:
    child = "import time; held = bytearray(b'x' * (80 << 20)); time.sleep(0.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert 80 < memory.peak_mib([sys.executable, "-c", parent]) < 300
    with pytest.raises(RuntimeError, match="a known error"):
        memory.peak_mib([sys.executable, "-c", "raise SystemExit('a known error')"])


def test_ranking_memory_is_measured_in_a_separate_process() -> None:
    result = memory._scoring(0.01)
    assert result.task == "ranking metrics, 10,000 items × 1,000 queries"
    assert result.goal == 2048
    block = 256 * 10_000 * 4 / memory.MIB
    assert block < (result.value or 0) < block + 400


def test_every_speed_benchmark_is_a_program() -> None:
    for name, benchmark in SUBJECTS.items():
        assert benchmark.name == name
        own = {"vectors", "texts"} if benchmark.takes_vectors else set()
        assert set(signature(benchmark.load()).parameters) - {"folder", "scale"} == own
