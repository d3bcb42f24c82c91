"""Search images, music and video by meaning: embed, index, search, localize.

>>> import retrieval
>>> collection = retrieval.open("my-collection")           # doctest: +SKIP
>>> collection.search("a red circle", to=["video"], k=5)   # doctest: +SKIP

Names are imported at first use, so `import retrieval` loads neither torch nor faiss.
"""

from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, overload

from retrieval.errors import RetrievalError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from retrieval.automatic.folder import open_folder
    from retrieval.collection import Collection
    from retrieval.collection_group import CollectionGroup
    from retrieval.embedding.options import EmbedOptions
    from retrieval.remote_collection import RemoteCollection
    from retrieval.targets import Target
    from retrieval.timelines.export import export_hits
    from retrieval.timelines.saved_hits import read_hits
    from retrieval.types import Hit, Medium

    __version__: str

__all__ = [
    "Collection",
    "CollectionGroup",
    "EmbedOptions",
    "Hit",
    "Medium",
    "RemoteCollection",
    "RetrievalError",
    "Target",
    "connect",
    "export_hits",
    "open",
    "open_folder",
    "read_hits",
]

_MODULES = {
    "Collection": "retrieval.collection",
    "CollectionGroup": "retrieval.collection_group",
    "EmbedOptions": "retrieval.embedding.options",
    "Hit": "retrieval.types",
    "Medium": "retrieval.types",
    "RemoteCollection": "retrieval.remote_collection",
    "Target": "retrieval.targets",
    "export_hits": "retrieval.timelines.export",
    "read_hits": "retrieval.timelines.saved_hits",
    "open_folder": "retrieval.automatic.folder",
}


@overload
def open(  # type: ignore[overload-overlap]  # noqa: A001  # a str is an iterable of str
    root: "str | os.PathLike[str]", *, device: str = "auto", localizer: str = "auto"
) -> "Collection": ...
@overload
def open(  # noqa: A001
    root: "Iterable[str | os.PathLike[str]]",
    *,
    device: str = "auto",
    localizer: str = "auto",
    skip_damaged: bool = False,
) -> "CollectionGroup": ...
def open(  # noqa: A001  # the usual verb, as in `wave.open`
    root: "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]",
    *,
    device: str = "auto",
    localizer: str = "auto",
    skip_damaged: bool = False,
) -> "Collection | CollectionGroup":
    """Open an existing collection, or several that are searched as one.

    Args:
        root: A folder; or a list of folders and patterns, or one pattern such as `archive/*`,
            which opens a `CollectionGroup`.
        device: Device of models and indexes: `auto`, `cpu` or `cuda`.
        localizer: `auto`, `similarity`, `hammer` or `hammer:FOLDER`.
        skip_damaged: Leave out damaged ones of several collections, with a warning.

    Raises:
        CollectionNotFoundError: A folder is not a collection, or nothing matches a pattern.
        CollectionDamagedError: A listed file is missing or has another size.
    """
    from retrieval.collection import Collection
    from retrieval.collection_group import CollectionGroup
    from retrieval.collection_paths import is_pattern

    roots: Iterable[str | os.PathLike[str]] = [root] if isinstance(root, str | PathLike) else root
    if isinstance(root, str | PathLike) and not is_pattern(root):
        return Collection.open(root, device=device, localizer=localizer)
    return CollectionGroup.open(
        roots, device=device, localizer=localizer, skip_damaged=skip_damaged
    )


def connect(
    address: str, *, token: str | None = None, collection: str | None = None
) -> "RemoteCollection":
    """Connect to a collection that a server has open.

    Args:
        address: Address of the server, such as `http://127.0.0.1:8765`.
        token: The server's token of programs; None if it requires none.
        collection: Short name of the collection; by default the first one of the server.

    Raises:
        ServerError: No server answers, it refuses the token, or it has another version.
        QueryError: The address is not valid, or the server has no such collection.
    """
    from retrieval.remote_collection import RemoteCollection
    from retrieval.serving.http_client import HttpClient

    return RemoteCollection(HttpClient(address, token), collection)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("retrieval")
    if name not in _MODULES:
        raise AttributeError(f"module 'retrieval' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
