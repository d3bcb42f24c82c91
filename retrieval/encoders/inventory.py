"""What the catalogue offers, and how much of it lies on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retrieval.encoders.catalogue import BUNDLED, CATALOGUE
from retrieval.encoders.fetch import HubSource, choose_files, hub_sources
from retrieval.errors import WeightsFormatError


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
    """

    name: str
    media: tuple[str, ...]
    spec: str
    what: str
    licence: str
    bytes: int | None
    in_package: bool


def list_models() -> list[OfferedModel]:
    """Every encoder of the catalogue, in its order; looks at this machine only."""
    return [
        OfferedModel(
            name=name,
            media=tuple(medium.value for medium in media),
            spec=spec,
            what=entry.what,
            licence=entry.licence,
            bytes=bytes_here(spec),
            in_package=spec in BUNDLED,
        )
        for name, entry in CATALOGUE.items()
        for spec, media in entry.encoders.items()
    ]


def bytes_here(spec: str) -> int | None:
    """Size of an encoder's files on this machine; None where some are missing."""
    if spec in BUNDLED:
        folder = Path(__file__).parents[1] / "weights" / spec
        return sum(path.stat().st_size for path in folder.iterdir())
    sizes = [_cached_bytes(source) for source in hub_sources(spec)]
    known = [size for size in sizes if size is not None]
    return sum(known) if sizes and len(known) == len(sizes) else None


def _cached_bytes(source: HubSource) -> int | None:
    """Size of the files of one repository in the hub's cache, where they are whole."""
    from huggingface_hub import constants

    repo = Path(constants.HF_HUB_CACHE) / f"models--{source.repo.replace('/', '--')}"
    try:
        snapshot = repo / "snapshots" / (repo / "refs" / "main").read_text().strip()
        files = choose_files(source, [path.name for path in snapshot.iterdir()])
        if source.needs_config and "config.json" not in files:
            return None  # it comes last: the rest may not be whole
        return sum((snapshot / name).stat().st_size for name in files)
    except (OSError, WeightsFormatError):
        return None
