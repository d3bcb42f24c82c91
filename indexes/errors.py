"""Errors of the vector layer, and the root of the tree drawn in `retrieval/errors.py`."""


class RetrievalError(Exception):
    """Root of every error raised on purpose; the command line prints it as one line."""


class DimensionMismatchError(RetrievalError, ValueError):
    """Vectors and index disagree on the embedding size."""


class InvalidVectorError(RetrievalError, ValueError):
    """A vector holds NaN or infinity, has length zero, or is not numeric."""


class IndexBuildError(RetrievalError, ValueError):
    """An index cannot be built as asked (a factory string that FAISS refuses, too few rows)."""


class IndexFileError(RetrievalError, OSError):
    """A saved index is missing, truncated, damaged, or could not be written."""


class DeviceError(RetrievalError, ValueError):
    """A device that is asked for is not there."""
