"""Emoji: reading them, what is asked, and the baseline; the suite itself on a handful."""

import json
from pathlib import Path

import pytest

from benchmarks.datasets.emoji import keywords_not_in_names, read_emoji, trigram_scores
from benchmarks.suites import emoji as suite
from retrieval.errors import SourceError
from support.media_files import make_picture
from support.messages import logged

NAMED = {
    "\U0001f600": ["grinning_face", "smile", ":D", "face", "smile"],
    "\U0001f601": ["beaming_face", "smile", "smiling eyes"],
    "\u2764\ufe0f": ["red_heart", "love", "smile"],
    "\U0001f49c": ["purple-heart", "Love"],
    "\U0001f6d1": ["stop_sign", "red", "octagonal sign"],
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four pictures; the fifth character has none."""
    (tmp_path / "png/72").mkdir(parents=True)
    (tmp_path / "emoji-en-US.json").write_text(json.dumps(NAMED))
    for number, points in enumerate(("1f600", "1f601", "2764", "1f6d1")):
        make_picture(72, 72, number).save(tmp_path / f"png/72/emoji_u{points}.png")
    return tmp_path


def test_pictures_are_found_by_their_characters(data: Path) -> None:
    found = read_emoji(data)
    assert [one.name for one in found] == [
        "grinning face",
        "beaming face",
        "red heart",
        "stop sign",
    ]
    assert [one.file.stem for one in found][2] == "emoji_u2764"
    assert found[3].keywords == ("red", "octagonal sign")


def test_keywords_exclude_emoji_that_share_a_word(data: Path) -> None:
    assert keywords_not_in_names(read_emoji(data)) == {
        "smile": [0, 1, 2],
        "smiling eyes": [1],
        "love": [2],
        "red": [3],  # of the heart it is the name; `face` and `octagonal sign` are in names too
    }


def test_trigrams_find_words_of_one_root() -> None:
    scores = trigram_scores(["smiley", "zzz", "red heart"], ["smiling face", "red heart", "dog"])
    assert scores[0].argmax() == 0
    assert scores[0, 0] > 0 == scores[0, 2]
    assert (scores[1] == 0).all()
    assert scores[2, 1] == pytest.approx(1)


@pytest.mark.parametrize("text", ["", "[1]", '{"a": "face"}', '{"a": [1]}', '{"a": []}'])
def test_keywords_that_are_none_fail(data: Path, text: str) -> None:
    (data / "emoji-en-US.json").write_text(text)
    with pytest.raises(SourceError, match="cannot be read as emojilib's keywords"):
        read_emoji(data)


@pytest.mark.long
def test_the_suite_trains_embeds_and_searches(data: Path, tmp_path: Path) -> None:
    with logged("benchmarks") as messages:
        outcome = suite.run(folder=tmp_path / "out", data=data, scale=0.002)
    assert messages[0] == "training on the names of 4 pictures, 1 steps"
    by_row = {(one.task, one.metric): one for one in outcome.results}
    chance = by_row[suite.UNKNOWN, "R@1"].chance
    # Of four pictures three smile, one loves, and one of two has smiling eyes.
    assert chance == pytest.approx((3 / 4 + 1 / 4 + 1 / 4) / 3)
    assert by_row[suite.KNOWN, "R@1"].chance == pytest.approx(1 / 3)  # red, without the red heart
    assert by_row[suite.KNOWN, "R@10"].value == 1.0
    assert [len(each.ids) for each in outcome.queries] == [1, 3, *[1] * 8, *[2] * 4]
    # Both keywords are texts of the right pictures. No method finds a name by its words.
    prefix = "text → image, only words can answer: "
    assert by_row[prefix + "text only", "R@1"].value == 1.0
    prefix = "text → image, only vectors can answer: "
    assert by_row[prefix + "text only", "R@10"].value == 0.0
    (red,) = outcome.answers[0].answers
    assert red.relevant == ["emoji_u1f6d1"]
    assert "emoji_u2764" not in red.items[:3]


def test_every_second_picture_has_texts(data: Path) -> None:
    found = read_emoji(data)
    assert {item: [(text.source, text.text) for text in texts]
            for item, texts in suite.texts_of(found).items()} == {
        "emoji_u1f600": [("caption", "grinning face"), ("tag", "smile"), ("tag", ":d"),
                         ("tag", "face")],
        "emoji_u2764": [("caption", "red heart"), ("tag", "love"), ("tag", "smile")],
    }  # fmt: skip
    assert [(one.text, one.relevant, one.group.name) for one in suite.hybrid_queries(found)] == [
        # `face` is a keyword of another picture with texts.
        ("beaming face", ("emoji_u1f601",), "MISLED"),
        ("stop sign", ("emoji_u1f6d1",), "VECTORS"),
        # `smiling eyes` has no picture with texts, `red` is a word of a name.
        ("smile", ("emoji_u1f600", "emoji_u1f601", "emoji_u2764"), "WORDS"),
        ("love", ("emoji_u2764",), "WORDS"),
    ]


def test_the_real_emoji(real_data: Path) -> None:
    found = read_emoji(real_data / "emoji")
    asked = keywords_not_in_names(found)
    assert (len(found), len(asked)) == (1_644, 3_551)
    assert sum(map(len, asked.values())) > 10_000
    assert all(
        not found[n].shares_word_with(query) for query, wanted in asked.items() for n in wanted
    )
