"""`index` on a cluster: each node builds the indexes of one collection at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.engines.ray.connection import connected
from retrieval.engines.ray.nodes import live_nodes, nodes_that_see, on_node
from retrieval.engines.ray.problems import Problem, error_of, problem_of
from retrieval.errors import ClusterError, RetrievalError
from retrieval.progress import Progress, no_progress

if TYPE_CHECKING:
    from retrieval.search.indexing.card import IndexCard

MAX_ATTEMPTS = 3
"""Number of nodes that may end while they index one collection."""

WAIT_SECONDS = 1.0


@dataclass(slots=True)
class _Build:
    """A collection that waits or is indexed, and how often a node ended meanwhile."""

    root: Path
    attempts: int = 0


def index_on(
    roots: Sequence[Path],
    address: str,
    *,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
) -> dict[Path, list[IndexCard]]:
    """Update the indexes of collections on a cluster, as many at a time as there are nodes.

    Args:
        roots: The collections; at least one node sees each of them.
        address: The cluster; see `connected`.
        device: Device of models and indexes on the nodes.
        settings: Keyword arguments of `Collection.index`.
        progress: Receives the number of collections that are done.

    Returns:
        The cards of the parts of each collection.

    Raises:
        ClusterError: There is no cluster, no node sees a collection, or nodes end repeatedly.
        RetrievalError: A collection cannot be indexed; the others keep what was built.
    """
    roots = [root.absolute() for root in roots]
    cards: dict[Path, list[IndexCard]] = {}
    with connected(address) as ray:
        build = ray.remote(num_cpus=0.5, max_retries=0)(_build)
        waiting = deque(_Build(root) for root in roots)
        running: dict[Any, tuple[_Build, str]] = {}
        progress("indexing collections", 0, len(roots))
        while waiting or running:
            seen = nodes_that_see(ray, [each.root for each in waiting]) if waiting else {}
            threads = {node["NodeID"]: node["Resources"]["CPU"] for node in live_nodes(ray)}
            free = set(threads) - {node for _, node in running.values()}
            for each in list(waiting):
                node = next((node for node in seen[each.root] if node in free), None)
                if node is not None:
                    free.remove(node)
                    waiting.remove(each)
                    call = build.options(
                        scheduling_strategy=on_node(ray, node),
                        num_gpus=0 if device == "cpu" else _gpus(ray, node),
                    ).remote(each.root, device, int(threads[node]), dict(settings or {}))
                    running[call] = (each, node)
            done, _ = ray.wait(list(running), num_returns=1, timeout=WAIT_SECONDS)
            for call in done:
                each, _ = running.pop(call)
                try:
                    result = ray.get(call)
                except ray.exceptions.RayError as error:
                    each.attempts += 1
                    if each.attempts >= MAX_ATTEMPTS:
                        raise ClusterError(
                            f"{each.root}: {MAX_ATTEMPTS} nodes ended while they indexed it; "
                            "free memory there, or index it alone"
                        ) from error
                    waiting.append(each)
                    continue
                if isinstance(result, Problem):
                    raise error_of(result)
                cards[each.root] = result
                progress("indexing collections", len(cards), len(roots))
    return {root: cards[root] for root in roots}


def _gpus(ray: Any, node_id: str) -> float:
    """Return the GPUs that a build reserves: one if the node has any."""
    nodes = {node["NodeID"]: node["Resources"] for node in live_nodes(ray)}
    return min(1.0, float(nodes.get(node_id, {}).get("GPU", 0.0)))


def _build(
    root: Path, device: str, threads: int, settings: dict[str, Any]
) -> list[IndexCard] | Problem:
    """Index one collection on this node, with all of its processors."""
    import faiss
    import torch

    from retrieval.collection import Collection

    # Ray allows one thread to a task that reserves less than a processor.
    os.environ.pop("OMP_NUM_THREADS", None)
    faiss.omp_set_num_threads(max(1, threads))
    torch.set_num_threads(max(1, threads))
    try:
        return Collection(root, device=device).index(**settings)
    except RetrievalError as error:
        return problem_of(error)
