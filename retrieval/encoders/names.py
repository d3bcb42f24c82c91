"""What people type for a model, in the spelling that collections store."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from retrieval.encoders.hub.cache import cached_config, snapshot_of
from retrieval.encoders.hub.repositories import KNOWN, canonical_repository, identify, read_json
from retrieval.encoders.weights import PICKLES
from retrieval.errors import UnknownModelError, WeightsNotAvailableError

HUB_PREFIX, FOLDER_PREFIX = "hf-hub:", "local-dir:"
"""open_clip's own prefixes of repositories and folders."""

SUGGESTIONS = 3

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def folded(name: str) -> str:
    """A name without letter case, and with one kind of separator."""
    return re.sub(r"[/_\s,]+", "-", name.casefold())


def open_clip_location(location: str) -> str:
    """Find the open_clip model that is meant: `NAME/TAG`, a file, a folder, or a repository.

    Letter case does not matter, nor whether the parts of a name are joined by slashes, underscores
    or dashes: `vit-b/32/openai` is `ViT-B-32/openai`.

    Raises:
        UnknownModelError: open_clip has no such name or tag; the message suggests close ones.
    """
    location = location.removeprefix(FOLDER_PREFIX)
    if location.startswith(HUB_PREFIX):
        return hub_location(location.removeprefix(HUB_PREFIX))
    folder = Path(location).expanduser()
    if folder.is_dir():
        return os.path.abspath(folder)
    known = {folded(repo_spec): repo_spec for repo_spec in _known_locations()}
    if folded(location) in known:
        return known[folded(location)]  # without importing open_clip, which takes seconds
    import open_clip

    pairs = {folded(f"{name}-{tag}"): f"{name}/{tag}" for name, tag in open_clip.list_pretrained()}
    if folded(location) in pairs:
        return pairs[folded(location)]
    names = {folded(name): name for name in open_clip.list_models()}
    found = _file_of_weights(location, names)
    if found is not None:
        return found
    raise _unknown_open_clip(location, names, pairs)


def hub_location(repo: str) -> str:
    """An open_clip repository of the hub: by its name in the catalogue where it is listed there."""
    repo = canonical_repository(repo)
    backend, _, location = KNOWN[repo].spec.partition(":") if repo in KNOWN else ("", "", "")
    return location if backend == "open_clip" else f"{HUB_PREFIX}{repo}"


def repository_named(model: str) -> str | None:
    """The repository that `ORG/NAME` means, where only its files can tell what reads it."""
    if not _REPOSITORY.fullmatch(model) or Path(model).expanduser().exists():
        return None
    repo = canonical_repository(model)
    return None if repo in KNOWN else repo


def repository_spec(model: str) -> str | None:
    """The specification for `ORG/NAME` or a folder, judged by the files on this machine.

    Returns:
        None where the name has another form.

    Raises:
        WeightsNotAvailableError: The repository is not on this machine.
        UnknownModelError: Nothing here reads its files.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _spec_of_folder(Path(os.path.abspath(folder)))
    if not _REPOSITORY.fullmatch(model):
        return None
    repo = canonical_repository(model)
    if repo in KNOWN and KNOWN[repo].spec:
        return KNOWN[repo].spec
    snapshot = snapshot_of(repo)
    if snapshot is None:
        raise WeightsNotAvailableError(
            f"{model} is no folder of this machine and not in the hub's cache; where it is a "
            f"repository of the hub, fetch it once with `retrieval models fetch {model}`"
        )
    names = {path.name for path in snapshot.iterdir()}
    spec = identify(repo, names, lambda: cached_config(repo, "config.json") or {})
    if spec is None:
        raise UnknownModelError(f"{model}: no model here reads the files of this repository")
    return spec


def _spec_of_folder(folder: Path) -> str:
    names = {path.name for path in folder.iterdir()}
    spec = identify(str(folder), names, lambda: read_json(folder / "config.json") or {})
    if spec is None:
        raise UnknownModelError(
            f"{folder} holds no model that its files identify; say which kind it is, as "
            f"open_clip:{folder}"
        )
    return spec.replace(HUB_PREFIX, "")


def _known_locations() -> list[str]:
    specs = [known.spec for known in KNOWN.values()]
    return [spec.partition(":")[2] for spec in specs if spec.startswith("open_clip:")]


def _file_of_weights(location: str, names: dict[str, str]) -> str | None:
    """`NAME/path/to.safetensors`, the path absolute; the name may hold slashes itself."""
    for slash in re.finditer("/", location):
        name = names.get(folded(location[: slash.start()]))
        path = Path(location[slash.end() :]).expanduser()
        if name is not None and (path.suffix in PICKLES | {".safetensors"} or path.is_file()):
            return f"{name}/{os.path.abspath(path) if path.is_file() else path}"
    return None


def _unknown_open_clip(
    location: str, names: dict[str, str], pairs: dict[str, str]
) -> UnknownModelError:
    asked = f"open_clip:{location}"
    head, _, tag = location.rpartition("/")
    for name, missing in ((names.get(folded(location)), True), (names.get(folded(head)), False)):
        if name is None:
            continue
        tags = [pair.partition("/")[2] for pair in pairs.values() if pair.startswith(f"{name}/")]
        fault = "lacks a tag" if missing else f"has no weights {tag!r}"
        published = ", ".join(f"open_clip:{name}/{one}" for one in tags) or "nothing"
        return UnknownModelError(
            f"{asked}: {name} {fault}; published are {published}; a path to a .safetensors file "
            "also serves"
        )
    close = difflib.get_close_matches(folded(location), pairs, n=SUGGESTIONS, cutoff=0.5)
    meant = ", ".join(f"open_clip:{pairs[key]}" for key in close) or "open_clip:ViT-B-32/openai"
    return UnknownModelError(
        f"{asked}: open_clip has no such model, and there is no folder of that name; close names: "
        f"{meant}"
    )
