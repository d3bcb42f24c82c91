"""The hub's cache on this machine, read without a connection.

Besides the folders of huggingface_hub, the folder of a repository contains what fetching adds:

    retrieval/COMMIT.json   the files of a fetched commit: sizes and digests
    retrieval/COMMIT/       for weights converted from a pickle: the converted file, and links to
                            the other files of the snapshot
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.encoders.hub.repositories import (
    KNOWN,
    WEIGHTS_OF_BACKEND,
    HubSource,
    list_sources,
    read_json_object,
)
from retrieval.encoders.weights import (
    CTRANSLATE2_WEIGHTS,
    PICKLE_SUFFIXES,
    SHARD_INDEX,
    check_ctranslate2,
    check_safetensors,
    weight_shards,
)
from retrieval.errors import RetrievalError, WeightsFormatError, WeightsNotAvailableError
from retrieval.files.reading import read_text


@dataclass(frozen=True, slots=True)
class Availability:
    """The files of a model on this machine.

    Attributes:
        bytes: Size of the files present.
        missing: Files that its loader lacks, such as `ORG/NAME: tokenizer`.
    """

    bytes: int
    missing: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether the loader has all files."""
        return not self.missing


def availability(spec: str) -> Availability:
    """Check the files of a hub model that its loader reads.

    Args:
        spec: Specification as `resolve` returns it. Local files and folders need nothing.
    """
    size, missing = 0, []
    for source in list_sources(spec, cached_config):
        folder = find_snapshot(source.repo)
        missing += [f"{source.repo}: {name}" for name in missing_files(folder, source)]
        if folder is not None:
            size += sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return Availability(size, tuple(missing))


def find_folders(spec: str) -> dict[HubSource, Path]:
    """Return the snapshot folders of a model, its own repository first.

    Raises:
        WeightsNotAvailableError: A file that its loader needs is missing.
    """
    folders = {}
    for source in list_sources(spec, cached_config):
        folder = find_snapshot(source.repo)
        missing = missing_files(folder, source)
        if folder is None or missing:
            raise _not_cached_error(spec, source.repo, missing if folder is not None else ())
        folders[source] = folder
    return folders


def model_folder(location: str, *, spec: str) -> Path:
    """Return a model's folder: a local one, or the cached snapshot of a hub repository.

    Raises:
        WeightsNotAvailableError: Neither exists, or the snapshot is incomplete.
        WeightsFormatError: The location is a single file.
    """
    path = Path(location).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise _not_a_folder_error(path, spec)
    return next(iter(find_folders(spec).values()))


def _not_cached_error(spec: str, repo: str, missing: Sequence[str]) -> WeightsNotAvailableError:
    fault = f"lacks its {', '.join(missing)}" if missing else "is missing"
    embeds = spec.partition(":")[0] not in WEIGHTS_OF_BACKEND
    other = ", or use the model tiny, which comes with the package" if embeds else ""
    return WeightsNotAvailableError(
        f"{spec}: {repo} {fault} in the hub's cache of this machine; fetch the model first{other}",
        fetchable=spec,
    )


def missing_files(folder: Path | None, source: HubSource) -> list[str]:
    """Name the files that a loader lacks in a snapshot, in reading order."""
    if folder is None:
        return ["files"]
    sizes = {name: file["bytes"] for name, file in read_record(folder).get("files", {}).items()}
    missing = []
    if source.weights and not _has_weights(folder, source.weights, sizes):
        missing.append("weights")
    return missing + [
        required.name
        for required in source.required
        if not any(
            all(_is_complete(folder / name, sizes) for name in names)
            for names in required.alternatives
        )
    ]


def repository_folder(repo: str) -> Path:
    """Return the folder of a repository in the cache.

    Raises:
        WeightsNotAvailableError: The name of the repository is invalid.
    """
    from huggingface_hub import constants, utils
    from huggingface_hub.errors import HFValidationError

    hub: Any = utils  # partly untyped
    try:
        hub.validate_repo_id(repo)
    except HFValidationError as error:
        raise WeightsNotAvailableError(
            f"{repo!r} is neither a folder nor a repository of the hub, such as ORG/NAME"
        ) from error
    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"


def find_snapshot(repo: str) -> Path | None:
    """Return the folder of a repository's current files; None if none were fetched."""
    storage = repository_folder(repo)
    commit = KNOWN[repo].commit if repo in KNOWN else None
    if commit is None:
        try:
            commit = read_text(storage / "refs" / "main").strip()
        except (OSError, ValueError):
            return None
    folders = (storage / "retrieval" / commit, storage / "snapshots" / commit)
    return next((folder for folder in folders if folder.is_dir()), None)


def record_path(repo: str, commit: str) -> Path:
    """Return the path of the record of a fetched commit."""
    return repository_folder(repo) / "retrieval" / f"{commit}.json"


def read_record(snapshot: Path) -> dict[str, Any]:
    """Read the record of a snapshot; empty if another tool filled the cache."""
    return read_json_object(snapshot.parents[1] / "retrieval" / f"{snapshot.name}.json") or {}


def cached_config(repo: str, name: str) -> dict[str, Any] | None:
    """Read a JSON object of a cached repository; None if it is missing or damaged."""
    folder = find_snapshot(repo)
    return None if folder is None else read_json_object(folder / name)


def _is_complete(path: Path, sizes: Mapping[str, int]) -> bool:
    return path.is_file() and path.stat().st_size == sizes.get(path.name, path.stat().st_size)


def _has_weights(folder: Path, name: str, sizes: Mapping[str, int]) -> bool:
    """Check the file of weights, or all the shards that an index lists."""
    try:
        if name == CTRANSLATE2_WEIGHTS:
            check_ctranslate2(folder / name)
            return _is_complete(folder / name, sizes)
        if (folder / name).is_file() or not (folder / SHARD_INDEX).is_file():
            check_safetensors(folder / name)
            return _is_complete(folder / name, sizes)
        return all(_is_complete(path, sizes) for path in weight_shards(folder))
    except RetrievalError:
        return False


def _not_a_folder_error(path: Path, spec: str) -> WeightsFormatError:
    fault = "a pickle, which can run code" if path.suffix in PICKLE_SUFFIXES else "a single file"
    remedy = "write one with `save_pretrained`, and name it"
    if spec.startswith("clap:"):
        remedy = (
            "if you trust the file, transformers' convert_clap_original_pytorch_to_hf.py writes "
            "one from LAION's original checkpoints; name it"
        )
    return WeightsFormatError(
        f"{spec}: {path.name} is {fault}; expected a folder with config.json, model.safetensors "
        f"and the tokenizer: {remedy}"
    )
