import io
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import index, index_cells, index_peers
from benchmarks.speed.index_corpus import generated_corpus, linked_copy, write_corpus
from benchmarks.speed.nearest import Nearest
from benchmarks.speed.processes import reported, run_cell
from indexes.exact import exact_search
from retrieval.store.reader import Snapshot

ROWS, DIM = 2_000, 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    write_corpus(folder, generated_corpus(ROWS, DIM), rows_each=1)
    return folder


def test_neighbours_are_those_of_exact_search(folder: Path) -> None:
    rows = np.load(folder / "rows" / "rows.npy")
    assert rows.shape == (ROWS, DIM)
    queries = np.load(folder / "ask.npy")
    _, ids = exact_search(rows, queries, 10)
    np.testing.assert_array_equal(np.load(folder / "ask-truth.npy"), ids)
    nearest = Nearest(queries, 10)
    blocks = [rows[:7], rows[7:1_500], rows[1_500:]]
    for block, same in zip(blocks, nearest.watch(iter(blocks)), strict=True):
        assert same is block
    np.testing.assert_array_equal(nearest.ids, ids)


def test_texts_to_tune_on_are_not_those_measured(folder: Path) -> None:
    tune, ask = (np.load(folder / f"{name}.npy") for name in ("tune", "ask"))
    assert (tune @ ask.T).max() < 0.999


def test_an_index_in_a_linked_copy_leaves_the_collection_as_it_is(folder: Path) -> None:
    before = Snapshot.open(folder / "collection").manifest.generation
    copy = linked_copy(folder / "collection", folder / "copy")
    report = index_cells.build_engine(folder, str(copy), "IVF16,SQ8")
    assert report["factory"] == "IVF16,SQ8"
    assert report["bytes"] > ROWS * DIM
    assert report["bytes_with_rows"] - report["bytes"] == pytest.approx(ROWS * DIM * 2, rel=0.01)
    assert Snapshot.open(folder / "collection").manifest.generation == before
    assert Snapshot.open(copy).manifest.generation > before


def test_plain_faiss_is_served_at_the_least_setting_that_recalls_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index_cells.build_raw(folder, "IVF16,Flat")
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n"))
    index_cells.serve_raw(folder, "IVF16,Flat")
    ready, *answers = map(json.loads, capsys.readouterr().out.splitlines())
    assert 1 < ready["setting"] < 16
    assert 0.9 < ready["recall"] <= 1
    assert [answer["seconds"] > 0 for answer in answers] == [True, True]


def test_opening_compares_a_whole_search_with_its_index(folder: Path) -> None:
    copy = linked_copy(folder / "collection", folder / "opened")
    index_cells.build_engine(folder, str(copy), "exact")
    report = index_cells.open_and_search(folder, str(copy))
    assert 0 < report["faiss_ms"] < report["whole_ms"]
    assert report["first_ms"] > 0


def test_reported_work_is_not_repeated(tmp_path: Path) -> None:
    assert reported(tmp_path / "a.json", lambda value: {"value": value}, 1) == {"value": 1}
    assert reported(tmp_path / "a.json", lambda value: {"value": value}, 2) == {"value": 1}


def test_a_script_answers_with_its_last_line(tmp_path: Path) -> None:
    script = tmp_path / "says.py"
    script.write_text("import sys; print('noise'); print('{\"given\": \"%s\"}' % sys.argv[1])")
    assert run_cell(script, "x") == {"given": "x"}
    script.write_text("import json, os; print(json.dumps(os.environ['GIVEN']))")
    assert run_cell(script, GIVEN="y") == "y"


class SlowIndex:
    """Stands where a process that serves an index would: so many seconds, one more each time."""

    def __init__(self, cell: str | Path, *more: str | Path, python: str = "") -> None:
        self.seconds = 1.0 if cell == "serve-engine" else 10.0
        self.report = {"recall": 0.96, "queries": 300, "anonymous_mib": self.seconds,
                       "mapped_mib": 5.0, "setting": 7}  # fmt: skip

    def __enter__(self) -> "SlowIndex":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def repeat(self) -> dict[str, float]:
        self.seconds += 1
        return {"seconds": self.seconds}


ENGINE = {"seconds": 9.0, "bytes": 1 << 20, "bytes_with_rows": 5 << 20}
BUILT = {"seconds": 1.0, "bytes": 3 << 20}


def test_indexes_are_timed_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_peers.Peer, "problem", lambda peer: f"no {peer.package}")
    monkeypatch.setattr(index, "Served", SlowIndex)
    monkeypatch.setattr(index, "run_cell", lambda *words, **env: BUILT)
    results = index._searching(tmp_path, tmp_path, ENGINE, "size", 64)
    over_hnsw, over_flat, *over_peers, memory = results[:6]
    engine, flat = ({each.metric: each.value for each in results[first : first + 6]}
                    for first in (6, 18))  # fmt: skip
    assert over_hnsw.value == pytest.approx(4 / 13)  # of 2/11, 3/12, … 6/15 the third
    assert over_hnsw.spread == pytest.approx(5 / 14 - 3 / 12)
    assert over_flat.value == over_hnsw.value
    assert memory.value == pytest.approx(1 / 10)
    assert engine == {
        "engine, setting 7: queries/s": 1 / 4,
        "engine: recall@10": 0.96,
        "engine: seconds to build": 9.0,
        "engine: MiB on disk, rows included": 5.0,
        "engine: anonymous MiB": 1.0,
        "engine: mapped MiB": 5.0,
    }
    assert flat["IVF64,Flat: seconds to build"] == 1.0
    assert flat["IVF64,Flat: MiB on disk, rows included"] == 3.0
    assert len(results) == 6 + 3 * 6
    assert [(each.metric, each.value) for each in over_peers] == [
        ("time ÷ LanceDB's (no lancedb)", None),
        ("time ÷ hnswlib's (no hnswlib)", None),
        ("time ÷ usearch's (no usearch)", None),
    ]


def test_peers_run_in_their_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[object, ...]] = []

    def run_cell(*words: object, python: str = "", **env: str) -> dict[str, float]:
        assert env == index.AS_INSTALLED
        ran.append((*words, python))
        return BUILT | ({"version": "1.2"} if isinstance(words[0], Path) else {})

    monkeypatch.setattr(index_peers.Peer, "problem", lambda peer: None)
    for peer in index_peers.PEERS:
        monkeypatch.setenv(peer.variable, f"/{peer.package}/bin/python")
    for module in (index, index_peers):
        monkeypatch.setattr(module, "Served", SlowIndex)
        monkeypatch.setattr(module, "run_cell", run_cell)
    results = index._searching(tmp_path, tmp_path, ENGINE, "size", 64)
    assert [(each.metric, each.value) for each in results[2:5]] == [
        (f"time ÷ {name}'s", pytest.approx(4 / 13)) for name in ("LanceDB", "hnswlib", "usearch")
    ]
    assert [words for words in ran if "build" in words] == [
        (index_peers.SCRIPT, package, "build", tmp_path, f"/{package}/bin/python")
        for package in ("lancedb", "hnswlib", "usearch")
    ]
    assert index_peers.SCRIPT.is_file()
    assert results[-6].metric == "usearch 1.2, setting 7: queries/s"
    assert len(results) == 6 + 6 * 6


def test_a_build_is_compared_with_plain_faiss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(index.AUTOFAISS, raising=False)
    taken = {"build-raw": 10.0, "build-engine": 15.0}

    def run_cell(cell: str, *more: object, **env: str) -> dict[str, float]:
        assert env == (index.AS_INSTALLED if cell == "build-raw" else {})
        return {"seconds": taken[cell]}

    monkeypatch.setattr(index, "run_cell", run_cell)
    (tmp_path / "collection").mkdir()
    engine = {"factory": "IVF8,SQ8", "seconds": 30.0, "bytes": 1 << 20}
    ratio, ours, choice, chosen, *_ = index._building(tmp_path, engine, "size", "IVF8,SQ8")
    assert (ratio.value, ratio.goal, ratio.spread) == (1.5, 1.15, None)
    assert (ours.value, ours.baseline, chosen.value) == (15.0, 10.0, 30.0)
    assert (choice.value, choice.goal) == (2.0, 2)
    assert not (tmp_path / "turn-0").exists()


def test_openings_are_medians_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = iter(range(index.OPENINGS))
    names = ("first_ms", "anonymous_mib", "mapped_mib", "outside_ms", "faiss_ms")

    def opening(*words: object) -> dict[str, float]:
        number = float(next(reports))
        return dict.fromkeys(names, number) | {"whole_ms": 2 * number}

    monkeypatch.setattr(index, "run_cell", opening)
    results = index._opening(tmp_path, tmp_path, "size")
    assert [result.value for result in results] == [2.0, 2.0, 2.0, 2.0, 2.0, 4.0]
    assert [result.spread for result in results] == [2.0, 2.0, 2.0, 2.0, 2.0, 4.0]
    assert results[-1].baseline == 2.0


def test_without_autofaiss_its_row_is_empty_and_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(index.AUTOFAISS, raising=False)
    (row,) = index._autofaiss(tmp_path, {"seconds": 1.0, "bytes": 1}, "build")
    assert row.value is None
    assert "RETRIEVAL_AUTOFAISS_PYTHON" in row.metric


@pytest.mark.parametrize(("rows", "lists"), [(1_000_000, 4_096), (10_000, 512), (2_000, 128)])
def test_plain_lists_are_a_power_of_two_near_four_roots(rows: int, lists: int) -> None:
    assert index.list_count(rows) == lists


def test_rows_of_videos_need_no_array(tmp_path: Path) -> None:
    write_corpus(tmp_path, generated_corpus(500, DIM), rows_each=100, as_array=False)
    assert not (tmp_path / "rows").exists()
    snapshot = Snapshot.open(tmp_path / "collection")
    assert len(snapshot.item_ids()) == 5
    (space,) = snapshot.spaces
    rows = np.concatenate([block.vectors for block in snapshot.iter_segments(space.name)])
    _, ids = exact_search(rows, np.load(tmp_path / "tune.npy"), 10)
    np.testing.assert_array_equal(np.load(tmp_path / "tune-truth.npy"), ids)
