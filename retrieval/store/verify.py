"""Compares every file of a collection with its digest: the only defence against flipped bits."""

from __future__ import annotations

from pathlib import Path

from retrieval.errors import CollectionError, CollectionNotFoundError
from retrieval.store.manifest import check_listed, read_current
from retrieval.store.publish import sha256_of


def verify(root: Path) -> list[str]:
    """Read every listed file.

    Returns:
        One line per problem, each naming a file; empty when the collection is whole.
    Raises:
        CollectionNotFoundError: There is no collection.
    """
    try:
        manifest = read_current(root)
    except CollectionNotFoundError:
        raise
    except CollectionError as error:
        return [str(error)]
    problems = []
    for file in manifest.files:
        problem = check_listed(root, file)
        if problem is None and sha256_of(root / file.path) != file.sha256:
            problem = f"{root / file.path} is damaged: its sha256 is not the manifest's"
        if problem is not None:
            problems.append(problem)
    return problems
