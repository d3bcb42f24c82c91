"""Answers queries over one generation of a collection; see `Coordinator` for the query path."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.protocols import Encoder, Localizer
from retrieval.search.coordinator import Coordinator
from retrieval.search.indexing.card import IndexCard
from retrieval.search.items import ItemTable
from retrieval.search.local_member import LocalMember
from retrieval.search.members import Members
from retrieval.search.result import SearchResult as SearchResult
from retrieval.search.result import StageTimes as StageTimes
from retrieval.store.reader import Snapshot
from retrieval.types import Space


class Searcher(Coordinator):
    """Searches one snapshot, whose indexes it opens.

    Attributes:
        member: The snapshot as a member of searches over several collections.

    Args:
        snapshot: The generation to search.
        encoders: Returns the encoder of a space. It is called when a query first needs one.
        localizers: Find the moments of items, in order of preference. The last one must accept
            every query.
        exact: Ignore approximate indexes.
        device: Device to search on: `cpu`, `cuda` or `auto`.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        encoders: Callable[[Space], Encoder],
        localizers: Sequence[Localizer] = (SimilarityLocalizer(),),
        *,
        exact: bool = False,
        device: str = "cpu",
    ) -> None:
        self.member = LocalMember(snapshot, exact=exact, device=device)
        members = Members({str(snapshot.root): self.member}, is_named=False)
        super().__init__(members, encoders, localizers)

    @property
    def items(self) -> ItemTable:
        """The living items of the snapshot."""
        return self.member.items

    def cards(self, space: str) -> list[IndexCard]:
        """Return the cards of the parts of a space's index."""
        return self.member.cards(space)
