"""Trains a light residual adapter on the frozen vectors of any encoder: CLIP-Adapter (2110.04544).

Every file is embedded once and its vector kept beside the adapter, so that training takes seconds
and a second run reads no media at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retrieval.encoders.adapter import (
    CONFIG,
    WEIGHTS,
    AdapterConfig,
    AdapterEncoder,
    AdapterPair,
)
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.weights import check_safetensors
from retrieval.errors import WeightsFormatError
from retrieval.files.writing import write_text
from retrieval.protocols import Encoder
from retrieval.training.pairs.batches import PairBatches, Validation
from retrieval.training.pairs.contrastive import train_contrastive
from retrieval.training.pairs.manifest import CaptionedClip, Clip
from retrieval.training.pairs.media import ClipMedia, ClipReader, Sample, mean_vectors
from retrieval.training.pairs.options import PairsRun
from retrieval.training.pairs.trainable import reader_of, spec_of
from retrieval.training.run import TrainingRun
from retrieval.training.tensors import write_tensors

STEPS, RATE = 400, 1e-3
RATIO = 0.2
"""Share of the adapted vector, as the paper found best for ImageNet."""

REDUCTION = 4
"""The bottleneck is this much narrower than a vector, as in the paper."""

FEATURES = "features.safetensors"
"""Vectors of the files seen so far, under the base's digest."""


def train_adapter(run: PairsRun) -> tuple[str, TrainingRun]:
    """Train an adapter on the frozen vectors of `--init`.

    Returns:
        The result's specification, and how the training went.
    """
    options = run.options
    spec = spec_of(options.kind, options.init or "", any_backend=True)
    encoder = load_encoder(spec, device=options.device)
    base, config, pair = _begin(encoder, options.seed)
    cache = FeatureCache(options.out / FEATURES, base)
    reader = reader_of(options.kind, base)
    media = _features(run, cache, reader, held_out=False)
    run.check_enough()
    scored = _features(run, cache, reader, held_out=True)
    validation = Validation(run.held_out)
    texts = TextFeatures(base, [text for one in run.clips for text in one.captions])
    if encoder is base:  # a new adapter
        pair.media.fit_normalization(torch.from_numpy(media))
        pair.text.fit_normalization(torch.from_numpy(texts.vectors))
    freeze(pair, options.frozen)
    asked = base.encode_text(validation.texts)
    settings = run.settings(steps=STEPS, learning_rate=RATE, bf16=False)
    training = run.training(
        settings,
        encoder.digest,
        lambda step: validation.score(step, _apply(pair.media, scored), _apply(pair.text, asked)),
    )
    batches = PairBatches(run.clips, options.batch, options.seed)
    with _one_thread():
        train_contrastive(
            pair,
            feature_batches(batches, media, texts, training.begin()),
            settings,
            training.on_step,
            checkpoint=training.checkpoint,
            history=training.history,
        )
    save_adapter(options.out, config, pair)
    return f"adapter:{options.out.resolve()}", training


def _begin(encoder: Encoder, seed: int) -> tuple[Encoder, AdapterConfig, AdapterPair]:
    """A new adapter, which changes nothing yet; or the one that is to be continued."""
    if isinstance(encoder, AdapterEncoder):
        return encoder.base, encoder.config, encoder.pair
    hidden = max(1, encoder.dim // REDUCTION)
    config = AdapterConfig(encoder.spec, encoder.digest, encoder.dim, hidden, RATIO)
    torch.manual_seed(seed)
    return encoder, config, AdapterPair(config)


def _features(
    run: PairsRun, cache: FeatureCache, reader: ClipReader, *, held_out: bool
) -> NDArray[np.float32]:
    """The vectors of one side's clips; only files that the cache does not know are read."""
    clips = run.held_out if held_out else run.clips
    new = [one for one in clips if not cache.known(one.clip)]
    media = run.check_media(new, clips, reader, held_out=held_out)
    total = len(media.clips)
    cache.add(media, lambda done: run.telling.progress("embed", done, total, ""))
    return cache.vectors(clips)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices this small train 40 times faster than with threads that wait for busy cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.inference_mode()
def _apply(adapter: torch.nn.Module, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    adapted: NDArray[np.float32] = adapter(torch.from_numpy(rows)).numpy()
    return adapted


def freeze(pair: AdapterPair, tower: str | None) -> None:
    """Leave one side's vectors as they are."""
    if tower is not None:
        (pair.text if tower == "text" else pair.media).requires_grad_(False)


def feature_batches(
    batches: PairBatches,
    media: NDArray[np.float32],
    text_vectors: Callable[[Sequence[str]], NDArray[np.float32]],
    first_step: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """What `train_contrastive` reads: the base's vectors of clips and captions."""
    for step, numbers in enumerate(batches.numbers(first_step), start=first_step):
        texts = text_vectors(batches.captions(step, numbers))
        yield torch.from_numpy(media[numbers]), torch.from_numpy(texts)


class TextFeatures:
    """The base's vectors of texts, each embedded once."""

    def __init__(self, base: Encoder, texts: Sequence[str]) -> None:
        unique = list(dict.fromkeys(texts))
        self._rows = {text: row for row, text in enumerate(unique)}
        self.vectors = base.encode_text(unique)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dim) float32 of texts that were embedded at the beginning."""
        return self.vectors[[self._rows[text] for text in texts]]


class FeatureCache:
    """Vectors of clips by path, size, time and span, in one file beside the adapter."""

    def __init__(self, path: Path, base: Encoder) -> None:
        self._path = path
        self._base = base
        self._known = self._read()

    def known(self, clip: Clip) -> bool:
        """Whether the clip's vector is here; a changed file's is not."""
        return _key(clip) in self._known

    def add(self, media: ClipMedia, on_clip: Callable[[int], None]) -> None:
        """Embed new clips and write their vectors down.

        Args:
            media: The clips, each of which can be decoded.
            on_clip: Called with the number of clips embedded so far.
        """
        if not media.clips:
            return
        rows = mean_vectors(media, self._embed, range(len(media.clips)), on_clip=on_clip)
        new = (_key(one.clip) for one in media.clips)
        self._known |= dict(zip(new, rows, strict=True))
        self._write()

    def vectors(self, clips: Sequence[CaptionedClip]) -> NDArray[np.float32]:
        """(clips, dim) float32 vectors of known clips."""
        rows = [self._known[_key(one.clip)] for one in clips]
        return np.stack(rows) if rows else np.empty((0, self._base.dim), np.float32)

    def _embed(self, views: list[Sample]) -> NDArray[np.float32]:
        windows = self._base.windows
        if windows is None or views[0].dtype == np.uint8:
            return self._base.encode_images(np.stack(views))
        samples = np.zeros((len(views), windows.window_samples), np.float32)
        for row, view in zip(samples, views, strict=True):
            row[: len(view)] = view
        seconds = np.array([len(view) / windows.sample_rate_hz for view in views])
        return self._base.encode_audio(samples, seconds)

    def _read(self) -> dict[str, NDArray[np.float32]]:
        if not self._path.is_file():
            return {}
        from safetensors import safe_open

        check_safetensors(self._path)
        with safe_open(self._path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("base") != self._base.digest:
                return {}  # another base's vectors are nothing to this one
            try:
                keys = json.loads(metadata["keys"])
                rows = file.get_tensor("vectors")
                return dict(zip(keys, rows, strict=True))
            except (KeyError, ValueError, TypeError) as error:
                raise WeightsFormatError(f"{self._path} is damaged; delete it") from error

    def _write(self) -> None:
        rows = torch.from_numpy(np.stack(list(self._known.values())))
        metadata = {"base": self._base.digest, "keys": json.dumps(list(self._known))}
        write_tensors(self._path, {"vectors": rows}, metadata)


def save_adapter(folder: Path, config: AdapterConfig, pair: AdapterPair) -> None:
    """Write a folder that `adapter:FOLDER` loads."""
    write_text(folder / CONFIG, json.dumps(asdict(config), indent=2) + "\n")
    write_tensors(folder / WEIGHTS, pair.state_dict())


def _key(clip: Clip) -> str:
    stat = os.stat(clip.path)
    return json.dumps(
        [clip.path, stat.st_size, stat.st_mtime_ns, clip.start_seconds, clip.end_seconds]
    )
