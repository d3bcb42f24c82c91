"""Answers queries over one generation of a collection; see `Coordinator` for the query path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.protocols import Encoder, Localizer
from retrieval.search.coordinator import Coordinator
from retrieval.search.index_files import CARD
from retrieval.search.indexing.card import IndexCard
from retrieval.search.items import ItemTable
from retrieval.search.local_member import LocalMember
from retrieval.search.member import Member
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
        member: The snapshot, opened elsewhere; by default this process opens its indexes.
        partial: Answer without a member that does not answer.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        encoders: Callable[[Space], Encoder],
        localizers: Sequence[Localizer] = (SimilarityLocalizer(),),
        *,
        exact: bool = False,
        device: str = "cpu",
        member: Member | None = None,
        partial: bool = False,
    ) -> None:
        self._snapshot = snapshot
        self.member: Member = member or LocalMember(snapshot, exact=exact, device=device)
        members = Members({str(snapshot.root): self.member}, is_named=False)
        super().__init__(members, encoders, localizers, partial=partial)

    @cached_property
    def items(self) -> ItemTable:
        """The living items of the snapshot."""
        member = self.member
        return member.items if isinstance(member, LocalMember) else ItemTable(self._snapshot)

    def cards(self, space: str) -> list[IndexCard]:
        """Return the cards of the parts of a space's index."""
        if isinstance(self.member, LocalMember):
            return self.member.cards(space)
        return [IndexCard.read(path / CARD) for path in self._snapshot.index_folders(space)]
