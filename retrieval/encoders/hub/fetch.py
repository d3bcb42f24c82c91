"""Filling the hub's cache: a plan of what is missing first, then the files, each checked.

The commit that was fetched becomes the current one last, so that an interrupted run leaves the
model as it was.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.encoders.hub.cache import record_path, storage_of
from retrieval.encoders.hub.download import cached_path, digest, download, download_aside
from retrieval.encoders.hub.plan import Download, plan
from retrieval.encoders.hub.repositories import KNOWN, read_json
from retrieval.errors import WeightsFormatError


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file of the cache whose bytes are those that the hub describes."""

    repo: str
    path: Path
    bytes: int


def fetch(
    models: str | Sequence[str],
    *,
    convert: bool = True,
    confirm: Callable[[list[Download]], bool] = lambda downloads: True,
    on_file: Callable[[FetchedFile], None] | None = None,
) -> list[FetchedFile]:
    """Download what is missing of some models' files, and check all of them.

    Args:
        models: Names of the catalogue, specifications, or repositories of the hub.
        convert: Convert weights that are published as a pickle only; else refuse them.
        confirm: Asked once, with all downloads, before the first of them begins.
        on_file: Called with every file once it is whole.

    Returns:
        The files; none where `confirm` declined.

    Raises:
        UnknownModelError: Neither a name nor a specification.
        WeightsNotAvailableError: Offline, refused, no such repository, or nothing to fetch.
        WeightsFormatError: Only pickles are published and may not be converted, or a digest is
            wrong.
        StorageError: The cache cannot be written.
    """
    names = [models] if isinstance(models, str) else list(models)
    downloads = plan(names, convert=convert)
    if not confirm(downloads):
        return []
    fetched = []
    for one in downloads:
        for file in _carry_out(one):
            fetched.append(file)
            if on_file is not None:
                on_file(file)
    return fetched


def _carry_out(one: Download) -> Iterator[FetchedFile]:
    """Download the files of one repository, then make its commit the current one."""
    record: dict[str, Any] = {"repository": one.repo, "commit": one.commit, "files": {}}
    for file in (*one.weights, *one.texts):
        path = download(one.repo, one.commit, file)
        record["files"][file.name] = _described(path)
        yield FetchedFile(one.repo, path, file.bytes)
    if one.pickles:
        described, path = _converted(one)
        record["converted"] = described
        record["files"][path.name] = _described(path)
        yield FetchedFile(one.repo, path, path.stat().st_size)
    _write(record_path(one.repo, one.commit), json.dumps(record, indent=2) + "\n")
    if one.repo not in KNOWN or KNOWN[one.repo].commit is None:
        _write(storage_of(one.repo) / "refs" / "main", one.commit)


def _converted(one: Download) -> tuple[dict[str, Any], Path]:
    """Convert the pickles of a repository, once: a folder of its own holds what they become."""
    out = one.converted
    described = [{"name": file.name, "digest": file.digest} for file in one.pickles]
    before = (read_json(record_path(one.repo, one.commit)) or {}).get("converted", {})
    if before.get("from") == described and out.is_file():
        if digest(out, by_git=False) == before.get("sha256"):
            return before, out
        out.unlink()
    pickles = [out.parents[1] / f"{file.digest}.bin" for file in one.pickles]
    for file, path in zip(one.pickles, pickles, strict=True):
        download_aside(one.repo, one.commit, file, path)
    partial = out.parent.with_name(f"{one.commit}.new")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _run_conversion(f"{one.repo}: {one.pickles[0].name}", pickles, partial / out.name)
    for path in pickles:
        path.unlink()
    for file in one.texts:
        _link(cached_path(one.repo, one.commit, file), partial / file.name)
    shutil.rmtree(out.parent, ignore_errors=True)
    partial.replace(out.parent)
    return {"from": described, "sha256": digest(out, by_git=False)}, out


def _run_conversion(what: str, pickles: list[Path], out: Path) -> None:
    command = [sys.executable, "-m", "retrieval.encoders.hub.convert", *map(str, pickles), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(out.parent, ignore_errors=True)
        reason = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise WeightsFormatError(
            f"{what} cannot be converted: it is damaged, or holds more than tensors "
            f"({reason[:200]}); choose another model"
        )


def _described(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": digest(path, by_git=False)}


def _link(path: Path, link: Path) -> None:
    """Link a file of a snapshot, or copy it where links are impossible."""
    try:
        link.symlink_to(os.path.relpath(path, link.parent))
    except OSError:
        shutil.copyfile(path, link)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
