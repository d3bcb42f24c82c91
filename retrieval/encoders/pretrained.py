"""Model folders as transformers saves them: checked, then loaded, and nothing in them executed."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging

from retrieval.encoders.batching import compute_dtype
from retrieval.encoders.configuration import check_declared, check_sizes
from retrieval.encoders.hub.cache import model_folder
from retrieval.encoders.tokens import SPECIMEN, tokenizer_digest
from retrieval.encoders.weights import (
    MISMATCHES_SHOWN,
    digest_of,
    file_digest,
    list_mismatches,
    weight_files,
)
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError
from retrieval.files.reading import read_text

tell: Any = transformers_logging  # only half of it is typed

PREPROCESSING = (
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
)
"""Where processors are described, depending on the version that saved them."""


def checked_folder(location: str, *, spec: str) -> Path:
    """Find a model's folder, local or in the hub's cache, and check its files of weights.

    Raises:
        WeightsNotAvailableError: It is not on this machine.
        WeightsFormatError: Its weights are a pickle or damaged.
    """
    folder = model_folder(location, spec=spec)
    weight_files(folder)
    return folder


def load_model(factory: Any, folder: Path, *, spec: str, config: Any = None) -> Any:
    """Build a model from its configuration and fill it; every tensor must be there, in its shape.

    Args:
        factory: A model class of transformers.
        folder: As `checked_folder` returns it.
        spec: What the user asked for.
        config: Of the part to load; None: config.json, of the whole.

    Raises:
        WeightsFormatError: The folder holds another architecture.
    """
    name = factory.__name__
    try:
        _check_sizes(factory, folder, config, spec)
        with quiet():
            model, report = factory.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # reported, and refused below
                output_loading_info=True,
            )
    except (torch.OutOfMemoryError, MemoryError, WeightsFormatError):
        raise
    except Exception as error:  # a foreign configuration fails in any way, assertions too
        raise WeightsFormatError(
            f"{spec}: {folder} does not load as a {name}: {list_mismatches(error)}"
        ) from error
    faults = [f"{name} is missing" for name in sorted(report["missing_keys"])]
    faults += [
        f"{name} is {tuple(found)}, expected {tuple(wanted)}"
        for name, found, wanted in sorted(report["mismatched_keys"])
    ]
    if faults:
        raise WeightsFormatError(
            f"{spec}: the weights in {folder} do not fit {name} as config.json describes it, in "
            f"{len(faults)} tensors: {'; '.join(faults[:MISMATCHES_SHOWN])}"
        )
    return model.eval()


def _check_sizes(factory: Any, folder: Path, config: Any, spec: str) -> None:
    """Refuse a configuration that is far larger than the weights: the rest would be made up."""
    check_sizes(json.loads(read_text(folder / "config.json")))
    with quiet():
        described = factory.config_class.from_pretrained(folder) if config is None else config
        check_declared(lambda: factory(described), weight_files(folder), spec=spec)


def load_part(factory: Any, folder: Path, *, spec: str, what: str) -> Any:
    """Load a tokenizer or a processor from a model's folder.

    Raises:
        WeightsNotAvailableError: It is missing, unreadable, or would need code from the folder.
    """
    try:
        with quiet():
            return factory.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as above
        raise WeightsNotAvailableError(
            f"{spec}: {folder} lacks a readable {what}; get the whole model again"
        ) from error


def load_tokenizer(folder: Path, *, spec: str) -> Any:
    """Load the tokenizer that lies beside the weights."""
    return load_part(AutoTokenizer, folder, spec=spec, what="tokenizer")


def folder_digest(folder: Path, tokenizer: Any, specimen_ids: list[int]) -> str:
    """sha256 over weights, configuration, preprocessing and what the tokenizer does.

    Args:
        folder: The model's.
        tokenizer: Loaded from it.
        specimen_ids: The ids it gives `SPECIMEN`, cut as the model gets them.
    """
    others = [folder / name for name in ("config.json", *PREPROCESSING)]
    files = weight_files(folder) + [path for path in others if path.is_file()]
    return digest_of(
        {path.name: file_digest(path) for path in files}
        | {"tokenizer": tokenizer_digest(tokenizer.get_vocab(), specimen_ids)}
    )


class Tokens:
    """Texts as a model wants them: padded to the longest, cut at the context length."""

    def __init__(self, tokenizer: Any, context_length: int, device: torch.device) -> None:
        self.tokenizer = tokenizer
        self._length = min(context_length, tokenizer.model_max_length)
        self._device = device

    def __call__(self, texts: list[str]) -> Any:
        """Ids and attention mask of texts, each (n, longest) int64, on the model's device."""
        return self.tokenizer(
            texts, padding=True, truncation=True, max_length=self._length, return_tensors="pt"
        ).to(self._device)

    def specimen_ids(self) -> list[int]:
        """What becomes of the specimen text, for the digest."""
        ids: list[int] = self([SPECIMEN])["input_ids"][0].tolist()
        return ids


def autocast(device: torch.device) -> torch.autocast:
    """Half precision on a GPU; nothing on a CPU."""
    return torch.autocast(device.type, dtype=compute_dtype(device), enabled=device.type == "cuda")


def tensor_of(output: Any) -> torch.Tensor:
    """The vectors; transformers 5 wraps them in an object."""
    tensor: torch.Tensor = getattr(output, "pooler_output", output)
    return tensor


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bar, table of tensors and prints off the user's screen."""
    shown, level = tell.is_progress_bar_enabled(), tell.get_verbosity()
    tell.disable_progress_bar()
    tell.set_verbosity_error()
    try:
        with redirect_stdout(io.StringIO()):  # where answers go, and PE-AV's class prints
            yield
    finally:
        tell.set_verbosity(level)
        if shown:
            tell.enable_progress_bar()
