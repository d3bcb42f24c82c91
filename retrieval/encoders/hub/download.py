"""One file of the hub into the cache: resumed after an interruption, checked by its digest."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from retrieval.encoders.hub.cache import storage_of
from retrieval.encoders.hub.refusals import disk_errors, patiently
from retrieval.errors import WeightsFormatError

PARTIAL_CONTENT = 206


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the hub describes it.

    Attributes:
        name: Path inside its repository.
        bytes: Size.
        digest: In hex: sha256 of a large file, git's name of a small one's content.
        by_git: Which of the two.
    """

    name: str
    bytes: int
    digest: str
    by_git: bool


def cached_path(repo: str, commit: str, file: RemoteFile) -> Path:
    """Where a file of a commit lies in the cache, once it is there."""
    return storage_of(repo) / "snapshots" / commit / file.name


def download(repo: str, commit: str, file: RemoteFile) -> Path:
    """Put a file into the cache unless it is there, and check its digest.

    Raises:
        WeightsNotAvailableError: The hub refuses, fails or cannot be reached.
        WeightsFormatError: The file in the cache, or the one that arrived, has another digest. It
            is deleted.
        StorageError: The cache cannot be written.
    """
    from huggingface_hub import hf_hub_download

    pointer = cached_path(repo, commit, file)
    blob = storage_of(repo) / "blobs" / file.digest
    if not pointer.exists() and not blob.exists():
        with disk_errors():
            _receive(repo, commit, file, blob)
    # huggingface_hub finds the content and only links it into the snapshot.
    path = Path(patiently(repo, lambda: str(hf_hub_download(repo, file.name, revision=commit))))
    if digest(path, by_git=file.by_git) != file.digest:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise _another_digest(repo, file)
    return path


def download_aside(repo: str, commit: str, file: RemoteFile, path: Path) -> None:
    """Download a file to a place outside the snapshots; raises as `download` does."""
    with disk_errors():
        _receive(repo, commit, file, path)


def digest(path: Path, *, by_git: bool) -> str:
    """sha256 of a file, or git's name of its content, in hex."""
    if not by_git:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    content = path.read_bytes()
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _receive(repo: str, commit: str, file: RemoteFile, path: Path) -> None:
    """Receive a file next to its place, after what an earlier run received, then rename it."""
    from filelock import FileLock

    partial = storage_of(repo) / "retrieval" / f"{file.digest}.partial"
    partial.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{partial}.lock"):
        if path.exists():
            return  # another process was faster
        resumed = _size(partial) > 0
        whole = _append(repo, commit, file, partial)
        if not whole and resumed:  # what an earlier run left was not the beginning of this file
            whole = _append(repo, commit, file, partial)
        if not whole:
            raise _another_digest(repo, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(path)
    Path(f"{partial}.lock").unlink(missing_ok=True)


def _append(repo: str, commit: str, file: RemoteFile, partial: Path) -> bool:
    """Receive what a partial file lacks; deletes it and returns False where the digest is wrong."""
    if _size(partial) > file.bytes:
        partial.unlink()
    with partial.open("ab") as received:
        patiently(
            repo, lambda: _stream(repo, commit, file, received), progress=lambda: _size(partial)
        )
        os.fsync(received.fileno())
    if digest(partial, by_git=file.by_git) == file.digest:
        return True
    partial.unlink()
    return False


def _stream(repo: str, commit: str, file: RemoteFile, received: BinaryIO) -> None:
    """Append the bytes from the file's end on, as far as the connection lasts.

    huggingface_hub's own download begins anew in every run, so only its session is used here.
    """
    from huggingface_hub import constants, hf_hub_url, utils

    hub: Any = utils  # only half of it is typed
    start = received.seek(0, os.SEEK_END)
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
            received.truncate(0)
            start = 0
        with hub.tqdm(
            desc=file.name, total=file.bytes, initial=start, unit="B", unit_scale=True
        ) as bar:
            for block in response.iter_bytes():
                received.write(block)
                received.flush()  # a killed run keeps what has arrived
                bar.update(len(block))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _another_digest(repo: str, file: RemoteFile) -> WeightsFormatError:
    return WeightsFormatError(
        f"{repo}: {file.name} has arrived with another digest than the hub's {file.digest[:12]}…; "
        "it was deleted: fetch it again"
    )
