"""Models by name: what the names mean, and how a specification becomes an encoder."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from retrieval.encoders.hub.repositories import canonical_repository
from retrieval.encoders.names import (
    FOLDER_PREFIX,
    HUB_PREFIX,
    folded,
    open_clip_location,
    repository_spec,
)
from retrieval.errors import MissingExtraError, UnknownModelError
from retrieval.protocols import Encoder
from retrieval.types import Medium


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A set of encoders under one name.

    Attributes:
        encoders: Their specifications, and what each embeds.
        what: What it is good for, in one line.
        licence: Of the weights.
        source: Where the weights come from.
    """

    encoders: dict[str, tuple[Medium, ...]]
    what: str
    licence: str
    source: str


@dataclass(frozen=True, slots=True)
class Backend:
    """A kind of encoder, imported when one is loaded.

    Attributes:
        target: `module:class`; the class has `load(location, *, spec, device)`.
        requires: A module that it needs beyond the dependencies.
        extra: The extra that installs it.
        caution: What to know before.
    """

    target: str
    requires: str | None = None
    extra: str | None = None
    caution: str = ""


BACKENDS: dict[str, Backend] = {
    "open_clip": Backend("retrieval.encoders.open_clip:OpenClipEncoder"),
    "clap": Backend("retrieval.encoders.clap:ClapEncoder"),
    "mulan": Backend("retrieval.encoders.mulan:MulanEncoder"),
    "video-text": Backend("retrieval.encoders.video_text:VideoTextEncoder"),
    "pe-av": Backend("retrieval.encoders.pe_av:PeAvEncoder"),
    "xclip": Backend(
        "retrieval.encoders.x_clip:XClipEncoder",
        caution="a recognition model: it knows the names of actions, not captions; "
        "keep a model of images beside it, as --model small",
    ),
    "muq": Backend(
        "retrieval.encoders.muq_mulan:MuqMulanEncoder",
        requires="muq",
        extra="muq",
        caution="its weights are CC-BY-NC-4.0: not for commercial use",
    ),
    "adapter": Backend("retrieval.encoders.adapter:AdapterEncoder"),
}

BUNDLED: dict[str, str] = {
    "tiny-image": "open_clip",
    "tiny-music": "mulan",
    "tiny-video": "video-text",
}
"""Models in the package, by the name that collections store, with their backends."""

CLAP = "clap:laion/larger_clap_general"
CLAP_SPEECH = "clap:laion/larger_clap_music_and_speech"
PE_AV = "pe-av:facebook/pe-av-small-16-frame"
X_CLIP = "xclip:microsoft/xclip-base-patch32"

SEEN, HEARD = (Medium.IMAGE, Medium.VIDEO), (Medium.AUDIO,)


def _clip_and_music(clip: str, what: str) -> CatalogueEntry:
    return CatalogueEntry({clip: SEEN, CLAP: HEARD}, what, "Apache-2.0", "hub")


CATALOGUE: dict[str, CatalogueEntry] = {
    "tiny": CatalogueEntry(
        {"tiny-image": SEEN, "tiny-music": HEARD, "tiny-video": (Medium.VIDEO,)},
        "a few MB, works offline; knows the generated demo world only",
        "Apache-2.0",
        "package",
    ),
    "small": _clip_and_music(
        "open_clip:ViT-B-32-SigLIP2-256/webli", "the default: photographs, videos and music"
    ),
    "base": _clip_and_music("open_clip:PE-Core-B-16/meta", "better, about four times slower"),
    "large": _clip_and_music("open_clip:PE-Core-L-14-336/meta", "best; wants a GPU"),
    "music": CatalogueEntry({CLAP: HEARD}, "music and sounds", "Apache-2.0", "hub"),
    "music-and-speech": CatalogueEntry(
        {CLAP_SPEECH: HEARD}, "music, sounds and speech", "Apache-2.0", "hub"
    ),
    "muq-mulan": CatalogueEntry(
        {"muq:OpenMuQ/MuQ-MuLan-large": HEARD}, "music", "CC-BY-NC-4.0", "hub, extra muq"
    ),
    "pe-av": CatalogueEntry(
        {PE_AV: (Medium.VIDEO,)}, "videos, by whole clips; wants a GPU", "Apache-2.0", "hub"
    ),
    "x-clip": CatalogueEntry(
        {X_CLIP: (Medium.VIDEO,)}, "actions in videos, by whole clips", "MIT", "hub"
    ),
}

FORMS = (
    "open_clip:NAME/TAG",
    "open_clip:NAME/path/to.safetensors",
    "open_clip:FOLDER",
    "open_clip:hf-hub:ORG/NAME",
    "clap:HUB-ID-OR-FOLDER",
    "mulan:FOLDER",
    "video-text:FOLDER",
    "pe-av:HUB-ID-OR-FOLDER",
    "xclip:HUB-ID-OR-FOLDER",
    "adapter:FOLDER",
)
"""The forms of a specification, besides the catalogue's names."""

RERANKERS = ("blip",)
"""Kinds that are fetched like encoders and re-rank answers."""


def resolve(model: str) -> tuple[str, ...]:
    """Turn the name of a model into specifications of encoders; local paths become absolute.

    Letter case does not matter. Besides the catalogue's names and `FORMS`, open_clip's own forms
    are read (`hf-hub:ORG/NAME`, `local-dir:FOLDER`), and `ORG/NAME` or a folder whose files tell
    what reads them.

    Raises:
        UnknownModelError: Neither a name of the catalogue nor a specification.
        WeightsNotAvailableError: A repository that only its files can identify is not here.
    """
    entry = CATALOGUE.get(model.casefold())
    if entry is not None:
        return tuple(entry.encoders)
    if model in BUNDLED:
        return (model,)
    kind, colon, location = model.partition(":")
    backend = _kind_of_model(kind)
    if f"{kind}:".casefold() in (HUB_PREFIX, FOLDER_PREFIX) and location:
        backend, location = "open_clip", f"{kind.casefold()}:{location}"
    if backend == "open_clip" and location:
        return (f"open_clip:{open_clip_location(location)}",)
    if backend is not None and location:
        return (f"{backend}:{_local_or_repository(location)}",)
    spec = repository_spec(model) if model and not colon else None
    if spec is not None:
        return (spec,)
    raise _unknown(model, backend)


def _kind_of_model(written: str) -> str | None:
    """Find the kind that is meant, whatever its letter case and separators."""
    kinds = {folded(kind).replace("-", ""): kind for kind in (*BACKENDS, *RERANKERS)}
    return kinds.get(folded(written).replace("-", ""))


def _unknown(model: str, backend: str | None) -> UnknownModelError:
    _, colon, location = model.partition(":")
    if colon and location:
        hint = f"the kinds are {', '.join(BACKENDS)}"
    elif backend is not None:
        forms = [form for form in FORMS if form.startswith(f"{backend}:")]
        hint = f"say which one: {', '.join(forms)}" if forms else "use muq-mulan"
    else:
        close = difflib.get_close_matches(model.casefold(), CATALOGUE, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        hint += f"the names are {', '.join(CATALOGUE)}; also {', '.join(FORMS)}"
    return UnknownModelError(f"no model {model!r}; {hint}")


def load_encoder(spec: str, *, device: str = "auto") -> Encoder:
    """Load one encoder; its backend is imported only now.

    Args:
        spec: As `resolve` returns it and collections store it.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        UnknownModelError: No such model, or a name of several encoders.
        MissingExtraError: The backend's optional dependency is not installed.
        WeightsNotAvailableError: The weights are not on this machine.
        WeightsFormatError: The weights are a pickle, damaged, or of another architecture.
    """
    spec, *others = resolve(spec)
    if others:
        raise UnknownModelError(
            f"that name stands for several encoders, load them one by one: {spec}, "
            f"{', '.join(others)}"
        )
    if spec in BUNDLED:
        name = BUNDLED[spec]
        location = str(Path(__file__).parents[1] / "weights" / spec)
    else:
        name, _, location = spec.partition(":")
    if name not in BACKENDS:
        raise UnknownModelError(f"{spec} re-ranks the answers of a search and embeds nothing")
    return _loader(spec, BACKENDS[name])(location, spec=spec, device=device)


def caution_of(spec: str) -> str:
    """What to know before a model is used, as a licence that forbids something; often empty."""
    backend = BACKENDS.get(spec.partition(":")[0])
    return backend.caution if backend else ""


def _loader(spec: str, backend: Backend) -> Callable[..., Encoder]:
    if backend.requires is not None and find_spec(backend.requires) is None:
        raise MissingExtraError(
            f"{spec} needs the package {backend.requires!r}; install it with "
            f"`pip install 'retrieval[{backend.extra}]'`; {backend.caution}"
        )
    module, _, name = backend.target.partition(":")
    loader: Callable[..., Encoder] = getattr(importlib.import_module(module), name).load
    return loader


def _local_or_repository(location: str) -> str:
    """A local path, absolute because collections are used from other folders, or a repository."""
    path = os.path.expanduser(location)
    return os.path.abspath(path) if os.path.exists(path) else canonical_repository(location)
