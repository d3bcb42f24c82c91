"""Stands in for the client of a Qdrant server: real points, filters and scores, on one machine.

Each collection is a shard of qdrant-edge-py, which is Qdrant's engine as a library. It stores
float16 and evaluates filters with payload indexes. It has no groups, aliases, metadata or
snapshots: those are imitated here.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

DATATYPES = {
    models.Datatype.FLOAT16: edge.VectorStorageDatatype.Float16,
    models.Datatype.FLOAT32: edge.VectorStorageDatatype.Float32,
}
INDEXES = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Bool,
    "datetime": edge.PayloadSchemaType.Datetime,
}
ALL = 1_000_000


class EdgeClient:
    """The methods of `QdrantClient` that pushing and searching use.

    Attributes:
        calls: Names of the called methods, with the number of points of each upsert.
        can_copy: Whether a snapshot can be restored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards: dict[str, edge.EdgeShard] = {}
        self.metadata: dict[str, dict[str, Any]] = {}
        self.vectors: dict[str, Any] = {}
        self.aliases: dict[str, str] = {}
        self.snapshots: dict[str, tuple[Any, ...]] = {}
        self.calls: list[tuple[str, int]] = []
        self.can_copy = True

    def close(self) -> None:
        """Keep the shards: another connection may follow."""

    # ------------------------------------------------------------ collections

    def get_collections(self) -> Any:
        return SimpleNamespace(collections=[SimpleNamespace(name=name) for name in self.shards])

    def get_collection(self, name: str) -> Any:
        return SimpleNamespace(config=SimpleNamespace(metadata=self.metadata[name]))

    def create_collection(self, name: str, *, vectors_config: Any, metadata: Any) -> None:
        assert name not in self.shards
        config = edge.EdgeConfig(
            vectors={
                key: edge.EdgeVectorParams(
                    size=value.size, distance=edge.Distance.Dot, datatype=DATATYPES[value.datatype]
                )
                for key, value in vectors_config.items()
                if value.distance is models.Distance.DOT
            }
        )
        path = self.folder / f"{len(self.calls)}-{len(self.shards)}"
        path.mkdir(parents=True)
        self.calls.append(("create_collection", 0))
        self.shards[name] = edge.EdgeShard.create(str(path), config)
        self.vectors[name], self.metadata[name] = vectors_config, metadata

    def update_collection(self, name: str, *, metadata: Any) -> None:
        self.metadata[name] = self.metadata[name] | metadata

    def delete_collection(self, name: str) -> None:
        self.shards.pop(name).close()
        self.aliases = {alias: target for alias, target in self.aliases.items() if target != name}

    def get_aliases(self) -> Any:
        pairs = [
            SimpleNamespace(alias_name=alias, collection_name=name)
            for alias, name in self.aliases.items()
        ]
        return SimpleNamespace(aliases=pairs)

    def update_collection_aliases(self, *, change_aliases_operations: Any) -> None:
        for operation in change_aliases_operations:
            if isinstance(operation, models.DeleteAliasOperation):
                del self.aliases[operation.delete_alias.alias_name]
            else:
                created = operation.create_alias
                assert created.collection_name in self.shards
                self.aliases[created.alias_name] = created.collection_name

    def create_payload_index(self, name: str, *, field_name: str, field_schema: str) -> None:
        self.shards[name].update(
            edge.UpdateOperation.create_field_index(field_name, INDEXES[field_schema])
        )

    # ------------------------------------------------------------ snapshots

    def create_snapshot(self, name: str) -> Any:
        records, _ = self.shards[name].scroll(
            edge.ScrollRequest(limit=ALL, with_payload=True, with_vector=True)
        )
        points = [edge.Point(each.id, each.vector, each.payload) for each in records]
        self.snapshots[f"{name}.snapshot"] = (self.vectors[name], self.metadata[name], points)
        return SimpleNamespace(name=f"{name}.snapshot")

    def recover_snapshot(self, name: str, *, location: str, api_key: Any, priority: Any) -> None:
        if not self.can_copy:
            raise ConnectionRefusedError("the server does not reach its own address")
        vectors, metadata, points = self.snapshots[location.rpartition("/")[2]]
        self.create_collection(name, vectors_config=vectors, metadata=metadata)
        self.shards[name].update(edge.UpdateOperation.upsert_points(points))

    def delete_snapshot(self, name: str, snapshot: str) -> None:
        del self.snapshots[snapshot]

    # ------------------------------------------------------------ points

    def upsert(self, name: str, *, points: Any, wait: bool) -> None:
        assert wait
        self.calls.append(("upsert", len(points)))
        made = [edge.Point(point.id, point.vector, point.payload) for point in points]
        self.shards[name].update(edge.UpdateOperation.upsert_points(made))

    def delete(self, name: str, *, points_selector: Any, wait: bool) -> None:
        self.shards[name].update(edge.UpdateOperation.delete_points(points_selector))

    def retrieve(self, name: str, *, ids: Any, with_payload: Any, with_vectors: Any) -> Any:
        self.calls.append(("retrieve", len(ids)))
        return self.shards[name].retrieve(ids, with_payload, with_vectors)

    def count(self, name: str, *, count_filter: Any, exact: bool) -> Any:
        shard = self._shard(name)
        request = edge.CountRequest(exact=exact, filter=converted(count_filter, shard))
        return SimpleNamespace(count=shard.count(request))

    def scroll(
        self,
        name: str,
        *,
        scroll_filter: Any = None,
        limit: int = 10,
        offset: Any = None,
        with_payload: Any = True,
        with_vectors: Any = False,
    ) -> Any:
        request = edge.ScrollRequest(
            offset=offset,
            limit=limit,
            filter=converted(scroll_filter, self._shard(name)),
            with_payload=with_payload,
            with_vector=with_vectors,
        )
        return self._shard(name).scroll(request)

    def query_points_groups(
        self,
        name: str,
        *,
        group_by: str,
        query: Any,
        using: str,
        query_filter: Any,
        limit: int,
        group_size: int,
        with_payload: bool,
        with_vectors: Any,
        search_params: Any = None,
    ) -> Any:
        del group_size, search_params
        request = edge.QueryRequest(
            limit=ALL,
            query=edge.Query.Nearest(query, using),
            filter=converted(query_filter, self._shard(name)),
            with_payload=with_payload,
            with_vector=with_vectors,
        )
        groups: dict[int, Any] = {}
        for point in self._shard(name).query(request):
            groups.setdefault(point.payload[group_by], SimpleNamespace(hits=[point]))
        # As a server does, return fewer groups than requested: the caller asks again.
        found = list(groups.values())
        return SimpleNamespace(groups=found[: max(1, min(limit, len(found) * 2 // 3))])

    def _shard(self, name: str) -> Any:
        return self.shards[self.aliases.get(name, name)]


def converted(condition: Any, shard: Any) -> Any:
    """Convert a filter or condition of the client to one of the library."""
    if condition is None:
        return None
    if isinstance(condition, models.Filter):
        parts = {name: getattr(condition, name) for name in ("must", "should", "must_not")}
        return edge.Filter(
            **{
                name: None if part is None else [converted(each, shard) for each in part]
                for name, part in parts.items()
            }
        )
    if isinstance(condition, models.IsEmptyCondition):
        return edge.IsEmptyCondition(condition.is_empty.key)
    if isinstance(condition, models.HasVectorCondition):
        return edge.HasVectorCondition(condition.has_vector)
    assert isinstance(condition, models.FieldCondition)
    match = condition.match
    if isinstance(match, models.MatchValue) and isinstance(match.value, bool):
        return _with_bool(condition.key, match.value, shard)
    return edge.FieldCondition(condition.key, match=_match(match), range=_range(condition.range))


def _with_bool(key: str, value: bool, shard: Any) -> Any:
    """List the points with a value: the library in Python takes true for the number 1."""
    records, _ = shard.scroll(edge.ScrollRequest(limit=ALL, with_payload=True))
    return edge.HasIdCondition({each.id for each in records if each.payload.get(key) is value})


def _match(match: Any) -> Any:
    if isinstance(match, models.MatchAny):
        return edge.MatchAny(match.any)
    if isinstance(match, models.MatchValue):
        return edge.MatchValue(match.value)
    if isinstance(match, models.MatchPrefix):
        return edge.MatchPrefix(match.prefix)
    if isinstance(match, models.MatchSubstring):
        return edge.MatchSubstring(match.substring)
    assert match is None
    return None


def _range(limits: Any) -> Any:
    if limits is None:
        return None
    given = limits.model_dump(exclude_none=True)
    if isinstance(limits, models.DatetimeRange):
        return edge.RangeDateTime(**{name: value.isoformat() for name, value in given.items()})
    return edge.RangeFloat(**given)
