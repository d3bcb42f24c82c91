"""Downloads of models into the hub's cache, with a check of each file.

The fetched commit becomes the current one after its last file, so that an interrupted run leaves
the model as it was.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.encoders.hub.cache import record_path, repository_folder
from retrieval.encoders.hub.download import cached_path, digest, download, download_to
from retrieval.encoders.hub.plan import Download, plan_downloads
from retrieval.encoders.hub.repositories import KNOWN, read_json_object
from retrieval.errors import WeightsFormatError
from retrieval.files.writing import write_text


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file of the cache with the hub's digest."""

    repo: str
    path: Path
    bytes: int


def fetch(models: str | Sequence[str], *, convert: bool = True) -> list[FetchedFile]:
    """Download the missing files of models, and check all their files.

    Args:
        models: Names of the catalogue, specifications, or repositories of the hub.
        convert: Convert weights that are published as a pickle only; else refuse them.

    Raises:
        UnknownModelError: A name is neither in the catalogue nor a specification.
        WeightsNotAvailableError: The hub cannot be reached, refuses, has no such repository, or a
            model needs nothing of it.
        WeightsFormatError: Only pickles are published and may not be converted, or a digest is
            wrong.
        StorageError: The cache cannot be written.
    """
    names = [models] if isinstance(models, str) else models
    downloads = plan_downloads(names, convert=convert)
    return [file for each in downloads for file in fetch_repository(each)]


def fetch_repository(planned: Download) -> Iterator[FetchedFile]:
    """Download the files of one repository, then make its commit the current one.

    Yields:
        Each file once it is complete; errors as `fetch`.
    """
    record: dict[str, Any] = {"repository": planned.repo, "commit": planned.commit, "files": {}}
    for file in (*planned.weights, *planned.configs):
        path = download(planned.repo, planned.commit, file)
        record["files"][file.name] = _describe(path)
        yield FetchedFile(planned.repo, path, file.bytes)
    if planned.pickles:
        conversion, path = _convert_pickles(planned)
        record["converted"] = conversion
        record["files"][path.name] = _describe(path)
        yield FetchedFile(planned.repo, path, path.stat().st_size)
    _write(record_path(planned.repo, planned.commit), json.dumps(record, indent=2) + "\n")
    if planned.repo not in KNOWN or KNOWN[planned.repo].commit is None:
        _write(repository_folder(planned.repo) / "refs" / "main", planned.commit)


def _convert_pickles(planned: Download) -> tuple[dict[str, Any], Path]:
    """Convert the pickles of a repository into a folder of its own, unless that is done."""
    out = planned.converted
    pickles = [{"name": file.name, "digest": file.digest} for file in planned.pickles]
    previous = (read_json_object(record_path(planned.repo, planned.commit)) or {}).get(
        "converted", {}
    )
    if previous.get("from") == pickles and out.is_file():
        if digest(out, by_git=False) == previous.get("sha256"):
            return previous, out
        out.unlink()
    paths = [out.parents[1] / f"{file.digest}.bin" for file in planned.pickles]
    for file, path in zip(planned.pickles, paths, strict=True):
        download_to(planned.repo, planned.commit, file, path)
    partial = out.parent.with_name(f"{planned.commit}.new")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _run_conversion(f"{planned.repo}: {planned.pickles[0].name}", paths, partial / out.name)
    for path in paths:
        path.unlink()
    for file in planned.configs:
        _link(cached_path(planned.repo, planned.commit, file), partial / file.name)
    shutil.rmtree(out.parent, ignore_errors=True)
    partial.replace(out.parent)
    return {"from": pickles, "sha256": digest(out, by_git=False)}, out


def _run_conversion(name: str, pickles: list[Path], out: Path) -> None:
    command = [sys.executable, "-m", "retrieval.encoders.hub.convert", *map(str, pickles), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(out.parent, ignore_errors=True)
        reason = (done.stderr.strip().splitlines() or ["the process ended without a message"])[-1]
        raise WeightsFormatError(
            f"{name} cannot be converted: it is damaged or contains more than tensors "
            f"({reason[:200]}); choose another model"
        )


def _describe(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": digest(path, by_git=False)}


def _link(path: Path, link: Path) -> None:
    """Link a file of a snapshot; copy it if the file system has no links."""
    try:
        link.symlink_to(os.path.relpath(path, link.parent))
    except OSError:
        shutil.copyfile(path, link)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
