from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.duplicates.find import item_blocks
from retrieval.duplicates.groups import DuplicateGroup
from retrieval.errors import QueryError, SpaceMismatchError
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, Medium
from support.toy_encoder import ToyEncoder
from support.vector_items import DIM, directions, item_of, near, write_items

IMAGE, AUDIO, VIDEO = Medium.IMAGE, Medium.AUDIO, Medium.VIDEO


def pictures(vectors: np.ndarray) -> list[EmbeddedItem]:
    return [item_of(f"{n:04}.jpg", IMAGE, row[None]) for n, row in enumerate(vectors)]


def collection_of(tmp_path: Path, items: list[EmbeddedItem], kind: str = "") -> Collection:
    write_items(tmp_path / "c", items)
    if kind:
        encoder = ToyEncoder(media=(IMAGE, VIDEO, AUDIO), dim=DIM)
        build_index(tmp_path / "c", request=IndexRequest(kind), encoders=lambda space: encoder)
    return Collection.open(tmp_path / "c")


def ids(groups: list[DuplicateGroup]) -> list[list[int]]:
    return [[item.item_id for item in group.items] for group in groups]


def brute_force(vectors: np.ndarray, threshold: float) -> list[list[int]]:
    """Groups by all cosines and repeated label propagation, largest first."""
    rows = vectors.astype(np.float16).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    alike = rows @ rows.T >= threshold
    roots = np.arange(len(rows))
    for _ in rows:
        roots = np.where(alike, roots[None], len(rows)).min(axis=1)
    groups = [np.flatnonzero(roots == root).tolist() for root in np.unique(roots)]
    return sorted([g for g in groups if len(g) > 1], key=lambda g: (-len(g), g[0]))


def clusters(seed: int = 0) -> np.ndarray:
    """Rows around few directions, so that many are near each other and groups are large."""
    centres = directions(40, seed)
    rng = np.random.default_rng(seed)
    rows = centres[rng.integers(0, 40, 600)]
    return near(rows, 0.45, seed + 1)


@pytest.mark.parametrize("kind", ["", "exact", "IVF8,SQ8"])
@pytest.mark.parametrize("threshold", [0.84, 0.9])
def test_groups_of_pictures_equal_brute_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, threshold: float
) -> None:
    monkeypatch.setattr("retrieval.duplicates.neighbours.EXACT_ROWS", 0)
    monkeypatch.setattr("retrieval.duplicates.neighbours.FIRST_ANSWERS", 1)
    monkeypatch.setattr("retrieval.duplicates.neighbours.MAX_ANSWERS", 300)
    vectors = clusters()
    collection = collection_of(tmp_path, pictures(vectors), kind)
    want = brute_force(vectors, threshold)
    assert len(want) > 3
    assert ids(collection.duplicates(threshold)) == want


def test_rows_newer_than_index_are_compared(tmp_path: Path) -> None:
    rows = directions(30)
    collection_of(tmp_path, pictures(rows), "IVF4,SQ8")
    write_items(tmp_path / "c", [item_of("new.jpg", IMAGE, near(rows[:1], 0.1))])
    write_items(tmp_path / "c", [item_of("newer.jpg", IMAGE, near(rows[:1], 0.1, 7))])
    assert ids(Collection.open(tmp_path / "c").duplicates()) == [[0, 30, 31]]


def test_items_list_best_five_matches_and_group_contains_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.duplicates.groups.MAX_PENDING_PAIRS", 10)
    monkeypatch.setattr("retrieval.duplicates.neighbours.OTHER_ROWS", 7)
    rows = near(np.repeat(directions(1), 50, axis=0), 0.2)
    collection = collection_of(tmp_path, pictures(rows))
    (group,) = collection.duplicates(0.9)
    assert len(group.items) == 50
    stored = rows.astype(np.float16).astype(np.float32)
    scores = stored @ stored.T
    np.fill_diagonal(scores, -1)
    for item in group.items:
        best = np.sort(scores[item.item_id])[::-1][:5]
        assert [match.score for match in item.matches] == pytest.approx(best, abs=2e-3)
        assert item.uri == f"/archive/{item.item_id:04}.jpg"
        assert item.metadata["caption"] == f"what {item.item_id:04}.jpg shows"


def test_identical_pictures_reach_a_threshold_of_one(tmp_path: Path) -> None:
    rows = np.concatenate([directions(5), directions(5)])
    assert ids(collection_of(tmp_path, pictures(rows)).duplicates(1.0)) == [
        [n, n + 5] for n in range(5)
    ]


def test_clip_and_film_match_with_overlap(tmp_path: Path) -> None:
    scenes = directions(40)
    collection = collection_of(
        tmp_path,
        [
            item_of("film.mp4", VIDEO, scenes[:20]),
            item_of("clip.mp4", VIDEO, near(scenes[5:9], 0.1)),
            item_of("other.mp4", VIDEO, np.concatenate([scenes[18:20], scenes[30:38]])),
            item_of("clip.mp3", AUDIO, scenes[5:9]),
            item_of("still.jpg", IMAGE, scenes[5:6]),
        ],
    )
    (group,) = collection.duplicates()
    assert (group.modality, ids([group])) == (VIDEO, [[0, 1]])
    film, clip = group.items
    (match,) = clip.matches
    assert (match.item_id, match.share) == (0, 1.0)
    assert (match.overlaps[0].start_seconds, match.overlaps[0].end_seconds) == (0, 8)
    assert match.overlaps[0].other_start_seconds == 10
    assert [m.item_id for m in film.matches] == [1]
    assert film.matches[0].overlaps == (match.overlaps[0].mirrored(),)


def test_film_lists_best_five_clips_and_clips_list_film(tmp_path: Path) -> None:
    scenes = directions(40)
    clips = [near(scenes[n : n + 6], 0.02 * (7 - k), k + 1) for k, n in enumerate(range(0, 35, 5))]
    items = [item_of("film.mp4", VIDEO, scenes)]
    items += [item_of(f"{n}.mp4", VIDEO, rows) for n, rows in enumerate(clips)]
    (group,) = collection_of(tmp_path, items).duplicates()
    film, *others = group.items
    assert [match.item_id for match in film.matches] == [7, 6, 5, 4, 3]
    assert [match.overlaps[0].start_seconds for match in film.matches] == [60, 50, 40, 30, 20]
    for number, clip in enumerate(others):
        assert clip.matches[0].item_id == 0
        assert clip.matches[0].overlaps[0].other_start_seconds == 10 * number


def test_smaller_share_finds_common_ending(tmp_path: Path) -> None:
    scenes = directions(40)
    items = [
        item_of("one.mp4", VIDEO, scenes[:10]),
        item_of("two.mp4", VIDEO, np.concatenate([scenes[20:26], scenes[8:10]])),
    ]
    collection = collection_of(tmp_path, items)
    assert collection.duplicates() == []
    assert ids(collection.duplicates(share=0.2)) == [[0, 1]]
    assert collection.duplicates(share=0.2, min_seconds=5) == []


@pytest.mark.parametrize("exact", [False, True])
def test_still_videos_in_an_approximate_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    """Segments of a still video are nearer to each other than to those of its copy."""
    monkeypatch.setattr("retrieval.duplicates.neighbours.EXACT_ROWS", 0)
    monkeypatch.setattr("retrieval.duplicates.find.QUERY_ROWS", 16)
    still = np.repeat(directions(3), 60, axis=0)
    items = [
        *(item_of(f"{n}.mp4", VIDEO, near(still[:60], 0.05, n)) for n in range(3)),
        item_of("apart.mp4", VIDEO, still[60:120]),
        *pictures(directions(100, 5)),
    ]
    groups = collection_of(tmp_path, items, "IVF4,SQ8").duplicates(exact=exact)
    assert ids(groups) == [[0, 1, 2]]
    assert all(match.share > 0.9 for item in groups[0].items for match in item.matches)


def test_removed_items_are_excluded(tmp_path: Path) -> None:
    rows = np.repeat(directions(2), 3, axis=0)
    collection = collection_of(tmp_path, pictures(rows), "exact")
    collection.remove(ids=[1, 4, 5])
    assert ids(collection.duplicates()) == [[0, 2]]


@pytest.mark.parametrize("kind", ["", "exact"])
def test_items_have_their_current_columns(tmp_path: Path, kind: str) -> None:
    rows = np.concatenate([directions(3), directions(3)[::-1]])
    collection = collection_of(tmp_path, pictures(rows), kind)
    with CollectionWriter.open(collection.root) as writer:
        info = replace(item_of("new.jpg", IMAGE, rows[:1]).info, columns={"year": 1999})
        writer.update(4, info, ["uri", "caption", "year"])
    groups = Collection.open(collection.root).duplicates()
    ((first, second),) = (group.items for group in groups if group.items[0].item_id == 1)
    assert (first.item_id, first.uri) == (1, "/archive/0001.jpg")
    assert "year" not in first.metadata
    assert (second.item_id, second.uri) == (4, "/archive/new.jpg")
    assert second.metadata == {"caption": "what new.jpg shows", "year": 1999}


def test_space_can_be_selected(tmp_path: Path) -> None:
    collection = collection_of(tmp_path, pictures(np.repeat(directions(1), 2, axis=0)))
    name = collection.snapshot.spaces[0].name
    assert [group.space for group in collection.duplicates(spaces=[name])] == [name]
    with pytest.raises(SpaceMismatchError, match="no space 'nowhere'"):
        collection.duplicates(spaces=["nowhere"])


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    collection = collection_of(tmp_path, pictures(directions(1200)))
    updates: list[tuple[float, float | None]] = []

    def record(task: str, done: float, total: float | None, note: str = "") -> None:
        updates.append((done, total))

    assert collection.duplicates(progress=record) == []
    # Each modality passes all rows of the space.
    assert updates[-1] == (3 * 1200, 3 * 1200)
    assert len(updates) > 3


def test_fault_30_an_empty_collection_and_one_item(tmp_path: Path) -> None:
    assert collection_of(tmp_path / "none", []).duplicates() == []
    assert collection_of(tmp_path / "one", pictures(directions(1))).duplicates() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "the threshold must be a cosine"),
        ({"threshold": 0.0}, "the threshold must be a cosine"),
        ({"threshold": float("nan")}, "the threshold must be a cosine"),
        ({"share": 2.0}, "the share must be between"),
        ({"min_seconds": -1.0}, "the minimum seconds must be at least"),
    ],
)
def test_fault_31_invalid_options_fail(
    tmp_path: Path, options: dict[str, float], message: str
) -> None:
    collection = collection_of(tmp_path, pictures(directions(2)))
    with pytest.raises(QueryError, match=message):
        collection.duplicates(**options)


@pytest.mark.parametrize("counts", [[1] * 2000, [5000, 1, 1], [3, 600, 2, 511, 1], [512, 512], []])
def test_blocks_contain_complete_items(counts: list[int]) -> None:
    item_ids = np.repeat(np.arange(len(counts)), counts)
    blocks = list(item_blocks(item_ids))
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(
        range(len(item_ids))
    )
    for block in blocks:
        inside = item_ids[block]
        assert len(inside) <= 512 or len(np.unique(inside)) == 1
        assert inside[-1] not in item_ids[block.stop :]
