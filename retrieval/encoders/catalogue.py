"""The catalogue of models, and the loading of encoders by specification."""

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
    fold_name,
    resolve_open_clip,
    resolve_repository,
)
from retrieval.errors import MissingExtraError, UnknownModelError
from retrieval.protocols import Encoder
from retrieval.types import Medium


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A set of encoders under one name.

    Attributes:
        encoders: Their specifications with the media that each embeds.
        description: Use and cost, in one line.
        licence: Licence of the weights.
        source: Origin of the weights.
    """

    encoders: dict[str, tuple[Medium, ...]]
    description: str
    licence: str
    source: str


@dataclass(frozen=True, slots=True)
class Backend:
    """A class of encoders, imported when one is loaded.

    Attributes:
        target: `module:class`; the class has `load(location, *, spec, device)`.
        requires: A module beyond the dependencies.
        extra: The extra that installs it.
        caution: Warning to show before use.
        text_first: Whether `load` has the argument of this name of `load_encoder`.
    """

    target: str
    requires: str | None = None
    extra: str | None = None
    caution: str = ""
    text_first: bool = False


BACKENDS: dict[str, Backend] = {
    "open_clip": Backend("retrieval.encoders.open_clip:OpenClipEncoder"),
    "clap": Backend("retrieval.encoders.clap:ClapEncoder"),
    "mulan": Backend("retrieval.encoders.mulan:MulanEncoder"),
    "video-text": Backend("retrieval.encoders.video_text:VideoTextEncoder", text_first=True),
    "pe-av": Backend("retrieval.encoders.pe_av:PeAvEncoder"),
    "xclip": Backend(
        "retrieval.encoders.x_clip:XClipEncoder",
        caution="an action recognition model: it is trained on names of actions, not on captions; "
        "use it together with an image model such as small",
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
"""Backends of the models in the package, by the names that collections store."""

CLAP = "clap:laion/larger_clap_general"
CLAP_SPEECH = "clap:laion/larger_clap_music_and_speech"
PE_AV = "pe-av:facebook/pe-av-small-16-frame"
X_CLIP = "xclip:microsoft/xclip-base-patch32"

VISUAL, AUDIO = (Medium.IMAGE, Medium.VIDEO), (Medium.AUDIO,)


def _images_and_music(image_model: str, description: str) -> CatalogueEntry:
    return CatalogueEntry({image_model: VISUAL, CLAP: AUDIO}, description, "Apache-2.0", "hub")


CATALOGUE: dict[str, CatalogueEntry] = {
    "tiny": CatalogueEntry(
        {"tiny-image": VISUAL, "tiny-music": AUDIO, "tiny-video": (Medium.VIDEO,)},
        "a few MB, works offline; trained on the generated demo world only",
        "Apache-2.0",
        "package",
    ),
    "small": _images_and_music(
        "open_clip:ViT-B-32-SigLIP2-256/webli", "the default: photographs, videos and music"
    ),
    "base": _images_and_music("open_clip:PE-Core-B-16/meta", "better, about four times slower"),
    "large": _images_and_music("open_clip:PE-Core-L-14-336/meta", "best; needs a GPU"),
    "music": CatalogueEntry({CLAP: AUDIO}, "music and sounds", "Apache-2.0", "hub"),
    "music-and-speech": CatalogueEntry(
        {CLAP_SPEECH: AUDIO}, "music, sounds and speech", "Apache-2.0", "hub"
    ),
    "muq-mulan": CatalogueEntry(
        {"muq:OpenMuQ/MuQ-MuLan-large": AUDIO}, "music", "CC-BY-NC-4.0", "hub, extra muq"
    ),
    "pe-av": CatalogueEntry(
        {PE_AV: (Medium.VIDEO,)}, "videos, by whole clips; needs a GPU", "Apache-2.0", "hub"
    ),
    "x-clip": CatalogueEntry(
        {X_CLIP: (Medium.VIDEO,)}, "actions in videos, by whole clips", "MIT", "hub"
    ),
}


def _whisper(repo: str, description: str) -> CatalogueEntry:
    return CatalogueEntry({f"whisper:{repo}": ()}, description, "MIT", "hub, extra speech")


SPEECH_MODELS: dict[str, CatalogueEntry] = {
    "whisper-tiny": _whisper("Systran/faster-whisper-tiny", "spoken words; many errors, fast"),
    "whisper-base": _whisper("Systran/faster-whisper-base", "spoken words; fast"),
    "whisper-small": _whisper("Systran/faster-whisper-small", "spoken words in 99 languages"),
    "whisper-medium": _whisper(
        "Systran/faster-whisper-medium", "spoken words; better, three times slower"
    ),
    "whisper-turbo": _whisper(
        "mobiuslabsgmbh/faster-whisper-large-v3-turbo", "spoken words; good and fast on a GPU"
    ),
    "whisper-large": _whisper("Systran/faster-whisper-large-v3", "spoken words; best, needs a GPU"),
}
"""Models that read speech; they embed nothing."""

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

NO_ENCODERS = {"blip": "a re-ranker", "whisper": "a model for speech"}
"""Prefixes of models that are fetched like encoders and embed nothing."""


def resolve(model: str) -> tuple[str, ...]:
    """Resolve the name of a model to specifications of encoders; local paths become absolute.

    Letter case does not matter. Besides the catalogue's names and `FORMS`, a name may have
    open_clip's own forms (`hf-hub:ORG/NAME`, `local-dir:FOLDER`), or be `ORG/NAME` or a folder
    whose files identify the backend.

    Raises:
        UnknownModelError: The name is neither in the catalogue nor a specification.
        WeightsNotAvailableError: Only its files can identify a repository that is not cached.
    """
    entry = CATALOGUE.get(model.casefold()) or SPEECH_MODELS.get(model.casefold())
    if entry is not None:
        return tuple(entry.encoders)
    if model in BUNDLED:
        return (model,)
    prefix, colon, location = model.partition(":")
    backend = _find_backend(prefix)
    if f"{prefix}:".casefold() in (HUB_PREFIX, FOLDER_PREFIX) and location:
        backend, location = "open_clip", f"{prefix.casefold()}:{location}"
    if backend == "open_clip" and location:
        return (f"open_clip:{resolve_open_clip(location)}",)
    if backend is not None and location:
        return (f"{backend}:{_path_or_repository(location)}",)
    spec = resolve_repository(model) if model and not colon else None
    if spec is not None:
        return (spec,)
    raise _unknown_model(model, backend)


def _find_backend(prefix: str) -> str | None:
    """Find a backend or another model's prefix, ignoring letter case and separators."""
    names = {fold_name(name).replace("-", ""): name for name in (*BACKENDS, *NO_ENCODERS)}
    return names.get(fold_name(prefix).replace("-", ""))


def _unknown_model(model: str, backend: str | None) -> UnknownModelError:
    _, colon, location = model.partition(":")
    if colon and location:
        hint = f"the prefixes are {', '.join(BACKENDS)}"
    elif backend is not None:
        forms = [form for form in FORMS if form.startswith(f"{backend}:")]
        hint = f"expected {', '.join(forms)}" if forms else "use muq-mulan"
    else:
        close = difflib.get_close_matches(model.casefold(), CATALOGUE, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        hint += f"the names are {', '.join(CATALOGUE)}; also {', '.join(FORMS)}"
    return UnknownModelError(f"no model {model!r}; {hint}")


def load_encoder(spec: str, *, device: str = "auto", text_first: bool = False) -> Encoder:
    """Load one encoder, and import its backend.

    Args:
        spec: Specification as `resolve` returns it and collections store it.
        device: `auto`, `cpu` or `cuda`.
        text_first: Load only what texts need until pictures are embedded, if the model was loaded
            on this machine before and this is possible.

    Raises:
        UnknownModelError: There is no such model, or the name stands for several encoders.
        MissingExtraError: The backend's optional dependency is not installed.
        WeightsNotAvailableError: The weights are not on this machine.
        WeightsFormatError: The weights are a pickle, damaged, or of another architecture.
    """
    if text_first:
        from retrieval.encoders.text_first import load_known, remember

        known = load_known(spec, lambda: load_encoder(spec, device=device), device)
        if known is not None:
            return known
    spec, *others = resolve(spec)
    if others:
        raise UnknownModelError(
            f"this name stands for several encoders, load one of them: {spec}, {', '.join(others)}"
        )
    if spec in BUNDLED:
        name, location = BUNDLED[spec], str(bundled_folder(spec))
    else:
        name, _, location = spec.partition(":")
    check_embeds(spec)
    backend = BACKENDS[name]
    arguments = {"text_first": text_first} if backend.text_first else {}
    encoder = _loader(spec, backend)(location, spec=spec, device=device, **arguments)
    return remember(encoder, device) if text_first and name == "open_clip" else encoder


def check_embeds(spec: str) -> None:
    """Check that a specification is an encoder's.

    Raises:
        UnknownModelError: It is a re-ranker or a model for speech.
    """
    other = NO_ENCODERS.get(spec.partition(":")[0])
    if other is not None:
        raise UnknownModelError(f"{spec} is {other}, not an encoder; choose another model")


def bundled_folder(spec: str) -> Path:
    """Return the folder of a model in the package."""
    return Path(__file__).parents[1] / "weights" / spec


def caution_of(spec: str) -> str:
    """Return the warning to show before a model is used, such as a restrictive licence, or ''."""
    backend = BACKENDS.get(spec.partition(":")[0])
    return backend.caution if backend else ""


def _loader(spec: str, backend: Backend) -> Callable[..., Encoder]:
    if backend.requires is not None and find_spec(backend.requires) is None:
        raise MissingExtraError(
            f"{spec} needs the package {backend.requires!r}; install retrieval[{backend.extra}]; "
            f"{backend.caution}"
        )
    module, _, name = backend.target.partition(":")
    loader: Callable[..., Encoder] = getattr(importlib.import_module(module), name).load
    return loader


def _path_or_repository(location: str) -> str:
    """Make a local path absolute, because collections are used from other folders."""
    path = os.path.expanduser(location)
    return os.path.abspath(path) if os.path.exists(path) else canonical_repository(location)
