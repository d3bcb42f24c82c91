"""Download of one file of the hub into the cache, resumable and checked by its digest."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from retrieval.encoders.hub.cache import repository_folder
from retrieval.encoders.hub.retries import with_retries
from retrieval.errors import WeightsFormatError
from retrieval.files.writing import storage_errors

PARTIAL_CONTENT = 206


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the hub describes it.

    Attributes:
        name: Path inside its repository.
        bytes: Size.
        digest: In hex: sha256 of a large file, git's blob name of a small one.
        by_git: The digest is git's.
    """

    name: str
    bytes: int
    digest: str
    by_git: bool


def cached_path(repo: str, commit: str, file: RemoteFile) -> Path:
    """Return the path of a commit's file in the cache; the file may be missing."""
    return repository_folder(repo) / "snapshots" / commit / file.name


def download(repo: str, commit: str, file: RemoteFile) -> Path:
    """Download a file into the cache if it is missing, and check its digest.

    Raises:
        WeightsNotAvailableError: The hub refuses, fails or cannot be reached.
        WeightsFormatError: The cached or the downloaded file has another digest; it is deleted.
        StorageError: The cache cannot be written.
    """
    from huggingface_hub import hf_hub_download

    pointer = cached_path(repo, commit, file)
    blob = repository_folder(repo) / "blobs" / file.digest
    if not pointer.exists() and not blob.exists():
        download_to(repo, commit, file, blob)
    # huggingface_hub finds the blob and only links it into the snapshot.
    path = Path(with_retries(repo, lambda: str(hf_hub_download(repo, file.name, revision=commit))))
    if digest(path, by_git=file.by_git) != file.digest:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise _digest_error(repo, file)
    return path


def download_to(repo: str, commit: str, file: RemoteFile, path: Path) -> None:
    """Download a file to a path outside the snapshots; errors as `download`.

    An interrupted download leaves a partial file, which the next one continues.
    """
    from filelock import FileLock

    partial = repository_folder(repo) / "retrieval" / f"{file.digest}.partial"
    with storage_errors(path):
        partial.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{partial}.lock"):
            if path.exists():
                return  # another process was faster
            resumed = _size(partial) > 0
            complete = _continue_download(repo, commit, file, partial)
            if not complete and resumed:  # the partial file was not the start of this file
                complete = _continue_download(repo, commit, file, partial)
            if not complete:
                raise _digest_error(repo, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(path)
        Path(f"{partial}.lock").unlink(missing_ok=True)


def digest(path: Path, *, by_git: bool) -> str:
    """Return the hexadecimal sha256 of a file, or git's name of its content."""
    if not by_git:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    content = path.read_bytes()
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _continue_download(repo: str, commit: str, file: RemoteFile, partial: Path) -> bool:
    """Download the rest of a partial file; delete it and return False if its digest is wrong."""
    if _size(partial) > file.bytes:
        partial.unlink()
    with partial.open("ab") as target:
        with_retries(
            repo,
            lambda: _stream(repo, commit, file, target),
            received_bytes=lambda: _size(partial),
        )
        os.fsync(target.fileno())
    if digest(partial, by_git=file.by_git) == file.digest:
        return True
    partial.unlink()
    return False


def _stream(repo: str, commit: str, file: RemoteFile, target: BinaryIO) -> None:
    """Append the remaining bytes of a file until it is complete or the connection is lost.

    huggingface_hub's own download starts again in each process, so only its session is used.
    """
    from huggingface_hub import constants, hf_hub_url, utils

    hub: Any = utils  # partly untyped
    start = target.seek(0, os.SEEK_END)
    if start == file.bytes:
        return
    headers = hub.build_hf_headers() | {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    url = hf_hub_url(repo, file.name, revision=commit)
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with hub.get_session().stream(
        "GET", url, headers=headers, timeout=timeout, follow_redirects=True
    ) as response:
        hub.hf_raise_for_status(response)
        if response.status_code != PARTIAL_CONTENT:
            target.truncate(0)
            start = 0
        with hub.tqdm(
            desc=file.name, total=file.bytes, initial=start, unit="B", unit_scale=True
        ) as bar:
            for chunk in response.iter_bytes():
                target.write(chunk)
                target.flush()  # a killed process leaves what it received
                bar.update(len(chunk))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest_error(repo: str, file: RemoteFile) -> WeightsFormatError:
    return WeightsFormatError(
        f"{repo}: {file.name} has another digest than the hub's {file.digest[:12]}… and was "
        "deleted; fetch it again"
    )
