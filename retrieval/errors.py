"""Every error a user can meet.

RetrievalError                      root, from `indexes.errors`
├── DimensionMismatchError          vectors and index disagree on the embedding size
├── InvalidVectorError              NaN, infinity, zero length
├── IndexBuildError, IndexFileError
├── DeviceError                     a GPU is asked for and there is none
├── SourceError                     a list, pattern, folder or tar of inputs cannot be read
├── MediaError                      one media file cannot be used
│   ├── UnsupportedMediaError       not a format we open
│   ├── DamagedMediaError           the format is right, the content is broken
│   └── MediaTooLargeError          over the pixel, frame or length caps
├── CollectionError                 a collection cannot be used
│   ├── CollectionNotFoundError
│   ├── CollectionDamagedError      a listed file is missing, of another size or digest
│   ├── CollectionFormatError       another schema version, or a manifest that breaks the rules
│   ├── CollectionLockedError       another writer is at work
│   ├── IndexMissingError           the collection has no index yet
│   └── ColumnError                 an item's uri or caption is not Unicode text
├── StorageError                    the disk refused: full, read-only, no permission
├── ModelError                      a model cannot be used
│   ├── UnknownModelError           no such catalogue entry
│   ├── WeightsNotAvailableError    weights are neither local nor in the cache
│   ├── WeightsFormatError          a pickle, missing keys, wrong shapes
│   ├── CollapsedEncoderError       all texts look alike to it
│   └── SpaceMismatchError          not the encoder the collection was made with
├── QueryError                      a query cannot be understood
│   └── FilterError                 a `--where` expression is refused
└── MissingExtraError               an optional dependency is not installed

Each class also inherits the built-in it refines. Messages say what was found, what was expected,
and what to do next.
"""

from indexes.errors import (
    DeviceError,
    DimensionMismatchError,
    IndexBuildError,
    IndexFileError,
    InvalidVectorError,
    RetrievalError,
)


class SourceError(RetrievalError, ValueError):
    """A list, pattern, folder or tar of inputs cannot be read."""


class MediaError(RetrievalError, ValueError):
    """One media file cannot be used."""


class UnsupportedMediaError(MediaError):
    """Not a format that is opened."""


class DamagedMediaError(MediaError):
    """The format is known, the content is broken, empty or not finite."""


class MediaTooLargeError(MediaError):
    """More pixels, frames or channels than the caps allow; refused before memory is taken."""


class CollectionError(RetrievalError):
    """A collection cannot be used."""


class CollectionNotFoundError(CollectionError, FileNotFoundError):
    """The folder is not a collection."""


class CollectionDamagedError(CollectionError, ValueError):
    """A listed file is missing, or differs in size or digest from the manifest."""


class CollectionFormatError(CollectionError, ValueError):
    """Another schema version, or a manifest that breaks the rules."""


class CollectionLockedError(CollectionError, BlockingIOError):
    """Another writer is at work."""


class IndexMissingError(CollectionError, LookupError):
    """The collection has no index yet."""


class ColumnError(CollectionError, ValueError):
    """An item's uri or caption is not Unicode text."""


class StorageError(RetrievalError, OSError):
    """The disk refused: full, read-only, no permission."""


class ModelError(RetrievalError):
    """A model cannot be used."""


class UnknownModelError(ModelError, LookupError):
    """No such catalogue entry."""


class WeightsNotAvailableError(ModelError, FileNotFoundError):
    """Weights are neither local, nor in the hub's cache, nor in the package.

    Attributes:
        fetchable: The model that the hub has and that must be fetched first, or None.
    """

    def __init__(self, message: str, *, fetchable: str | None = None) -> None:
        super().__init__(message)
        self.fetchable = fetchable


class WeightsFormatError(ModelError, ValueError):
    """A pickle, missing keys, wrong shapes, or a header that lies."""


class CollapsedEncoderError(ModelError, ValueError):
    """All texts look alike to this encoder."""


class SpaceMismatchError(ModelError, ValueError):
    """The encoder at hand is not the one the collection was made with."""


class QueryError(RetrievalError, ValueError):
    """A query cannot be understood."""


class FilterError(QueryError):
    """A filter expression is refused."""


class MissingExtraError(RetrievalError, ImportError):
    """An optional dependency is not installed."""


__all__ = [
    "CollapsedEncoderError",
    "CollectionDamagedError",
    "CollectionError",
    "CollectionFormatError",
    "CollectionLockedError",
    "CollectionNotFoundError",
    "ColumnError",
    "DamagedMediaError",
    "DeviceError",
    "DimensionMismatchError",
    "FilterError",
    "IndexBuildError",
    "IndexFileError",
    "IndexMissingError",
    "InvalidVectorError",
    "MediaError",
    "MediaTooLargeError",
    "MissingExtraError",
    "ModelError",
    "QueryError",
    "RetrievalError",
    "SourceError",
    "SpaceMismatchError",
    "StorageError",
    "UnknownModelError",
    "UnsupportedMediaError",
    "WeightsFormatError",
    "WeightsNotAvailableError",
]
