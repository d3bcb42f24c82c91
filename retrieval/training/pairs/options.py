"""Options of a training run on pairs, and the pairs that it uses."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from retrieval.errors import SourceError
from retrieval.progress import Progress
from retrieval.training.history import ValidationScore
from retrieval.training.loop import TrainingRun
from retrieval.training.pairs.contrastive import TrainingSettings
from retrieval.training.pairs.manifest import CaptionedSpan, SkippedRow, hold_out, read_pairs
from retrieval.training.pairs.media import SpanMedia, SpanReader

logger = logging.getLogger(__name__)

HELD_OUT_SHARE, MAX_HELD_OUT_FILES = 0.1, 1_000
MAX_WARMUP_STEPS = 200
MAX_LOGGED_ROWS = 20
"""Skipped rows of a manifest that are logged individually."""


@dataclass(frozen=True, slots=True)
class PairsOptions:
    """Options of a training run on pairs.

    Attributes:
        architecture: `clip`, `mulan` or `video`.
        pairs: Manifest to train on.
        out: Folder to write; created when missing.
        validation: Manifest to score on; None: a held-out tenth of the files of `pairs`.
        init: Model to continue; None: a new model of the bundled model's size.
        frozen: The tower to freeze, or None.
        adapter: Train an adapter on the frozen vectors of `init`.
        steps: Number of batches; None: ten passes over the pairs, at least 200 batches; 400 for an
            adapter.
        batch: Spans per batch.
        part_pairs: Spans that pass the towers at once; None: the whole batch.
        learning_rate: The peak; None: 1e-3, or 1e-5 for towers that are continued.
        masked_language: Weight of a masked language model loss (`mulan` only).
        seed: Determines first weights, order, samples and held-out files.
        device: `auto`, `cpu` or `cuda`.
        size: Size of a new MuLan, a name of `retrieval.encoders.mulan_sizes`.
        augment: Names of `retrieval.training.pairs.augmentation.AUGMENTATIONS` (`mulan` only).
    """

    architecture: str
    pairs: Path
    out: Path
    validation: Path | None = None
    init: str | None = None
    frozen: str | None = None
    adapter: bool = False
    steps: int | None = None
    batch: int = 128
    part_pairs: int | None = None
    learning_rate: float | None = None
    masked_language: float = 0.0
    seed: int = 0
    device: str = "auto"
    size: str = "tiny"
    augment: tuple[str, ...] = ()


@dataclass(slots=True)
class PairsData:
    """The pairs of one run.

    Attributes:
        options: Options of the run.
        progress: Receives the number of decoded spans, embedded spans and steps.
        spans: The spans to train on.
        held_out: The spans to score on.
        skipped: Unusable rows.
    """

    options: PairsOptions
    progress: Progress
    spans: list[CaptionedSpan]
    held_out: list[CaptionedSpan]
    skipped: list[SkippedRow] = field(default_factory=list)

    @classmethod
    def read(cls, options: PairsOptions, progress: Progress) -> PairsData:
        """Read the manifests; unusable rows are logged and skipped.

        Raises:
            SourceError: A manifest cannot be read, or has fewer than two usable spans.
        """
        spans, skipped = read_pairs(options.pairs)
        data = cls(options, progress, spans, [])
        data._skip(options.pairs, skipped)
        if options.validation is None:
            data.spans, data.held_out = hold_out(
                spans, HELD_OUT_SHARE, MAX_HELD_OUT_FILES, options.seed
            )
        else:
            data.held_out, skipped = read_pairs(options.validation)
            data._skip(options.validation, skipped)
        data.check_enough()
        return data

    def check_enough(self) -> None:
        """Refuse fewer than two spans to train on.

        Raises:
            SourceError: There are fewer than two.
        """
        if len(self.spans) < 2:
            reason = f"; {self.skipped[0]}" if self.skipped else ""
            raise SourceError(
                f"{self.options.pairs}: {len(self.spans)} usable spans, expected at least two"
                f"{reason}"
            )

    def open_media(
        self,
        reader: SpanReader,
        *,
        held_out: bool,
        selected: Sequence[CaptionedSpan] | None = None,
    ) -> SpanMedia:
        """Decode a split once, or selected spans of it; log and remove the unusable ones."""
        spans = self.held_out if held_out else self.spans
        media = SpanMedia(list(spans if selected is None else selected), reader)
        skipped = media.check(self.progress)
        manifest = self.options.validation if held_out else None
        self._skip(manifest or self.options.pairs, skipped)
        rows = {row.row for row in skipped}
        spans[:] = [captioned for captioned in spans if captioned.rows[0] not in rows]
        return media

    def settings(self, *, steps: int, learning_rate: float, bf16: bool) -> TrainingSettings:
        """Return the trainer's settings; the arguments are defaults of the options."""
        steps = self.options.steps or steps
        return TrainingSettings(
            steps=steps,
            learning_rate=self.options.learning_rate or learning_rate,
            warmup_steps=min(MAX_WARMUP_STEPS, steps // 5),
            seed=self.options.seed,
            bf16=bf16,
            part_pairs=self.options.part_pairs,
        )

    def create_run(
        self,
        settings: TrainingSettings,
        model_digest: str,
        score: Callable[[int], ValidationScore],
    ) -> TrainingRun:
        """Create the training run of these settings, pairs and first weights.

        Args:
            settings: Settings of the trainer.
            model_digest: Digest of the first weights.
            score: Scores the model after a number of steps; unused without validation pairs.
        """
        pairs = [(asdict(captioned.span), captioned.captions) for captioned in self.spans]
        options = self.options
        return TrainingRun.in_folder(
            options.out,
            settings.steps,
            {
                **asdict(settings),
                "batch": options.batch,
                "frozen": options.frozen,
                "augment": options.augment or None,
                "masked language": options.masked_language,
                "model": model_digest,
                "pairs": hashlib.sha256(json.dumps(pairs).encode()).hexdigest(),
            },
            score=score if self.held_out else None,
            progress=self.progress,
        )

    def _skip(self, manifest: Path, skipped: Sequence[SkippedRow]) -> None:
        for row in sorted(skipped, key=lambda row: row.row)[:MAX_LOGGED_ROWS]:
            logger.warning(f"{manifest}, {row}")
        if len(skipped) > MAX_LOGGED_ROWS:
            logger.warning(f"{manifest}: {len(skipped) - MAX_LOGGED_ROWS} more rows skipped")
        self.skipped += skipped
