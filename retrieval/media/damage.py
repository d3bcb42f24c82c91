"""A record of the parts of a media file that cannot be read or are left out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Damage:
    """Unreadable parts of one file.

    Attributes:
        packets: Packets that cannot be read or decoded.
        at_end: Whether the last packet read so far is one of them.
        notes: Further facts for the user, one short sentence each.
    """

    packets: int = 0
    at_end: bool = False
    notes: list[str] = field(default_factory=list)

    def add_packet(self) -> None:
        """Count a packet that cannot be used."""
        self.packets += 1
        self.at_end = True

    def note(self, text: str) -> None:
        """Add a note unless it is there already."""
        if text not in self.notes:
            self.notes.append(text)
