"""The index of texts on disk: built, kept, repaired, opened on read-only media and after kills."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.errors import IndexFileError, QueryError, RetrievalError
from retrieval.store.reader import Snapshot
from retrieval.store.text_rows import TextUpdate
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.texts import building
from retrieval.texts.calibration import MAX_MEAN, TextCalibration
from retrieval.texts.card import TextIndexCard
from retrieval.texts.opening import open_texts
from support.messages import logged
from support.texts import TextCollection, caption, collection_of, cue, name

ITEMS = [[name("harbour dogs")], [cue(0, 2, "the old harbour")], [caption("Zanzibar")]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    collection = collection_of(tmp_path_factory.mktemp("original") / "c", *ITEMS)
    collection.index()
    return collection.root


@pytest.fixture
def indexed(original: Path, tmp_path: Path) -> TextCollection:
    root = shutil.copytree(original, tmp_path / "c")
    return TextCollection(root, device="cpu")


def folder(root: Path) -> Path:
    return Snapshot.open(root).text_index_folders()[-1]


def only(root: Path, query: str) -> list[int]:
    hits = TextCollection(root, device="cpu").search(query, text="only")
    return sorted(hit.item_id for hit in hits)


def index(root: Path, **options: object) -> list[str]:
    """Index again; return the messages about texts."""
    with logged("retrieval") as lines:
        TextCollection(root, device="cpu").index(**options)  # type: ignore[arg-type]
    return [line for line in lines if "text" in line]


def test_the_index_is_listed_and_its_card_describes_it(indexed: TextCollection) -> None:
    assert verify(indexed.root) == []
    card = TextIndexCard.read(folder(indexed.root) / "card.json")
    assert (card.texts, card.passages, card.language) == (3, 3, None)
    assert card.generation < int(folder(indexed.root).name)
    assert 0 <= card.calibration.mean <= MAX_MEAN
    assert card.calibration.threshold >= 0.5
    assert indexed.status().text_index == (folder(indexed.root).name,)
    listed = {file.path for file in indexed.snapshot.manifest.files}
    for path in folder(indexed.root).iterdir():
        assert str(path.relative_to(indexed.root)) in listed
        assert path.stat().st_mode & 0o044 == 0o044 & ~building_umask()


def building_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_index_is_built_again_only_if_texts_or_language_change(indexed: TextCollection) -> None:
    root = indexed.root
    before = folder(root)
    assert index(root) == ["texts: unchanged"]
    assert folder(root) == before
    with CollectionWriter.open(root) as writer:
        writer.update_texts(0, TextUpdate((name("ferry"),)))
    assert only(root, "ferry") == [0]
    assert only(root, "dogs") == []
    assert "texts changed" in index(root)[0]
    assert only(root, "ferry") == [0]
    assert only(root, "dogs") == []
    assert "the language en" in index(root, language="english")[0]
    assert only(root, "ferries") == [0]
    assert index(root) == ["texts: unchanged"]
    assert "the language none" in index(root, language="none")[0]
    assert only(root, "ferries") == []
    with pytest.raises(QueryError, match="no stemmer for the language 'xx'"):
        index(root, language="xx")
    with CollectionWriter.open(root) as writer:
        writer.remove([2])
    assert only(root, "zanzibar") == []
    assert "removed items" in index(root)[0]


def test_it_opens_on_read_only_media(indexed: TextCollection) -> None:
    before = {path: path.stat().st_mtime_ns for path in indexed.root.rglob("*")}
    for path in [*indexed.root.rglob("*"), indexed.root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert only(indexed.root, "harbour") == [0, 1]
        assert {path: path.stat().st_mtime_ns for path in indexed.root.rglob("*")} == before
    finally:
        for path in [indexed.root, *indexed.root.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _version(path: Path) -> None:
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"version": 99}))


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "missing": ("*.idx", Path.unlink),
    "flipped": ("*.term", _flip),
    "cut": ("rows.arrow", lambda path: path.write_bytes(path.read_bytes()[:-9])),
    "card": ("card.json", lambda path: path.write_text("{")),
    "version": ("card.json", _version),
    "meta": ("meta.json", lambda path: path.write_text("[]")),
    "list": ("managed.json", Path.unlink),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("digests", [True, False])
def test_fault_13_a_damaged_index_of_texts_costs_the_words_and_is_repaired(
    indexed: TextCollection, damage: str, digests: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = indexed.search("harbour", text="off")
    pattern, change = DAMAGE[damage]
    (path,) = folder(indexed.root).glob(pattern)
    change(path)
    if not digests:  # as for a large index
        monkeypatch.setattr("retrieval.texts.opening.MAX_DIGESTED_BYTES", -1)
        monkeypatch.setattr("retrieval.texts.opening.check_size", lambda root, file: None)
    damaged = TextCollection(indexed.root, device="cpu")
    with logged("retrieval") as lines:
        hits = damaged.search("harbour")
        again = damaged.search("harbour")
    if damage in ("flipped", "list") and not digests and not lines:
        return  # no library notices every flipped bit, and reading needs no list of files
    assert hits == again == expected
    assert [line for line in lines if "words are not searched" in line] == lines[-1:]
    assert "build the index again" in lines[-1]
    with pytest.raises(RetrievalError, match="build the index again"):
        damaged.search("harbour", text="only")
    monkeypatch.undo()
    damaged.index()
    assert only(indexed.root, "harbour") == [0, 1]
    assert verify(indexed.root) == []


def test_damage_that_is_noticed_late_costs_the_words(
    indexed: TextCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = indexed.search("harbour", text="off")

    def fail(*arguments: object) -> None:
        raise IndexFileError("the index is damaged; build the index again")

    monkeypatch.setattr("retrieval.texts.text_index.TextIndex._search", fail)
    # Six items are matched without the index, a phrase is not.
    monkeypatch.setattr("retrieval.search.text_stage.MAX_SELECTED", -1)
    with logged("retrieval") as lines:
        assert indexed.search("harbour") == expected
        assert indexed.search("harbour") == expected
    assert len(lines) == 1


def test_fault_02_a_killed_index_leaves_texts_and_vectors_of_one_generation(
    indexed: TextCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = indexed.root
    collection_of(root, [name("lighthouse")])
    before = Snapshot.open(root).manifest.generation

    def kill(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        building.write_text = kill  # type: ignore[assignment]
        TextCollection(root, device="cpu").index()

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert verify(root) == []
    # The index of the vectors is a generation of its own; no index of texts was published.
    assert Snapshot.open(root).manifest.generation in (before, before + 1)
    assert only(root, "lighthouse harbour") == [0, 1, 3]
    index(root)
    assert only(root, "lighthouse harbour") == [0, 1, 3]
    assert not list(root.rglob(".*.tmp"))
    snapshot = Snapshot.open(root)
    assert snapshot.newer_text_ids(int(folder(root).name)).tolist() == []


def test_fault_09_readers_search_while_the_index_of_texts_is_built(indexed: TextCollection) -> None:
    wrong: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            found = only(indexed.root, "harbour")
            if found != [0, 1]:
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for number in range(2):
            collection_of(indexed.root, [name(f"word{number}")])
            index(indexed.root)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert wrong == []


def test_calibration_counts_probes_without_a_match_as_0() -> None:
    none = TextCalibration.of([0.0] * 9)
    assert (none.mean, none.deviation, none.threshold) == (0, 0.25, 0.5)
    some = TextCalibration.of([0.0, 0.4])
    assert some.mean == pytest.approx(0.2)
    assert some.deviation == pytest.approx(0.2)
    much = TextCalibration.of([0.9] * 9)
    assert (much.mean, much.threshold) == (MAX_MEAN, pytest.approx(MAX_MEAN + 0.04))
    assert TextCalibration.of([]) == TextCalibration()


def test_a_text_of_a_megabyte_and_thousands_of_cues(tmp_path: Path) -> None:
    words = "lorem ipsum dolor " * 60_000
    cues = [cue(number, number + 0.5, f"cue number{number} talk") for number in range(6_000)]
    collection = collection_of(
        tmp_path / "c", [caption(words + "zanzibar " + words[:500])], cues, [name("talk")]
    )
    collection.index()
    (hit,) = collection.search("zanzibar", text="only")
    assert hit.matched is not None
    assert "zanzibar" in hit.matched.text
    assert len(hit.matched.text) < 200
    first, second = collection.search("talk", text="only")
    assert {first.item_id, second.item_id} == {1, 2}
    (moment,) = collection.search("talk", text="only", to=["video", "moment"])[:1]
    assert (moment.start_seconds, moment.end_seconds) == (0, 5_999.5)
    (one,) = collection.search("number4711", to="moment", text="only")
    assert (one.start_seconds, one.end_seconds) == (4711, 4711.5)
    assert open_texts(collection.snapshot) is not None
