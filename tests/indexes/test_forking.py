"""Searches in a process forked after its parent has searched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from indexes.forking import ForkSafeLock

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import os, sys, threading
import numpy as np
from contracts.index_contract import unit_vectors
from indexes.building import build_approximate, build_exact
from indexes.faiss import FaissIndex

vectors = unit_vectors(3_000, 64)
factory = sys.argv[1]
part = None if factory == "exact" else build_approximate(factory, vectors, [vectors])
index = FaissIndex(build_exact([vectors], 64), part)
asked = [vectors[:1], vectors[:60]]
want = [index.search(queries, 10) for queries in asked]
child = os.fork()
if child == 0:
    same = []
    def search():
        found = [index.search(queries, 10) for queries in asked]
        same.append(all(np.array_equal(a, b) for f, w in zip(found, want) for a, b in zip(f, w)))
    search()
    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0 if same == [True] * 4 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@forks
@pytest.mark.parametrize(
    "factory", ["exact", "IVF16,SQ8", "HNSW16", "NSG16", "IVF16,PQ32x4fs", "OPQ16,IVF4,RaBitQ"]
)
def test_field_51_forked_process_gives_same_answers_as_parent(factory: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, factory],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "2",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr


@forks
def test_field_51_held_lock_is_free_in_child() -> None:
    """The thread that holds the lock does not exist in the child."""
    code = """
import os, threading
from indexes.forking import ForkSafeLock
lock, held = ForkSafeLock(), threading.Event()
def hold():
    with lock:
        held.set()
        threading.Event().wait(60)
threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    with lock:
        os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
os._exit(0)
"""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, timeout=50, check=False
    )
    assert ran.returncode == 0


def test_lock_is_reentrant() -> None:
    lock = ForkSafeLock()
    with lock, lock:
        pass
