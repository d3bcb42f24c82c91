import pickle
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval.errors import WeightsFormatError, WeightsNotAvailableError
from retrieval.localization.hammer import HammerLocalizer, rank_spans, split_into_windows
from retrieval.localization.hammer_model import (
    BEGIN,
    END,
    OTHER,
    Hammer,
    best_segment_score,
    differences_from_mean,
    frame_log_probabilities,
    standardise,
)
from retrieval.training.moments.objective import label_grams
from retrieval.types import Medium, MomentQuery, Space, TimedRows
from support.named_moments import rows_of
from support.small_hammer import write_hammer

SPACE = Space("toy-ffffffff", "toy", 16, (Medium.VIDEO,), "f" * 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hammer")
    write_hammer(folder)
    return folder


@pytest.fixture(scope="module")
def hammer(folder: Path) -> HammerLocalizer:
    return HammerLocalizer.load(folder, device="cpu")


def video(rows: int, seed: int = 0) -> TimedRows:
    return rows_of(np.random.default_rng(seed).normal(size=(rows, 16)))


QUERY = MomentQuery(video(1, 9).vectors[0], "a red circle")


# ---------------------------------------------------------------- the network


def test_predictions_do_not_depend_on_batch(hammer: HammerLocalizer) -> None:
    items = [video(30), video(5, 1), video(17, 2)]
    together = hammer.predict(QUERY, items)
    for item, reading in zip(items, together, strict=True):
        (alone,) = hammer.predict(QUERY, [item])
        np.testing.assert_allclose(alone.labels, reading.labels, atol=1e-5)
        assert alone.match == pytest.approx(reading.match, abs=1e-5)


def test_all_levels_and_both_streams_affect_output(folder: Path, hammer: HammerLocalizer) -> None:
    item = video(24)
    labels = hammer.predict(QUERY, [item])[0].labels
    other_words = hammer.predict(replace(QUERY, text="a blue star"), [item])[0].labels
    assert np.abs(labels - other_words).max() > 1e-4
    far = TimedRows(item.start_seconds, item.end_seconds, item.vectors.copy())
    far.vectors[23] = -far.vectors[23]
    # Rows 0 and 23 share no clip: row 0 only changes through the levels above.
    assert np.abs(hammer.predict(QUERY, [far])[0].labels[0] - labels[0]).max() > 1e-6


def test_padding_tokens_are_ignored(hammer: HammerLocalizer) -> None:
    config = hammer.config
    model = Hammer(config).eval()
    rows, real = torch.randn(2, 8, config.dim), torch.ones(2, 8, dtype=torch.bool)
    sentence = torch.randn(2, config.dim)
    tokens = torch.tensor([[5, 6, 7, 0, 0], [5, 6, 7, 8, 9]])
    long = model(rows, real, sentence, tokens)
    short = model(rows[:1], real[:1], sentence[:1], tokens[:1, :3])
    torch.testing.assert_close(long.match[:1], short.match)
    torch.testing.assert_close(long.labels[:1], short.labels)
    assert model.token_logits(long.text).shape == (2, 5, config.vocabulary)


def test_static_frames_have_no_differences() -> None:
    still = torch.ones(1, 40, 3)
    still[:, 20:] = 2.0  # a cut
    real = torch.ones(1, 40, dtype=torch.bool)
    real[:, 36:] = False
    differs = differences_from_mean(still, real)[0, :, 0]
    assert differs[:12].abs().max() < 1e-6
    assert differs[28:].abs().max() < 1e-6
    assert differs[19] == pytest.approx(1 - (9 * 1 + 8 * 2) / 17)
    assert differs[20] == pytest.approx(2 - (8 * 1 + 9 * 2) / 17)


def test_best_segment_score_averages_four_neighbours() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.1, 0.5, 0.5, 0.5, 0.5, 0.9], [0.2, 0.4, 9, 9, 9, 9, 9, 9]])
    real = torch.ones(2, 8, dtype=torch.bool)
    real[1, 2:] = False
    # A shorter window averages all of its rows.
    torch.testing.assert_close(best_segment_score(scores, real), torch.tensor([0.6, 0.4]))


def test_frame_labels_average_n_grams() -> None:
    labels = torch.tensor([[OTHER, BEGIN, OTHER, END, OTHER]])
    grams, weights = label_grams(labels, 27)
    assert grams[0].tolist() == [3, 9 + 2, 6, 18, 0]
    assert weights.tolist() == [1.0] + [12.0] * 26
    sure = torch.nn.functional.one_hot(grams, 27) * 20.0
    assert frame_log_probabilities(sure, 3).argmax(dim=-1).tolist() == labels.tolist()
    alone = torch.randn(2, 6, 3)
    torch.testing.assert_close(frame_log_probabilities(alone, 1), alone.log_softmax(dim=-1))


# ---------------------------------------------------------------- spans


def test_windows_overlap_by_half_and_reach_the_end() -> None:
    assert [(w.first, w.last) for w in split_into_windows(0, 100, 32)] == [
        (0, 32), (16, 48), (32, 64), (48, 80), (64, 96), (68, 100),
    ]  # fmt: skip
    assert [(w.first, w.last) for w in split_into_windows(0, 32, 32)] == [(0, 32)]
    assert [(w.first, w.last) for w in split_into_windows(0, 3, 32)] == [(0, 3)]
    assert list(split_into_windows(0, 0, 32)) == []


def test_labels_come_from_the_window_with_most_context(hammer: HammerLocalizer) -> None:
    item = video(48)
    labels = hammer.predict(QUERY, [item])[0].labels
    for first, rows in ((0, slice(0, 23)), (16, slice(25, 48))):
        window = TimedRows(
            item.start_seconds[first : first + 32],
            item.end_seconds[first : first + 32],
            item.vectors[first : first + 32],
        )
        alone = hammer.predict(QUERY, [window])[0].labels
        np.testing.assert_allclose(
            alone[rows.start - first : rows.stop - first], labels[rows], atol=1e-5
        )


def test_best_pair_of_begin_and_end_comes_first() -> None:
    labels = np.full((20, 3), np.log(0.02), np.float32)
    labels[:, OTHER] = np.log(0.96)
    labels[5, BEGIN] = labels[11, END] = np.log(0.9)
    labels[14, BEGIN] = labels[18, END] = np.log(0.5)
    item = video(20)
    spans = rank_spans(labels, item, 0.5)
    assert spans[0][:2] == (2.5, 6.0)
    assert spans[1][:2] == (7.0, 9.5)
    # p(span) is a share of all pairs, multiplied by the probability of the video.
    assert spans[0][2] > spans[1][2]
    assert sum(score for _, _, score in spans) <= 0.5 + 1e-6
    assert rank_spans(labels, item, 1.0)[0][2] == pytest.approx(2 * spans[0][2])


def test_ends_do_not_precede_begins() -> None:
    labels = np.log(np.full((3, 3), 1e-9, np.float32))
    labels[2, BEGIN] = labels[0, END] = 0.0
    (start, end, _), *_ = rank_spans(labels, video(3), 1.0)
    assert 0 <= start < end <= 1.5


def test_spans_do_not_overlap_and_probabilities_sum_to_one(hammer: HammerLocalizer) -> None:
    found = hammer.localize(QUERY, [video(90, seed) for seed in range(5)])
    assert all(found)
    for spans in found:
        ordered = sorted(spans)
        assert all(a[1] <= b[0] for a, b in pairwise(ordered))
        assert all(0 <= start < end <= 45 for start, end, _ in spans)
        assert [s[2] for s in spans] == sorted((s[2] for s in spans), reverse=True)
    assert sum(span[2] for spans in found for span in spans) <= 1 + 1e-6


def test_item_without_rows_has_no_spans(hammer: HammerLocalizer) -> None:
    assert hammer.localize(QUERY, [video(0)]) == [[]]
    assert hammer.localize(QUERY, []) == []
    empty, real = hammer.localize(QUERY, [video(0), video(9)])
    assert empty == []
    assert real


# ---------------------------------------------------------------- supported queries, files


def test_hammer_answers_only_texts_in_its_space(hammer: HammerLocalizer) -> None:
    assert hammer.can_answer(QUERY, SPACE, Medium.VIDEO)
    assert not hammer.can_answer(replace(QUERY, text=None), SPACE, Medium.VIDEO)
    assert not hammer.can_answer(QUERY, SPACE, Medium.AUDIO)
    assert not hammer.can_answer(QUERY, replace(SPACE, digest="0" * 64), Medium.VIDEO)
    assert hammer.max_items == 10


def test_fault_18_weights_of_another_architecture_fail(folder: Path, tmp_path: Path) -> None:
    write_hammer(tmp_path, dim=8)
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(WeightsFormatError, match=r"does not fit its config\.json.*seen\.weight"):
        HammerLocalizer.load(tmp_path)


def test_fault_17_a_pickle_is_refused(tmp_path: Path) -> None:
    write_hammer(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(WeightsFormatError, match=r"model\.pt, a pickle"):
        HammerLocalizer.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{}", "not a Hammer configuration"),
        ("config.json", "no json", "not a Hammer configuration"),
        ("tokenizer.json", "{}", "not a readable tokenizer"),
        ("model.safetensors", "short", "not a valid safetensors"),
    ],
)
def test_damaged_files_fail(tmp_path: Path, name: str, content: str, message: str) -> None:
    write_hammer(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(WeightsFormatError, match=message):
        HammerLocalizer.load(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_files_fail(tmp_path: Path, name: str) -> None:
    write_hammer(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(WeightsNotAvailableError, match=name):
        HammerLocalizer.load(tmp_path)


def test_scores_are_standardised_over_unmasked_rows() -> None:
    scores = torch.tensor([[1.0, 3.0, 99.0], [2.0, 2.0, 2.0]])
    real = torch.tensor([[True, True, False], [True, True, True]])
    got = standardise(scores, real)
    torch.testing.assert_close(got, torch.tensor([[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
