"""The encoders of the catalogue and their state on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from retrieval.encoders.catalogue import BUNDLED, CATALOGUE, SPEECH_MODELS, bundled_folder
from retrieval.encoders.hub.cache import (
    Availability,
    availability,
    cached_config,
    find_snapshot,
    missing_files,
)
from retrieval.encoders.hub.repositories import KNOWN, list_sources


@dataclass(frozen=True, slots=True)
class CatalogueEncoder:
    """One encoder of a catalogue entry.

    Attributes:
        name: Name of the entry.
        media: Media that the encoder embeds; none for a model that reads speech.
        spec: Specification of the encoder.
        what: Description of the entry.
        licence: Licence of the entry's weights.
        bytes: Size on this machine; None if it must be fetched first.
        in_package: The encoder comes with the package.
        missing: Files that its loader lacks on this machine; empty if it is usable.
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
class MissingRepository:
    """A repository that must be fetched before a model can be used.

    Attributes:
        repo: Name of the repository.
        bytes: Approximate size of the download; None if only the hub knows it.
        licence: Licence of the weights; empty if only the hub knows it.
    """

    repo: str
    bytes: int | None
    licence: str


@dataclass(frozen=True, slots=True)
class MissingEncoder:
    """An encoder of a request that is not usable on this machine.

    Attributes:
        spec: Its specification, or a repository that only its files can identify.
        model: Name in the request; it may stand for several encoders.
        needed: The repositories to download.
        optional: The request can be served without the encoder.
    """

    spec: str
    model: str
    needed: list[MissingRepository]
    optional: bool


def list_models() -> list[CatalogueEncoder]:
    """List the encoders of the catalogue and the models for speech, without a connection."""
    encoders = []
    for name, entry in (*CATALOGUE.items(), *SPEECH_MODELS.items()):
        for spec, media in entry.encoders.items():
            local = _local_files(spec)
            encoders.append(
                CatalogueEncoder(
                    name=name,
                    media=tuple(medium.value for medium in media),
                    spec=spec,
                    what=entry.description,
                    licence=entry.licence,
                    bytes=local.bytes if local.usable else None,
                    in_package=spec in BUNDLED,
                    missing=local.missing,
                )
            )
    return encoders


def missing_repositories(spec: str) -> list[MissingRepository]:
    """List the repositories to fetch before an encoder can be used; empty if it is usable.

    Args:
        spec: Specification as `resolve` returns it.
    """
    missing = []
    for source in () if spec in BUNDLED else list_sources(spec, cached_config):
        if missing_files(find_snapshot(source.repo), source):
            known = KNOWN.get(source.repo)
            size, licence = (known.bytes, known.licence) if known else (None, "")
            missing.append(MissingRepository(source.repo, size, licence))
    return missing


def _local_files(spec: str) -> Availability:
    if spec not in BUNDLED:
        return availability(spec)
    return Availability(sum(path.stat().st_size for path in bundled_folder(spec).iterdir()), ())
