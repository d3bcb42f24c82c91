"""The hits of one query, and their conversion to tables."""

from __future__ import annotations

from dataclasses import fields
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from retrieval.errors import MissingExtraError
from retrieval.types import Hit

if TYPE_CHECKING:
    import pyarrow as pa

COLUMN_TYPES = {
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
"""Columns of every table of hits. `collection`, `first_stage_score`, `text_score` with the columns
of `MATCHED_TYPES`, and `vector` follow if any hit has them."""

MATCHED_TYPES = {
    "source": "string",
    "text": "string",
    "start_seconds": "double",
    "end_seconds": "double",
}
"""Fields of the matching text; their columns are called `matched_NAME`."""


_FIELDS = tuple(field.name for field in fields(Hit))


def with_values(hit: Hit, **values: object) -> Hit:
    """Return a copy of a hit with other values.

    `dataclasses.replace` takes twice as long, and a search copies each hit up to five times.
    """
    copy = object.__new__(Hit)
    for name in _FIELDS:
        object.__setattr__(copy, name, getattr(hit, name))
    for name, value in values.items():
        object.__setattr__(copy, name, value)
    return copy


class Hits(tuple[Hit, ...]):
    """A tuple of hits, best first."""

    __slots__ = ()

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> Hit: ...
    @overload
    def __getitem__(self, key: slice, /) -> Hits: ...
    def __getitem__(self, key: SupportsIndex | slice, /) -> Hit | Hits:
        """Return a hit, or `Hits` for a slice."""
        if isinstance(key, slice):
            return Hits(super().__getitem__(key))
        return super().__getitem__(key)

    def to_arrow(self) -> pa.Table:
        """Convert to a table with the fields and the metadata of each hit.

        A metadata column with the name of a field is called `metadata.NAME`.
        """
        import pyarrow as pa

        columns = {
            name: pa.array([_plain_value(getattr(hit, name)) for hit in self], type=arrow_type)
            for name, arrow_type in COLUMN_TYPES.items()
        }
        if any(hit.collection is not None for hit in self):
            columns["collection"] = pa.array([hit.collection for hit in self], pa.string())
        if any(hit.first_stage_score is not None for hit in self):
            columns["first_stage_score"] = pa.array(
                [hit.first_stage_score for hit in self], pa.float64()
            )
        if any(hit.matched is not None for hit in self):
            columns |= self._matched_columns()
        if any(hit.vector is not None for hit in self):
            # A list, not a fixed-size list: vectors of two spaces differ in length.
            columns["vector"] = pa.array([hit.vector for hit in self], pa.list_(pa.float32()))
        for name in dict.fromkeys(name for hit in self for name in hit.metadata):
            column = f"metadata.{name}" if name in columns else name
            columns[column] = pa.array([hit.metadata.get(name) for hit in self])
        return pa.table(columns)

    def _matched_columns(self) -> dict[str, pa.Array]:
        import pyarrow as pa

        columns = {"text_score": pa.array([hit.text_score for hit in self], pa.float64())}
        for name, arrow_type in MATCHED_TYPES.items():
            values = [hit.matched and _plain_value(getattr(hit.matched, name)) for hit in self]
            columns[f"matched_{name}"] = pa.array(values, arrow_type)
        return columns

    def to_pandas(self) -> Any:
        """Convert the table of `to_arrow` to a `pandas.DataFrame`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        if find_spec("pandas") is None:
            raise MissingExtraError(
                "pandas is not installed; install it (`pip install pandas`) or use to_arrow()"
            )
        return self.to_arrow().to_pandas()


def _plain_value(value: object) -> object:
    """Convert members of string enumerations to str."""
    return str(value) if isinstance(value, str) else value
