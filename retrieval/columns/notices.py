"""Collects notices about values that are stored in another form or left out."""

from __future__ import annotations


class Notices:
    """Notices, grouped: equal ones become one line with the first location and a count."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], tuple[str, int]] = {}

    def add(self, problem: str, *, source: str = "", location: str = "") -> None:
        """Add a notice.

        Args:
            problem: What was found and how it is handled, as "column 'a' is binary; left out".
            source: The file or collection concerned. Notices are grouped within one source.
            location: Position in the source, as "row 7".
        """
        first, count = self._groups.get((source, problem), (location, 0))
        self._groups[source, problem] = (first, count + 1)

    def merge(self, other: Notices) -> Notices:
        """Add all notices of another collection and return this one."""
        self._groups |= other._groups
        return self

    def lines(self) -> list[str]:
        """Format one line per source and problem, in the order of their first occurrence."""
        lines = []
        for (source, problem), (location, count) in self._groups.items():
            prefix = ", ".join(part for part in (source, location) if part)
            more = f" (and {count - 1} more like this)" if count > 1 else ""
            lines.append(f"{prefix}: {problem}{more}" if prefix else f"{problem}{more}")
        return lines
