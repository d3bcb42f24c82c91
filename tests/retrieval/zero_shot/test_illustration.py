from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.embedding.options import EmbedOptions
from retrieval.errors import QueryError
from retrieval.types import Hit, Medium
from retrieval.zero_shot.illustration import Illustration, _best_path, illustrate, read_sentences
from retrieval.zero_shot.visual_words import Word


def choice(score: float, word: Word, item_id: int = 0, *, likely: bool = True) -> Illustration:
    hit = Hit(0, score, item_id, "x", Medium.IMAGE, Medium.IMAGE, None, None, "s", likely=likely)
    return Illustration("…", hit, word)


def test_text_is_split_into_sentences(tmp_path: Path) -> None:
    text = tmp_path / "recipe.txt"
    text.write_text('1. Mix 2.5 g salt. "Stir!" Then wait…\nServe hot\n\n  3.\nEat.\n')
    assert read_sentences(text) == [
        "1. Mix 2.5 g salt.", '"Stir!"', "Then wait…", "Serve hot", "3. Eat.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no sentence"), (b"12. 3.\n", "no sentence"), (b"\xff\xfe", "UTF-8"),
     (b"It is. " * 1_001, "1,001 sentences"), (b"a" * 1_100_000, "over 1 MiB")],
)  # fmt: skip
def test_unusable_texts_fail(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(QueryError, match=message):
        read_sentences(tmp_path / "t.txt")


def test_neighbours_differ_and_the_sum_of_scores_is_highest() -> None:
    choices = [
        [choice(0.9, (1,)), choice(0.8, (2,))],
        [choice(0.9, (1,)), choice(0.3, (2,))],
        [choice(0.9, (1,)), choice(0.7, (3,))],
    ]
    # 0.8 + 0.9 + 0.7 beats 0.9 + 0.3 + 0.9, and both beat any repetition.
    assert [chosen.word for chosen in _best_path(choices)] == [(2,), (1,), (3,)]
    assert [chosen.hit.rank for chosen in _best_path(choices)] == [1, 2, 3]


def test_field_23_abbreviations_do_not_end_sentences(tmp_path: Path) -> None:
    text = tmp_path / "t.txt"
    text.write_text(
        "Dr. Smith met Mr. Jones at 5 p.m. on Main St. in town. He left, e.g. by car.\n"
    )
    assert read_sentences(text) == [
        "Dr. Smith met Mr. Jones at 5 p.m. on Main St. in town.", "He left, e.g. by car.",
    ]  # fmt: skip
    text.write_text("Prof. Huber kam ca. um acht. Dann ging er z. B. heim.")
    assert read_sentences(text, "de") == [
        "Prof. Huber kam ca. um acht.", "Dann ging er z. B. heim.",
    ]  # fmt: skip
    text.write_text("Ein Satz. Noch einer.")
    assert len(read_sentences(text, "no such language")) == 2


def test_field_23_neighbours_show_different_items() -> None:
    # Six sentences with one likely item, and an unlikely one far below it.
    choices = [[choice(0.9, (1,), 1), choice(0.1, (2,), 2, likely=False)] for _ in range(6)]
    assert [one.hit.item_id for one in _best_path(choices)] in ([1, 2] * 3, [2, 1] * 3)
    # Two frames of one video are one item, whatever they look like.
    choices = [[choice(0.9, (1,), 1), choice(0.8, (2,), 1), choice(0.1, (1,), 2)]] * 2
    assert {one.hit.item_id for one in _best_path(choices)} == {1, 2}


def test_field_23_items_before_words_before_likelihood_before_scores() -> None:
    first = [choice(0.9, (1,), 1)]
    # Another item of the same word, rather than the same item.
    assert (
        _best_path([first, [choice(0.9, (2,), 1), choice(-0.9, (1,), 2, likely=False)]])[
            1
        ].hit.item_id
        == 2
    )
    # Another word, rather than a likely item that looks the same.
    assert (
        _best_path([first, [choice(0.9, (1,), 2), choice(-0.9, (2,), 3, likely=False)]])[
            1
        ].hit.item_id
        == 3
    )
    # A likely item, rather than a higher score.
    assert (
        _best_path([first, [choice(-0.9, (2,), 2), choice(0.9, (3,), 3, likely=False)]])[
            1
        ].hit.item_id
        == 2
    )


def test_field_23_no_photograph_twice_in_a_row(
    real_data: Path, story: Path, tmp_path: Path
) -> None:
    collection = Collection(tmp_path / "c", device="cpu")
    options = EmbedOptions(models=("tiny-image",), device="cpu", workers=0)
    collection.add(real_data / "photos", options=options)
    story.write_text("A red circle. " * 6)
    illustrations = illustrate(story, collection)
    assert len(illustrations) == 6
    assert all(one.hit.item_id != other.hit.item_id for one, other in pairwise(illustrations))


def test_a_word_is_repeated_if_no_other_choice_fits() -> None:
    choices = [
        [choice(0.1, (1,))],
        [choice(0.2, (1,))],
        [choice(0.9, (1,)), choice(-0.9, (2,))],
    ]
    assert [chosen.word for chosen in _best_path(choices)] == [(1,), (1,), (2,)]


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.txt"
    path.write_text("A red circle.\nA red circle again.\nA blue star at night.\nA green square.\n")
    return path


def test_each_sentence_has_its_best_picture_or_frame(story: Path, indexed: Collection) -> None:
    illustrations = illustrate(story, indexed, branching=4)
    assert [one.sentence for one in illustrations][::3] == ["A red circle.", "A green square."]
    assert all(one.word != other.word for one, other in pairwise(illustrations))
    for one in illustrations:
        space = indexed.snapshot.space(one.hit.space)
        text = indexed.encoder(space).encode_text([one.sentence])[0]
        assert one.hit.modality in (Medium.IMAGE, Medium.VIDEO)
        if one.hit.modality is Medium.IMAGE:
            vector = indexed.snapshot.item_segments(space.name, one.hit.item_id).vectors[0]
        else:
            frames = indexed.snapshot.item_frames(space.name, one.hit.item_id)
            (row,) = np.flatnonzero(np.isclose(frames.seconds, one.hit.start_seconds))
            vector = frames.vectors[row]
            assert one.hit.start_seconds < one.hit.end_seconds <= one.hit.start_seconds + 2
        assert one.hit.score == pytest.approx(float(vector @ text), abs=2e-3)


def test_one_sentence_gets_the_best_picture(story: Path, indexed: Collection) -> None:
    story.write_text("a red circle")
    (only,) = illustrate(story, indexed)
    best = indexed.search("a red circle", to=["image"], k=1)[0].score
    assert only.hit.score >= best - 2e-3


def test_a_collection_without_pictures_fails(story: Path, world_of_sound: Collection) -> None:
    with pytest.raises(QueryError, match="no space of pictures"):
        illustrate(story, world_of_sound)


@pytest.fixture
def world_of_sound(world, tmp_path: Path) -> Collection:
    collection = Collection(tmp_path / "sounds", device="cpu")
    options = EmbedOptions(models=("tiny-music",), device="cpu", workers=0)
    collection.add(world.folder / "music" / "00000.flac", options=options)
    return collection
