"""Loading of model folders that transformers saved: files are checked and no code in them runs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer
from transformers.utils import logging as _untyped_logging

from retrieval.encoders.batching import compute_dtype
from retrieval.encoders.configuration import check_declared_size, check_sizes
from retrieval.encoders.hub.cache import model_folder
from retrieval.encoders.tokens import SPECIMEN, tokenizer_digest
from retrieval.encoders.weights import (
    MISMATCHES_SHOWN,
    file_digest,
    json_digest,
    summarize_error,
    weight_files,
)
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError
from retrieval.files.reading import read_text

transformers_logging: Any = _untyped_logging

PREPROCESSING = (
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
)
"""Names of processor configurations; they depend on the version of transformers."""


def find_checked_folder(location: str, *, spec: str) -> Path:
    """Return a model's folder, local or in the hub's cache, after checking its weights.

    Raises:
        WeightsNotAvailableError: The model is not on this machine.
        WeightsFormatError: Its weights are a pickle or damaged.
    """
    folder = model_folder(location, spec=spec)
    weight_files(folder)
    return folder


def load_model(factory: Any, folder: Path, *, spec: str, config: Any = None) -> Any:
    """Build a model from its configuration and load its weights; all tensors must match.

    Args:
        factory: A model class of transformers.
        folder: A folder, as `find_checked_folder` returns it.
        spec: Specification of the model, for messages.
        config: Configuration of a part of the model; None reads config.json.

    Raises:
        WeightsFormatError: The folder contains another architecture.
    """
    name = factory.__name__
    try:
        _check_declared_sizes(factory, folder, config, spec)
        with quiet_transformers():
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
    except Exception as error:  # an untrusted configuration fails in any way, assertions too
        raise WeightsFormatError(
            f"{spec}: {folder} does not load as a {name}: {summarize_error(error)}"
        ) from error
    faults = [f"{tensor} is missing" for tensor in sorted(report["missing_keys"])]
    faults += [
        f"{tensor} is {tuple(shape)}, expected {tuple(expected)}"
        for tensor, shape, expected in sorted(report["mismatched_keys"])
    ]
    if faults:
        raise WeightsFormatError(
            f"{spec}: the weights in {folder} do not fit {name} as config.json describes it, in "
            f"{len(faults)} tensors: {'; '.join(faults[:MISMATCHES_SHOWN])}"
        )
    return model.eval()


def _check_declared_sizes(factory: Any, folder: Path, config: Any, spec: str) -> None:
    check_sizes(json.loads(read_text(folder / "config.json")))
    with quiet_transformers():
        declared = factory.config_class.from_pretrained(folder) if config is None else config
        check_declared_size(lambda: factory(declared), weight_files(folder), spec=spec)


def load_component(factory: Any, folder: Path, *, spec: str, name: str) -> Any:
    """Load a tokenizer, processor or configuration from a model's folder.

    Args:
        factory: A class of transformers.
        folder: The model's folder.
        spec: Specification of the model, for messages.
        name: Name of the component, for messages.

    Raises:
        WeightsNotAvailableError: It is missing, unreadable, or needs code from the folder.
    """
    try:
        with quiet_transformers():
            return factory.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a damaged file fails in any way
        raise WeightsNotAvailableError(
            f"{spec}: {folder} has no readable {name}; download the model again"
        ) from error


def load_tokenizer(folder: Path, *, spec: str) -> Any:
    """Load the tokenizer of a model's folder; errors as `load_component`."""
    return load_component(AutoTokenizer, folder, spec=spec, name="tokenizer")


class TextTokenizer:
    """A tokenizer of transformers that pads to the longest text and truncates to the context."""

    def __init__(self, tokenizer: Any, context_length: int, device: torch.device) -> None:
        self.tokenizer = tokenizer
        self._length = min(context_length, tokenizer.model_max_length)
        self._device = device

    def __call__(self, texts: list[str]) -> Any:
        """Return ids and attention mask, each (n, longest) int64, on the model's device."""
        return self.tokenizer(
            texts, padding=True, truncation=True, max_length=self._length, return_tensors="pt"
        ).to(self._device)

    def digest(self) -> str:
        """Digest the vocabulary, and the ids of `SPECIMEN` as the model reads them."""
        ids = self([SPECIMEN])["input_ids"][0].tolist()
        return tokenizer_digest(self.tokenizer.get_vocab(), ids)


def folder_digest(folder: Path, tokenizer: TextTokenizer) -> str:
    """Digest weights, configuration, preprocessing, and the behaviour of the tokenizer."""
    others = [folder / name for name in ("config.json", *PREPROCESSING)]
    files = weight_files(folder) + [path for path in others if path.is_file()]
    return json_digest(
        {path.name: file_digest(path) for path in files} | {"tokenizer": tokenizer.digest()}
    )


def autocast(device: torch.device) -> torch.autocast:
    """Use half precision on a GPU; change nothing on a CPU."""
    return torch.autocast(device.type, dtype=compute_dtype(device), enabled=device.type == "cuda")


def pooled_output(output: Any) -> torch.Tensor:
    """Return the vectors of a model's output, which transformers 5 wraps in an object."""
    vectors: torch.Tensor = getattr(output, "pooler_output", output)
    return vectors


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Suppress the progress bar, warnings and prints of transformers."""
    progress_bar = transformers_logging.is_progress_bar_enabled()
    level = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        with redirect_stdout(io.StringIO()):  # results go to stdout, and PE-AV's class prints
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if progress_bar:
            transformers_logging.enable_progress_bar()
