"""Search images, music and video by meaning: embed, index, search, localize.

>>> import retrieval
>>> collection = retrieval.open("my-collection")           # doctest: +SKIP
>>> collection.search("a red circle", to=["video"], k=5)   # doctest: +SKIP

Names are imported at first use, so `import retrieval` loads neither torch nor faiss.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from retrieval.errors import RetrievalError

if TYPE_CHECKING:
    import os

    from retrieval.automatic.folder import open_folder
    from retrieval.collection import Collection
    from retrieval.embedding.options import EmbedOptions
    from retrieval.targets import Target
    from retrieval.timelines.export import export_hits
    from retrieval.timelines.saved_hits import read_hits
    from retrieval.types import Hit, Medium

    __version__: str

__all__ = [
    "Collection",
    "EmbedOptions",
    "Hit",
    "Medium",
    "RetrievalError",
    "Target",
    "export_hits",
    "open",
    "open_folder",
    "read_hits",
]

_MODULES = {
    "Collection": "retrieval.collection",
    "EmbedOptions": "retrieval.embedding.options",
    "Hit": "retrieval.types",
    "Medium": "retrieval.types",
    "Target": "retrieval.targets",
    "export_hits": "retrieval.timelines.export",
    "read_hits": "retrieval.timelines.saved_hits",
    "open_folder": "retrieval.automatic.folder",
}


def open(  # noqa: A001  # the usual verb, as in `wave.open`
    root: "str | os.PathLike[str]", *, device: str = "auto", localizer: str = "auto"
) -> "Collection":
    """Open an existing collection; see `Collection.open`."""
    from retrieval.collection import Collection

    return Collection.open(root, device=device, localizer=localizer)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("retrieval")
    if name not in _MODULES:
        raise AttributeError(f"module 'retrieval' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
