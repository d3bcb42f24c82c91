"""Other programs are replaced by exact search over the rows, or run if a variable names them."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from benchmarks.speed import with_peers
from benchmarks.speed.index_corpus import generated_corpus, write_corpus
from benchmarks.speed.index_peers import PEERS, Peer

ROWS, DIM = 2_000, 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peers")
    write_corpus(folder, generated_corpus(ROWS, DIM), rows_each=1)
    return folder


class Limited:
    """Exact search over the first rows only: as many as ten times the length of the list."""

    rows = np.empty((0, 0), np.float32)
    length = 0

    def best(self, query: np.ndarray, count: int) -> np.ndarray:
        return np.argsort(-(self.rows[: 10 * self.length] @ query))[:count]


class FakeHnswlib(Limited):
    """Has the methods of `hnswlib.Index`."""

    def __init__(self, space: str, dim: int) -> None:
        assert space == "ip"
        self.rows = np.empty((0, dim), np.float32)

    def init_index(self, max_elements: int, M: int, ef_construction: int, random_seed: int) -> None:  # noqa: N803
        assert (max_elements, M, ef_construction) == (ROWS, 16, 200)

    def add_items(self, rows: np.ndarray, ids: np.ndarray) -> None:
        assert rows.dtype == np.float32
        assert ids[0] == len(self.rows)
        self.rows = np.concatenate([self.rows, rows])

    def save_index(self, path: str) -> None:
        with Path(path).open("wb") as file:
            np.save(file, self.rows)

    def load_index(self, path: str) -> None:
        with Path(path).open("rb") as file:
            self.rows = np.load(file)

    def set_ef(self, ef: int) -> None:
        self.length = ef

    def knn_query(self, query: np.ndarray, k: int, num_threads: int) -> tuple[np.ndarray, None]:
        assert num_threads == 1
        return self.best(query, k)[None].astype(np.uint64), None


class FakeUsearch(Limited):
    """Has the methods of `usearch.index.Index`."""

    expansion_search = 64

    def __init__(self, ndim: int, metric: str, dtype: str) -> None:
        assert (metric, dtype) == ("ip", "f16")
        self.rows = np.empty((0, ndim), np.float32)

    @classmethod
    def restore(cls, path: str, view: bool) -> "FakeUsearch":
        assert view
        index = cls(DIM, "ip", "f16")
        with Path(path).open("rb") as file:
            index.rows = np.load(file)
        return index

    def add(self, keys: np.ndarray, rows: np.ndarray) -> None:
        assert rows.dtype == np.float16
        assert keys[0] == len(self.rows)
        self.rows = np.concatenate([self.rows, rows.astype(np.float32)])

    def save(self, path: str) -> None:
        with Path(path).open("wb") as file:
            np.save(file, self.rows)

    def search(self, query: np.ndarray, count: int, threads: int) -> SimpleNamespace:
        assert threads == 1
        self.length = self.expansion_search
        return SimpleNamespace(keys=self.best(query, count).astype(np.uint64))


@pytest.fixture(params=["hnswlib", "usearch"])
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    hnswlib = ModuleType("hnswlib")
    hnswlib.Index = FakeHnswlib
    usearch, index = ModuleType("usearch"), ModuleType("usearch.index")
    index.Index = FakeUsearch
    for name, module in (("hnswlib", hnswlib), ("usearch", usearch), ("usearch.index", index)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(with_peers, "version", lambda name: f"1.2 of {name}")
    return request.param


def test_a_graph_is_served_with_the_shortest_list_that_recalls_enough(
    folder: Path, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_peers.build(package, folder)
    built = json.loads(capsys.readouterr().out)
    assert built["version"] == f"1.2 of {package}"
    assert built["bytes"] == (folder / f"{package}.index").stat().st_size > ROWS * DIM * 4
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n"))
    memory = iter([(100.0, 20.0), (107.0, 20.5)])
    monkeypatch.setattr(with_peers, "_resident_mib", lambda: next(memory))
    with_peers.serve(package, folder)
    ready, *turns = map(json.loads, capsys.readouterr().out.splitlines())
    assert [turn["seconds"] > 0 for turn in turns] == [True, True]
    assert ready["queries"] == 300
    assert (ready["anonymous_mib"], ready["mapped_mib"]) == (7.0, 0.5)
    # What a list of candidates finds, by brute force.
    truths = {name: np.load(folder / f"{name}-truth.npy") for name in ("tune", "ask")}
    recalls = {name: {effort: (truth < 10 * effort).mean() for effort in with_peers.EFFORTS}
               for name, truth in truths.items()}  # fmt: skip
    enough = [effort for effort, recall in recalls["tune"].items() if recall >= 0.95]
    assert ready["setting"] == enough[0] > with_peers.EFFORTS[0]
    assert ready["recall"] == pytest.approx(recalls["ask"][enough[0]], abs=1e-9)


def test_without_enough_recall_the_longest_list_is_served() -> None:
    assert with_peers.Graph().tune(lambda effort: 0.9) == 16_384
    assert with_peers.Graph().tune(lambda effort: float(effort > 20)) == 23


def test_lancedb_takes_the_fastest_pair_with_enough_recall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(with_peers, "time", SimpleNamespace(perf_counter=lambda: now))

    def recall(setting: tuple[int, int]) -> float:
        nonlocal now
        probes, factor = setting
        now += probes + factor
        return 0.96 if probes * factor >= 1_280 else 0.9

    program = object.__new__(with_peers.LanceDB)
    assert program.tune(recall) == (32, 40)
    assert program.tune(lambda setting: 0.5) == (256, 160)


def test_a_peer_without_its_package_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = Peer("Nothing", "no_such_package", "RETRIEVAL_NOTHING_PYTHON")
    monkeypatch.delenv(peer.variable, raising=False)
    assert peer.problem() == "needs RETRIEVAL_NOTHING_PYTHON, see with_peers.py"
    monkeypatch.setenv(peer.variable, sys.executable)
    assert peer.problem() == (
        "the Python of RETRIEVAL_NOTHING_PYTHON cannot import no_such_package"
    )
    monkeypatch.setenv(peer.variable, str(tmp_path / "python"))
    assert peer.problem() == "RETRIEVAL_NOTHING_PYTHON: No such file or directory"
    monkeypatch.delenv(peer.variable)
    assert Peer("NumPy", "numpy", peer.variable).problem() is None
    assert {each.package for each in PEERS} == set(with_peers.PROGRAMS)


def test_the_script_needs_nothing_of_this_repository() -> None:
    code = f"import runpy, sys; runpy.run_path({with_peers.__file__!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE, check=True)
    packages = {name.partition(".")[0] for name in done.stdout.decode().split()}
    assert "numpy" in packages
    assert packages.isdisjoint({"benchmarks", "retrieval", "indexes"})


@pytest.mark.long
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.package)
def test_the_program_itself_recalls_enough(folder: Path, peer: Peer) -> None:
    if peer.variable not in os.environ:
        pytest.skip(f"{peer.variable} is not set")
    built = peer.build(folder)
    assert built["seconds"] > 0
    assert built["bytes"] > ROWS * DIM * 2
    with peer.serve(folder) as served:
        assert served.report["recall"] == pytest.approx(0.97, abs=0.03)
        assert served.report["mapped_mib"] + served.report["anonymous_mib"] > 0.2
        assert served.repeat()["seconds"] > 0
