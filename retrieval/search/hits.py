"""The hits of one answer: a tuple that other tools take as a table."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from retrieval.errors import MissingExtraError
from retrieval.types import Hit

if TYPE_CHECKING:
    import pyarrow as pa

TYPES = {
    "rank": "int64",
    "score": "double",
    "item_id": "int64",
    "uri": "string",
    "modality": "string",
    "medium": "string",
    "start_seconds": "double",
    "end_seconds": "double",
    "space": "string",
    "likely": "bool",
}
"""Columns of every table of hits; `first_stage_score` and `vector` follow where they are set."""


class Hits(tuple[Hit, ...]):
    """Hits, best first."""

    __slots__ = ()

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> Hit: ...
    @overload
    def __getitem__(self, key: slice, /) -> Hits: ...
    def __getitem__(self, key: SupportsIndex | slice, /) -> Hit | Hits:
        """A hit, or some of them as hits again."""
        if isinstance(key, slice):
            return Hits(super().__getitem__(key))
        return super().__getitem__(key)

    def to_arrow(self) -> pa.Table:
        """A row for each hit: its fields, then a column for each name in any hit's metadata.

        A metadata column that has the name of a field is called `metadata.NAME`.
        """
        import pyarrow as pa

        columns = {
            name: pa.array([_plain(getattr(hit, name)) for hit in self], type=kind)
            for name, kind in TYPES.items()
        }
        if any(hit.first_stage_score is not None for hit in self):
            columns["first_stage_score"] = pa.array(
                [hit.first_stage_score for hit in self], pa.float64()
            )
        if any(hit.vector is not None for hit in self):
            # Spaces differ in the length of their vectors.
            columns["vector"] = pa.array([hit.vector for hit in self], pa.list_(pa.float32()))
        for name in dict.fromkeys(name for hit in self for name in hit.metadata):
            shown = f"metadata.{name}" if name in columns else name
            columns[shown] = pa.array([hit.metadata.get(name) for hit in self])
        return pa.table(columns)

    def to_pandas(self) -> Any:
        """The table of `to_arrow` as a `pandas.DataFrame`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        if find_spec("pandas") is None:
            raise MissingExtraError(
                "pandas is not installed; `pip install pandas`, or take the table of to_arrow()"
            )
        return self.to_arrow().to_pandas()


def _plain(value: object) -> object:
    """A member of an enumeration as the text it is."""
    return str(value) if isinstance(value, str) else value
