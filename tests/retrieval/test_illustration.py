from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.errors import QueryError
from retrieval.illustration import Scene, _best_path, illustrate, read_sentences
from retrieval.types import Hit, Medium
from retrieval.visual_words import Word


def scene(score: float, word: Word) -> Scene:
    hit = Hit(0, score, 0, "x", Medium.IMAGE, Medium.IMAGE, None, None, "s", likely=True)
    return Scene("…", hit, word)


def test_text_is_cut_into_sentences(tmp_path: Path) -> None:
    text = tmp_path / "recipe.txt"
    text.write_text('1. Mix 2.5 g salt. "Stir!" Then wait…\nServe hot\n\n  3.\nEat.\n')
    assert read_sentences(text) == [
        "1. Mix 2.5 g salt.", '"Stir!', "Then wait…", "Serve hot", "3. Eat.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no sentence"), (b"12. 3.\n", "no sentence"), (b"\xff\xfe", "UTF-8"),
     (b"a. " * 1_001, "1,001 sentences"), (b"a" * 1_100_000, "over 1 MiB")],
)  # fmt: skip
def test_texts_that_make_no_storyboard_fail(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(QueryError, match=message):
        read_sentences(tmp_path / "t.txt")


def test_neighbours_differ_and_the_sum_of_scores_is_highest() -> None:
    choices = [
        [scene(0.9, (1,)), scene(0.8, (2,))],
        [scene(0.9, (1,)), scene(0.3, (2,))],
        [scene(0.9, (1,)), scene(0.7, (3,))],
    ]
    # 0.8 + 0.9 + 0.7 beats 0.9 + 0.3 + 0.9, and both beat any repetition.
    assert [chosen.word for chosen in _best_path(choices)] == [(2,), (1,), (3,)]
    assert [chosen.hit.rank for chosen in _best_path(choices)] == [1, 2, 3]


def test_a_word_is_repeated_where_nothing_else_fits() -> None:
    choices = [[scene(0.1, (1,))], [scene(0.2, (1,))], [scene(0.9, (1,)), scene(-0.9, (2,))]]
    assert [chosen.word for chosen in _best_path(choices)] == [(1,), (1,), (2,)]


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.txt"
    path.write_text("A red circle.\nA red circle again.\nA blue star at night.\nA green square.\n")
    return path


def test_each_sentence_has_its_best_picture_or_frame(story: Path, indexed: Collection) -> None:
    scenes = illustrate(story, indexed, branching=4)
    assert [one.sentence for one in scenes][::3] == ["A red circle.", "A green square."]
    assert all(one.word != other.word for one, other in pairwise(scenes))
    for one in scenes:
        space = indexed.snapshot.space(one.hit.space)
        text = indexed.encoder(space).encode_text([one.sentence])[0]
        assert one.hit.modality in (Medium.IMAGE, Medium.VIDEO)
        if one.hit.modality is Medium.IMAGE:
            vector = indexed.snapshot.item_segments(space.name, one.hit.item_id).vectors[0]
        else:
            frames = indexed.snapshot.item_frames(space.name, one.hit.item_id)
            (place,) = np.flatnonzero(np.isclose(frames.seconds, one.hit.start_seconds))
            vector = frames.vectors[place]
            assert one.hit.start_seconds < one.hit.end_seconds <= one.hit.start_seconds + 2
        assert one.hit.score == pytest.approx(float(vector @ text), abs=2e-3)


def test_one_sentence_gets_the_very_best(story: Path, indexed: Collection) -> None:
    story.write_text("a red circle")
    (only,) = illustrate(story, indexed)
    best = indexed.search("a red circle", to=["image"], k=1)[0].score
    assert only.hit.score >= best - 2e-3


def test_a_collection_without_pictures_fails(story: Path, world_of_sound: Collection) -> None:
    with pytest.raises(QueryError, match="no space of pictures"):
        illustrate(story, world_of_sound)


@pytest.fixture
def world_of_sound(world, tmp_path: Path) -> Collection:
    from retrieval.embed_options import EmbedOptions

    collection = Collection(tmp_path / "sounds", device="cpu")
    options = EmbedOptions(models=("tiny-music",), device="cpu", workers=0)
    collection.add(world.folder / "music" / "00000.flac", options=options)
    return collection
