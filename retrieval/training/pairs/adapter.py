"""Training of a residual adapter on the frozen vectors of any encoder: CLIP-Adapter (2110.04544).

Every span is embedded once, and its vector is stored in the adapter's folder. Training takes
seconds, and a second run reads no media.
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
from retrieval.progress import Progress
from retrieval.protocols import Encoder
from retrieval.training.loop import TrainingRun
from retrieval.training.pairs.batches import PairBatches, ValidationSet
from retrieval.training.pairs.contrastive import train_contrastive
from retrieval.training.pairs.manifest import CaptionedSpan, MediaSpan
from retrieval.training.pairs.media import Sample, SpanMedia, SpanReader, mean_vectors
from retrieval.training.pairs.options import PairsData
from retrieval.training.pairs.trainable import TEXT, choose_reader, resolve_init
from retrieval.training.tensors import write_tensors

STEPS, RATE = 400, 1e-3
RATIO = 0.2
"""Share of the adapted vector; the paper's best for ImageNet."""

REDUCTION = 4
"""Ratio of the vector's width to the bottleneck's, as in the paper."""

FEATURES = "features.safetensors"
"""Vectors of the spans so far, with the digest of the base encoder."""


def train_adapter(data: PairsData) -> tuple[str, TrainingRun]:
    """Train an adapter on the frozen vectors of the model to continue.

    Returns:
        The specification of the trained adapter, and the run.
    """
    options = data.options
    spec = resolve_init(options.architecture, options.init or "", any_backend=True)
    encoder = load_encoder(spec, device=options.device)
    base, config, pair = _open_or_create(encoder, options.seed)
    cache = VectorCache(options.out / FEATURES, base)
    reader = choose_reader(options.architecture, base)
    media = _embed_spans(data, cache, reader, held_out=False)
    data.check_enough()
    held_out_media = _embed_spans(data, cache, reader, held_out=True)
    validation = ValidationSet(data.held_out)
    texts = TextVectors(base, [text for captioned in data.spans for text in captioned.captions])
    if encoder is base:  # a new adapter
        pair.media.fit_normalization(torch.from_numpy(media))
        pair.text.fit_normalization(torch.from_numpy(texts.vectors))
    freeze(pair, options.frozen)
    held_out_texts = base.encode_text(validation.texts)
    settings = data.settings(steps=STEPS, learning_rate=RATE, bf16=False)
    run = data.create_run(
        settings,
        encoder.digest,
        lambda step: validation.score(
            step, _apply(pair.media, held_out_media), _apply(pair.text, held_out_texts)
        ),
    )
    batches = PairBatches(data.spans, options.batch, options.seed)
    with _one_thread():
        train_contrastive(
            pair, lambda first: vector_batches(batches, media, texts, first), settings, run
        )
    save_adapter(options.out, config, pair)
    return f"adapter:{options.out.resolve()}", run


def _open_or_create(encoder: Encoder, seed: int) -> tuple[Encoder, AdapterConfig, AdapterPair]:
    """Return the base, configuration and weights of the encoder's adapter, or of a new one."""
    if isinstance(encoder, AdapterEncoder):
        return encoder.base, encoder.config, encoder.pair
    hidden = max(1, encoder.dim // REDUCTION)
    config = AdapterConfig(encoder.spec, encoder.digest, encoder.dim, hidden, RATIO)
    torch.manual_seed(seed)
    return encoder, config, AdapterPair(config)


def _embed_spans(
    data: PairsData, cache: VectorCache, reader: SpanReader, *, held_out: bool
) -> NDArray[np.float32]:
    """Return the vectors of a split's usable spans; only spans outside the cache are decoded."""
    spans = data.held_out if held_out else data.spans
    new = [captioned for captioned in spans if captioned.span not in cache]
    cache.add(data.open_media(reader, held_out=held_out, selected=new), data.progress)
    return cache.vectors(spans)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Train in one thread: matrices this small are 40 times slower in threads on busy cores."""
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
    """Freeze the adapter of one side."""
    if tower is not None:
        (pair.text if tower == TEXT else pair.media).requires_grad_(False)


def vector_batches(
    batches: PairBatches,
    media: NDArray[np.float32],
    text_vectors: Callable[[Sequence[str]], NDArray[np.float32]],
    first_step: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield base vectors of spans and captions, as `train_contrastive` takes them."""
    for step, numbers in enumerate(batches.numbers(first_step), start=first_step):
        texts = text_vectors(batches.captions(step, numbers))
        yield torch.from_numpy(media[numbers]), torch.from_numpy(texts)


class TextVectors:
    """The base encoder's vectors of texts; each text is embedded once."""

    def __init__(self, base: Encoder, texts: Sequence[str]) -> None:
        unique = list(dict.fromkeys(texts))
        self._rows = {text: row for row, text in enumerate(unique)}
        self.vectors = base.encode_text(unique)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the (n, dim) float32 vectors of some of the texts."""
        return self.vectors[[self._rows[text] for text in texts]]


class VectorCache:
    """Vectors of spans by path, size, modification time and times, in one file."""

    def __init__(self, path: Path, base: Encoder) -> None:
        self._path = path
        self._base = base
        self._rows = self._read()

    def __contains__(self, span: MediaSpan) -> bool:
        """Return whether the span's vector is known; it is not if the file has changed."""
        return _key(span) in self._rows

    def add(self, media: SpanMedia, progress: Progress) -> None:
        """Embed spans that can be decoded, and write their vectors to the file."""
        if not media.spans:
            return
        rows = mean_vectors(media, self._embed, progress=progress)
        keys = (_key(captioned.span) for captioned in media.spans)
        self._rows |= dict(zip(keys, rows, strict=True))
        self._write()

    def vectors(self, spans: Sequence[CaptionedSpan]) -> NDArray[np.float32]:
        """Return the (spans, dim) float32 vectors of known spans."""
        rows = [self._rows[_key(captioned.span)] for captioned in spans]
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
                return {}  # The vectors are in another space.
            try:
                keys = json.loads(metadata["keys"])
                rows = file.get_tensor("vectors")
                return dict(zip(keys, rows, strict=True))
            except (KeyError, ValueError, TypeError) as error:
                raise WeightsFormatError(f"{self._path} is damaged; delete it") from error

    def _write(self) -> None:
        rows = torch.from_numpy(np.stack(list(self._rows.values())))
        metadata = {"base": self._base.digest, "keys": json.dumps(list(self._rows))}
        write_tensors(self._path, {"vectors": rows}, metadata)


def save_adapter(folder: Path, config: AdapterConfig, pair: AdapterPair) -> None:
    """Write a folder that the catalogue loads as `adapter:FOLDER`."""
    write_text(folder / CONFIG, json.dumps(asdict(config), indent=2) + "\n")
    write_tensors(folder / WEIGHTS, pair.state_dict())


def _key(span: MediaSpan) -> str:
    stat = os.stat(span.path)
    return json.dumps(
        [span.path, stat.st_size, stat.st_mtime_ns, span.start_seconds, span.end_seconds]
    )
