"""Search by vectors and words together, compared with exact scores."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from retrieval.errors import QueryError
from retrieval.search.query import Query
from retrieval.store.text_rows import TextUpdate
from retrieval.store.writer import CollectionWriter
from retrieval.texts.tokenizer import Tokenizer
from retrieval.types import Hit, Medium, TextSource, TimedText
from support.indexed_toys import SOUND
from support.texts import TextCollection, bm25, caption, collection_of, cue, name

CUES = [
    cue(0, 2, "we walk to the old"),
    cue(2.5, 5, "harbour of Hamburg"),
    cue(9, 11, "nothing else here"),
    cue(40, 41.5, "an old wall"),
]
ITEMS = [
    [name("beach dog")],
    CUES,
    [caption("Zanzibar café, 東京都")],
    [],
    [name("a photo of the IMG")],
    [cue(3, 4, "the harbour again"), name("ferry")],
]


@pytest.fixture(scope="module", params=["new", "indexed"])
def texts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    collection = collection_of(tmp_path_factory.mktemp("texts") / "c", *ITEMS)
    if request.param == "indexed":
        collection.index()
    return collection


def ids(hits: tuple[Hit, ...]) -> list[int]:
    return [hit.item_id for hit in hits]


def only(collection: TextCollection, query: str, **options: object) -> list[int]:
    return ids(collection.search(query, text="only", **options))  # type: ignore[arg-type]


def test_words_find_items_and_each_hit_shows_its_text(texts: TextCollection) -> None:
    first, *others = texts.search("cafe in zanzibar", k=6)
    assert first.matched is not None
    assert first.item_id == 2
    assert first.likely
    assert first.matched.source is TextSource.CAPTION
    assert first.matched.text == "Zanzibar café, 東京都"
    assert first.matched.marks == ((0, 8), (9, 13))
    assert all(hit.matched is None and hit.text_score is None for hit in others)
    assert len(others) == 5


def test_words_alone_need_no_model(texts: TextCollection) -> None:
    alone = TextCollection(texts.root, device="cpu")
    alone.encoder = None  # type: ignore[assignment]  # any use is an error
    (hit,) = alone.search("東京", text="only")
    assert (hit.item_id, hit.score, hit.space) == (2, None, None)
    assert (hit.modality, hit.medium) == (Medium.IMAGE, Medium.IMAGE)
    assert alone.search("nowhere", text="only") == ()
    assert alone.search("harbour", text="only", with_vectors=True)[0].vector is None


def test_any_word_matches_and_more_words_rank_higher(texts: TextCollection) -> None:
    assert only(texts, "ferry harbour zanzibar")[0] == 5
    assert set(only(texts, "ferry harbour zanzibar")) == {1, 2, 5}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('"harbour of"', {1}),
        ('"of harbour"', set()),
        ('harbour "old wall"', {1}),
        ("harbour -ferry", {1}),
        ("old harbour -zanzibar", {1, 5}),
        ('harbour "of hamburg" -wall', set()),
        ("東京 -cafe", set()),
        ('"東京都"', {2}),
        ('"京東"', set()),
    ],
)
def test_phrases_and_excluded_words_restrict(
    texts: TextCollection, query: str, expected: set[int]
) -> None:
    assert set(only(texts, query)) == expected


def test_phrases_and_excluded_words_restrict_the_hits_of_vectors(texts: TextCollection) -> None:
    assert set(ids(texts.search("a red star -harbour", k=9))) == {0, 2, 3, 4}
    assert set(ids(texts.search('a red star "old wall"', k=9))) == {1}
    assert len(texts.search('"a red star"', k=9)) == 6
    # Models embed the words without operators; without texts the query is literal.
    restricted = texts.search('a "ferry" star -wall', k=9)
    assert [hit.score for hit in restricted] == pytest.approx(
        [hit.score for hit in texts.search("a ferry star", k=9, text="off") if hit.item_id == 5]
    )
    literal = 'a "red" star -harbour'
    assert texts.search(literal, text="off") == texts.search(Query.of_text(literal), text="off")


def test_filters_apply_to_texts(texts: TextCollection) -> None:
    assert only(texts, "harbour") == [5, 1] or only(texts, "harbour") == [1, 5]
    assert only(texts, "harbour", where="number < 3") == [1]
    assert only(texts, "harbour", ids=[5, 77]) == [5]
    assert only(texts, "harbour beach", to="image") == [0]
    assert only(texts, "harbour", to="music") == []
    assert only(texts, "harbour", k=1, offset=1) == only(texts, "harbour")[1:]


def test_the_spoken_word_has_the_times_of_its_cue(texts: TextCollection) -> None:
    hits = {hit.item_id: hit for hit in texts.search("harbour")}
    assert (hits[5].start_seconds, hits[5].end_seconds) == (3, 4)
    assert (hits[1].start_seconds, hits[1].end_seconds) == (2.5, 5)


def test_a_text_moment_is_the_union_of_matching_cues(texts: TextCollection) -> None:
    hits = [hit for hit in texts.search("old harbour", to="moment", k=50) if hit.score is None]
    spans = {(hit.item_id, hit.start_seconds, hit.end_seconds) for hit in hits}
    assert (1, 0, 5) in spans  # two cues, half a second apart
    assert all(hit.space is None and hit.text_score and hit.matched for hit in hits)
    assert texts.search("old harbour", to="moment")[0].item_id == 1
    alone = texts.search("old harbour", to="moment", text="only")
    spans = [(hit.item_id, hit.start_seconds, hit.end_seconds) for hit in alone]
    assert spans[0] == (1, 0, 5)
    assert sorted(spans[1:]) == [(1, 40, 41.5), (5, 3, 4)]


def test_a_text_of_the_whole_item_raises_its_moments(texts: TextCollection) -> None:
    first = texts.search("ferry", to="moment", k=50)[0]
    assert first.item_id == 5
    assert first.score is not None
    assert first.matched is not None
    assert first.matched.source is TextSource.NAME


def test_other_queries_use_vectors_alone(texts: TextCollection) -> None:
    for query in (Query.like(2), '"harbour" + "ferry"'):
        assert all(hit.matched is None for hit in texts.answer(query).hits)
        with pytest.raises(QueryError, match="single text"):
            texts.search(query, text="only")
    with pytest.raises(QueryError, match="`text` must be one of auto, off, only"):
        texts.search("x", text="some")


def test_minimum_score_and_cutoff_keep_hits_with_a_matching_text(texts: TextCollection) -> None:
    assert ids(texts.search("zanzibar", min_score=0.999)) == [2]
    assert 2 in ids(texts.search("zanzibar", cutoff=True))


def test_hits_with_texts_become_tables(texts: TextCollection) -> None:
    row = texts.search("zanzibar", text="only").to_arrow().to_pylist()[0]
    assert (row["score"], row["space"]) == (None, None)
    assert (row["matched_source"], row["matched_text"]) == ("caption", "Zanzibar café, 東京都")


# ---------------------------------------------------------------- queries by meaning


@pytest.mark.parametrize("indexed", [False, True])
def test_names_do_not_change_queries_by_meaning(tmp_path: Path, indexed: bool) -> None:
    rng = random.Random(0)
    words = ["a", "of", "photo", "IMG", "the", "on", "picture", "one", "holiday", "0815"]
    names = [[name(" ".join(rng.choices(words, k=4)))] for _ in range(60)]
    collection = collection_of(tmp_path / "c", *names)
    if indexed:
        collection.index()
    for query in (
        "a photo of a dog on the beach",
        "IMG of the photo",
        "picture of one red star",
        "a photo",
        "the one on the picture",
    ):
        for to in ((), ("moment",)):
            expected = collection.search(query, to=to, k=30, text="off")
            assert collection.search(query, to=to, k=30) == expected, query


# ---------------------------------------------------------------- exact scores


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_an_exact_bm25(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    vocabulary = [f"wort{number}" for number in range(40)] + ["Straße", "東京", "CAFÉ"]
    items: list[list[TimedText]] = [
        [caption(" ".join(rng.choices(vocabulary, k=rng.randint(1, 12))))] for _ in range(80)
    ]
    collection = collection_of(tmp_path / "c", *items)
    collection.index()
    documents: dict[object, list[str]] = {
        number: Tokenizer().terms(item[0].text) for number, item in enumerate(items)
    }
    for _ in range(20):
        query = " ".join(rng.choices(vocabulary, k=rng.randint(1, 4)))
        expected = bm25(documents, Tokenizer().query_terms(query))
        hits = collection.search(query, text="only", k=80)
        assert {hit.item_id: hit.text_score for hit in hits} == pytest.approx(expected)
        # More of the query's words rank higher; equal words by score.
        terms = set(Tokenizer().query_terms(query))
        matched = [(frozenset(terms & set(documents[h.item_id])), h.text_score) for h in hits]
        for (words, score), (next_words, next_score) in pairwise(matched):
            assert not words < next_words
            assert words != next_words or score >= next_score  # type: ignore[operator]


def test_texts_newer_than_the_index_rank_as_indexed_ones(tmp_path: Path) -> None:
    rng = random.Random(1)
    vocabulary = [f"wort{number}" for number in range(60)]

    def texts(count: int) -> list[list[TimedText]]:
        return [[caption(" ".join(rng.choices(vocabulary, k=8)))] for _ in range(count)]

    collection = collection_of(tmp_path / "c", *texts(60))
    collection.index()
    collection_of(collection.root, *texts(30))
    with CollectionWriter.open(collection.root) as writer:
        writer.remove([3, 70])
        texts_of_40 = TextUpdate((caption("wort1 wort2 wort59"),), frozenset({TextSource.CAPTION}))
        writer.update_texts(40, texts_of_40)
    collection.refresh()
    queries = ["wort1 wort2 wort59"] + [" ".join(rng.choices(vocabulary, k=3)) for _ in range(20)]
    before = [ids(collection.search(query, text="only", k=20)) for query in queries]
    assert not {3, 70} & {item for found in before for item in found}
    collection.index()
    after = [ids(collection.search(query, text="only", k=20)) for query in queries]
    assert before == after
    assert before[0][0] == 40


def test_a_collection_without_texts_is_searched_by_vectors(tmp_path: Path) -> None:
    collection = collection_of(tmp_path / "c", [], [])
    collection.index()
    assert collection.search('a "red" star -x') == collection.search('a "red" star -x', text="off")
    assert collection.search("red", text="only") == ()
    assert SOUND.name in {space.name for space in collection.snapshot.spaces}
