"""Errors of the vector layer and the root of the error tree in `retrieval/errors.py`."""


class RetrievalError(Exception):
    """Base class of all expected errors; the command line prints each as one line."""


class DimensionMismatchError(RetrievalError, ValueError):
    """Vectors and index have different dimensions."""


class InvalidVectorError(RetrievalError, ValueError):
    """A vector contains NaN or infinity, has length zero, or is not numeric."""


class IndexBuildError(RetrievalError, ValueError):
    """An index cannot be built, for example because FAISS rejects its factory string."""


class IndexFileError(RetrievalError, OSError):
    """An index file is missing, truncated, damaged, or could not be written."""


class DeviceError(RetrievalError, ValueError):
    """A requested device is not available."""
