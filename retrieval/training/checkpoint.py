"""Checkpoints of training runs: weights, optimizer state, random state and history in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from retrieval.encoders.weights import check_safetensors, summarize_error
from retrieval.errors import WeightsFormatError
from retrieval.files.documents import parse_json
from retrieval.training.history import TrainingHistory
from retrieval.training.tensors import random_state, set_random_state, write_tensors

VERSION = "2"


@dataclass(frozen=True, slots=True)
class TrainingCheckpoint:
    """One safetensors file; its header holds settings and history as JSON.

    Attributes:
        path: The file. It is replaced atomically.
        settings: Everything that determines the training, as JSON values. A file with other
            settings is refused.
        every_steps: Steps between two checkpoints.
    """

    path: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    every_steps: int = 100

    def steps_done(self) -> int:
        """Return the number of finished steps; 0 without a file.

        Raises:
            WeightsFormatError: The file is damaged or has other settings.
        """
        return len(self._read_history().losses) if self.path.is_file() else 0

    def is_due(self, step: int, steps: int) -> bool:
        """Return whether to save after a step. The last step counts: what follows may fail."""
        return step % self.every_steps == 0 or step == steps

    def save(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, history: TrainingHistory
    ) -> None:
        """Write the file atomically.

        Raises:
            StorageError: The system refused a step.
        """
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        for number, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        states = random_state(next(model.parameters()).device)
        tensors |= {f"random.{number}": state for number, state in enumerate(states)}
        metadata = {
            "version": VERSION,
            "run": json.dumps(self.settings, sort_keys=True),
            "history": json.dumps(asdict(history)),
        }
        write_tensors(self.path, tensors, metadata)

    def restore(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, history: TrainingHistory
    ) -> None:
        """Restore model, optimizer, history and random state in place; without a file do nothing.

        Raises:
            WeightsFormatError: The file is damaged, has other settings or is of another model.
        """
        if not self.path.is_file():
            return
        from safetensors.torch import load_file

        saved = self._read_history()
        tensors = load_file(self.path)
        try:
            model.load_state_dict(_with_prefix("model.", tensors))
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _with_prefix("optimizer.", tensors).items():
                number, _, key = name.partition(".")
                state.setdefault(int(number), {})[key] = tensor
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
            states = [state for _, state in sorted(_with_prefix("random.", tensors).items())]
            set_random_state(states, next(model.parameters()).device)
        except (RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
            raise WeightsFormatError(
                f"{self.path} does not fit the model: {summarize_error(error)}"
            ) from error
        history.losses[:], history.scores[:] = saved.losses, saved.scores
        history.seconds = saved.seconds

    def _read_history(self) -> TrainingHistory:
        from safetensors import safe_open

        check_safetensors(self.path)
        with safe_open(self.path, framework="numpy") as file:
            metadata = file.metadata() or {}
        try:
            if metadata["version"] != VERSION:
                raise WeightsFormatError(
                    f"{self.path} has version {metadata['version']}, this release reads {VERSION}"
                )
            settings = json.loads(metadata["run"])
            history = parse_json(TrainingHistory, metadata["history"])
        except (KeyError, ValueError) as error:
            raise WeightsFormatError(
                f"{self.path} is not a training checkpoint: {error!r}; delete it to start again"
            ) from error
        self._check_settings(settings)
        return history

    def _check_settings(self, saved: Mapping[str, Any]) -> None:
        current = json.loads(json.dumps(self.settings))
        names = {*saved, *current}
        differing = sorted(name for name in names if saved.get(name) != current.get(name))
        if differing:
            values = ", ".join(
                f"{name} {saved.get(name)} (now {current.get(name)})" for name in differing
            )
            raise WeightsFormatError(
                f"{self.path} belongs to a training run with {values}; "
                "use its settings to resume it, or delete the file to start again"
            )


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Select the tensors whose names start with a prefix, and remove it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
