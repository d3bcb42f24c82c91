"""Repositories of a hub: files by commit, refs, and their JSON in the hub's API."""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Content = bytes | Path

_LICENCE = re.compile(rb"\A---\n(?:.*\n)*?license: *(\S+)\n")


@dataclass
class Repository:
    """A repository of the hub.

    Attributes:
        revisions: Files by path, by commit (40 hexadecimal digits).
        refs: Commits by name: `main`, `refs/pr/2`, `refs/tags/v1`.
        gated: The description is public; files need accepted terms.
        private: Without a valid token it seems not to exist.
    """

    revisions: dict[str, dict[str, Content]]
    refs: dict[str, str]
    gated: bool = False
    private: bool = False

    @classmethod
    def from_folder(
        cls, folder: Path, *, commit: str | None = None, ref: str = "main"
    ) -> Repository:
        """Make a repository with one revision: the files of a folder and its subfolders."""
        files: dict[str, Content] = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        return cls.from_files(files, commit=commit, ref=ref)

    @classmethod
    def from_files(
        cls, files: dict[str, Content], *, commit: str | None = None, ref: str = "main"
    ) -> Repository:
        """Make a repository with one revision; the default commit is derived from its files."""
        commit = commit or commit_of(files)
        return cls({commit: files}, {ref: commit})

    def with_revision(self, ref: str, commit: str, files: dict[str, Content]) -> Repository:
        """Add a revision; an existing ref moves to it."""
        return Repository(
            self.revisions | {commit: files}, self.refs | {ref: commit}, self.gated, self.private
        )

    def commit(self, revision: str) -> str | None:
        """Return the commit of a ref or commit; None if there is no such revision."""
        found = self.refs.get(revision, revision)
        return found if found in self.revisions else None

    @property
    def licence(self) -> str | None:
        """Licence in the header of README.md."""
        card = self.revisions.get(self.refs.get("main", ""), {}).get("README.md")
        found = _LICENCE.match(read(card)) if card is not None else None
        return found[1].decode() if found else None


def commit_of(files: dict[str, Content]) -> str:
    """Derive the name of a revision from its files."""
    digest = hashlib.sha1(usedforsecurity=False)
    for path, content in sorted(files.items()):
        digest.update(f"{path}\0{describe(content).sha256}\n".encode())
    return digest.hexdigest()


def read(content: Content) -> bytes:
    """Return the bytes of a file."""
    return content if isinstance(content, bytes) else content.read_bytes()


@dataclass(frozen=True)
class Description:
    """Size and digests of a file.

    Attributes:
        size: In bytes.
        sha256: Names a large file.
        blob: git's name of a small file.
        pointer: git's name of the LFS pointer of a large file.
        pointer_size: Of that pointer, in bytes.
    """

    size: int
    sha256: str
    blob: str
    pointer: str
    pointer_size: int


def describe(content: Content) -> Description:
    """Digest a file; cached while its size and time stay the same."""
    if isinstance(content, bytes):
        return _describe(content)
    stat = content.stat()
    return _describe_file(content, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=512)
def _describe_file(path: Path, size: int, mtime_ns: int) -> Description:
    return _describe(path.read_bytes())


def _describe(content: bytes) -> Description:
    sha256 = hashlib.sha256(content).hexdigest()
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n"
    ).encode()
    return Description(len(content), sha256, git_name(content), git_name(pointer), len(pointer))


def git_name(content: bytes) -> str:
    """git's name for a file's content."""
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


# ---------------------------------------------------------------- what the API says


def model_json(
    name: str, repository: Repository, commit: str, *, lfs_bytes: int, blobs: bool
) -> dict[str, Any]:
    """The answer to `/api/models/NAME`; with `blobs`, files have sizes and digests."""
    siblings = []
    for path, content in repository.revisions[commit].items():
        one: dict[str, Any] = {"rfilename": path}
        if blobs:
            known = describe(content)
            large = known.size >= lfs_bytes
            one |= {"size": known.size, "blobId": known.pointer if large else known.blob}
            if large:
                one["lfs"] = {
                    "sha256": known.sha256,
                    "size": known.size,
                    "pointerSize": known.pointer_size,
                }
        siblings.append(one)
    licence = repository.licence
    return {
        "_id": git_name(name.encode())[:24],
        "id": name,
        "modelId": name,
        "author": name.rpartition("/")[0] or None,
        "sha": commit,
        "lastModified": "2025-01-01T00:00:00.000Z",
        "createdAt": "2024-01-01T00:00:00.000Z",
        "private": repository.private,
        "gated": "manual" if repository.gated else False,
        "disabled": False,
        "downloads": 1,
        "likes": 1,
        "tags": [f"license:{licence}"] if licence else [],
        "cardData": {"license": licence} if licence else {},
        "siblings": siblings,
        "spaces": [],
    }


def refs_json(repository: Repository, *, pull_requests: bool) -> dict[str, Any]:
    """The answer to `/api/models/NAME/refs`."""
    kinds: dict[str, list[dict[str, str]]] = {
        "tags": [],
        "branches": [],
        "converts": [],
        "pullRequests": [],
    }
    for ref, commit in repository.refs.items():
        kind, name, full = "branches", ref, f"refs/heads/{ref}"
        for prefix, other in (
            ("refs/pr/", "pullRequests"),
            ("refs/tags/", "tags"),
            ("refs/convert/", "converts"),
        ):
            if ref.startswith(prefix):
                kind, name, full = other, ref.removeprefix(prefix), ref
        kinds[kind].append({"name": name, "ref": full, "targetCommit": commit})
    if not pull_requests:
        del kinds["pullRequests"]
    return kinds


def tree_json(
    repository: Repository, commit: str, folder: str, *, recursive: bool, lfs_bytes: int
) -> list[dict[str, Any]] | None:
    """The answer to `/api/models/NAME/tree/REVISION/FOLDER`; None where there is no such folder."""
    prefix = f"{folder}/" if folder else ""
    entries: dict[str, dict[str, Any]] = {}
    for path, content in sorted(repository.revisions[commit].items()):
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            name = prefix + "/".join(parts[:depth])
            entries[name] = {
                "type": "directory",
                "oid": git_name(name.encode()),
                "size": 0,
                "path": name,
            }
        if recursive or len(parts) == 1:
            entries[path] = file_json(path, content, lfs_bytes)
    return list(entries.values()) if entries or not folder else None


def file_json(path: str, content: Content, lfs_bytes: int) -> dict[str, Any]:
    """A file as trees and `paths-info` list it."""
    known = describe(content)
    large = known.size >= lfs_bytes
    one: dict[str, Any] = {
        "type": "file",
        "oid": known.pointer if large else known.blob,
        "size": known.size,
        "path": path,
    }
    if large:
        one["lfs"] = {
            "oid": known.sha256,
            "size": known.size,
            "pointerSize": known.pointer_size,
        }
    return one
