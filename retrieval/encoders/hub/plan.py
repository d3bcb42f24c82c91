"""Plans of downloads: repositories, commits, files, sizes and licences."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrieval.encoders.catalogue import resolve
from retrieval.encoders.hub.cache import repository_folder
from retrieval.encoders.hub.download import RemoteFile, cached_path, download
from retrieval.encoders.hub.repositories import (
    KNOWN,
    PICKLE_OF,
    HubSource,
    identify,
    list_sources,
)
from retrieval.encoders.hub.retries import with_retries
from retrieval.encoders.names import unidentified_repository
from retrieval.encoders.weights import MODEL_WEIGHTS, SHARD_INDEX
from retrieval.errors import UnknownModelError, WeightsFormatError, WeightsNotAvailableError

CONFIG_SUFFIXES = (".json", ".txt")
"""Configurations, vocabularies and merges: data, never code."""

SENTENCE_PIECES = ("sentencepiece.bpe.model", "spiece.model")
"""Tokenizers, read if no tokenizer.json is published."""

PICKLE_SHARD_INDEX = "pytorch_model.bin.index.json"

_SHARD = re.compile(r"(pytorch_)?model-\d+-of-\d+\.(safetensors|bin)")


@dataclass(slots=True)
class Download:
    """The files to read of one repository at one commit.

    Attributes:
        repo: The repository.
        commit: The revision, in hex.
        licence: Licence of the weights, from the catalogue or the repository's card.
        weights: Files of weights.
        pickles: Pickles to convert, if there are no such files.
        configs: Configurations and tokenizers.
    """

    repo: str
    commit: str
    licence: str
    weights: list[RemoteFile] = field(default_factory=list)
    pickles: list[RemoteFile] = field(default_factory=list)
    configs: list[RemoteFile] = field(default_factory=list)

    @property
    def files(self) -> list[RemoteFile]:
        """All files."""
        return [*self.weights, *self.pickles, *self.configs]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """Size of the files that are not on this machine."""
        files = [*self.weights, *self.configs]
        missing = [file for file in files if not cached_path(self.repo, self.commit, file).exists()]
        if self.pickles and not self.converted.is_file():
            missing += self.pickles
        return sum(file.bytes for file in missing)

    @property
    def converted(self) -> Path:
        """Path of the safetensors that the pickles are converted to."""
        weights_of = {pickle: weights for weights, pickle in PICKLE_OF.items()}
        first = self.pickles[0].name if self.pickles else ""
        name = MODEL_WEIGHTS if _SHARD.fullmatch(first) else weights_of.get(first)
        name = name or f"{Path(first).stem}.safetensors"
        return repository_folder(self.repo) / "retrieval" / self.commit / name


def plan_downloads(models: Sequence[str], *, convert: bool = True) -> list[Download]:
    """Query the hub for the files of models; reads descriptions and small configurations only.

    Args:
        models: Names of the catalogue, specifications, or repositories of the hub.
        convert: Accept weights that are published as a pickle only.

    Raises:
        UnknownModelError, WeightsNotAvailableError, WeightsFormatError: As `fetch`.
    """
    planner = _Planner(convert)
    for model in models:
        sources = [source for spec in planner.specs(model) for source in planner.add(spec)]
        if not sources:
            raise WeightsNotAvailableError(
                f"{model}: nothing to fetch: the model is in the package, or a file or folder of "
                "this machine"
            )
    return list(planner.downloads.values())


class _Planner:
    """Collects downloads over models, each repository once."""

    def __init__(self, convert: bool) -> None:
        self.downloads: dict[str, Download] = {}
        self._convert = convert
        self._infos: dict[str, Any] = {}

    def specs(self, model: str) -> tuple[str, ...]:
        """Resolve a model; the files of a bare repository identify its backend."""
        repo = unidentified_repository(model)
        if repo is None:
            return resolve(model)
        info = self._model_info(repo)
        names = {sibling.rfilename for sibling in info.siblings or []}
        spec = identify(repo, names, lambda: self._read_config(repo, "config.json") or {})
        if spec is None:
            raise UnknownModelError(
                f"{repo} is not a supported model: expected open_clip_config.json, or the "
                "config.json of a CLAP, X-CLIP, PE-AV, MuQ-MuLan, BLIP or a Whisper of CTranslate2"
            )
        return (spec,)

    def add(self, spec: str) -> list[HubSource]:
        """Plan all sources of a specification and return them."""
        sources = list_sources(spec, self._read_config)
        for source in sources:
            self._add_source(source)
        return sources

    def _add_source(self, source: HubSource) -> None:
        info = self._model_info(source.repo)
        files = {sibling.rfilename: _remote_file(sibling) for sibling in info.siblings or []}
        names = choose_files(source, list(files))
        if not self._convert and any(_is_pickle(name, source) for name in names):
            raise WeightsFormatError(
                f"{source.repo}: publishes its weights as a pickle only, which can run code, and "
                "conversion is not allowed; choose another model"
            )
        planned = self.downloads.setdefault(
            source.repo, Download(source.repo, info.sha, _licence(source.repo, info))
        )
        known = {file.name for file in planned.files}
        for name in names:
            if name in known:
                continue
            if name.endswith(".safetensors") or name == source.weights:
                planned.weights.append(files[name])
            elif _is_pickle(name, source):
                planned.pickles.append(files[name])
            else:
                planned.configs.append(files[name])

    def _model_info(self, repo: str) -> Any:
        from huggingface_hub import HfApi

        repository_folder(repo)  # refuses invalid names
        _check_online(repo)
        if repo not in self._infos:
            commit = KNOWN[repo].commit if repo in KNOWN else None
            self._infos[repo] = with_retries(
                repo,
                lambda: HfApi().model_info(repo, revision=commit or "main", files_metadata=True),
            )
        return self._infos[repo]

    def _read_config(self, repo: str, name: str) -> dict[str, Any] | None:
        info = self._model_info(repo)
        file = next((_remote_file(s) for s in info.siblings or [] if s.rfilename == name), None)
        if file is None:
            return None
        try:
            config = json.loads(download(repo, info.sha, file).read_text(encoding="utf-8"))
        except ValueError as error:
            raise WeightsFormatError(f"{repo}: its {name} is not JSON ({error})") from error
        return config if isinstance(config, dict) else None


def choose_files(source: HubSource, names: Sequence[str]) -> list[str]:
    """Choose the files to read among a repository's: weights first, then the others.

    Raises:
        WeightsFormatError: The repository lacks weights or other required files.
    """
    top = {name for name in names if "/" not in name}
    configs = sorted(name for name in top if name.endswith(CONFIG_SUFFIXES))
    if "tokenizer.json" not in top:
        configs += [name for name in SENTENCE_PIECES if name in top]
    for required in source.required:
        if not any(top.issuperset(files) for files in required.alternatives):
            expected = " or ".join(" and ".join(files) for files in required.alternatives)
            raise WeightsFormatError(
                f"{source.repo}: publishes no {required.name}: expected {expected}"
            )
    return _choose_weights(source, top) + configs


def _choose_weights(source: HubSource, top: set[str]) -> list[str]:
    if source.weights is None:
        return []
    if source.weights in top:
        return [source.weights]
    shards = sorted(name for name in top if _SHARD.fullmatch(name))
    if SHARD_INDEX in top:
        return [name for name in shards if not _is_pickle(name, source)]
    pickle = PICKLE_OF.get(source.weights, f"{Path(source.weights).stem}.bin")
    if pickle in top:
        return [pickle]
    if PICKLE_SHARD_INDEX in top:
        return [name for name in shards if _is_pickle(name, source)]
    raise WeightsFormatError(
        f"{source.repo}: publishes neither {source.weights} nor {pickle}; choose another model"
    )


def _remote_file(sibling: Any) -> RemoteFile:
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    return RemoteFile(sibling.rfilename, int(sibling.size or 0), str(digest), not sibling.lfs)


def _licence(repo: str, info: Any) -> str:
    if repo in KNOWN:
        return KNOWN[repo].licence
    stated = getattr(info.card_data, "license", None) if info.card_data else None
    tags = [tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:")]
    return str(stated or next(iter(tags), "not stated"))


def _check_online(repo: str) -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise WeightsNotAvailableError(
            f"{repo}: HF_HUB_OFFLINE is set, so nothing is fetched; unset it, or use the model "
            "tiny, which comes with the package"
        )


def _is_pickle(name: str, source: HubSource) -> bool:
    return name.endswith(".bin") and name != source.weights
