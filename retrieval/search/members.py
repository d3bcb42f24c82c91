"""Numbers the items of all members through, and asks members at the same time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import accumulate
from typing import TypeVar

import pyarrow as pa

from retrieval.errors import MemberUnavailableError, QueryError, SpaceMismatchError, short_repr
from retrieval.search.filtering import unknown_item_error
from retrieval.search.member import Member, MemberContents
from retrieval.search.query import Query, Term
from retrieval.search.threads import call_each
from retrieval.types import Space

Result = TypeVar("Result")


class Members:
    """The members of a search.

    A global id is the id of an item if all members were one collection: the ids of a member follow
    those of the members before it. Ids of a single member are unchanged.

    Attributes:
        names: Name of each member.
        is_named: Whether hits name their member.
        contents: Contents of each member.
        spaces: Spaces of all members by name.

    Args:
        members: The members by name.
        is_named: The attribute.

    Raises:
        SpaceMismatchError: Spaces of the same name have different models.
    """

    def __init__(self, members: Mapping[str, Member], *, is_named: bool = True) -> None:
        self.names = list(members)
        self.is_named = is_named
        self._members = list(members.values())
        self.contents: list[MemberContents] = list(
            call_each([member.contents for member in self._members])
        )
        self._first_ids = [0, *accumulate(each.id_count for each in self.contents)]
        self.spaces = united_spaces(
            {name: each.spaces for name, each in zip(self.names, self.contents, strict=True)}
        )

    def __len__(self) -> int:
        return len(self._members)

    @property
    def filled_spaces(self) -> list[str]:
        """Names of the spaces in which any member has rows."""
        return [name for name in self.spaces if any(name in each.filled for each in self.contents)]

    @property
    def item_count(self) -> int:
        """Number of items of all members."""
        return sum(each.items for each in self.contents)

    @property
    def has_texts(self) -> bool:
        """Whether any item has a text."""
        return any(each.has_texts for each in self.contents)

    @cached_property
    def columns(self) -> pa.Schema | None:
        """Columns of all members; None for a single member. The first type of a name counts."""
        if len(self) == 1:
            return None
        fields = {field.name: field for each in reversed(self.contents) for field in each.columns}
        return pa.schema(list(fields.values()))

    # ------------------------------------------------------------ item ids

    def member_of(self, global_id: int) -> int:
        """Return the number of an item's member."""
        number = bisect_right(self._first_ids, global_id) - 1
        return min(max(0, number), len(self) - 1)  # an unknown id belongs to some member

    def first_id(self, number: int) -> int:
        """Return the global id of a member's item 0."""
        return self._first_ids[number]

    def known_ids(self, name: str, item_id: int) -> list[int]:
        """Return the global id of an item of a member; nothing if the id was never assigned.

        Raises:
            QueryError: There is no such member.
        """
        if name not in self.names:
            raise QueryError(f"no collection {short_repr(name)} is searched")
        number = self.names.index(name)
        is_known = 0 <= item_id < self.contents[number].id_count
        return [self._first_ids[number] + item_id] if is_known else []

    def with_global_ids(self, query: Query) -> Query:
        """Convert the items of a query that name their collection."""
        if all(term.collection is None for term in query.terms):
            return query
        return replace(query, terms=tuple(map(self._with_global_id, query.terms)))

    def _with_global_id(self, term: Term) -> Term:
        if term.collection is None or term.item_id is None:
            return term
        ids = self.known_ids(term.collection, term.item_id)
        if not ids:
            raise unknown_item_error(term.item_id)
        return replace(term, item_id=ids[0], collection=None)

    def by_member(self, global_ids: Sequence[int]) -> dict[int, list[int]]:
        """Return the ids of each member's items, in the given order."""
        ids: dict[int, list[int]] = {}
        for global_id in global_ids:
            number = self.member_of(global_id)
            ids.setdefault(number, []).append(global_id - self._first_ids[number])
        return ids

    # ------------------------------------------------------------ calls

    def ask(self, calls: Mapping[int, Callable[[Member], Result]]) -> dict[int, Result]:
        """Call some members at the same time; return their results by number.

        Raises:
            MemberUnavailableError: Members do not answer; the error names all of them.
        """

        def call(number: int) -> Result | MemberUnavailableError:
            try:
                return calls[number](self._members[number])
            except MemberUnavailableError as error:
                return error

        results = call_each([partial(call, number) for number in calls])
        answers: dict[int, Result] = {}
        errors: dict[str, MemberUnavailableError] = {}
        for number, result in zip(calls, results, strict=True):
            if isinstance(result, MemberUnavailableError):
                errors[self.names[number]] = result
            else:
                answers[number] = result
        if errors:
            reasons = "; ".join(map(str, errors.values()))
            raise MemberUnavailableError(reasons, tuple(errors))
        return answers


def united_spaces(spaces_by_name: Mapping[str, Iterable[Space]]) -> dict[str, Space]:
    """Return the spaces of several collections by name.

    Args:
        spaces_by_name: Spaces by name of their collection.

    Raises:
        SpaceMismatchError: Spaces of the same name have different models.
    """
    first: dict[str, tuple[Space, str]] = {}
    for collection, spaces in spaces_by_name.items():
        for space in spaces:
            known, other = first.setdefault(space.name, (space, collection))
            if known.digest != space.digest:
                raise SpaceMismatchError(
                    f"the space {space.name} of {collection} has another model than that of "
                    f"{other}; embed one of them again, or search them one by one"
                )
    return {name: space for name, (space, _) in first.items()}
