from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.score import pairs
from retrieval.errors import SourceError
from support.messages import logged


def scored(
    folder: Path, given: Any, true: Any = None, notes: list[str] | None = None
) -> dict[str, Any]:
    np.save(folder / "p.npy", np.asarray(given))
    if true is not None:
        np.save(folder / "t.npy", np.asarray(true))
    truth = None if true is None else folder / "t.npy"
    with logged("benchmarks") as messages:
        found = pairs.score(folder / "p.npy", truth)
    if notes is not None:
        notes += messages
    return found


# Query 0 finds its item first, query 1 second, query 2 third.
SIMILARITY = [[0.9, 0.1, 0.2], [0.8, 0.7, 0.3], [0.6, 0.5, 0.4]]


def test_by_hand(tmp_path: Path) -> None:
    found = scored(tmp_path, SIMILARITY)
    assert found["query to item"] == {
        "R@1": 33.33, "R@5": 100.0, "R@10": 100.0, "mAP@10": 61.11,
        "median rank": 2.0, "mean rank": 2.0,
    }  # fmt: skip
    assert found["item to query"]["R@1"] == 100.0
    assert found == scored(tmp_path, SIMILARITY, [0, 1, 2])
    assert found == scored(tmp_path, SIMILARITY, np.eye(3, dtype=bool))


def test_several_captions_of_a_picture(tmp_path: Path) -> None:
    notes: list[str] = []
    # Four captions, the first two of picture 0; picture 2 has none.
    similarity = [[0.9, 0.1, 0.5], [0.2, 0.8, 0.1], [0.3, 0.7, 0.6], [0.1, 0.4, 0.2]]
    found = scored(tmp_path, similarity, [0, 0, 1, 1], notes)
    assert (found["queries"], found["items"]) == (4, 3)
    assert found["query to item"]["R@1"] == 75.0
    assert found["item to query"]["R@1"] == 50.0  # picture 1 finds a caption of picture 0 first
    assert notes == [
        "1 of 3 items belong to no query: they act as distractors and are never queries"
    ]


def test_ties_count_against_the_system(tmp_path: Path) -> None:
    found = scored(tmp_path, np.ones((4, 4)))
    assert found["query to item"]["R@1"] == 0.0
    assert found["query to item"]["mean rank"] == 4.0


def test_vectors_are_compared_by_their_direction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    queries, items = random.normal(size=(2, 20, 8))

    def unit(vectors: NDArray[Any]) -> NDArray[Any]:
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    want = scored(tmp_path, unit(queries) @ unit(items).T)
    assert scored(tmp_path, queries * 7, items) == want
    monkeypatch.setattr(pairs, "BLOCK_BYTES", 8 * 20 * 3)
    assert scored(tmp_path, queries, items) == want


def test_npz_of_one_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", SIMILARITY)
    assert pairs.score(tmp_path / "p.npz", None) == scored(tmp_path, SIMILARITY)
    np.savez(tmp_path / "p.npz", a=SIMILARITY, b=SIMILARITY)
    with pytest.raises(SourceError, match="holds 2 arrays, expected one"):
        pairs.score(tmp_path / "p.npz", None)


@pytest.mark.parametrize(
    ("given", "true", "message"),
    [
        ([[1.0, np.nan]], None, "expected a matrix of finite numbers"),
        ([1.0, 2.0], None, "expected a matrix of finite numbers"),
        ([[1.0, 2.0]], None, "is not square"),
        (SIMILARITY, [0, 1], "expected 3 item numbers"),
        (SIMILARITY, [0, 1, 3], "names an item outside 0 to 2"),
        (SIMILARITY, [0, 1, -1], "names an item outside 0 to 2"),
        (SIMILARITY, np.zeros((3, 3), dtype=bool), "row 0 names no item"),
        (SIMILARITY, [[1.0, 2.0]], "expected 3 finite vectors of dimension 3"),
        (SIMILARITY, np.zeros((3, 3)), "row 0 has length 0"),
        (SIMILARITY, ["a", "b", "c"], "expected 3 item numbers"),
    ],
)
def test_arrays_that_do_not_fit_fail(tmp_path: Path, given: Any, true: Any, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        scored(tmp_path, given, true)


def test_files_that_are_no_arrays_fail(tmp_path: Path) -> None:
    path = tmp_path / "p.npy"
    with pytest.raises(SourceError, match="cannot be read"):
        pairs.score(path, None)
    for content in (b"", b"hello", b"PK\x03\x04broken"):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"p\.npy: "):
            pairs.score(path, None)
    np.save(path, np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(SourceError, match="Object arrays"):
        pairs.score(path, None)
