"""The repositories of the hub that a model reads, and the files it needs of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.encoders.weights import CTRANSLATE2_WEIGHTS, MODEL_WEIGHTS, OPEN_CLIP_WEIGHTS
from retrieval.errors import WeightsNotAvailableError
from retrieval.files.reading import read_text

OPEN_CLIP_CONFIG = "open_clip_config.json"

PICKLE_OF = {MODEL_WEIGHTS: "pytorch_model.bin", OPEN_CLIP_WEIGHTS: "open_clip_pytorch_model.bin"}
"""The pickle with the same tensors in repositories without safetensors."""

ReadConfig = Callable[[str, str], dict[str, Any] | None]
"""Maps repository and file name to the JSON object in that file, or None."""


@dataclass(frozen=True, slots=True)
class RequiredFiles:
    """Files that a loader needs besides weights, in one of several sets.

    Attributes:
        name: Name in messages.
        alternatives: Sets of file names; one complete set is enough.
    """

    name: str
    alternatives: tuple[tuple[str, ...], ...]


CONFIG = RequiredFiles("configuration", (("config.json",),))
OPEN_CLIP_CONFIG_FILES = RequiredFiles("configuration", ((OPEN_CLIP_CONFIG,),))
TOKENIZER = RequiredFiles(
    "tokenizer",
    (
        ("tokenizer.json",),
        ("vocab.json", "merges.txt"),
        ("vocab.txt",),
        ("sentencepiece.bpe.model",),
        ("spiece.model",),
    ),
)
PREPROCESSOR = RequiredFiles(
    "preprocessor", (("preprocessor_config.json",), ("processor_config.json",))
)
WHISPER_TOKENIZER = RequiredFiles("tokenizer", (("tokenizer.json",),))
WHISPER_VOCABULARY = RequiredFiles("vocabulary", (("vocabulary.txt",), ("vocabulary.json",)))
VIDEO_PREPROCESSOR = RequiredFiles(
    "preprocessor", (("video_preprocessor_config.json",), *PREPROCESSOR.alternatives)
)

REQUIRED_FILES: dict[str, tuple[RequiredFiles, ...]] = {
    "clap": (CONFIG, PREPROCESSOR, TOKENIZER),
    "xclip": (CONFIG, PREPROCESSOR, TOKENIZER),
    "pe-av": (CONFIG, VIDEO_PREPROCESSOR, TOKENIZER),
    "blip": (CONFIG, PREPROCESSOR, TOKENIZER),
    "whisper": (CONFIG, WHISPER_TOKENIZER, WHISPER_VOCABULARY),
}
"""Files that the loader of each backend needs besides the weights."""

WEIGHTS_OF_BACKEND = {"whisper": CTRANSLATE2_WEIGHTS}
"""Names of the weights of backends that read another format than safetensors."""

BACKEND_BY_MODEL_TYPE = {
    "clap": "clap",
    "xclip": "xclip",
    "pe_audio_video": "pe-av",
    "pe_video": "pe-av",
    "blip": "blip",
}
"""Backend by the `model_type` of a config.json."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """The files that a model needs of one repository.

    Attributes:
        repo: `ORG/NAME`, or a bare name as the hub's oldest repositories have.
        required: Files besides the weights.
        weights: File name of the weights; None if none are read.
    """

    repo: str
    required: tuple[RequiredFiles, ...]
    weights: str | None = MODEL_WEIGHTS


@dataclass(frozen=True, slots=True)
class KnownRepository:
    """A repository of the catalogue.

    Attributes:
        spec: Specification of its model; empty for a part of another model.
        licence: Licence of its weights.
        bytes: Size of the files that are read, computed for float32; None if unknown.
        commit: Revision to fetch; None for the current `main`.
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
    # `main` has pickles only; these commits add safetensors, made by the hub's converter.
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
    **{
        repo: KnownRepository(f"whisper:{repo}", "MIT", size)
        for repo, size in {
            "Systran/faster-whisper-tiny": 78_000_000,
            "Systran/faster-whisper-base": 148_000_000,
            "Systran/faster-whisper-small": 486_000_000,
            "Systran/faster-whisper-medium": 1_531_000_000,
            "Systran/faster-whisper-large-v3": 3_091_000_000,
            "mobiuslabsgmbh/faster-whisper-large-v3-turbo": 1_622_000_000,
        }.items()
    },
}

REPOSITORY_BY_SPEC = {known.spec: repo for repo, known in KNOWN.items() if known.spec}

MUQ_CONFIG = {
    "audio_model": {"name": "OpenMuQ/MuQ-large-msd-iter"},
    "text_model": {"name": "xlm-roberta-base"},
}
"""Towers in MuQ-MuLan's config.json, used until that file is on this machine."""

MUQ_TOWERS = {"audio_model": (CONFIG,), "text_model": (CONFIG, TOKENIZER)}
"""Keys of that file that name repositories, with the files needed of each besides weights."""


def canonical_repository(name: str) -> str:
    """Return the catalogue's spelling of a repository's name; letter case does not matter."""
    by_case = {repo.casefold(): repo for repo in KNOWN}
    return by_case.get(name.casefold(), name)


def list_sources(spec: str, read_config: ReadConfig) -> list[HubSource]:
    """List what a model needs of the hub, its own repository first; empty for local files.

    Args:
        spec: Specification as `resolve` returns it, or of a `blip:` re-ranker.
        read_config: Reads configurations that name further repositories; those are left out while
            the configuration is unavailable.

    Raises:
        WeightsNotAvailableError: open_clip publishes no such weights.
    """
    backend, _, location = spec.partition(":")
    if backend in ("adapter", "video-text"):
        base = _base_spec(Path(location))
        return list_sources(base, read_config) if base else []
    folder = Path(location).expanduser()
    if backend == "open_clip" and (folder / OPEN_CLIP_CONFIG).is_file():
        # The folder has all files but the configuration of a transformers text tower.
        tower = text_config(read_json_object(folder / OPEN_CLIP_CONFIG) or {}).get("hf_model_name")
        return _text_sources({"hf_model_name": tower})
    if backend == "muq" and location:
        return _muq_sources(location, read_config)
    if not location or backend == "mulan" or folder.exists():
        return []
    if backend == "open_clip":
        return _open_clip_sources(location, spec, read_config)
    required = REQUIRED_FILES.get(backend)
    weights = WEIGHTS_OF_BACKEND.get(backend, MODEL_WEIGHTS)
    return [] if required is None else [HubSource(location, required, weights)]


def identify(repo: str, names: set[str], config: Callable[[], dict[str, Any]]) -> str | None:
    """Return the specification that reads a repository, judged by its files, or None.

    Args:
        repo: The repository.
        names: Its files.
        config: Reads its config.json.
    """
    if repo in KNOWN and KNOWN[repo].spec:
        return KNOWN[repo].spec
    if OPEN_CLIP_CONFIG in names:
        return f"open_clip:hf-hub:{repo}"
    if "config.json" not in names:
        return None
    content = config()
    if {"mulan", "audio_model", "text_model"} <= content.keys():
        return f"muq:{repo}"
    if CTRANSLATE2_WEIGHTS in names and "lang_ids" in content:
        return f"whisper:{repo}"
    backend = BACKEND_BY_MODEL_TYPE.get(str(content.get("model_type")))
    return f"{backend}:{repo}" if backend else None


def _open_clip_sources(location: str, spec: str, read_config: ReadConfig) -> list[HubSource]:
    if location.startswith("hf-hub:"):
        repo = location.removeprefix("hf-hub:")
        config = read_config(repo, OPEN_CLIP_CONFIG) or {}
        own = HubSource(repo, (OPEN_CLIP_CONFIG_FILES,), OPEN_CLIP_WEIGHTS)
        return _with_text_tower(own, text_config(config))
    if spec in REPOSITORY_BY_SPEC:
        repo = REPOSITORY_BY_SPEC[spec]  # without importing open_clip, which takes seconds
        own = HubSource(repo, (), OPEN_CLIP_WEIGHTS)
        return _with_text_tower(own, {"hf_tokenizer_name": repo} if "SigLIP" in repo else {})
    from retrieval.encoders.open_clip_registry import published_files, text_configuration

    name, _, tag = location.partition("/")
    if Path(tag).is_file():  # local weights; the tokenizer may come from the hub
        return _text_sources(text_configuration(name))
    files = published_files(name, tag)
    if files is None:
        raise WeightsNotAvailableError(
            f"{spec}: open_clip publishes no weights of that name on the hub"
        )
    repo, weights = files
    return _with_text_tower(HubSource(repo, (), weights), text_configuration(name))


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the text tower's part of an open_clip_config.json; empty if there is none."""
    model = config.get("model_cfg")
    text = model.get("text_cfg") if isinstance(model, dict) else None
    return text if isinstance(text, dict) else {}


def _with_text_tower(own: HubSource, text: dict[str, Any]) -> list[HubSource]:
    """Add the files of a text tower, from the model's own repository or from others."""
    others = []
    for source in _text_sources(text):
        if source.repo == own.repo:
            own = HubSource(own.repo, own.required + source.required, own.weights)
        else:
            others.append(source)
    return [own, *others]


def _text_sources(text: dict[str, Any]) -> list[HubSource]:
    """List the repositories of a text tower's tokenizer and of the model it wraps."""
    required: dict[str, tuple[RequiredFiles, ...]] = {}
    for key, files in (("hf_tokenizer_name", TOKENIZER), ("hf_model_name", CONFIG)):
        if text.get(key):
            repo = str(text[key])
            required[repo] = (*required.get(repo, ()), files)
    return [HubSource(repo, files, None) for repo, files in required.items()]


def _muq_sources(location: str, read_config: ReadConfig) -> list[HubSource]:
    folder = Path(location).expanduser()
    if folder.is_dir():
        sources, config = [], read_json_object(folder / "config.json") or {}
    else:
        sources = [HubSource(location, (CONFIG,))]
        config = read_config(location, "config.json") or MUQ_CONFIG
    for tower, required in MUQ_TOWERS.items():
        content = config.get(tower)
        name = content.get("name") if isinstance(content, dict) else None
        if name and not Path(str(name)).exists():
            sources.append(HubSource(str(name), required))
    return sources


def read_json_object(path: Path) -> dict[str, Any] | None:
    """Read a JSON object from a file; None if it is missing or damaged."""
    try:
        value = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _base_spec(folder: Path) -> str | None:
    """Return the specification of the base model of an adapter or a video-text model."""
    for name, key in (("adapter.json", "base"), ("config.json", "images")):
        base = (read_json_object(folder / name) or {}).get(key)
        if isinstance(base, str) and ":" in base:
            return base
    return None
