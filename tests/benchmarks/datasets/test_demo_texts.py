"""The texts of a demo world, and the queries that `demo-hybrid` makes of them."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.datasets.demo_texts import PAUSE_SECONDS, texts_of_world
from benchmarks.datasets.spoken_sentences import FORMS, Sentence, sample_sentence
from benchmarks.hybrid.comparison import Group
from benchmarks.suites.demo_hybrid import item_queries, moment_queries
from retrieval.demo.captions import caption_scene
from retrieval.demo.world import World, WorldSettings, world_scene, world_video
from retrieval.types import Medium

SETTINGS = WorldSettings(
    seed=7, images=24, tunes=6, videos=3, video_seconds=(20.0, 30.0), tune_seconds=(8.0, 24.0)
)
SENTENCE = Sentence("Marvoto", "signed", "contract", "Belstadt", 48213)


@pytest.mark.parametrize(
    ("form", "query", "other"),
    [
        (0, "Marvoto contract", replace(SENTENCE, place="Torwick", file=1)),
        (1, "the contract in Belstadt", replace(SENTENCE, name="Kelasco", action="lost")),
        (2, "what Marvoto signed in Belstadt", replace(SENTENCE, thing="loan")),
        (3, "file 48213", Sentence("a", "b", "c", "d", 48213)),
    ],
)
def test_a_query_has_parts_of_its_sentence(form: int, query: str, other: Sentence) -> None:
    assert SENTENCE.text == "Marvoto signed the contract in Belstadt, file 48213"
    assert SENTENCE.query(form) == query
    assert other.answers(SENTENCE, form)
    for field in FORMS[form][1]:
        assert not replace(other, **{field: 1 if field == "file" else "x"}).answers(SENTENCE, form)


def test_no_word_of_a_sentence_is_in_a_caption() -> None:
    spoken: set[str] = set()
    shown: set[str] = set()
    for number in range(300):
        rng = np.random.default_rng(number)
        spoken |= set(sample_sentence(rng).text.lower().replace(",", "").split())
        shown |= set(world_scene(SETTINGS, number)[1].text.lower().replace(",", "").split())
    assert spoken & shown == {"the", "in"}


def test_thirds_of_the_items_have_captions_sentences_and_nothing(world: World) -> None:
    texts = texts_of_world(world, SETTINGS)
    assert texts == texts_of_world(world, SETTINGS)
    assert "images/00000.png" not in texts.texts
    (described,) = texts.texts["images/00001.png"]
    scene, _ = world_scene(SETTINGS, 1)
    others = {caption_scene(scene, np.random.default_rng([40_000, 7, index, 1])).text
              for index in range(3)}  # fmt: skip
    assert described.text in others
    (cue,) = [cue for cue in texts.cues if cue.file == "images/00002.png"]
    (spoken,) = texts.texts["images/00002.png"]
    assert (spoken.text, spoken.start_seconds) == (cue.sentence.text, None)
    events = world_video(SETTINGS, 2).events
    assert [(text.start_seconds, text.end_seconds) for text in texts.texts["videos/00002.mp4"]] == [
        (event.start_seconds + PAUSE_SECONDS, event.end_seconds - PAUSE_SECONDS) for event in events
    ]
    assert len(texts.texts["videos/00001.mp4"]) == len(world_video(SETTINGS, 1).events)


def test_queries_are_captions_and_parts_of_sentences(world: World) -> None:
    texts = texts_of_world(world, SETTINGS)
    images = world.of(Medium.IMAGE)
    cues = [cue for cue in texts.cues if cue.file.startswith("images/")]
    queries = {query.query_id: query for query in item_queries(images, cues)}
    for number, item in enumerate(images):
        query = queries.get(item.file)
        if number % 3 == 2:
            assert query is not None
            sentence = cues[number // 3].sentence
            assert query.text == sentence.query(number // 3 % 4)
            assert (query.group, item.file in query.relevant) == (Group.WORDS, True)
        elif item.unambiguous:
            assert query is not None
            assert (query.text, query.relevant) == (item.caption, (item.file,))
            assert query.group is (Group.BOTH if number % 3 else Group.VECTORS)
        else:
            assert query is None


def test_the_window_of_a_sentence_is_its_cue(world: World) -> None:
    texts = texts_of_world(world, SETTINGS)
    (query,) = moment_queries(world, texts)[Group.WORDS]
    own = [cue for cue in texts.cues if cue.file == "videos/00002.mp4"]
    cue = own[2 % len(own)]
    assert query.video_id == "videos/00002.mp4"
    assert query.query == cue.sentence.query(0)
    assert query.windows == ((cue.start_seconds, cue.end_seconds),)
