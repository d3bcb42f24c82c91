"""Which repositories of the hub a model reads, and which of their files it needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.errors import WeightsNotAvailableError
from retrieval.files.reading import read_text

MODEL_WEIGHTS = "model.safetensors"
CLIP_WEIGHTS = "open_clip_model.safetensors"
CLIP_CONFIG = "open_clip_config.json"

PICKLE_OF = {MODEL_WEIGHTS: "pytorch_model.bin", CLIP_WEIGHTS: "open_clip_pytorch_model.bin"}
"""The pickle that holds the same tensors in repositories without safetensors."""

ReadConfig = Callable[[str, str], dict[str, Any] | None]
"""Reads a JSON file of a repository: (repository, file name) → its object, or None."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something a loader reads besides weights, in one of several sets of files.

    Attributes:
        name: What messages call it.
        alternatives: Sets of file names; one whole set is enough.
    """

    name: str
    alternatives: tuple[tuple[str, ...], ...]


CONFIG = Part("configuration", (("config.json",),))
CLIP_CONFIGURATION = Part("configuration", ((CLIP_CONFIG,),))
TOKENIZER = Part(
    "tokenizer",
    (
        ("tokenizer.json",),
        ("vocab.json", "merges.txt"),
        ("vocab.txt",),
        ("sentencepiece.bpe.model",),
        ("spiece.model",),
    ),
)
PREPROCESSOR = Part("preprocessor", (("preprocessor_config.json",), ("processor_config.json",)))
VIDEO_PREPROCESSOR = Part(
    "preprocessor", (("video_preprocessor_config.json",), *PREPROCESSOR.alternatives)
)

TRANSFORMERS_PARTS: dict[str, tuple[Part, ...]] = {
    "clap": (CONFIG, PREPROCESSOR, TOKENIZER),
    "xclip": (CONFIG, PREPROCESSOR, TOKENIZER),
    "pe-av": (CONFIG, VIDEO_PREPROCESSOR, TOKENIZER),
    "blip": (CONFIG, PREPROCESSOR, TOKENIZER),
}
"""What the loader of each backend reads from the folder of its model."""

BACKEND_OF_TYPE = {
    "clap": "clap",
    "xclip": "xclip",
    "pe_audio_video": "pe-av",
    "pe_video": "pe-av",
    "blip": "blip",
}
"""Backend by the `model_type` of a config.json."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a model needs of one repository.

    Attributes:
        repo: `ORG/NAME`, or a bare name as the hub's oldest repositories have.
        parts: What must be there besides the weights.
        weights: File name of the weights; None where none are read.
    """

    repo: str
    parts: tuple[Part, ...]
    weights: str | None = MODEL_WEIGHTS


@dataclass(frozen=True, slots=True)
class KnownRepository:
    """A repository of the catalogue.

    Attributes:
        spec: The specification that reads it; empty for a part of another model.
        licence: Of its weights.
        bytes: Size of what is read, as its architecture in float32 takes; None: unknown.
        commit: The revision that is fetched; None: whatever `main` is at that time.
    """

    spec: str
    licence: str
    bytes: int | None = None
    commit: str | None = None


KNOWN: dict[str, KnownRepository] = {
    "timm/ViT-B-32-SigLIP2-256": KnownRepository(
        "open_clip:ViT-B-32-SigLIP2-256/webli", "Apache-2.0", 1_507_000_000
    ),
    "timm/PE-Core-B-16": KnownRepository(
        "open_clip:PE-Core-B-16/meta", "Apache-2.0", 1_791_000_000
    ),
    "timm/PE-Core-L-14-336": KnownRepository(
        "open_clip:PE-Core-L-14-336/meta", "Apache-2.0", 2_685_000_000
    ),
    # Their `main` holds pickles only. These commits add safetensors, made by the hub's converter.
    "laion/larger_clap_general": KnownRepository(
        "clap:laion/larger_clap_general",
        "Apache-2.0",
        776_000_000,
        commit="16c8cc3159a3c8a31e8ff5ef1f66b0d9ab3667db",
    ),
    "laion/larger_clap_music_and_speech": KnownRepository(
        "clap:laion/larger_clap_music_and_speech",
        "Apache-2.0",
        776_000_000,
        commit="8a2acdbf328883b3cc38b575179e5950cf2deeb4",
    ),
    "Salesforce/blip-itm-base-coco": KnownRepository(
        "blip:Salesforce/blip-itm-base-coco",
        "see its card",
        895_000_000,
        commit="98cf803d8586e8e8b3ec527885ac50c422d514ae",
    ),
    "microsoft/xclip-base-patch32": KnownRepository(
        "xclip:microsoft/xclip-base-patch32", "MIT", 786_000_000
    ),
    "facebook/pe-av-small-16-frame": KnownRepository(
        "pe-av:facebook/pe-av-small-16-frame", "Apache-2.0"
    ),
    "OpenMuQ/MuQ-MuLan-large": KnownRepository("muq:OpenMuQ/MuQ-MuLan-large", "CC-BY-NC-4.0"),
    "OpenMuQ/MuQ-large-msd-iter": KnownRepository("", "CC-BY-NC-4.0"),
    "xlm-roberta-base": KnownRepository("", "MIT"),
}

REPOSITORY_OF = {known.spec: repo for repo, known in KNOWN.items() if known.spec}

MUQ_CONFIG = {
    "audio_model": {"name": "OpenMuQ/MuQ-large-msd-iter"},
    "text_model": {"name": "xlm-roberta-base"},
}
"""What MuQ-MuLan's config.json names as its towers, until that file is on this machine."""

MUQ_TOWERS = {"audio_model": (CONFIG,), "text_model": (CONFIG, TOKENIZER)}
"""Keys of that file that name repositories, and what is read of each besides its weights."""


def canonical_repository(name: str) -> str:
    """The catalogue's spelling of a repository's name, which people type in any letter case."""
    by_case = {repo.casefold(): repo for repo in KNOWN}
    return by_case.get(name.casefold(), name)


def sources_of(spec: str, read_config: ReadConfig) -> list[Source]:
    """What a model needs of the hub, its own repository first; nothing for files of this machine.

    Args:
        spec: As `resolve` returns it; `blip:` re-rankers as well.
        read_config: Some models name further repositories in a configuration. Until it can be
            read, those are left out.

    Raises:
        WeightsNotAvailableError: open_clip publishes no such weights.
    """
    backend, _, location = spec.partition(":")
    if backend in ("adapter", "video-text"):
        base = _base_of(Path(location))
        return sources_of(base, read_config) if base else []
    folder = Path(location).expanduser()
    if backend == "open_clip" and (folder / CLIP_CONFIG).is_file():
        # The folder holds all but the configuration of a text tower of transformers.
        tower = text_config(read_json(folder / CLIP_CONFIG) or {}).get("hf_model_name")
        return _text_sources({"hf_model_name": tower})
    if backend == "muq" and location:
        return _muq_sources(location, read_config)
    if not location or backend == "mulan" or folder.exists():
        return []
    if backend == "open_clip":
        return _open_clip_sources(location, spec, read_config)
    parts = TRANSFORMERS_PARTS.get(backend)
    return [] if parts is None else [Source(location, parts)]


def identify(repo: str, names: set[str], config: Callable[[], dict[str, Any]]) -> str | None:
    """The specification that reads a repository, judged by its files; None where nothing here can.

    Args:
        repo: The repository.
        names: Its files.
        config: Reads its config.json.
    """
    if repo in KNOWN and KNOWN[repo].spec:
        return KNOWN[repo].spec
    if CLIP_CONFIG in names:
        return f"open_clip:hf-hub:{repo}"
    if "config.json" not in names:
        return None
    described = config()
    if {"mulan", "audio_model", "text_model"} <= described.keys():
        return f"muq:{repo}"
    backend = BACKEND_OF_TYPE.get(str(described.get("model_type")))
    return f"{backend}:{repo}" if backend else None


def _open_clip_sources(location: str, spec: str, read_config: ReadConfig) -> list[Source]:
    if location.startswith("hf-hub:"):
        repo = location.removeprefix("hf-hub:")
        config = read_config(repo, CLIP_CONFIG) or {}
        own = Source(repo, (CLIP_CONFIGURATION,), CLIP_WEIGHTS)
        return _with_text_tower(own, text_config(config))
    if spec in REPOSITORY_OF:
        repo = REPOSITORY_OF[spec]  # known without importing open_clip, which takes seconds
        own = Source(repo, (), CLIP_WEIGHTS)
        return _with_text_tower(own, {"hf_tokenizer_name": repo} if "SigLIP" in repo else {})
    from retrieval.encoders.open_clip_checkpoint import published_files, text_configuration

    name, _, tag = location.partition("/")
    if Path(tag).is_file():  # weights of this machine; the tokenizer may come from the hub
        return _text_sources(text_configuration(name))
    found = published_files(name, tag)
    if found is None:
        raise WeightsNotAvailableError(
            f"{spec}: open_clip publishes no weights of that name on the hub"
        )
    repo, weights = found
    return _with_text_tower(Source(repo, (), weights), text_configuration(name))


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The text tower's part of an open_clip_config.json; empty where it has none."""
    model = config.get("model_cfg")
    text = model.get("text_cfg") if isinstance(model, dict) else None
    return text if isinstance(text, dict) else {}


def _with_text_tower(own: Source, text: dict[str, Any]) -> list[Source]:
    """Add what a text tower needs, of the model's own repository or of others."""
    others = []
    for source in _text_sources(text):
        if source.repo == own.repo:
            own = Source(own.repo, own.parts + source.parts, own.weights)
        else:
            others.append(source)
    return [own, *others]


def _text_sources(text: dict[str, Any]) -> list[Source]:
    """The repositories of a text tower's tokenizer, and of the model it wraps."""
    parts: dict[str, tuple[Part, ...]] = {}
    for key, part in (("hf_tokenizer_name", TOKENIZER), ("hf_model_name", CONFIG)):
        if text.get(key):
            repo = str(text[key])
            parts[repo] = (*parts.get(repo, ()), part)
    return [Source(repo, needed, None) for repo, needed in parts.items()]


def _muq_sources(location: str, read_config: ReadConfig) -> list[Source]:
    folder = Path(location).expanduser()
    if folder.is_dir():
        sources, config = [], read_json(folder / "config.json") or {}
    else:
        sources = [Source(location, (CONFIG,))]
        config = read_config(location, "config.json") or MUQ_CONFIG
    for tower, parts in MUQ_TOWERS.items():
        described = config.get(tower)
        name = described.get("name") if isinstance(described, dict) else None
        if name and not Path(str(name)).exists():
            sources.append(Source(str(name), parts))
    return sources


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where it is missing or damaged."""
    try:
        value = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _base_of(folder: Path) -> str | None:
    """The specification of the model that an adapter or a video-text model stands on."""
    for name, key in (("adapter.json", "base"), ("config.json", "images")):
        base = (read_json(folder / name) or {}).get(key)
        if isinstance(base, str) and ":" in base:
            return base
    return None
