"""Two raylets on this machine, of which workers, a node and the coordinator are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.engines.ray.parts import part_of
from retrieval.media.names import container_of
from retrieval.store.current import read_current
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from support.collection_rows import rows_by_uri, vectors_by_uri
from support.ray_cluster import RayCluster, wait_for

pytest.importorskip("ray")
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("ray")]

DRIVER = Path(__file__).resolve().parents[3] / "support/on_cluster.py"
QUERIES = ["a red circle", "a blue square moving to the left", "a fast melody on a flute"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[RayCluster]:
    """One cluster for all tests."""
    cluster = RayCluster(nodes=2)
    yield cluster
    cluster.stop()


def start(cluster: RayCluster, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(DRIVER), *map(str, arguments)],
        env=cluster.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def command(cluster: RayCluster, *arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=cluster.environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def assert_same_items(expected: Path, *parts: Path) -> None:
    """The parts have the items of one collection, each once, and vectors up to rounding."""
    found = {}
    vectors = {}
    for part in parts:
        assert verify(part) == []
        rows = rows_by_uri(part, with_vectors=False)
        assert not found.keys() & rows.keys()
        found |= rows
        vectors |= vectors_by_uri(part)
    assert found == rows_by_uri(expected, with_vectors=False)
    whole = vectors_by_uri(expected)
    assert vectors.keys() == whole.keys()
    for key, array in whole.items():
        # The composition of batches changes the last bits.
        assert np.allclose(vectors[key], array, atol=4e-3), key


def answers(text: str) -> list[tuple[str, float]]:
    hits = json.loads(text)["hits"]
    return [(hit["uri"], pytest.approx(hit["score"], abs=2e-3)) for hit in hits]


def test_two_collections_answer_as_one_although_workers_a_node_and_the_coordinator_die(
    cluster: RayCluster, world: World, indexed: Collection, tmp_path: Path
) -> None:
    roots = [tmp_path / "c-00", tmp_path / "c-01"]
    run = ("embed", cluster.address, world.folder, tmp_path / "c", 2)
    with start(cluster, *run) as coordinator:
        cluster.kill_worker("UnitWorker.embed")
        wait_for(lambda: read_current(roots[0]), 200)
        coordinator.send_signal(signal.SIGKILL)
    before = sum(len(Snapshot.open(root).item_ids()) for root in roots if read_current(root))
    assert 0 < before < 33
    with start(cluster, *run) as coordinator:
        wait_for(lambda: next(iter(cluster.workers("UnitWorker.embed")), None), 200)
        cluster.kill_node()
        output, _ = coordinator.communicate(timeout=280)
    report = json.loads(output.splitlines()[-1])
    assert report["failed"] == 0
    assert report["unchanged"] + report["added"] == 33
    assert report["unchanged"] >= before
    assert_same_items(indexed.root, *roots)
    for number, root in enumerate(roots):
        uris = rows_by_uri(root, with_vectors=False)
        assert {part_of(container_of(uri)[0], 2) for uri in uris} == {number}
        assert not (root / ".units").exists()
    # Again by the command, on a cluster with two nodes: nothing changes.
    cluster.add_node()
    generations = [Snapshot.open(root).manifest.generation for root in roots]
    done = command(cluster, "embed", world.folder, "-c", tmp_path / "c", "--model", "tiny",
                   "--on", cluster.address, "--out-collections", 2)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "33 unchanged" in done.stdout
    assert [Snapshot.open(root).manifest.generation for root in roots] == generations
    done = command(cluster, "index", tmp_path / "c-*", "--on", cluster.address)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("exact, ") >= 4
    for query in QUERIES:
        done = command(cluster, "search", tmp_path / "c-*", query, "-k", 6, "--format", "json",
                       "--on", cluster.address)  # fmt: skip
        assert done.returncode == 0, done.stderr
        expected = indexed.search(query, k=6)
        assert answers(done.stdout) == [(hit.uri, hit.score) for hit in expected]


def test_members_are_asked_on_another_node_when_theirs_ends(
    cluster: RayCluster, world: World, indexed: Collection, tmp_path: Path
) -> None:
    from retrieval.store.split import split

    parts = split(indexed.root, tmp_path / "parts", rows=60)
    for part in parts:
        Collection(part.root, device="cpu").index("exact")
    results = []
    with start(cluster, "search", cluster.address, 1, *(part.root for part in parts)) as searching:
        assert searching.stdin is not None
        assert searching.stdout is not None
        try:
            for _ in range(2):
                searching.stdin.write(f"{QUERIES[0]}\n")
                searching.stdin.flush()
                results.append(json.loads(searching.stdout.readline()))
                if len(results) == 1:
                    cluster.kill_node()
        finally:
            searching.stdin.close()
            cluster.add_node()
    expected = [hit.uri for hit in indexed.search(QUERIES[0], k=8)]
    assert [uri for _, uri, _ in results[0]["hits"]] == expected
    assert results[1] == results[0]
    assert results[0]["absent"] == []


def test_a_wrong_token_is_one_line(cluster: RayCluster, world: World, tmp_path: Path) -> None:
    environment = cluster.environment
    cluster.environment = {**environment, "RAY_AUTH_TOKEN": "b" * 64}
    try:
        done = command(cluster, "embed", world.folder, "-c", tmp_path / "c", "--on",
                       cluster.address)  # fmt: skip
    finally:
        cluster.environment = environment
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    assert "the token" in lines[0]
    assert not os.path.exists(tmp_path / "c/CURRENT")
