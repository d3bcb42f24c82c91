"""The hub's cache on this machine: read, never filled, so that nothing waits for a socket."""

from __future__ import annotations

from pathlib import Path

from retrieval.errors import WeightsNotAvailableError


def not_in_cache(spec: str, repo: str) -> WeightsNotAvailableError:
    """The error for a model that has not been fetched: says how to, and what works without."""
    return WeightsNotAvailableError(
        f"{spec}: {repo} is not in the hub's cache of this machine; fetch it once with "
        f"`hf download {repo}`, or use `--model tiny`, which comes with the package"
    )


def cached_file(repo: str, filename: str, *, spec: str) -> Path:
    """Find one file of a hub repository in the cache.

    Raises:
        WeightsNotAvailableError: It is not there.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repo, filename)
    except HFValidationError as error:
        raise WeightsNotAvailableError(
            f"{spec}: {repo!r} is neither a folder nor a name on the hub"
        ) from error
    if not isinstance(found, str):  # None, or a marker for "known not to exist"
        raise not_in_cache(spec, repo)
    return Path(found)


def model_folder(location: str, *, spec: str) -> Path:
    """A model's folder: a local one, or the cached snapshot of a hub repository.

    Raises:
        WeightsNotAvailableError: Neither exists.
    """
    folder = Path(location).expanduser()
    if folder.is_dir():
        return folder
    return cached_file(location, "config.json", spec=spec).parent
