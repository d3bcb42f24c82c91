"""Where a model of open_clip comes from, and how its weights and its tokenizer are loaded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer
from torch.overrides import TorchFunctionMode

from retrieval.encoders.batching import compute_dtype
from retrieval.encoders.hub.cache import folders_of
from retrieval.encoders.hub.repositories import CLIP_CONFIG as CONFIG
from retrieval.encoders.hub.repositories import CLIP_WEIGHTS as WEIGHTS
from retrieval.encoders.hub.repositories import CONFIG as TOWER_CONFIG
from retrieval.encoders.hub.repositories import TOKENIZER, Source
from retrieval.encoders.names import HUB_PREFIX, open_clip_location
from retrieval.encoders.spaces import slug_of
from retrieval.encoders.weights import check_safetensors, list_mismatches, safetensors_of
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError

PICKLE = "open_clip_pytorch_model.bin"

PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a model comes from, before anything is built.

    Attributes:
        name: What open_clip's factory is asked for: an architecture or `local-dir:FOLDER`.
        weights: A checked safetensors file.
        slug: Readable name.
        tokenizer: Folder of a tokenizer of transformers; None: open_clip's own.
        text_tower: Folder with the configuration of a text tower of transformers.
        preprocessing: What the published weights add to the architecture's preprocessing.
        quick_gelu: The weights were trained with the approximation of GELU.
    """

    name: str
    weights: Path
    slug: str
    tokenizer: Path | None = None
    text_tower: Path | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)
    quick_gelu: bool = False


# ---------------------------------------------------------------- finding


def find_checkpoint(location: str, *, spec: str) -> Checkpoint:
    """Resolve a location to a checked file of weights and the folders that go with it.

    Args:
        location: `NAME/TAG`, `NAME/path/to.safetensors`, `hf-hub:ORG/NAME` or a folder.
        spec: What the user asked for.

    Raises:
        UnknownModelError: open_clip knows no such name or tag.
        WeightsNotAvailableError: Something is not on this machine.
        WeightsFormatError: The weights are a pickle, damaged, or of no CLIP model.
    """
    folder = Path(location).expanduser()
    if folder.is_dir():
        checkpoint = _in_folder(folder, spec, slug_of(folder.name))
        tower = _text_folders(folders_of(spec))["text_tower"]
        return replace(checkpoint, text_tower=tower)
    location = open_clip_location(location)
    if location.startswith(HUB_PREFIX):
        slug = slug_of(location.rpartition("/")[2])
        return _in_repository(folders_of(spec), spec, slug)
    name, _, rest = location.partition("/")
    if rest in open_clip.list_pretrained_tags_by_model(name):
        return _published(name, rest, spec)
    path = Path(rest)
    check_safetensors(path)
    stem = slug_of(path.stem)
    slug = stem if stem.startswith(slug_of(name)) else slug_of(f"{name}-{stem}")
    return Checkpoint(name, path, slug, **_text_folders(folders_of(spec)))


def published_files(name: str, tag: str) -> tuple[str, str] | None:
    """Repository and file of a tag's weights on the hub; None where open_clip names none."""
    if tag not in open_clip.list_pretrained_tags_by_model(name):
        return None
    published = open_clip.get_pretrained_cfg(name, tag)
    repo, _, filename = str(published.get("hf_hub", "")).rpartition("/")
    # open_clip's own rule: default names of its own for both formats, else only the suffix differs.
    named = filename and filename != PICKLE
    return (repo, f"{Path(filename).stem}.safetensors" if named else WEIGHTS) if repo else None


def text_configuration(name: str) -> dict[str, Any]:
    """The text tower of an architecture of open_clip: its tokenizer, and the model it may wrap."""
    text: dict[str, Any] = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    return text


def _in_folder(folder: Path, spec: str, slug: str) -> Checkpoint:
    config = _folder_configuration(folder, spec)
    tokenizer = folder if config["text_cfg"].get("hf_tokenizer_name") else None
    return Checkpoint(f"local-dir:{folder}", safetensors_of(folder, WEIGHTS), slug, tokenizer)


def _in_repository(folders: dict[Source, Path], spec: str, slug: str) -> Checkpoint:
    """A repository that describes its own architecture."""
    own = next(iter(folders.values()))
    return replace(_in_folder(own, spec, slug), **_text_folders(folders))


def _text_folders(folders: dict[Source, Path]) -> dict[str, Any]:
    """What a checkpoint needs for its texts, by the parts that each source was asked for."""
    tokenizers = (folder for source, folder in folders.items() if TOKENIZER in source.parts)
    towers = (folder for source, folder in folders.items() if TOWER_CONFIG in source.parts)
    return {"tokenizer": next(tokenizers, None), "text_tower": next(towers, None)}


def _folder_configuration(folder: Path, spec: str) -> dict[str, Any]:
    try:
        config: dict[str, Any] = open_clip.get_model_config(f"local-dir:{folder}")
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsFormatError(f"{spec}: no readable {CONFIG} in {folder}: {error}") from error
    if not {"embed_dim", "vision_cfg", "text_cfg"} <= set(config):
        raise WeightsFormatError(f"{spec}: {folder / CONFIG} describes no CLIP model")
    return config


def _published(name: str, tag: str, spec: str) -> Checkpoint:
    found = published_files(name, tag)
    if found is None:
        raise WeightsNotAvailableError(
            f"{spec}: open_clip publishes these weights outside the hub; download them where you "
            "trust them, and pass the path to a .safetensors file"
        )
    folders = folders_of(spec)
    own = next(iter(folders.values()))
    slug = slug_of(f"{name}-{tag}")
    if (own / CONFIG).is_file() and not _describes(own, name, spec):
        return _in_repository(folders, spec, slug)
    weights = own / found[1]
    check_safetensors(weights)
    published = open_clip.get_pretrained_cfg(name, tag)
    return Checkpoint(
        name=name,
        weights=weights,
        slug=slug,
        preprocessing={
            key: published[key]
            for key in ("mean", "std", "interpolation", "resize_mode")
            if key in published
        },
        quick_gelu=bool(published.get("quick_gelu", False)),
        **_text_folders(folders),
    )


def _describes(folder: Path, name: str, spec: str) -> bool:
    """Whether a repository's configuration is the one that open_clip has under a name.

    Where it is, the model is built by its name: spaces made by earlier versions keep their digest.
    """
    tag_decides = {"quick_gelu", "custom_text"}
    configs = (_folder_configuration(folder, spec), open_clip.get_model_config(name))
    here, named = ({k: v for k, v in c.items() if k not in tag_decides} for c in configs)
    return here == named


# ---------------------------------------------------------------- loading


def load_tokenizer(checkpoint: Checkpoint, spec: str) -> Any:
    """Load the tokenizer of a model.

    Raises:
        WeightsNotAvailableError: Its folder holds no readable one.
    """
    if checkpoint.tokenizer is None:
        return open_clip.get_tokenizer(checkpoint.name)
    text = text_configuration(checkpoint.name)
    try:
        # From the folder: by a repository's name transformers asks for its config.json, which
        # repositories of open_clip lack.
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
            f"{spec}: {checkpoint.tokenizer} holds no readable tokenizer (tokenizer.json and "
            "tokenizer_config.json); put them beside the weights, or fetch the model again"
        ) from error


def load_model(checkpoint: Checkpoint, device: torch.device, spec: str) -> Any:
    """Build the architecture and fill it; every tensor must be in the file, in its shape."""
    folder = checkpoint.name.startswith("local-dir:")
    try:
        # Loading is strict, so each would be overwritten: ViT-B-32 takes 0.6 s instead of 3.7 s.
        with _SkipRandomFills():
            return open_clip.create_model(
                checkpoint.name,
                # A folder brings its weights; open_clip looks for the very name found above.
                pretrained=None if folder else str(checkpoint.weights),
                precision=PRECISIONS[compute_dtype(device)],
                device=device,
                force_quick_gelu=checkpoint.quick_gelu,
                force_preprocess_cfg=checkpoint.preprocessing,
                require_pretrained=True,
                **_text_tower(checkpoint),
            )
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise WeightsFormatError(
            f"{spec}: {checkpoint.weights} does not fit {checkpoint.name}: {list_mismatches(error)}"
        ) from error
    except OSError as error:
        raise WeightsNotAvailableError(
            f"{spec}: parts of the model are not on this machine: {list_mismatches(error)}"
        ) from error


def _text_tower(checkpoint: Checkpoint) -> dict[str, Any]:
    """Name a text tower of transformers by the folder of its configuration, not its repository."""
    if checkpoint.text_tower is None:
        return {}
    tower = {"hf_model_name": str(checkpoint.text_tower), "hf_model_pretrained": False}
    return {"text_cfg": text_configuration(checkpoint.name) | tower}


RANDOM_FILLS = frozenset({"erfinv_", "normal_", "trunc_normal_", "uniform_"})


class _SkipRandomFills(TorchFunctionMode):
    """Leaves tensors as they are where a module would fill them with random numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in RANDOM_FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
