"""Finding and loading of open_clip models: weights, tokenizer and configuration."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer

from retrieval.encoders.batching import compute_dtype
from retrieval.encoders.configuration import check_declared_size, check_sizes
from retrieval.encoders.hub.cache import find_folders
from retrieval.encoders.hub.repositories import CONFIG as TOWER_CONFIG
from retrieval.encoders.hub.repositories import OPEN_CLIP_CONFIG, TOKENIZER, HubSource
from retrieval.encoders.initialization import SkipRandomInitialization
from retrieval.encoders.names import HUB_PREFIX, resolve_open_clip
from retrieval.encoders.open_clip_registry import published_files, text_configuration
from retrieval.encoders.spaces import make_slug
from retrieval.encoders.weights import (
    OPEN_CLIP_WEIGHTS,
    check_safetensors,
    find_safetensors,
    summarize_error,
)
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError

FOLDER_PREFIX = "local-dir:"
"""open_clip's prefix of an architecture that a folder describes."""

PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(frozen=True, slots=True)
class OpenClipCheckpoint:
    """The files of a model, before it is built.

    Attributes:
        name: Architecture in open_clip's factory, or `local-dir:FOLDER`.
        weights: A checked safetensors file.
        slug: Readable name.
        tokenizer: Folder of a transformers tokenizer; None for open_clip's own.
        text_tower: Folder with the configuration of a transformers text tower.
        preprocessing: Settings of the published weights that replace the architecture's.
        quick_gelu: The weights were trained with the approximation of GELU.
    """

    name: str
    weights: Path
    slug: str
    tokenizer: Path | None = None
    text_tower: Path | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)
    quick_gelu: bool = False

    @property
    def folder(self) -> Path | None:
        """Folder that describes the architecture; None for an architecture of open_clip."""
        if not self.name.startswith(FOLDER_PREFIX):
            return None
        return Path(self.name.removeprefix(FOLDER_PREFIX))


# ---------------------------------------------------------------- finding


def find_checkpoint(location: str, *, spec: str) -> OpenClipCheckpoint:
    """Resolve a location to a checked file of weights and the folders of the other parts.

    Args:
        location: `NAME/TAG`, `NAME/path/to.safetensors`, `hf-hub:ORG/NAME` or a folder.
        spec: Specification of the model.

    Raises:
        UnknownModelError: open_clip has no such name or tag.
        WeightsNotAvailableError: A part is not on this machine.
        WeightsFormatError: The weights are a pickle, damaged, or not of a CLIP model.
    """
    folder = Path(location).expanduser()
    if folder.is_dir():
        checkpoint = _checkpoint_in_folder(folder, spec, make_slug(folder.name))
        text_tower = _text_folders(find_folders(spec))["text_tower"]
        return replace(checkpoint, text_tower=text_tower)
    location = resolve_open_clip(location)
    if location.startswith(HUB_PREFIX):
        slug = make_slug(location.rpartition("/")[2])
        return _checkpoint_in_repository(find_folders(spec), spec, slug)
    name, _, rest = location.partition("/")
    if rest in open_clip.list_pretrained_tags_by_model(name):
        return _published_checkpoint(name, rest, spec)
    path = Path(rest)
    check_safetensors(path)
    stem = make_slug(path.stem)
    slug = stem if stem.startswith(make_slug(name)) else make_slug(f"{name}-{stem}")
    return OpenClipCheckpoint(name, path, slug, **_text_folders(find_folders(spec)))


def _checkpoint_in_folder(folder: Path, spec: str, slug: str) -> OpenClipCheckpoint:
    config = _read_folder_config(folder, spec)
    tokenizer = folder if config["text_cfg"].get("hf_tokenizer_name") else None
    weights = find_safetensors(folder, OPEN_CLIP_WEIGHTS)
    return OpenClipCheckpoint(f"{FOLDER_PREFIX}{folder}", weights, slug, tokenizer)


def _checkpoint_in_repository(
    folders: dict[HubSource, Path], spec: str, slug: str
) -> OpenClipCheckpoint:
    """Find the parts of a repository that describes its own architecture."""
    own = next(iter(folders.values()))
    return replace(_checkpoint_in_folder(own, spec, slug), **_text_folders(folders))


def _text_folders(folders: dict[HubSource, Path]) -> dict[str, Any]:
    """Return the folders of tokenizer and text tower, by their fields of a checkpoint."""
    tokenizers = (folder for source, folder in folders.items() if TOKENIZER in source.required)
    towers = (folder for source, folder in folders.items() if TOWER_CONFIG in source.required)
    return {"tokenizer": next(tokenizers, None), "text_tower": next(towers, None)}


def _read_folder_config(folder: Path, spec: str) -> dict[str, Any]:
    try:
        config: dict[str, Any] = open_clip.get_model_config(f"{FOLDER_PREFIX}{folder}")
        check_sizes(config)
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsFormatError(
            f"{spec}: {folder} has no valid {OPEN_CLIP_CONFIG}: {error}"
        ) from error
    if not {"embed_dim", "vision_cfg", "text_cfg"} <= set(config):
        raise WeightsFormatError(
            f"{spec}: {folder / OPEN_CLIP_CONFIG} does not describe a CLIP model"
        )
    return config


def _published_checkpoint(name: str, tag: str, spec: str) -> OpenClipCheckpoint:
    files = published_files(name, tag)
    if files is None:
        raise WeightsNotAvailableError(
            f"{spec}: open_clip publishes these weights outside the hub; if you trust them, "
            "download them and name the path to a .safetensors file"
        )
    folders = find_folders(spec)
    own = next(iter(folders.values()))
    slug = make_slug(f"{name}-{tag}")
    if (own / OPEN_CLIP_CONFIG).is_file() and not _is_registered_config(own, name, spec):
        return _checkpoint_in_repository(folders, spec, slug)
    weights = own / files[1]
    check_safetensors(weights)
    published = open_clip.get_pretrained_cfg(name, tag)
    keys = published.keys() & {"mean", "std", "interpolation", "resize_mode"}
    return OpenClipCheckpoint(
        name=name,
        weights=weights,
        slug=slug,
        preprocessing={key: published[key] for key in keys},
        quick_gelu=bool(published.get("quick_gelu", False)),
        **_text_folders(folders),
    )


def _is_registered_config(folder: Path, name: str, spec: str) -> bool:
    """Compare a repository's configuration with the one that open_clip has under a name.

    Models with equal configurations are built by name: spaces of earlier versions keep their
    digest.
    """
    set_by_tag = {"quick_gelu", "custom_text"}
    configs = (_read_folder_config(folder, spec), open_clip.get_model_config(name))
    own, named = ({k: v for k, v in c.items() if k not in set_by_tag} for c in configs)
    return own == named


# ---------------------------------------------------------------- loading


def load_tokenizer(checkpoint: OpenClipCheckpoint, spec: str) -> Any:
    """Load the tokenizer of a model.

    Raises:
        WeightsNotAvailableError: Its folder contains no readable tokenizer.
    """
    if checkpoint.tokenizer is None:
        return open_clip.get_tokenizer(checkpoint.name)
    text = text_configuration(checkpoint.name)
    try:
        # Loaded from the folder: given a repository's name, transformers reads its config.json,
        # which repositories of open_clip lack.
        return HFTokenizer(
            str(checkpoint.tokenizer),
            context_length=text.get("context_length", DEFAULT_CONTEXT_LENGTH),
            tokenizer_mode=text.get("tokenizer_mode"),
            local_files_only=True,
            trust_remote_code=False,
            **text.get("tokenizer_kwargs", {}),
        )
    except Exception as error:  # a damaged file fails in any way
        raise WeightsNotAvailableError(
            f"{spec}: {checkpoint.tokenizer} has no readable tokenizer (tokenizer.json and "
            "tokenizer_config.json); add them to the folder, or download the model again"
        ) from error


def load_model(checkpoint: OpenClipCheckpoint, device: torch.device, spec: str) -> Any:
    """Build the architecture and load its weights; all tensors must match.

    Raises:
        WeightsFormatError: The weights or the configuration belong to another model.
        WeightsNotAvailableError: A part of the model is not on this machine.
    """
    try:
        if checkpoint.folder is not None:
            _check_declared_size(checkpoint, spec)
        return _create_model(
            checkpoint,
            # In a folder open_clip finds the weights that were checked above.
            pretrained=None if checkpoint.folder else str(checkpoint.weights),
            precision=PRECISIONS[compute_dtype(device)],
            device=device,
            require_pretrained=True,
        )
    except (torch.OutOfMemoryError, WeightsFormatError):
        raise
    except (RuntimeError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise WeightsFormatError(
            f"{spec}: {checkpoint.weights} does not fit {checkpoint.name}: {summarize_error(error)}"
        ) from error
    except OSError as error:
        raise WeightsNotAvailableError(
            f"{spec}: parts of the model are not on this machine: {summarize_error(error)}"
        ) from error


def _create_model(checkpoint: OpenClipCheckpoint, **options: Any) -> Any:
    # Strict loading overwrites the random values.
    with SkipRandomInitialization():
        return open_clip.create_model(
            checkpoint.name,
            force_quick_gelu=checkpoint.quick_gelu,
            force_preprocess_cfg=checkpoint.preprocessing,
            **_text_tower_arguments(checkpoint),
            **options,
        )


def _check_declared_size(checkpoint: OpenClipCheckpoint, spec: str) -> None:
    """Compare the size of a foreign architecture with its weights before memory is allocated."""
    with _quiet_root_logger():  # open_clip warns that the model has no weights
        check_declared_size(
            lambda: _create_model(checkpoint, device="meta", load_weights=False),
            [checkpoint.weights],
            spec=spec,
        )


@contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """Drop the records that are logged directly to the root logger."""
    root = logging.getLogger()
    root.addFilter(_drop_record)
    try:
        yield
    finally:
        root.removeFilter(_drop_record)


def _drop_record(record: logging.LogRecord) -> bool:
    return False


def _text_tower_arguments(checkpoint: OpenClipCheckpoint) -> dict[str, Any]:
    """Refer to a transformers text tower by its folder instead of its repository."""
    if checkpoint.text_tower is None:
        return {}
    tower = {"hf_model_name": str(checkpoint.text_tower), "hf_model_pretrained": False}
    return {"text_cfg": text_configuration(checkpoint.name) | tower}
