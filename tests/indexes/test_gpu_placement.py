from typing import Any

import pytest

import indexes.gpu_placement
from contracts.index_contract import unit_vectors
from indexes.building import build_approximate
from indexes.candidates import GPU_EXACT_BELOW_ROWS
from indexes.gpu_placement import STREAM_BYTES, Gpu, SearchMode, choose_placement
from support.gpus import GIB, gpu, neighbour_graph

MILLION = 1_000_000


def compressed(factory: str) -> Any:
    rows = unit_vectors(200)
    return build_approximate(factory, rows, [rows])


@pytest.mark.parametrize(
    ("rows", "room", "where", "numbers", "shard"),
    [
        (MILLION, [], SearchMode.CPU, [], False),
        (MILLION, [1.0], SearchMode.EXACT, [0], False),  # 0.95 GiB
        (MILLION, [1.0, 4.0, 2.0], SearchMode.EXACT, [1], False),
        (3 * MILLION, [1.0, 4.0, 2.0], SearchMode.EXACT, [1, 2, 0], True),
        (5 * MILLION, [3.0, 2.0], SearchMode.EXACT, [0, 1], True),
        (5 * MILLION, [3.0], SearchMode.CPU, [], False),
        (50 * MILLION, [3.0], SearchMode.STREAMED, [0], False),
    ],
)
def test_exact_search_uses_the_gpus_that_fit_the_rows(
    rows: int, room: list[float], where: SearchMode, numbers: list[int], shard: bool
) -> None:
    gpus = [gpu(number, gib) for number, gib in enumerate(room)]
    if where is SearchMode.CPU and gpus:
        gpus = [Gpu(0, STREAM_BYTES - 1)]
    elif where is SearchMode.STREAMED:
        assert gpus[0].free_bytes >= STREAM_BYTES
    chosen = choose_placement(rows, 512, None, gpus)
    assert (chosen.mode, chosen.shard) == (where, shard)
    assert [gpu.number for gpu in chosen.gpus] == numbers


def test_placement_reason_states_required_memory() -> None:
    chosen = choose_placement(50 * MILLION, 512, None, [gpu(0, 3.0)])
    assert chosen.reason == "50000000 rows x 512 take 47.7 GiB, 3.0 GiB of GPU memory are free"


@pytest.mark.parametrize(
    ("room", "where", "numbers", "shard"),
    [
        ([1.5], SearchMode.APPROXIMATE, [0], False),
        ([1.5, 2.5], SearchMode.APPROXIMATE, [1, 0], False),
        ([0.5, 1.5], SearchMode.APPROXIMATE, [1], False),
        ([0.7, 0.6], SearchMode.APPROXIMATE, [0, 1], True),
        ([0.8, 0.4], SearchMode.CPU, [], False),
        ([0.5], SearchMode.CPU, [], False),
    ],
)
def test_compressed_index_is_copied_to_each_gpu_or_divided(
    monkeypatch: pytest.MonkeyPatch,
    room: list[float],
    where: SearchMode,
    numbers: list[int],
    shard: bool,
) -> None:
    monkeypatch.setattr(indexes.gpu_placement, "gpu_bytes", lambda index: GIB)
    part = compressed("IVF4,SQ8")
    gpus = [gpu(number, gib) for number, gib in enumerate(room)]
    chosen = choose_placement(100 * MILLION, 512, part, gpus)
    assert (chosen.mode, chosen.shard) == (where, shard)
    assert [gpu.number for gpu in chosen.gpus] == numbers
    assert chosen.reason.startswith("100000000 rows x 512 take 95.4 GiB")
    if where is SearchMode.CPU:
        assert chosen.reason.endswith("the compressed index takes 1.0 GiB")


def test_graph_uses_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes.gpu_placement, "gpu_bytes", lambda index: GIB)
    graph = neighbour_graph(unit_vectors(50), 8)
    assert (
        choose_placement(100 * MILLION, 512, graph, [gpu(0, 0.9), gpu(1, 0.9)]).mode
        is SearchMode.CPU
    )
    chosen = choose_placement(100 * MILLION, 512, graph, [gpu(0, 1.1), gpu(1, 1.2)])
    assert (chosen.mode, [gpu.number for gpu in chosen.gpus]) == (SearchMode.APPROXIMATE, [1])


def test_many_rows_are_searched_approximately_even_if_they_fit() -> None:
    there, refused = compressed("IVF4,SQ8"), compressed("HNSW8,SQ8")
    room = [gpu(0, 50.0)]
    assert choose_placement(GPU_EXACT_BELOW_ROWS - 1, 512, there, room).mode is SearchMode.EXACT
    assert choose_placement(GPU_EXACT_BELOW_ROWS, 512, there, room).mode is SearchMode.APPROXIMATE
    for part in (refused, None):
        assert choose_placement(GPU_EXACT_BELOW_ROWS, 512, part, room).mode is SearchMode.EXACT


def test_placement_reason_names_unsupported_index() -> None:
    part = compressed("HNSW8,SQ8")
    chosen = choose_placement(100 * MILLION, 512, part, [gpu(0, 50.0)])
    assert chosen.mode is SearchMode.CPU
    assert chosen.reason.endswith("are free; FAISS has no GPU form of IndexHNSWSQ")


def test_full_gpu_has_no_usable_memory() -> None:
    assert Gpu(0, 1_000).usable_bytes == 0
