"""What a fetch will download: repositories, commits, files, sizes and licences."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrieval.encoders.catalogue import resolve
from retrieval.encoders.hub.cache import storage_of
from retrieval.encoders.hub.download import RemoteFile, cached_path, download
from retrieval.encoders.hub.refusals import patiently
from retrieval.encoders.hub.repositories import (
    KNOWN,
    MODEL_WEIGHTS,
    PICKLE_OF,
    Source,
    identify,
    sources_of,
)
from retrieval.encoders.names import repository_named
from retrieval.encoders.weights import SHARDS
from retrieval.errors import UnknownModelError, WeightsFormatError, WeightsNotAvailableError

TEXT_FILES = (".json", ".txt")
"""Configurations, vocabularies and merges: data, never code."""

SENTENCE_PIECES = ("sentencepiece.bpe.model", "spiece.model")
"""Tokenizers, read where no tokenizer.json is published."""

PICKLE_SHARDS = "pytorch_model.bin.index.json"

_SHARD = re.compile(r"(pytorch_)?model-\d+-of-\d+\.(safetensors|bin)")


@dataclass(slots=True)
class Download:
    """What is read of one repository at one commit.

    Attributes:
        repo: The repository.
        commit: The revision, in hex.
        licence: Of its weights, as the catalogue or the repository's card states it.
        weights: Files of weights.
        pickles: Instead of them, pickles that are converted.
        texts: Configurations and tokenizers.
    """

    repo: str
    commit: str
    licence: str
    weights: list[RemoteFile] = field(default_factory=list)
    pickles: list[RemoteFile] = field(default_factory=list)
    texts: list[RemoteFile] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in (*self.weights, *self.pickles, *self.texts))

    @property
    def missing_bytes(self) -> int:
        """Size of the files that are not on this machine yet."""
        files = [*self.weights, *self.texts]
        missing = [file for file in files if not cached_path(self.repo, self.commit, file).exists()]
        if self.pickles and not self.converted.is_file():
            missing += self.pickles
        return sum(file.bytes for file in missing)

    @property
    def converted(self) -> Path:
        """Where the safetensors made of the pickles lie."""
        of_pickle = {pickle: weights for weights, pickle in PICKLE_OF.items()}
        first = self.pickles[0].name if self.pickles else ""
        name = MODEL_WEIGHTS if _SHARD.fullmatch(first) else of_pickle.get(first)
        name = name or f"{Path(first).stem}.safetensors"
        return storage_of(self.repo) / "retrieval" / self.commit / name


def plan(models: Sequence[str], *, convert: bool = True) -> list[Download]:
    """Ask the hub what some models need; reads descriptions and small configurations only.

    Raises:
        UnknownModelError, WeightsNotAvailableError, WeightsFormatError: As `fetch`.
    """
    planner = _Planner(convert)
    for model in models:
        sources = [source for spec in planner.specs(model) for source in planner.add(spec)]
        if not sources:
            raise WeightsNotAvailableError(
                f"{model}: nothing to fetch: it is in the package, or a file or folder of this "
                "machine"
            )
    return list(planner.downloads.values())


class _Planner:
    """Collects downloads over models, each repository once."""

    def __init__(self, convert: bool) -> None:
        self.downloads: dict[str, Download] = {}
        self._convert = convert
        self._described: dict[str, Any] = {}

    def specs(self, model: str) -> tuple[str, ...]:
        """Specifications of a model; a bare repository is judged by its files."""
        repo = repository_named(model)
        if repo is None:
            return resolve(model)
        info = self._describe(repo)
        names = {sibling.rfilename for sibling in info.siblings or []}
        spec = identify(repo, names, lambda: self._config(repo, "config.json") or {})
        if spec is None:
            raise UnknownModelError(
                f"{repo} is no model that can be used here: it holds neither open_clip_config.json "
                "nor the config.json of a CLAP, X-CLIP, PE-AV, MuQ-MuLan or BLIP"
            )
        return (spec,)

    def add(self, spec: str) -> list[Source]:
        """Plan everything a specification needs of the hub; returns what that is."""
        sources = sources_of(spec, self._config)
        for source in sources:
            self._add_source(source)
        return sources

    def _add_source(self, source: Source) -> None:
        info = self._describe(source.repo)
        files = {sibling.rfilename: _remote(sibling) for sibling in info.siblings or []}
        names = choose_files(source, list(files))
        if not self._convert and any(_is_pickle(name) for name in names):
            raise WeightsFormatError(
                f"{source.repo}: publishes its weights as a pickle only, which can run code, and "
                "conversion is not allowed; choose another model"
            )
        download = self.downloads.setdefault(
            source.repo, Download(source.repo, info.sha, _licence(source.repo, info))
        )
        known = {file.name for file in (*download.weights, *download.pickles, *download.texts)}
        for name in names:
            if name in known:
                continue
            kind = download.texts
            if name.endswith(".safetensors"):
                kind = download.weights
            elif _is_pickle(name):
                kind = download.pickles
            kind.append(files[name])

    def _describe(self, repo: str) -> Any:
        from huggingface_hub import HfApi

        storage_of(repo)  # refuses a name that no repository can have
        check_online(repo)
        if repo not in self._described:
            commit = KNOWN[repo].commit if repo in KNOWN else None
            self._described[repo] = patiently(
                repo,
                lambda: HfApi().model_info(repo, revision=commit or "main", files_metadata=True),
            )
        return self._described[repo]

    def _config(self, repo: str, name: str) -> dict[str, Any] | None:
        info = self._describe(repo)
        file = next((_remote(s) for s in info.siblings or [] if s.rfilename == name), None)
        if file is None:
            return None
        try:
            config = json.loads(download(repo, info.sha, file).read_text(encoding="utf-8"))
        except ValueError as error:
            raise WeightsFormatError(f"{repo}: its {name} is not JSON ({error})") from error
        return config if isinstance(config, dict) else None


def choose_files(source: Source, names: Sequence[str]) -> list[str]:
    """Pick the files that are read out of a repository's: weights first, then the others.

    Raises:
        WeightsFormatError: It publishes no weights, or lacks another part.
    """
    top = {name for name in names if "/" not in name}
    texts = sorted(name for name in top if name.endswith(TEXT_FILES))
    if "tokenizer.json" not in top:
        texts += [name for name in SENTENCE_PIECES if name in top]
    for part in source.parts:
        if not any(top.issuperset(files) for files in part.alternatives):
            known = " or ".join(" and ".join(files) for files in part.alternatives)
            raise WeightsFormatError(f"{source.repo}: publishes no {part.name}: {known}")
    return _choose_weights(source, top) + texts


def _choose_weights(source: Source, top: set[str]) -> list[str]:
    if source.weights is None:
        return []
    if source.weights in top:
        return [source.weights]
    shards = sorted(name for name in top if _SHARD.fullmatch(name))
    if SHARDS in top:
        return [name for name in shards if not _is_pickle(name)]
    pickle = PICKLE_OF.get(source.weights, f"{Path(source.weights).stem}.bin")
    if pickle in top:
        return [pickle]
    if PICKLE_SHARDS in top:
        return [name for name in shards if _is_pickle(name)]
    raise WeightsFormatError(
        f"{source.repo}: publishes neither {source.weights} nor {pickle}; choose another model"
    )


def _remote(sibling: Any) -> RemoteFile:
    found = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    return RemoteFile(sibling.rfilename, int(sibling.size or 0), str(found), not sibling.lfs)


def _licence(repo: str, info: Any) -> str:
    if repo in KNOWN:
        return KNOWN[repo].licence
    stated = getattr(info.card_data, "license", None) if info.card_data else None
    tags = [tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:")]
    return str(stated or next(iter(tags), "not stated"))


def check_online(what: str) -> None:
    """Refuse to fetch where the environment asks to stay offline."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise WeightsNotAvailableError(
            f"{what}: HF_HUB_OFFLINE is set, so nothing is fetched; unset it where there is a "
            "network, or use the model `tiny`, which comes with the package"
        )


def _is_pickle(name: str) -> bool:
    return name.endswith(".bin")
