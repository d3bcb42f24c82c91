"""Arguments that name a collection on an object store, such as `s3://bucket/library`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.files.objects import is_object

if TYPE_CHECKING:
    import typer

_COLLAPSED = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/+(?P<rest>.+)")


def address_of(path: Path) -> str | None:
    """Return the address that an argument is; `Path` joins its two slashes."""
    match = _COLLAPSED.fullmatch(str(path))
    address = "" if match is None else f"{match['scheme']}://{match['rest']}"
    return address if is_object(address) else None


def local_copy(context: typer.Context, path: Path, *, create: bool = False) -> Path:
    """Return the folder of a collection; one on an object store is copied first.

    If the command publishes a generation, it is uploaded when the command ends.
    """
    address = address_of(path)
    if address is None or os.path.lexists(path):
        return path
    import platformdirs

    from cli.progress import progress_bar
    from retrieval.store.object_copies import open_copy

    folder = platformdirs.user_cache_path("retrieval") / "collections"
    copy = open_copy(address, folder, create=create)

    def upload() -> None:
        with progress_bar(transient=True) as progress:
            copy.upload(progress)

    context.call_on_close(upload)
    return copy.root
