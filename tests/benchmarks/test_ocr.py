import numpy as np
import pytest

from benchmarks.datasets.drawn_words import BACKGROUNDS, PICTURE_SIZE, SIZES, draw_pictures
from benchmarks.suites import ocr
from retrieval.media.ocr.engine import Line


def test_pictures_are_the_same_in_every_run_and_vary() -> None:
    first = list(draw_pictures(24))
    for one, other in zip(first, draw_pictures(3), strict=False):
        assert one.words == other.words
        assert one.image.size == PICTURE_SIZE
        np.testing.assert_array_equal(np.asarray(one.image), np.asarray(other.image))
    assert {one.letter_pixels for one in first} == set(SIZES)
    assert {one.background for one in first} == set(BACKGROUNDS)
    assert len({one.font for one in first}) == 15


def test_figures_are_means_over_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    words = iter([picture.words for picture in draw_pictures(6)])

    def read(pixels: np.ndarray) -> list[Line]:
        drawn = next(words)
        return [Line(" ".join((*drawn[:6], "other")).upper(), 1.0, 1.0, 1.0)]

    monkeypatch.setattr(ocr, "load_engine", lambda: read)
    outcome = ocr.run(scale=0.001)
    drawn = [{word.casefold() for word in picture.words} for picture in draw_pictures(6)]
    kept = [{word.casefold() for word in picture.words[:6]} for picture in draw_pictures(6)]
    recall = [len(k) / len(d) for k, d in zip(kept, drawn, strict=True)]
    precision = [len(k) / (len(k) + 1) for k in kept]
    values = {(one.task, one.metric): one.value for one in outcome.results}
    assert values["words", "recall"] == pytest.approx(np.mean(recall))
    assert values["words", "precision"] == pytest.approx(np.mean(precision))
    assert values["letters of 12 px", "recall"] == pytest.approx(recall[0])
    (queries,) = outcome.queries
    assert queries.values["recall"] == pytest.approx(recall)
