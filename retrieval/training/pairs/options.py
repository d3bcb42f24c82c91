"""One training on pairs: what it is told, and what its two kinds share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from retrieval.errors import SourceError
from retrieval.training.history import ValidationScore
from retrieval.training.pairs.contrastive import TrainingSettings
from retrieval.training.pairs.manifest import (
    BadRow,
    CaptionedClip,
    hold_out,
    read_pairs,
    tell_bad_rows,
)
from retrieval.training.pairs.media import ClipMedia, ClipReader
from retrieval.training.run import Telling, TrainingRun

HELD_OUT_SHARE, HELD_OUT_MOST = 0.1, 1_000
WARMUP_STEPS = 200
"""At most a fifth of all steps."""


@dataclass(frozen=True, slots=True)
class PairsOptions:
    """What a training on pairs is told.

    Attributes:
        kind: `clip` or `mulan`.
        pairs: Manifest to train on.
        out: Folder to write; made when missing.
        validation: Manifest to score on; None: a tenth of the files of `pairs`, held out.
        init: Model to continue; None: one of the bundled model's size from nothing.
        frozen: The tower that stays as it is, or None.
        adapter: Train an adapter on the frozen vectors of `init`.
        steps: Batches; None: ten passes over the pairs, 200 batches at least; 400 for an adapter.
        batch: Clips in a batch.
        part_pairs: Clips that go through the towers at once; None: the whole batch.
        learning_rate: Its peak; None: 1e-3, or 1e-5 for towers that are continued.
        masked_language: Weight of a masked-language-model loss beside the contrastive one; `mulan`.
        seed: Decides the first weights, the order, the windows and what is held out.
        device: `auto`, `cpu` or `cuda`.
        size: Of a MuLan from nothing, a name of `retrieval.encoders.mulan_sizes`.
        augment: How sounds are altered, names of `retrieval.training.pairs.augmentation.KINDS`.
    """

    kind: str
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
class PairsRun:
    """The pairs of one run.

    Attributes:
        options: What it was told.
        telling: Who hears of it.
        clips: What is trained on.
        held_out: What is scored.
        bad: Rows that could not be used.
    """

    options: PairsOptions
    telling: Telling
    clips: list[CaptionedClip]
    held_out: list[CaptionedClip]
    bad: list[BadRow] = field(default_factory=list)

    @classmethod
    def read(cls, options: PairsOptions, telling: Telling) -> PairsRun:
        """Read the manifests; bad rows are told and left out.

        Raises:
            SourceError: A manifest cannot be read.
        """
        clips, bad = read_pairs(options.pairs)
        run = cls(options, telling, clips, [])
        run._skip(options.pairs, bad)
        if options.validation is None:
            run.clips, run.held_out = hold_out(clips, HELD_OUT_SHARE, HELD_OUT_MOST, options.seed)
        else:
            run.held_out, bad = read_pairs(options.validation)
            run._skip(options.validation, bad)
        run.check_enough()
        return run

    def check_enough(self) -> None:
        """Make sure that there is something to train on.

        Raises:
            SourceError: Fewer than two clips are left.
        """
        if len(self.clips) < 2:
            reason = f"; {self.bad[0]}" if self.bad else ""
            raise SourceError(
                f"{self.options.pairs}: {len(self.clips)} usable clips, expected two at least"
                f"{reason}"
            )

    def open_media(self, reader: ClipReader, *, held_out: bool) -> ClipMedia:
        """Decode the clips of one side once; those that cannot be are told and left out."""
        clips = self.held_out if held_out else self.clips
        return self.check_media(clips, clips, reader, held_out=held_out)

    def check_media(
        self,
        some: Sequence[CaptionedClip],
        clips: list[CaptionedClip],
        reader: ClipReader,
        *,
        held_out: bool,
    ) -> ClipMedia:
        """Decode some of a side's clips once; those that cannot be leave `clips`."""
        media = ClipMedia(list(some), reader)
        total = len(some)
        bad = media.check(lambda done: self.telling.progress("decode", done, total, ""))
        manifest = self.options.validation if held_out else None
        self._skip(manifest or self.options.pairs, bad)
        rows = {row.row for row in bad}
        clips[:] = [one for one in clips if one.rows[0] not in rows]
        return media

    def settings(self, *, steps: int, learning_rate: float, bf16: bool) -> TrainingSettings:
        """The trainer's settings, from the options and the given defaults."""
        steps = self.options.steps or steps
        return TrainingSettings(
            steps=steps,
            learning_rate=self.options.learning_rate or learning_rate,
            warmup_steps=min(WARMUP_STEPS, steps // 5),
            seed=self.options.seed,
            bf16=bf16,
            part_pairs=self.options.part_pairs,
        )

    def training(
        self,
        settings: TrainingSettings,
        model_digest: str,
        score: Callable[[int], ValidationScore],
    ) -> TrainingRun:
        """The training to come: its checkpoint fits these settings, pairs and first weights only.

        Args:
            settings: Of the trainer.
            model_digest: Of the first weights.
            score: Scores the model after a number of steps; not called without validation pairs.
        """
        pairs = [(asdict(one.clip), one.captions) for one in self.clips]
        decided_by = {
            **asdict(settings),
            "batch": self.options.batch,
            "frozen": self.options.frozen,
            "augment": self.options.augment or None,
            "masked language": self.options.masked_language,
            "model": model_digest,
            "pairs": hashlib.sha256(json.dumps(pairs).encode()).hexdigest(),
        }
        return TrainingRun(
            self.options.out,
            settings.steps,
            decided_by,
            self.telling,
            score if self.held_out else None,
        )

    def _skip(self, manifest: Path, bad: Sequence[BadRow]) -> None:
        for line in tell_bad_rows(manifest, bad):
            self.telling.say(line)
        self.bad += bad
