"""Configuration of huggingface_hub for another hub, in this process and in others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_api

from support.hub.server import Hub


def use(hub: Hub | str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point this process's huggingface_hub to a hub and an empty cache, and let it online.

    Args:
        hub: A hub that is served, or an endpoint.
        cache: Of models; need not exist.
        monkeypatch: Undoes it.
    """
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(hf_api.api, "endpoint", endpoint)  # made when it was imported
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache.parent / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


def environment(hub: Hub | str, home: Path) -> dict[str, str]:
    """This process's environment, changed so that a sub-process uses a hub and its own cache.

    Args:
        hub: A hub that is served, or an endpoint.
        home: The folder of huggingface_hub's files; models come to `home / "hub"`.
    """
    left_out = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {
        "HF_ENDPOINT": hub if isinstance(hub, str) else hub.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
