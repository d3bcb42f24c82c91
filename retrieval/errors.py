"""The error classes, and the function that quotes values in their messages.

RetrievalError                      root, from `indexes.errors`
├── DimensionMismatchError          vectors and index disagree on the embedding size
├── InvalidVectorError              NaN, infinity, zero length
├── IndexBuildError, IndexFileError
├── DeviceError                     a GPU is requested and none is available
├── SourceError                     a list, pattern, folder or tar of inputs cannot be read
├── MediaError                      one media file cannot be used
│   ├── UnsupportedMediaError       not a supported format
│   ├── DamagedMediaError           the format is supported, the content is broken
│   └── MediaTooLargeError          over the pixel, frame or length caps
├── CollectionError                 a collection cannot be used
│   ├── CollectionNotFoundError
│   ├── CollectionDamagedError      a listed file is missing, of another size or digest
│   ├── CollectionFormatError       another schema version, or an invalid manifest
│   ├── CollectionLockedError       another process is writing
│   ├── IndexMissingError           the collection has no index yet
│   ├── MemberUnavailableError      one of several collections does not answer
│   └── ColumnError                 an item's uri or caption is not Unicode text
├── StorageError                    the disk is full or read-only, or permissions are missing
│   └── OutputExistsError           an output would replace a file
├── ModelError                      a model cannot be used
│   ├── UnknownModelError           no such catalogue entry
│   ├── WeightsNotAvailableError    weights are neither local nor in the hub's cache
│   ├── WeightsFormatError          a pickle, missing keys, wrong shapes
│   ├── CollapsedEncoderError       it embeds all texts to similar vectors
│   ├── SpaceMismatchError          not the encoder of the collection's space
│   └── OtherModelError             a folder is embedded by another model
├── QueryError                      a query cannot be parsed or embedded
│   └── FilterError                 a filter expression is refused
├── ServerError                     a server cannot listen on its address, or does not answer
└── MissingExtraError               an optional dependency is not installed

Each class also inherits a built-in error. Messages say what was found, what was expected, and
what to do next.
"""

from indexes.errors import (
    DeviceError as DeviceError,
)
from indexes.errors import (
    DimensionMismatchError as DimensionMismatchError,
)
from indexes.errors import (
    IndexBuildError as IndexBuildError,
)
from indexes.errors import (
    IndexFileError as IndexFileError,
)
from indexes.errors import (
    InvalidVectorError as InvalidVectorError,
)
from indexes.errors import (
    RetrievalError as RetrievalError,
)


class SourceError(RetrievalError, ValueError):
    """A list, pattern, folder or tar of inputs cannot be read."""


class MediaError(RetrievalError, ValueError):
    """One media file cannot be used."""


class UnsupportedMediaError(MediaError):
    """The format is not supported."""


class DamagedMediaError(MediaError):
    """The format is supported, the content is broken, empty or not finite."""


class MediaTooLargeError(MediaError):
    """The file exceeds the limits of pixels, frames or channels; no memory was allocated."""


class CollectionError(RetrievalError):
    """A collection cannot be used."""


class CollectionNotFoundError(CollectionError, FileNotFoundError):
    """The folder is not a collection."""


class CollectionDamagedError(CollectionError, ValueError):
    """A listed file is missing, or differs in size or digest from the manifest."""


class CollectionFormatError(CollectionError, ValueError):
    """The schema version is another one, or the manifest is invalid."""


class CollectionLockedError(CollectionError, BlockingIOError):
    """Another process is writing to the collection."""


class IndexMissingError(CollectionError, LookupError):
    """The collection has no index yet."""


class MemberUnavailableError(CollectionError, TimeoutError):
    """Some of several collections do not answer a search.

    Attributes:
        names: Their names.
    """

    def __init__(self, message: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.names = names


class ColumnError(CollectionError, ValueError):
    """An item's uri or caption is not Unicode text."""


class StorageError(RetrievalError, OSError):
    """The disk is full or read-only, or permissions are missing."""


class OutputExistsError(StorageError):
    """An output would replace a file, and that is not permitted."""


class ModelError(RetrievalError):
    """A model cannot be used."""


class UnknownModelError(ModelError, LookupError):
    """The catalogue has no such entry."""


class WeightsNotAvailableError(ModelError, FileNotFoundError):
    """The weights are neither local, nor in the hub's cache, nor in the package.

    Attributes:
        fetchable: The model on the hub that must be fetched first, or None.
    """

    def __init__(self, message: str, *, fetchable: str | None = None) -> None:
        super().__init__(message)
        self.fetchable = fetchable


class WeightsFormatError(ModelError, ValueError):
    """The weights are a pickle, lack keys, or have wrong shapes or a wrong header."""


class CollapsedEncoderError(ModelError, ValueError):
    """The encoder embeds all texts to similar vectors."""


class SpaceMismatchError(ModelError, ValueError):
    """The loaded encoder is not the one of the collection's space."""


class OtherModelError(ModelError, ValueError):
    """The automatic collection of a folder is embedded by another model."""


class QueryError(RetrievalError, ValueError):
    """A query cannot be parsed or embedded."""


class FilterError(QueryError):
    """A filter expression is refused."""


class ServerError(RetrievalError, OSError):
    """A server cannot listen on its address, does not answer, or refuses a program."""


class MissingExtraError(RetrievalError, ImportError):
    """An optional dependency is not installed."""


MAX_QUOTED = 60
"""Characters of a value that a message quotes."""


def short_repr(value: object, limit: int = MAX_QUOTED) -> str:
    """Return the `repr` of a value, cut to `limit` characters."""
    if isinstance(value, str | bytes):
        value = value[: limit + 1]  # a value may be a whole file
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
