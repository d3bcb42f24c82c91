"""Model names as users type them, resolved to the spelling that collections store."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from retrieval.encoders.hub.cache import cached_config, find_snapshot
from retrieval.encoders.hub.repositories import (
    KNOWN,
    canonical_repository,
    identify,
    read_json_object,
)
from retrieval.encoders.weights import PICKLE_SUFFIXES
from retrieval.errors import UnknownModelError, WeightsNotAvailableError

HUB_PREFIX, FOLDER_PREFIX = "hf-hub:", "local-dir:"
"""open_clip's prefixes of repositories and folders."""

DEFAULT_SPEECH_MODEL = "whisper-small"

SUGGESTIONS = 3

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def fold_name(name: str) -> str:
    """Fold the letter case of a name, and its separators to dashes."""
    return re.sub(r"[/_\s,]+", "-", name.casefold())


def resolve_open_clip(location: str) -> str:
    """Resolve an open_clip model: `NAME/TAG`, a file, a folder, or a repository.

    Letter case and separators (slash, underscore, dash) do not matter: `vit-b/32/openai` is
    `ViT-B-32/openai`.

    Raises:
        UnknownModelError: open_clip has no such name or tag; the message suggests close ones.
    """
    location = location.removeprefix(FOLDER_PREFIX)
    if location.startswith(HUB_PREFIX):
        return _hub_location(location.removeprefix(HUB_PREFIX))
    folder = Path(location).expanduser()
    if folder.is_dir():
        return os.path.abspath(folder)
    known = {fold_name(known_location): known_location for known_location in _known_locations()}
    if fold_name(location) in known:
        return known[fold_name(location)]  # without importing open_clip, which takes seconds
    import open_clip

    published = open_clip.list_pretrained()
    pairs = {fold_name(f"{name}-{tag}"): f"{name}/{tag}" for name, tag in published}
    if fold_name(location) in pairs:
        return pairs[fold_name(location)]
    names = {fold_name(name): name for name in open_clip.list_models()}
    weights = _find_weights_file(location, names)
    if weights is not None:
        return weights
    raise _unknown_open_clip(location, names, pairs)


def _hub_location(repo: str) -> str:
    """Return the catalogue's location of a repository if it is listed, else `hf-hub:REPO`."""
    repo = canonical_repository(repo)
    backend, _, location = KNOWN[repo].spec.partition(":") if repo in KNOWN else ("", "", "")
    return location if backend == "open_clip" else f"{HUB_PREFIX}{repo}"


def unidentified_repository(model: str) -> str | None:
    """Return the repository of `ORG/NAME` if only its files can identify the backend, else None."""
    if not _REPOSITORY.fullmatch(model) or Path(model).expanduser().exists():
        return None
    repo = canonical_repository(model)
    return None if repo in KNOWN else repo


def resolve_repository(model: str) -> str | None:
    """Resolve `ORG/NAME` or a folder to a specification by its files on this machine.

    Returns:
        None if the name has another form.

    Raises:
        WeightsNotAvailableError: The repository is not on this machine.
        UnknownModelError: No backend reads its files.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _identify_folder(Path(os.path.abspath(folder)))
    if not _REPOSITORY.fullmatch(model):
        return None
    repo = canonical_repository(model)
    if repo in KNOWN and KNOWN[repo].spec:
        return KNOWN[repo].spec
    snapshot = find_snapshot(repo)
    if snapshot is None:
        raise WeightsNotAvailableError(
            f"{model} is neither a folder on this machine nor in the hub's cache; if it is a "
            "repository of the hub, fetch the model first",
            fetchable=model,
        )
    names = {path.name for path in snapshot.iterdir()}
    spec = identify(repo, names, lambda: cached_config(repo, "config.json") or {})
    if spec is None:
        raise UnknownModelError(f"{model}: no backend reads the files of this repository")
    return spec


def _identify_folder(folder: Path) -> str:
    names = {path.name for path in folder.iterdir()}
    spec = identify(str(folder), names, lambda: read_json_object(folder / "config.json") or {})
    if spec is None:
        raise UnknownModelError(
            f"{folder}: its files do not identify a model; add a prefix, such as open_clip:{folder}"
        )
    return spec.replace(HUB_PREFIX, "")


def _known_locations() -> list[str]:
    specs = [known.spec for known in KNOWN.values()]
    return [spec.partition(":")[2] for spec in specs if spec.startswith("open_clip:")]


def _find_weights_file(location: str, names: dict[str, str]) -> str | None:
    """Resolve `NAME/path/to.safetensors` to an absolute path; the name may contain slashes."""
    for slash in re.finditer("/", location):
        name = names.get(fold_name(location[: slash.start()]))
        path = Path(location[slash.end() :]).expanduser()
        is_weights = path.suffix in PICKLE_SUFFIXES | {".safetensors"} or path.is_file()
        if name is not None and is_weights:
            return f"{name}/{os.path.abspath(path) if path.is_file() else path}"
    return None


def _unknown_open_clip(
    location: str, names: dict[str, str], pairs: dict[str, str]
) -> UnknownModelError:
    spec = f"open_clip:{location}"
    head, _, tag = location.rpartition("/")
    for name, no_tag in (
        (names.get(fold_name(location)), True),
        (names.get(fold_name(head)), False),
    ):
        if name is None:
            continue
        tags = [pair.partition("/")[2] for pair in pairs.values() if pair.startswith(f"{name}/")]
        fault = "lacks a tag" if no_tag else f"has no weights {tag!r}"
        published = ", ".join(f"open_clip:{name}/{each}" for each in tags) or "none"
        return UnknownModelError(
            f"{spec}: {name} {fault}; published are {published}; a path to a .safetensors file is "
            "also accepted"
        )
    close = difflib.get_close_matches(fold_name(location), pairs, n=SUGGESTIONS, cutoff=0.5)
    suggested = ", ".join(f"open_clip:{pairs[key]}" for key in close) or "open_clip:ViT-B-32/openai"
    return UnknownModelError(
        f"{spec}: open_clip has no such model, and there is no folder of that name; close names: "
        f"{suggested}"
    )
