"""Notices: what a run changed in form without losing it, or had to leave null, said once each."""

from __future__ import annotations


class Notices:
    """Collects notices; the same one from many places becomes one line with the first place."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], tuple[str, int]] = {}

    def add(self, problem: str, *, source: str = "", place: str = "") -> None:
        """Take a notice.

        Args:
            problem: What was found and what is done, as "column 'a' is binary; it is left out".
            source: The file or collection it is about. Notices are joined within one source.
            place: Where in the source, as "row 7".
        """
        first, count = self._places.get((source, problem), (place, 0))
        self._places[source, problem] = (first, count + 1)

    def joined(self, other: Notices) -> Notices:
        """This, after taking the notices of another."""
        self._places |= other._places
        return self

    def lines(self) -> list[str]:
        """One line for each source and problem, in the order of their first places."""
        lines = []
        for (source, problem), (place, count) in self._places.items():
            where = ", ".join(part for part in (source, place) if part)
            more = f" (and {count - 1} more like this)" if count > 1 else ""
            lines.append(f"{where}: {problem}{more}" if where else f"{problem}{more}")
        return lines
