"""Finds the encoders of a run whose files are not on this machine."""

from __future__ import annotations

from pathlib import Path

from retrieval.embedding.options import EmbedOptions, required_encoders
from retrieval.encoders.hub.cache import find_snapshot
from retrieval.encoders.inventory import MissingEncoder, MissingRepository, missing_repositories
from retrieval.encoders.names import unidentified_repository
from retrieval.encoders.whisper import resolve_speech_model
from retrieval.store.current import read_current
from retrieval.store.reader import Snapshot
from retrieval.types import TextSource


def missing_encoders(root: Path, options: EmbedOptions) -> list[MissingEncoder]:
    """Return the encoders of a run whose files are not on this machine."""
    snapshot = Snapshot.open(root) if read_current(root) else None
    speech = (options.speech_model,) if TextSource.SPEECH in options.texts else ()
    unknown = [
        MissingEncoder(repo, model, [MissingRepository(repo, None, "")], optional=False)
        for model in (*options.models, *speech)
        if (repo := unidentified_repository(model)) is not None and find_snapshot(repo) is None
    ]
    if unknown:
        return unknown  # the needs of the others depend on these files
    specs = [
        (required.spec, required.model, required.optional)
        for required in required_encoders(snapshot, options)
    ]
    if TextSource.SPEECH in options.texts:
        specs.append((resolve_speech_model(options.speech_model), options.speech_model, False))
    return [
        MissingEncoder(spec, model, repositories, optional)
        for spec, model, optional in specs
        if (repositories := missing_repositories(spec))
    ]
