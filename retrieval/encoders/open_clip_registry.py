"""Published architectures and weights in the registry of open_clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip

from retrieval.encoders.weights import OPEN_CLIP_WEIGHTS

PICKLE = "open_clip_pytorch_model.bin"


def published_files(name: str, tag: str) -> tuple[str, str] | None:
    """Return repository and file of a tag's weights on the hub; None if open_clip has none."""
    if tag not in open_clip.list_pretrained_tags_by_model(name):
        return None
    published = open_clip.get_pretrained_cfg(name, tag)
    repo, _, filename = str(published.get("hf_hub", "")).rpartition("/")
    # As in open_clip: both formats have a default name; otherwise they differ in the suffix only.
    named = filename and filename != PICKLE
    return (
        (repo, f"{Path(filename).stem}.safetensors" if named else OPEN_CLIP_WEIGHTS)
        if repo
        else None
    )


def text_configuration(name: str) -> dict[str, Any]:
    """Return the text tower's part of an architecture's configuration."""
    text: dict[str, Any] = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    return text
