"""Filling the hub's cache: the few files of a model that are read, each checked by its digest."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from retrieval.encoders.catalogue import BUNDLED, resolve
from retrieval.encoders.weights import PICKLES
from retrieval.errors import StorageError, WeightsFormatError, WeightsNotAvailableError

TEXT_FILES = (".json", ".txt")
"""Configurations, vocabularies and merges: data, never code."""

_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_OPEN_CLIP_WEIGHTS = re.compile(r"open_clip_model\.safetensors")

OPEN_CLIP_REPOSITORIES: Final = {
    "open_clip:ViT-B-32-SigLIP2-256/webli": "timm/ViT-B-32-SigLIP2-256",
    "open_clip:PE-Core-B-16/meta": "timm/PE-Core-B-16",
    "open_clip:PE-Core-L-14-336/meta": "timm/PE-Core-L-14-336",
}
"""What open_clip says of the catalogue's models: `models list` need not import it, which takes
seconds."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """What a model needs of one repository of the hub.

    Attributes:
        repo: `maker/name`.
        weights: Pattern of the files of weights; None where only the tokenizer is read.
    """

    repo: str
    weights: re.Pattern[str] | None = _WEIGHTS

    @property
    def needs_config(self) -> bool:
        """Whether a model is built from its config.json, as transformers does."""
        return self.weights is _WEIGHTS


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file of the cache whose bytes are those that the hub describes."""

    repo: str
    path: Path
    bytes: int


def hub_sources(spec: str) -> list[HubSource]:
    """The repositories that an encoder's files come from; none for local and bundled models.

    Args:
        spec: As `resolve` returns it.

    Raises:
        WeightsNotAvailableError: open_clip knows of none.
    """
    backend, _, location = spec.partition(":")
    if spec in BUNDLED or backend == "mulan" or Path(location).expanduser().exists():
        return []
    if backend != "open_clip":
        return [HubSource(location)]
    if spec in OPEN_CLIP_REPOSITORIES:
        return [HubSource(OPEN_CLIP_REPOSITORIES[spec], _OPEN_CLIP_WEIGHTS)]
    from retrieval.encoders.open_clip import published_files, text_repositories

    name, _, tag = location.partition("/")
    found = published_files(name, tag)
    if found is None:
        raise WeightsNotAvailableError(
            f"{spec}: the hub holds no safetensors under that name and tag; a file of this machine "
            "needs no fetching"
        )
    repo, weights = found
    others = [other for other in text_repositories(name) if other != repo]
    return [HubSource(repo, re.compile(re.escape(weights))), *(HubSource(r, None) for r in others)]


def fetch(model: str, *, on_file: Callable[[FetchedFile], None] | None = None) -> list[FetchedFile]:
    """Download what is missing of a model's files, and check all of them.

    Weights come first: while they are not whole, the model counts as not fetched.

    Args:
        model: A name of the catalogue or a specification.
        on_file: Called with every file once it is whole.

    Raises:
        UnknownModelError: Neither a name nor a specification.
        WeightsNotAvailableError: Offline, no such repository, or nothing to fetch.
        WeightsFormatError: Only pickles are published, or a digest is wrong.
        StorageError: The cache cannot be written.
    """
    sources = dict.fromkeys(source for spec in resolve(model) for source in hub_sources(spec))
    if not sources:
        raise WeightsNotAvailableError(
            f"{model}: nothing to fetch: it is in the package, or a file or folder of this machine"
        )
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise WeightsNotAvailableError(
            f"{model}: HF_HUB_OFFLINE is set, so nothing is fetched; unset it where there is a "
            "network, or use `--model tiny`, which comes with the package"
        )
    fetched = []
    for source in sources:
        for described in _described(source):
            file = _fetch_file(source.repo, described)
            fetched.append(file)
            if on_file is not None:
                on_file(file)
    return fetched


def choose_files(source: HubSource, names: Sequence[str]) -> list[str]:
    """Pick the files that are read out of a repository's, weights first, config.json last.

    Raises:
        WeightsFormatError: It holds its weights as a pickle only, or holds none.
    """
    top = [name for name in names if "/" not in name]
    weights = [name for name in top if source.weights and source.weights.fullmatch(name)]
    if "model.safetensors" in weights:
        weights = ["model.safetensors"]  # the same tensors may also lie there in parts
    if source.weights and not weights:
        pickles = sorted(name for name in top if Path(name).suffix in PICKLES)
        found = f"its weights as a pickle ({pickles[0]}), which can run code" if pickles else "none"
        raise WeightsFormatError(
            f"{source.repo}: needs safetensors and publishes {found}; choose another model, or "
            "convert it where you trust it and name the folder"
        )
    texts = [name for name in top if name.endswith(TEXT_FILES)]
    return sorted(weights) + sorted(texts, key=lambda name: (name == "config.json", name))


def _described(source: HubSource) -> list[Any]:
    """The hub's word on each chosen file: name, size and digest."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(source.repo, files_metadata=True)
    except Exception as error:  # whatever the network raises, by release under other names
        raise _refused(source.repo, error) from error
    by_name = {sibling.rfilename: sibling for sibling in info.siblings or []}
    return [by_name[name] for name in choose_files(source, list(by_name))]


def _fetch_file(repo: str, described: Any) -> FetchedFile:
    """Download one file, with huggingface_hub's progress bar, unless the cache has it."""
    from huggingface_hub import hf_hub_download

    name = described.rfilename
    try:
        path = Path(hf_hub_download(repo, name))
    except Exception as error:  # as above
        raise _refused(repo, error) from error
    wanted = described.lfs.sha256 if described.lfs else described.blob_id
    if wanted and _digest(path, as_git=not described.lfs) != wanted:
        # Out of the cache with it, so that the next attempt downloads it anew.
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise WeightsFormatError(
            f"{repo}: {name} has arrived with another digest than the hub's {wanted[:12]}…; it was "
            "deleted: fetch it again"
        )
    return FetchedFile(repo, path, path.stat().st_size)


def _digest(path: Path, *, as_git: bool) -> str:
    """sha256 of a large file, or git's name for a small one; in hex."""
    if not as_git:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    content = path.read_bytes()
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _refused(repo: str, error: Exception) -> Exception:
    """The one-line error for what a call to the hub ran into, on the network or on this disk."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    if isinstance(error, HFValidationError):
        return WeightsNotAvailableError(f"{repo!r} is neither a folder nor a name on the hub")
    if isinstance(error, GatedRepoError):
        return WeightsNotAvailableError(
            f"{repo}: its makers want their terms accepted first, on its page; then `hf auth login`"
        )
    if isinstance(error, RepositoryNotFoundError):
        return WeightsNotAvailableError(
            f"{repo}: the hub has no such model, or it is private; check the name"
        )
    if isinstance(error, OSError) and (error.filename or error.errno == errno.ENOSPC):
        return StorageError(f"the hub's cache cannot be written: {error}")
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    return WeightsNotAvailableError(
        f"{repo}: the hub cannot be reached or does not answer ({reason}); try again with a "
        "network, or use `--model tiny`, which comes with the package"
    )
