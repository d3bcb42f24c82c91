"""The hub's cache on this machine: only `fetch` fills it, so that nothing waits for a socket."""

from __future__ import annotations

from pathlib import Path

from retrieval.encoders.weights import PICKLES
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError


def not_in_cache(spec: str, repo: str) -> WeightsNotAvailableError:
    """The error for a model that has not been fetched: says how to, and what works without."""
    return WeightsNotAvailableError(
        f"{spec}: {repo} is not in the hub's cache of this machine; fetch it once with "
        f"`retrieval models fetch {spec}`, or use `--model tiny`, which comes with the package"
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
        WeightsFormatError: It is a single file.
    """
    path = Path(location).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise _not_a_folder(path, spec)
    return cached_file(location, "config.json", spec=spec).parent


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
