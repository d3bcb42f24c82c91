"""Where a training stands, on disk: what it needs to go on as if it had never stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from retrieval.encoders.weights import check_safetensors, summarize_error
from retrieval.errors import WeightsFormatError
from retrieval.training.history import TrainingHistory
from retrieval.training.pairs.grad_cache import random_state, set_random_state
from retrieval.training.tensors import write_tensors

VERSION = "2"


@dataclass(slots=True)
class Checkpoint:
    """One safetensors file: weights, moments and random state; JSON in its header for the rest.

    Attributes:
        path: The file; replaced whole, so that a kill leaves the older one.
        run: What decides the training (settings, data, first weights) as JSON values. A file that
            was written under another run is refused.
        every_steps: How often it is written.
    """

    path: Path
    run: Mapping[str, Any] = field(default_factory=dict)
    every_steps: int = 100

    def steps_done(self) -> int:
        """Steps that the file holds, 0 where there is none: batches go on from this one.

        Raises:
            WeightsFormatError: It is damaged, or of another run.
        """
        return len(self._header().losses) if self.path.is_file() else 0

    def is_due(self, step: int, steps: int) -> bool:
        """Whether to write it after a step; after the last one too, for what follows may fail."""
        return step % self.every_steps == 0 or step == steps

    def save(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, history: TrainingHistory
    ) -> None:
        """Write the file aside and put it in the older one's place.

        Raises:
            StorageError: The disk refused.
        """
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        for number, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
        states = random_state(next(model.parameters()).device)
        tensors |= {f"random.{number}": state for number, state in enumerate(states)}
        metadata = {
            "version": VERSION,
            "run": json.dumps(self.run, sort_keys=True),
            "history": json.dumps(history.to_json()),
        }
        write_tensors(self.path, tensors, metadata)

    def restore(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, history: TrainingHistory
    ) -> None:
        """Bring all three and the random numbers to where the file stands, in place.

        Where there is no file nothing is touched.

        Raises:
            WeightsFormatError: It is damaged, of another run, or of another model.
        """
        if not self.path.is_file():
            return
        from safetensors.torch import load_file

        before = self._header()
        tensors = load_file(self.path)
        try:
            model.load_state_dict(_below("model.", tensors))
            moments: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _below("optimizer.", tensors).items():
                number, _, moment = name.partition(".")
                moments.setdefault(int(number), {})[moment] = tensor
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": moments, "param_groups": groups})
            states = [state for _, state in sorted(_below("random.", tensors).items())]
            set_random_state(states, next(model.parameters()).device)
        except (RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
            raise WeightsFormatError(
                f"{self.path} does not fit the model: {summarize_error(error)}"
            ) from error
        history.losses[:], history.scores[:] = before.losses, before.scores
        history.seconds = before.seconds

    def _header(self) -> TrainingHistory:
        from safetensors import safe_open

        check_safetensors(self.path)
        with safe_open(self.path, framework="numpy") as file:
            metadata = file.metadata() or {}
        try:
            if metadata["version"] != VERSION:
                raise WeightsFormatError(
                    f"{self.path} has version {metadata['version']}, this release reads {VERSION}"
                )
            run = json.loads(metadata["run"])
            history = TrainingHistory.from_json(json.loads(metadata["history"]))
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise WeightsFormatError(
                f"{self.path} is no checkpoint of a training: {error!r}; delete it to begin anew"
            ) from error
        self._check_run(run)
        return history

    def _check_run(self, run: Mapping[str, Any]) -> None:
        mine = json.loads(json.dumps(self.run))
        others = sorted(key for key in {*run, *mine} if run.get(key) != mine.get(key))
        if others:
            found = ", ".join(f"{key} {run.get(key)} (now {mine.get(key)})" for key in others)
            raise WeightsFormatError(
                f"{self.path} belongs to a training with {found}; "
                "repeat that command to go on, or delete the file to begin anew"
            )


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
