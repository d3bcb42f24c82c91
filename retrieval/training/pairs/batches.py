"""Batches of pairs for the trainer, and scores on pairs that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retrieval.evaluation.ranking import first_relevant_ranks
from retrieval.training.history import ValidationScore
from retrieval.training.pairs.grad_cache import in_parts
from retrieval.training.pairs.manifest import CaptionedClip
from retrieval.training.pairs.media import ClipMedia, Sample, mean_vectors
from retrieval.training.pairs.trainable import Trainable

SCORED_AT_ONCE = 64


class PairBatches:
    """Endless shuffled batches; no clip comes twice in one, and each comes with one caption.

    A batch depends on the seed and its number only, so a training can go on at any step.

    Args:
        clips: What the numbers of a batch stand for, each with its captions.
        batch: Clips in a batch, at most as many as there are.
        seed: Decides order, captions and windows.
    """

    def __init__(self, clips: Sequence[CaptionedClip], batch: int, seed: int) -> None:
        self._clips = clips
        self._batch = min(batch, len(clips))
        self._seed = seed

    def numbers(self, first_step: int) -> Iterator[NDArray[np.int64]]:
        """Which clips make up each batch, from a step on."""
        per_epoch = len(self._clips) // self._batch
        for step in count(first_step):
            epoch, place = divmod(step, per_epoch)
            order = np.random.default_rng([self._seed, 0, epoch]).permutation(len(self._clips))
            yield order[place * self._batch : (place + 1) * self._batch]

    def captions(self, step: int, numbers: NDArray[np.int64]) -> list[str]:
        """One caption of each clip of a step's batch."""
        rng = np.random.default_rng([self._seed, 1, step])
        every = (self._clips[number].captions for number in numbers)
        return [captions[int(rng.integers(len(captions)))] for captions in every]

    def decoded(self, media: ClipMedia, first_step: int) -> Iterator[tuple[Sample, list[str]]]:
        """Yield (n, …) samples and n captions from a step on, decoding ahead.

        Args:
            media: Decodes the clips by the same numbers.
            first_step: Number of the first batch.
        """
        stream = media.decoded(one for batch in self.numbers(first_step) for one in batch)
        for step, numbers in enumerate(self.numbers(first_step), start=first_step):
            rng = np.random.default_rng([self._seed, 2, step])
            samples = [media.reader.draw(next(stream), rng) for _ in numbers]
            yield np.stack(samples), self.captions(step, numbers)


def tower_batches(
    batches: PairBatches, media: ClipMedia, model: Trainable, first_step: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """What `train_contrastive` reads: prepared media and tokens."""
    for samples, captions in batches.decoded(media, first_step):
        yield model.prepare(samples), model.tokenize(captions)


class Validation:
    """Held-out clips with all their captions: each text asks for its clips among all of them."""

    def __init__(self, clips: Sequence[CaptionedClip]) -> None:
        self.clips = clips
        self.texts = list(dict.fromkeys(text for one in clips for text in one.captions))
        rows = {text: row for row, text in enumerate(self.texts)}
        self._relevant = np.zeros((len(self.texts), len(clips)), bool)
        for column, one in enumerate(clips):
            for text in one.captions:
                self._relevant[rows[text], column] = True

    def score(
        self, step: int, media: NDArray[np.float32], texts: NDArray[np.float32]
    ) -> ValidationScore:
        """Rank.

        Args:
            step: Steps done so far.
            media: (clips, dim) unit vectors.
            texts: (texts, dim) unit vectors.
        """
        ranks = first_relevant_ranks(texts @ media.T, self._relevant)
        return ValidationScore.of_ranks(step, ranks, len(self.clips))


def score_towers(
    validation: Validation, media: ClipMedia, model: Trainable, step: int
) -> ValidationScore:
    """Score a model that may be in training; it is left as it was."""
    towers = model.towers
    training = towers.training
    towers.eval()
    device = next(towers.parameters()).device

    def embed(views: list[Sample]) -> NDArray[np.float32]:
        samples = np.stack([model.reader.fill(view) for view in views])
        return _on(device, towers.embed_media, model.prepare(samples))

    try:
        vectors = mean_vectors(media, embed, range(len(validation.clips)))
        texts = [
            _on(device, towers.embed_text, model.tokenize(part))
            for part in in_parts(validation.texts, SCORED_AT_ONCE)
        ]
    finally:
        towers.train(training)
    return validation.score(step, vectors, np.concatenate(texts))


@torch.inference_mode()
def _on(
    device: torch.device, embed: Callable[[Tensor], Any], inputs: Tensor
) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = embed(inputs.to(device)).float().cpu().numpy()
    return rows
