"""The Qdrant collections of pushed generations, and the alias that names the current one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

from retrieval.engines.qdrant.card import PushedCard
from retrieval.engines.qdrant.payload import INDEX_TYPES, ROW_INDEXES
from retrieval.engines.qdrant.server import QdrantServer
from retrieval.errors import (
    CollectionFormatError,
    CollectionNotFoundError,
    OutputExistsError,
    QueryError,
    RetrievalError,
    SpaceMismatchError,
)

logger = logging.getLogger(__name__)

DIGEST_DIGITS = 8
"""Digits of the content's digest in the name of a Qdrant collection."""


@dataclass(frozen=True, slots=True)
class PushedGeneration:
    """A Qdrant collection that this package made."""

    collection: str
    card: PushedCard


class Generations:
    """The pushed generations of one name.

    Args:
        server: The server or folder.
        name: The alias.
    """

    def __init__(self, server: QdrantServer, name: str) -> None:
        self._server = server
        self.name = name
        self._place = f"{name} at {server.address.place}"

    # ------------------------------------------------------------ reading

    def replaced(self) -> PushedGeneration | None:
        """Return the generation that a push replaces; None without an alias or a readable card.

        Raises:
            QueryError: The alias or a collection of that name belongs to something else.
        """
        try:
            return self.current()
        except CollectionFormatError as error:
            logger.info("%s; it is replaced", error)
            return None

    def current(self) -> PushedGeneration | None:
        """Return the generation that the alias names; None without an alias.

        Raises:
            QueryError: The alias or a collection of that name belongs to something else.
            CollectionFormatError: The card was changed, or has another version.
        """
        target = aliases(self._server).get(self.name)
        if target is None:
            if self.name in collections(self._server):
                raise QueryError(
                    f"{self._place} is a collection of its own, not one that was pushed; "
                    "choose another name"
                )
            return None
        card = self._card(target)
        if card is None:
            raise QueryError(
                f"{self._place} is an alias of {target}, which was not pushed; choose another name"
            )
        return PushedGeneration(target, card)

    def find(self, card: PushedCard) -> PushedGeneration | None:
        """Return the collection of a content, complete or not; None if there is none.

        Raises:
            QueryError: Something else has the name that the collection would get.
        """
        ending = f"-{card.content[:DIGEST_DIGITS]}"
        for found in self._pushed():
            if found.collection.endswith(ending):
                return found
        name = self._new_name(card)
        if name not in collections(self._server):
            return None
        try:
            foreign = self._card(name) is None
        except CollectionFormatError:
            foreign = False  # its metadata were changed, and are written again
        if foreign:
            raise QueryError(
                f"{name} at {self._server.address.place} was not pushed; choose another name"
            )
        return PushedGeneration(name, card)

    # ------------------------------------------------------------ writing

    def create(self, card: PushedCard) -> PushedGeneration:
        """Create the empty collection of a generation."""
        from qdrant_client.models import Datatype, Distance, VectorParams

        created = PushedGeneration(self._new_name(card), card)
        vectors = {
            each.space.name: VectorParams(
                # Scores are inner products; `Cosine` would store other lengths.
                size=each.space.dim, distance=Distance.DOT, datatype=Datatype.FLOAT16
            )
            for each in card.spaces
        }  # fmt: skip
        self._server.call(
            "create_collection",
            created.collection,
            vectors_config=vectors,
            metadata=card.to_metadata(),
        )
        return created

    def copy(self, older: PushedGeneration, card: PushedCard) -> PushedGeneration | None:
        """Copy an older generation inside the server, so that equal points are not sent again.

        The server makes a snapshot and restores it under the new name, with its graph.

        Returns:
            None if the server cannot: a folder, other spaces, or a server that does not reach its
            own address.
        """
        spaces = [(each.space.name, each.space.dim) for each in card.spaces]
        if self._server.is_local or spaces != [
            (each.space.name, each.space.dim) for each in older.card.spaces
        ]:
            return None
        copied = PushedGeneration(self._new_name(card), card)
        try:
            self._restore(older.collection, copied.collection)
            self.write_card(copied)
        except RetrievalError as error:
            logger.info("%s: not copied inside the server: %s", self._place, error)
            if copied.collection in collections(self._server):
                self._server.call("delete_collection", copied.collection)
            return None
        return copied

    def _restore(self, source: str, target: str) -> None:
        from qdrant_client.models import SnapshotPriority

        server = self._server
        snapshot = server.call_once("create_snapshot", source).name
        try:
            server.call_once(
                "recover_snapshot",
                target,
                location=f"{server.address.url}/collections/{source}/snapshots/{snapshot}",
                api_key=server.key,
                priority=SnapshotPriority.SNAPSHOT,
            )
        finally:
            server.call("delete_snapshot", source, snapshot)

    def index_payload(self, generation: PushedGeneration) -> None:
        """Create the indexes of the payload, which filters use; a folder has none."""
        if self._server.is_local:
            return
        fields = {
            column.path: INDEX_TYPES[column.type]
            for column in generation.card.columns
            if column.is_addressable
        }
        for key, type_ in (fields | ROW_INDEXES).items():
            self._server.call(
                "create_payload_index", generation.collection, field_name=key, field_schema=type_
            )

    def write_card(self, generation: PushedGeneration) -> None:
        """Store the card of a generation."""
        self._server.call(
            "update_collection", generation.collection, metadata=generation.card.to_metadata()
        )

    def switch(self, generation: PushedGeneration) -> None:
        """Let the alias name a generation, in one step."""
        from qdrant_client import models

        delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self.name))
        create = models.CreateAliasOperation(
            create_alias=models.CreateAlias(
                collection_name=generation.collection, alias_name=self.name
            )
        )
        before = aliases(self._server).get(self.name)
        self._server.call(
            "update_collection_aliases",
            change_aliases_operations=[create] if before is None else [delete, create],
        )

    def prune(self, current: PushedGeneration, keep: int) -> list[str]:
        """Delete older generations that no alias names; return their collections.

        Args:
            current: The generation that stays in any case.
            keep: Number of complete older generations to keep.
        """
        named = set(aliases(self._server).values()) | {current.collection}
        older = [
            found
            for found in self._pushed()
            if found.collection not in named
            and found.card.source == current.card.source
            and found.card.generation <= current.card.generation
        ]
        older.sort(key=lambda found: (found.card.complete, found.card.generation), reverse=True)
        complete = sum(found.card.complete for found in older)
        dropped = older[min(keep, complete) :]
        for found in dropped:
            self._server.call("delete_collection", found.collection)
        return [found.collection for found in dropped]

    # ------------------------------------------------------------ parts

    def _new_name(self, card: PushedCard) -> str:
        return f"{self.name}-{card.generation:06d}-{card.content[:DIGEST_DIGITS]}"

    def _pushed(self) -> Iterator[PushedGeneration]:
        """Yield the collections that were pushed under this name."""
        for collection in collections(self._server):
            if collection.startswith(f"{self.name}-"):
                try:
                    card = self._card(collection)
                except CollectionFormatError:
                    continue  # of another release
                if card is not None and card.name == self.name:
                    yield PushedGeneration(collection, card)

    def _card(self, collection: str) -> PushedCard | None:
        return read_card(self._server, collection)


def read_card(server: QdrantServer, collection: str) -> PushedCard | None:
    """Read the card of a Qdrant collection; None if it was not pushed.

    Raises:
        CollectionFormatError: The card was changed, or has another version.
    """
    info = server.call("get_collection", collection)
    place = f"{collection} at {server.address.place}"
    return PushedCard.from_metadata(info.config.metadata, place)


def aliases(server: QdrantServer) -> dict[str, str]:
    """Return the Qdrant collection of every alias."""
    found = server.call("get_aliases").aliases
    return {alias.alias_name: alias.collection_name for alias in found}


def collections(server: QdrantServer) -> list[str]:
    """Return the names of all Qdrant collections, sorted."""
    return sorted(each.name for each in server.call("get_collections").collections)


def open_current(server: QdrantServer, name: str | None) -> PushedGeneration:
    """Return the current generation of a name, or of the only pushed collection.

    Raises:
        CollectionNotFoundError: There is no such name, or none or several to choose from.
        QueryError: The name belongs to something else.
    """
    place = server.address.place
    if name is not None:
        found = Generations(server, name).current()
        if found is not None:
            return found
    known = [
        alias
        for alias, collection in sorted(aliases(server).items())
        if read_card(server, collection) is not None
    ]
    if name is None and len(known) == 1:
        return open_current(server, known[0])
    shown = ", ".join(known) or "none"
    problem = "name one of the collections" if name is None else f"there is no collection {name!r}"
    raise CollectionNotFoundError(f"{problem} that were pushed to {place}; they are: {shown}")


def check_same_collection(current: PushedGeneration, card: PushedCard, place: str) -> None:
    """Refuse to replace a generation of another collection.

    Raises:
        SpaceMismatchError: A space has the same name and another digest.
        OutputExistsError: The collection has another path.
    """
    known = {each.space.name: each.space for each in current.card.spaces}
    for each in card.spaces:
        before = known.get(each.space.name)
        if before is not None and before.digest != each.space.digest:
            raise SpaceMismatchError(
                f"space {before.name} of {place} has the digest {before.digest[:8]}, that of the "
                f"collection {each.space.digest[:8]}: another model; choose another name"
            )
    if current.card.source != card.source:
        raise OutputExistsError(
            f"{place} was pushed from {current.card.source}, not from {card.source}; "
            "choose another name"
        )


def completed(generation: PushedGeneration, points: int, items: dict[str, int]) -> PushedGeneration:
    """Return a generation whose points were counted."""
    return replace(
        generation, card=replace(generation.card, complete=True, points=points, items=items)
    )
