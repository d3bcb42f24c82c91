"""What the catalogue offers, and how much of it lies on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retrieval.encoders.catalogue import BUNDLED, CATALOGUE
from retrieval.encoders.hub.cache import (
    Availability,
    availability,
    cached_config,
    missing_parts,
    snapshot_of,
)
from retrieval.encoders.hub.repositories import KNOWN, sources_of


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """One encoder of a catalogue entry.

    Attributes:
        name: The entry's.
        media: What of the entry's media it embeds.
        spec: Its specification.
        what: What the entry is good for.
        licence: Of the entry's weights.
        bytes: Its size on this machine; None where it has to be fetched first.
        in_package: It comes with the package.
        missing: What its loader lacks on this machine; empty where it is usable.
    """

    name: str
    media: tuple[str, ...]
    spec: str
    what: str
    licence: str
    bytes: int | None
    in_package: bool
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NeededRepository:
    """A repository that has to be fetched before a model can be used.

    Attributes:
        repo: The repository.
        bytes: About what will be downloaded; None: unknown without asking the hub.
        licence: Of its weights; empty: unknown without asking the hub.
    """

    repo: str
    bytes: int | None
    licence: str


@dataclass(frozen=True, slots=True)
class MissingEncoder:
    """An encoder that a command lacks.

    Attributes:
        spec: Its specification, or a repository that only its files can identify.
        model: The name that was asked for; it may stand for several encoders.
        needed: The repositories to download.
        optional: The command can do without.
    """

    spec: str
    model: str
    needed: list[NeededRepository]
    optional: bool


def list_models() -> list[OfferedModel]:
    """Every encoder of the catalogue, in its order; looks at this machine only."""
    offered = []
    for name, entry in CATALOGUE.items():
        for spec, media in entry.encoders.items():
            here = _bundled(spec) if spec in BUNDLED else availability(spec)
            offered.append(
                OfferedModel(
                    name=name,
                    media=tuple(medium.value for medium in media),
                    spec=spec,
                    what=entry.what,
                    licence=entry.licence,
                    bytes=here.bytes if here.usable else None,
                    in_package=spec in BUNDLED,
                    missing=here.missing,
                )
            )
    return offered


def bytes_here(spec: str) -> int | None:
    """Size of an encoder's files on this machine; None where some are missing."""
    here = _bundled(spec) if spec in BUNDLED else availability(spec)
    return here.bytes if here.usable else None


def needed_for(spec: str) -> list[NeededRepository]:
    """What must be fetched before an encoder can be used; empty where it is usable.

    Args:
        spec: As `resolve` returns it.
    """
    needed = []
    for source in () if spec in BUNDLED else sources_of(spec, cached_config):
        if missing_parts(snapshot_of(source.repo), source):
            known = KNOWN.get(source.repo)
            needed.append(
                NeededRepository(
                    source.repo, known.bytes if known else None, known.licence if known else ""
                )
            )
    return needed


def _bundled(spec: str) -> Availability:
    folder = Path(__file__).parents[1] / "weights" / spec
    return Availability(sum(path.stat().st_size for path in folder.iterdir()), ())
