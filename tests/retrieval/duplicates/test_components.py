import numpy as np
import pytest

from retrieval.duplicates.components import Components


def partition(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """The smallest node of each node's component, node by node."""
    roots = list(range(count))
    for _ in range(count):
        for a, b in edges:
            roots[a] = roots[b] = min(roots[a], roots[b])
    return roots


@pytest.mark.parametrize("seed", range(8))
def test_components_of_random_graphs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = rng.integers(0, 60, (40, 2))
    components = Components(60)
    for block in np.array_split(edges, 5):
        components.join(block[:, 0], block[:, 1])
    assert components.roots().tolist() == partition(60, [tuple(edge) for edge in edges.tolist()])


def test_long_chain_and_star() -> None:
    chain = np.arange(10_000)
    components = Components(20_001)
    components.join(chain[:-1], chain[1:])
    components.join(np.full(10_000, 20_000), np.arange(10_000, 20_000))
    roots = components.roots()
    assert (roots[:10_000] == 0).all()
    assert (roots[10_000:] == 10_000).all()


def test_graph_without_edges() -> None:
    components = Components(3)
    nothing = np.empty(0, np.int64)
    components.join(nothing, nothing)
    assert components.roots().tolist() == [0, 1, 2]
