"""Batches of pairs for the trainer, and scores on held-out pairs."""

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
from retrieval.training.pairs.grad_cache import split_rows
from retrieval.training.pairs.manifest import CaptionedSpan
from retrieval.training.pairs.media import Sample, SpanMedia, mean_vectors
from retrieval.training.pairs.trainable import TrainableModel

VALIDATION_BATCH = 64


class PairBatches:
    """Endless shuffled batches of different spans with one caption each.

    A batch depends on the seed and its number only, so a run can resume at any step.

    Args:
        spans: The numbers of a batch refer to these.
        batch: Spans per batch; fewer where there are fewer spans.
        seed: Determines order, captions and samples.
    """

    def __init__(self, spans: Sequence[CaptionedSpan], batch: int, seed: int) -> None:
        self._spans = spans
        self._batch = min(batch, len(spans))
        self._seed = seed

    def numbers(self, first_step: int) -> Iterator[NDArray[np.int64]]:
        """Yield the span numbers of each batch from a step on."""
        per_epoch = len(self._spans) // self._batch
        for step in count(first_step):
            epoch, position = divmod(step, per_epoch)
            order = np.random.default_rng([self._seed, 0, epoch]).permutation(len(self._spans))
            yield order[position * self._batch : (position + 1) * self._batch]

    def captions(self, step: int, numbers: NDArray[np.int64]) -> list[str]:
        """Draw one caption of each span of a step's batch."""
        rng = np.random.default_rng([self._seed, 1, step])
        choices = (self._spans[number].captions for number in numbers)
        return [captions[int(rng.integers(len(captions)))] for captions in choices]

    def prepared(
        self, media: SpanMedia, model: TrainableModel, first_step: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield prepared media and tokens of each batch from a step on, decoding ahead."""
        stream = media.decode(number for batch in self.numbers(first_step) for number in batch)
        for step, numbers in enumerate(self.numbers(first_step), start=first_step):
            rng = np.random.default_rng([self._seed, 2, step])
            samples = [media.reader.draw(next(stream), rng) for _ in numbers]
            captions = self.captions(step, numbers)
            yield model.prepare(np.stack(samples)), model.tokenize(captions)


class ValidationSet:
    """Held-out spans with all their captions; each text ranks all spans."""

    def __init__(self, spans: Sequence[CaptionedSpan]) -> None:
        self._count = len(spans)
        self.texts = list(dict.fromkeys(text for captioned in spans for text in captioned.captions))
        rows = {text: row for row, text in enumerate(self.texts)}
        self._relevant = np.zeros((len(self.texts), len(spans)), bool)
        for column, captioned in enumerate(spans):
            for text in captioned.captions:
                self._relevant[rows[text], column] = True

    def score(
        self, step: int, media: NDArray[np.float32], texts: NDArray[np.float32]
    ) -> ValidationScore:
        """Rank the spans for each text.

        Args:
            step: Number of finished steps.
            media: (spans, dim) unit vectors.
            texts: (texts, dim) unit vectors.
        """
        ranks = first_relevant_ranks(texts @ media.T, self._relevant)
        return ValidationScore.from_ranks(step, ranks, self._count)


def score_towers(
    validation: ValidationSet, media: SpanMedia, model: TrainableModel, step: int
) -> ValidationScore:
    """Score a model; its training mode is restored."""
    towers = model.towers
    training = towers.training
    towers.eval()
    device = next(towers.parameters()).device

    def embed(views: list[Sample]) -> NDArray[np.float32]:
        samples = np.stack([model.reader.fill(view) for view in views])
        return _embed_on(device, towers.embed_media, model.prepare(samples))

    try:
        vectors = mean_vectors(media, embed)
        texts = [
            _embed_on(device, towers.embed_text, model.tokenize(part))
            for part in split_rows(validation.texts, VALIDATION_BATCH)
        ]
    finally:
        towers.train(training)
    return validation.score(step, vectors, np.concatenate(texts))


@torch.inference_mode()
def _embed_on(
    device: torch.device, embed: Callable[[Tensor], Any], inputs: Tensor
) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = embed(inputs.to(device)).float().cpu().numpy()
    return rows
