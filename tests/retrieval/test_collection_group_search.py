"""Several collections answer as one that holds all of their items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retrieval.collection import Collection
from retrieval.collection_group import CollectionGroup
from retrieval.errors import (
    FilterError,
    QueryError,
    SpaceMismatchError,
)
from retrieval.search.query import Query
from retrieval.search.result import SearchResult
from retrieval.store.writer import CollectionWriter
from retrieval.types import Hit
from support.indexed_toys import PICTURES, SOUND, unit
from support.served_toys import (
    embed_toys,
    noise_picture,
    use_toys_for_searching,
    write_media,
)
from support.several_toys import (
    RANGES,
    REMOVED,
    Toys,
    group_of,
    item,
    like,
    one_and_several,
    toys_of,
)

Both = tuple[Collection, CollectionGroup]


@pytest.fixture(scope="module", params=["new", "indexed"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("several")
    return one_and_several(folder, indexed=request.param == "indexed")


def fields(hit: Hit) -> tuple[object, ...]:
    """All fields but the scores and those that differ between one and several collections."""
    same = replace(hit, score=None, text_score=None, collection=None, item_id=0, vector=None)
    return (same, hit.score is None, hit.text_score is None)


def scores(result: SearchResult) -> list[float]:
    return [score or 0.0 for hit in result.hits for score in (hit.score, hit.text_score)]


def assert_equal(one: SearchResult, several: SearchResult) -> None:
    assert [fields(hit) for hit in several.hits] == [fields(hit) for hit in one.hits]
    np.testing.assert_allclose(scores(several), scores(one), atol=1e-6)
    assert several.hidden == one.hidden
    assert several.query == one.query


def answer_or_error(collection: Any, query: Any, **options: Any) -> SearchResult | str:
    try:
        result: SearchResult = collection.answer(query, **options)
    except QueryError as error:
        return str(error)
    return result


def assert_same_answer(both: Both, query: Any, several_query: Any = None, **options: Any) -> None:
    """Compare the answers, or the errors of a query that no searched model embeds."""
    one, several = both
    want = answer_or_error(one, query, **options)
    answer = answer_or_error(several, several_query or query, **options)
    if isinstance(want, str) or isinstance(answer, str):
        assert answer == want
        return
    assert_equal(replace(want, query=answer.query), answer)


TEXTS = [
    "red",
    "wort1 wort2 wort20",
    'wort1 "wort3 wort4"',
    "red wort5 -wort3",
    '"wort7"',
    "wort11 high green",
    "no word of any text",
]

OPTIONS: list[dict[str, Any]] = [
    {},
    {"to": "image"},
    {"to": "music"},
    {"to": ["video", "image"]},
    {"to": "moment"},
    {"to": ["video", "moment"], "k": 40},
    {"to": ["music", "moment"], "where": "number > 20"},
    {"where": "place = 'sea' AND number < 70"},
    {"where": ["number > 10", "number % 2 = 0"], "text": "only"},
    {"cutoff": True, "k": 80},
    {"min_score": 0.1},
    {"offset": 9, "k": 7},
    {"k": 200},
    {"text": "off"},
    {"text": "only", "to": "moment"},
    {"spaces": SOUND.name},
    {"spaces": [PICTURES.name], "to": "moment"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("query", TEXTS)
def test_texts_are_answered_as_by_one_collection(
    both: Both, query: str, options: dict[str, Any]
) -> None:
    assert_same_answer(both, query, **options)


def test_the_answers_compare_more_than_nothing(both: Both) -> None:
    """Words, both spaces and every collection contribute to the answers above."""
    hits = both[1].answer("wort1 wort2 wort20", k=200).hits
    assert len(hits) == RANGES[-1][1] - len(REMOVED)
    assert {hit.space for hit in hits} >= {PICTURES.name, SOUND.name}
    assert {hit.collection for hit in hits} == set(both[1].collections)
    assert any(hit.matched for hit in hits)
    found = both[1].answer("wort7", to="moment", k=200).hits
    assert any(hit.score is None and hit.start_seconds is not None for hit in found)


@pytest.mark.parametrize("options", OPTIONS[:3] + OPTIONS[4:8] + OPTIONS[10:13], ids=str)
def test_pictures_and_sums_are_answered_as_by_one_collection(
    both: Both, tmp_path: Path, options: dict[str, Any]
) -> None:
    options = {name: value for name, value in options.items() if name != "text"}
    path = tmp_path / "red.png"
    Image.new("RGB", (20, 20), (250, 10, 30)).save(path)
    assert_same_answer(both, path, **options)
    assert_same_answer(both, Image.open(path), **options)
    assert_same_answer(both, f'"green" + 0.5*@"{path}" - "wort1"', **options)
    assert_same_answer(both, '"green" + "high"', **options)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Both, Path]]:
    """Real files that toys embedded, in one collection and in two; and the folder of the files."""
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        use_toys_for_searching(patch.setattr)
        write_media(folder / "a")
        write_media(folder / "b")
        for number, path in enumerate(sorted((folder / "b").rglob("*.png"))):
            noise_picture(40, number).save(path)
        roots = [embed_toys(folder / name, folder / f"c-{name}", patch.setattr) for name in "ab"]
        everything = embed_toys(folder / "a", folder / "all", patch.setattr)
        embed_toys(folder / "b", everything, patch.setattr)
        for root in (*roots, everything):
            Collection(root, device="cpu").index()
        yield (
            (Collection(everything), group_of(*(Collection(root) for root in roots))),
            folder,
        )


@pytest.mark.parametrize("name", ["red.png", "low.wav", "film.mp4", "some.tar!in tar/scarlet.png"])
@pytest.mark.parametrize("options", [{}, {"to": "moment"}, {"cutoff": True, "k": 40}], ids=str)
def test_files_are_answered_as_by_one_collection(
    real: tuple[Both, Path], name: str, options: dict[str, Any]
) -> None:
    both, folder = real
    query = f'@"{folder / "a" / name}"'
    assert_same_answer(both, query, **options)
    assert_same_answer(both, f'{query} + 0.3*"high"', **options)
    assert both[1].search(query, **options)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("space", [PICTURES.name, SOUND.name])
@pytest.mark.parametrize("to", [(), "moment", "music"])
def test_vectors_are_answered_as_by_one_collection(
    both: Both, count: int, space: str, to: str
) -> None:
    one, several = both
    options = {"vector": unit(count, 5), "space": space, "to": to, "k": 30}
    assert_equal(one.answer(**options), several.answer(**options))


@pytest.mark.parametrize("number", [3, 23, 60, 61, 62, 1])
@pytest.mark.parametrize(
    "options", [{}, {"to": "image"}, {"to": "moment"}, {"offset": 3}, {"cutoff": True}], ids=str
)
def test_an_item_is_a_query_and_not_a_hit(both: Both, number: int, options: dict[str, Any]) -> None:
    assert_same_answer(both, Query.like(number), like(both[1], number), **options)


def test_an_item_is_named_by_its_collection_and_id(both: Both) -> None:
    several = both[1]
    answer = several.answer(like(several, 26))
    name = list(several.collections)[2]
    for text in (f"{name}:2", f"{Path(name).name}:2"):
        assert several.answer(like=text).hits == answer.hits
    assert answer.query == f"item {name}:2"
    assert "/media/26" not in {hit.uri for hit in answer.hits}


def test_items_of_several_collections_are_selected(both: Both) -> None:
    one, several = both
    numbers = [2, 23, 40, 41, 89, REMOVED[0]]
    names = list(several.collections)
    ids = [
        f"{Path(names[part]).name}:{number - first}"
        for number in numbers
        for part, (first, last) in enumerate(RANGES)
        if first <= number < last
    ]
    for options in ({}, {"text": "only"}, {"to": "moment"}):
        answer = several.answer("wort1 wort2 wort3", ids=[*ids, "part0:99"], **options)
        assert_equal(one.answer("wort1 wort2 wort3", ids=numbers, **options), answer)
    assert several.search("red", ids=[]) == ()


def test_stored_vectors_of_hits(both: Both) -> None:
    one, several = both
    for options in ({}, {"to": "moment"}):
        want = one.search("wort1 high", with_vectors=True, k=20, **options)
        hits = several.search("wort1 high", with_vectors=True, k=20, **options)
        assert [hit.vector is None for hit in hits] == [hit.vector is None for hit in want]
        for hit, same in zip(hits, want, strict=True):
            if same.vector is not None:
                np.testing.assert_array_equal(hit.vector, same.vector)


# ---------------------------------------------------------------- differing members


def test_columns_that_only_some_members_have_are_null_elsewhere(tmp_path: Path) -> None:
    def write(root: Path, **columns: object) -> None:
        with CollectionWriter.open(root, create=True) as writer:
            if writer.snapshot is None:
                writer.add_space(PICTURES)
                writer.add_space(SOUND)
            for number in (0, 3):
                toy = item(number)
                uri = f"/{root.name}/{number}/{len(columns)}"
                writer.add(replace(toy, info=replace(toy.info, uri=uri, columns=columns)))

    for root in (tmp_path / "all", tmp_path / "a"):
        write(root, year=2020, author="Ada")
    for root in (tmp_path / "all", tmp_path / "b"):
        write(root, season="summer")
    one = Toys(tmp_path / "all", device="cpu")
    several = group_of(Toys(tmp_path / "a"), Toys(tmp_path / "b"))
    for where, count in (
        ("year > 2000", 2),
        ("year IS NULL", 2),
        ("season = 'summer' OR author = 'Ada'", 4),
        ("season IS NULL AND year = 2020", 2),
    ):
        found = {hit.metadata.get("year", 0) for hit in several.search("red", where=where)}
        assert found == {hit.metadata.get("year", 0) for hit in one.search("red", where=where)}
        assert len(several.search("red", where=where)) == count
        assert len(several.search("red", where=where, text="only")) == 0
    with pytest.raises(FilterError, match="nothing"):
        several.search("red", where="nothing = 1")


def test_a_space_that_some_members_lack_is_searched_where_it_exists(tmp_path: Path) -> None:
    with CollectionWriter.open(tmp_path / "pictures", create=True) as writer:
        writer.add_space(PICTURES)
        for number in (0, 3, 6):
            toy = item(number)
            writer.add(replace(toy, segments={PICTURES.name: toy.segments[PICTURES.name]}))
    toys_of(tmp_path / "both", range(30, 60))
    several = group_of(
        Toys(tmp_path / "pictures", device="cpu"), Toys(tmp_path / "both", device="cpu")
    )
    hits = several.search("red high", k=100)
    assert {hit.collection: hit.space for hit in hits if hit.uri == "/media/0"}
    assert {hit.space for hit in hits} == {PICTURES.name, SOUND.name}
    assert len(hits) == 3 + 30 - 1
    music = several.search("high", spaces=SOUND.name, k=100)
    assert {hit.collection for hit in music} == {str(tmp_path / "both")}


def test_spaces_of_one_name_and_other_models_are_refused(tmp_path: Path) -> None:
    toys_of(tmp_path / "a", [0], indexed=False)
    with CollectionWriter.open(tmp_path / "b", create=True) as writer:
        writer.add_space(replace(PICTURES, digest="f" * 64))
        toy = item(3)
        writer.add(replace(toy, segments={PICTURES.name: toy.segments[PICTURES.name]}))
    several = CollectionGroup.open([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(SpaceMismatchError) as caught:
        several.search("red")
    message = str(caught.value)
    assert f"the space {PICTURES.name} of {tmp_path / 'b'}" in message
    assert f"that of {tmp_path / 'a'}" in message
    assert "\n" not in message
    with pytest.raises(SpaceMismatchError, match="another model"):
        several.duplicates()


def test_members_with_and_without_texts_or_a_stemmer(tmp_path: Path) -> None:
    first = toys_of(tmp_path / "a", range(30), indexed=False)
    first.index(language="english")
    silent = toys_of(tmp_path / "b", [0, 12], indexed=False)  # no texts
    assert not silent.snapshot.manifest.files_in("texts")
    several = group_of(first, silent)
    assert [hit.uri for hit in several.search("wort3 wort9", text="only", k=30)] == [
        hit.uri for hit in first.search("wort3 wort9", text="only", k=30)
    ]
    # Items without texts contain no phrase, and no excluded word.
    with_phrase = several.search('red "wort3"', k=99)
    assert {hit.collection for hit in with_phrase} == {str(first.root)}
    assert any(hit.collection == str(silent.root) for hit in several.search("red -wort3", k=99))
