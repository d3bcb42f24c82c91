"""The hub's cache on this machine: which models it holds whole. Nothing here opens a connection.

Beside the folders of huggingface_hub, the folder of a repository holds what fetching adds:

    retrieval/COMMIT.json   the files of a fetched commit: sizes and digests
    retrieval/COMMIT/       only where weights were converted from a pickle: the converted file,
                            and links to the other files of the snapshot
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.encoders.hub.repositories import KNOWN, Source, read_json, sources_of
from retrieval.encoders.weights import PICKLES, SHARDS, check_safetensors, weight_shards
from retrieval.errors import RetrievalError, WeightsFormatError, WeightsNotAvailableError
from retrieval.files.reading import read_text


@dataclass(frozen=True, slots=True)
class Availability:
    """How much of a model lies on this machine.

    Attributes:
        bytes: Size of its files that are here.
        missing: What its loader would not find, as `ORG/NAME: tokenizer`; empty: it is usable.
    """

    bytes: int
    missing: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether its loader finds everything."""
        return not self.missing


def availability(spec: str) -> Availability:
    """Judge a model that comes from the hub, by the files its loader reads.

    Args:
        spec: As `resolve` returns it. Files and folders of this machine need nothing of the hub.
    """
    size, missing = 0, []
    for source in sources_of(spec, cached_config):
        folder = snapshot_of(source.repo)
        missing += [f"{source.repo}: {part}" for part in missing_parts(folder, source)]
        if folder is not None:
            size += sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return Availability(size, tuple(missing))


def folders_of(spec: str) -> dict[Source, Path]:
    """The folders a model loads from, one for each source, its own first.

    Raises:
        WeightsNotAvailableError: Something its loader needs is missing.
    """
    folders = {}
    for source in sources_of(spec, cached_config):
        folder = snapshot_of(source.repo)
        missing = missing_parts(folder, source)
        if folder is None or missing:
            raise not_fetched(spec, source.repo, missing if folder is not None else ())
        folders[source] = folder
    return folders


def model_folder(location: str, *, spec: str) -> Path:
    """A model's folder: a local one, or the cached snapshot of a hub repository.

    Raises:
        WeightsNotAvailableError: Neither exists, or the snapshot lacks something.
        WeightsFormatError: It is a single file.
    """
    path = Path(location).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise _not_a_folder(path, spec)
    return next(iter(folders_of(spec).values()))


def not_fetched(spec: str, repo: str, missing: Sequence[str] = ()) -> WeightsNotAvailableError:
    """The error for a model whose files are not, or not all, in the cache."""
    what = f"lacks its {', '.join(missing)}" if missing else "is not"
    return WeightsNotAvailableError(
        f"{spec}: {repo} {what} in the hub's cache of this machine; fetch it once with "
        f"`retrieval models fetch {spec}`, or use the model `tiny`, which comes with the package"
    )


def missing_parts(folder: Path | None, source: Source) -> list[str]:
    """What a loader would not find in a snapshot: names of parts, in reading order."""
    if folder is None:
        return ["files"]
    sizes = {name: file["bytes"] for name, file in read_record(folder).get("files", {}).items()}
    missing = []
    if source.weights and not _weights_are_whole(folder, source.weights, sizes):
        missing.append("weights")
    return missing + [
        part.name
        for part in source.parts
        if not any(
            all(_is_whole(folder / name, sizes) for name in names) for names in part.alternatives
        )
    ]


def storage_of(repo: str) -> Path:
    """The folder of a repository in the cache.

    Raises:
        WeightsNotAvailableError: No repository can have that name.
    """
    from huggingface_hub import constants, utils
    from huggingface_hub.errors import HFValidationError

    hub: Any = utils  # only half of it is typed
    try:
        hub.validate_repo_id(repo)
    except HFValidationError as error:
        raise WeightsNotAvailableError(
            f"{repo!r} is neither a folder nor a repository of the hub, as ORG/NAME"
        ) from error
    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"


def snapshot_of(repo: str) -> Path | None:
    """The folder of a repository's current files; None where none were fetched."""
    storage = storage_of(repo)
    commit = KNOWN[repo].commit if repo in KNOWN else None
    if commit is None:
        try:
            commit = read_text(storage / "refs" / "main").strip()
        except (OSError, ValueError):
            return None
    folders = (storage / "retrieval" / commit, storage / "snapshots" / commit)
    return next((folder for folder in folders if folder.is_dir()), None)


def record_path(repo: str, commit: str) -> Path:
    """Where the record of a fetched commit lies."""
    return storage_of(repo) / "retrieval" / f"{commit}.json"


def read_record(snapshot: Path) -> dict[str, Any]:
    """The record of a snapshot; empty where another tool filled the cache."""
    return read_json(snapshot.parents[1] / "retrieval" / f"{snapshot.name}.json") or {}


def cached_config(repo: str, name: str) -> dict[str, Any] | None:
    """A JSON object of a cached repository; None where it is missing or damaged."""
    folder = snapshot_of(repo)
    return None if folder is None else read_json(folder / name)


def _is_whole(path: Path, sizes: Mapping[str, int]) -> bool:
    return path.is_file() and path.stat().st_size == sizes.get(path.name, path.stat().st_size)


def _weights_are_whole(folder: Path, name: str, sizes: Mapping[str, int]) -> bool:
    """Whether the file of weights is sound, or all the shards that an index lists."""
    try:
        if (folder / name).is_file() or not (folder / SHARDS).is_file():
            check_safetensors(folder / name)
            return _is_whole(folder / name, sizes)
        return all(_is_whole(path, sizes) for path in weight_shards(folder))
    except RetrievalError:
        return False


def _not_a_folder(path: Path, spec: str) -> WeightsFormatError:
    what = "a pickle, which can run code" if path.suffix in PICKLES else "a single file"
    how = "make one with `save_pretrained`, and name it"
    if spec.startswith("clap:"):
        how = (
            "where you trust the file, transformers' convert_clap_original_pytorch_to_hf.py makes "
            "one of LAION's original checkpoints; name it"
        )
    return WeightsFormatError(
        f"{spec}: {path.name} is {what}; needs a folder with config.json, model.safetensors and "
        f"the tokenizer: {how}"
    )
