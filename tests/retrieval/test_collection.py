"""The façade in many threads, forked processes and pickles."""

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from retrieval.collection import Collection
from retrieval.search import filtering

ROOT = Path(__file__).resolve().parents[2]


def test_field_52_eight_threads_ask_sixty_conditions(
    indexed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every answer is that of one thread, while caches forget and are filled again."""
    monkeypatch.setattr(filtering, "MAX_CONDITIONS", 4)
    monkeypatch.setattr(filtering, "MAX_SELECTION_BYTES", 200)
    conditions = [f"item_id % {number} = 0" for number in range(1, 61)]
    want = [[h.item_id for h in indexed.search("a red circle", where=w)] for w in conditions]
    shared = Collection.open(indexed.root, device="cpu")
    wrong: list[object] = []

    def ask(seed: int) -> None:
        try:
            for step in range(15):
                number = (step * 7 + seed * 15) % 60
                hits = shared.search("a red circle", where=conditions[number])
                if [hit.item_id for hit in hits] != want[number]:
                    wrong.append(conditions[number])
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_field_52_threads_load_a_model_and_open_the_indexes_once(
    indexed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    import retrieval.search.open_collection as module

    loaded, opened = [], []
    load, searcher = module.load_encoder, module.Searcher
    monkeypatch.setattr(module, "load_encoder", lambda *a, **k: loaded.append(a) or load(*a, **k))
    monkeypatch.setattr(module, "Searcher", lambda *a, **k: opened.append(a) or searcher(*a, **k))
    collection = Collection.open(indexed.root, device="cpu")
    threads = [threading.Thread(target=collection.search, args=("a red circle",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == len(collection.snapshot.spaces)
    assert len(opened) == 1


def test_field_42_a_pickled_collection_keeps_its_path(indexed: Collection) -> None:
    want = indexed.search("a red circle", where="item_id > 3")
    text = pickle.dumps(indexed)
    assert len(text) < 1_000
    again = pickle.loads(text)
    assert (again.root, again.device) == (indexed.root, "cpu")
    assert again.search("a red circle", where="item_id > 3") == want


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_field_51_a_process_that_forks_after_a_search_answers(indexed: Collection) -> None:
    code = """
import os, sys
import retrieval
collection = retrieval.open(sys.argv[1], device="cpu")
def answers():
    texts = [collection.search("a red circle", to=[to], where="item_id > 1", k=5)
             for to in ("image", "moment")]
    return [[(hit.item_id, round(hit.start_seconds or 0, 2)) for hit in hits] for hits in texts]
want = answers()
children = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        os._exit(0 if answers() == want else 1)
    children.append(child)
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(indexed.root)],
        env={**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
