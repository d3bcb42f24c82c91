"""The benchmark `index` with rows and texts of a user."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed import SUBJECTS, index
from benchmarks.speed.index_corpus import check_identity, generated_corpus, own_corpus, write_corpus
from benchmarks.speed.vectors import TuningTexts
from indexes.exact import exact_search
from retrieval.errors import RetrievalError, SourceError
from retrieval.store.reader import Snapshot
from support.commands import run

ROWS, TEXTS, DIM = 1_300, 130, 24


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    np.save(folder / "rows.npy", 3 * rng.standard_normal((ROWS, DIM), np.float32))
    np.save(folder / "texts.npy", rng.standard_normal((TEXTS, DIM), np.float32))
    return folder / "rows.npy", folder / "texts.npy"


def test_neighbours_of_own_texts_are_those_of_exact_search(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus = own_corpus(*files)
    report = write_corpus(tmp_path, corpus, rows_each=1)
    assert report == {"rows": ROWS, "identity": corpus.identity}
    rows, texts = (np.load(path) for path in files)
    rows, texts = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (rows, texts))
    stored = np.load(tmp_path / "rows/rows.npy")
    np.testing.assert_allclose(stored, rows, atol=3e-4)
    for name in ("tune", "ask"):
        queries = np.load(tmp_path / f"{name}.npy")
        assert queries.shape == (TEXTS // 2, DIM)
        np.testing.assert_allclose((queries @ texts.T).max(axis=1), 1, atol=1e-5)
        _, ids = exact_search(stored, queries, 10)
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}-truth.npy"), ids)
    np.testing.assert_array_equal(np.load(tmp_path / "captions.npy"), corpus.tune)
    snapshot = Snapshot.open(tmp_path / "collection")
    assert len(snapshot.item_ids()) == ROWS


def test_a_share_of_the_rows_is_the_first_ones(files: tuple[Path, Path]) -> None:
    whole, share = own_corpus(*files), own_corpus(*files, 0.8)
    assert (whole.rows, share.rows, own_corpus(*files, 0.1).rows) == (1_300, 1_040, 1_000)
    (block,) = share.blocks(2_000)
    np.testing.assert_array_equal(block, next(whole.blocks(1_040)))
    assert whole.identity != share.identity


def test_a_folder_with_other_rows_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    corpus = own_corpus(*files)
    check_identity(tmp_path, {"identity": corpus.identity}, corpus)
    message = "holds the indexes of other rows or texts; name another folder or delete it"
    for report in ({"identity": generated_corpus(2_000, DIM).identity}, {"rows": ROWS}):
        with pytest.raises(SourceError, match=message):
            check_identity(tmp_path, report, corpus)
    (tmp_path / "corpus.json").write_text(json.dumps({"rows": 2_000}))
    with pytest.raises(SourceError, match=message):
        index.run(folder=tmp_path, vectors=files[0], texts=files[1])


def test_an_engine_is_tuned_with_every_text(files: tuple[Path, Path]) -> None:
    tune = own_corpus(*files).tune
    texts = TuningTexts(tune)
    np.testing.assert_array_equal(texts.encode_text([str(n) for n in range(65)]), tune)
    np.testing.assert_array_equal(texts.encode_text(["a"] * 70)[65:], tune[:5])


def test_results_name_the_rows(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def part(*arguments: object) -> list[object]:
        sizes.append(next(each for each in arguments if isinstance(each, str) and " × " in each))
        return []

    for name in ("_searching", "_opening", "_building"):
        monkeypatch.setattr(index, name, part)
    monkeypatch.setattr(index, "run_cell", lambda *words: {"factory": None})
    results = index.run(folder=_made(tmp_path / "own"), vectors=files[0], texts=files[1])
    assert {each.task for each in results} == {
        f"row set: rows.npy (sha256 {own_corpus(*files).identity[7:23]}, 1,300 of 1,300 rows)"
    }
    assert {each.metric: each.value for each in results} == {
        "rows": 1_300,
        "texts to tune with": 65,
        "texts to measure with": 65,
    }
    assert sizes == ["1,300 × 24, rows.npy"] * 3
    monkeypatch.setattr(index, "ROWS", 2_000)
    generated = index.run(folder=_made(tmp_path / "generated"))
    assert generated[0].task == "row set: generated, with a modality gap (2,000 × 512)"
    assert sizes[3:] == ["2,000 × 512"] * 3


def test_rows_without_texts_fail(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="rows and texts belong together; name both files or"):
        index.run(folder=tmp_path, vectors=files[0])


def test_options_that_do_not_fit_are_one_line(files: tuple[Path, Path], tmp_path: Path) -> None:
    rows, texts = map(str, files)
    both = ["--vectors", rows, "--texts", texts]
    for arguments, message in (
        (["index", "--vectors", rows], "--vectors and --texts belong together: give both or"),
        (["search", *both], "search generates its data; --vectors and --texts are for index"),
        (both, "embed generates its data; --vectors and --texts are for index"),
        (
            ["index", "--vectors", rows, "--texts", str(tmp_path / "none.npy")],
            "none.npy: No such file or directory; name a .npy file",
        ),
    ):
        with pytest.raises(RetrievalError, match=re.escape(message)) as error:
            run("bench", "speed", *arguments)
        assert "\n" not in str(error.value)
    assert [name for name, each in SUBJECTS.items() if each.takes_vectors] == ["index"]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
