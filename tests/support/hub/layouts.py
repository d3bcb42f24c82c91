"""Repositories in the layouts of the real hub, with random weights at reduced size.

What a repository lacks on the hub it lacks here, and pickles lie where they lie there. Each is made
when it is first asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from support.hub import model_layouts, open_clip_layouts
from support.hub.repository import Repository, read

LAYOUTS: dict[str, Callable[[Path], Repository]] = {
    "timm/ViT-B-32-SigLIP2-256": open_clip_layouts.siglip2,
    "timm/PE-Core-B-16": open_clip_layouts.pe_core,
    "timm/PE-Core-L-14-336": open_clip_layouts.pe_core,
    "timm/vit_base_patch32_clip_224.openai": open_clip_layouts.openai_clip,
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": open_clip_layouts.laion_clip,
    "laion/CLIP-ViT-B-32-roberta-base-laion2B-s12B-b32k": open_clip_layouts.clip_with_roberta,
    "FacebookAI/roberta-base": open_clip_layouts.roberta_base,
    "laion/larger_clap_general": model_layouts.clap_general,
    "laion/larger_clap_music_and_speech": model_layouts.clap_music_and_speech,
    "laion/clap-htsat-unfused": model_layouts.clap_unfused,
    "Salesforce/blip-itm-base-coco": model_layouts.blip,
    "microsoft/xclip-base-patch32": model_layouts.x_clip,
    "facebook/pe-av-small-16-frame": model_layouts.pe_av,
    "OpenMuQ/MuQ-MuLan-large": model_layouts.muq_mulan,
    "OpenMuQ/MuQ-large-msd-iter": model_layouts.muq,
    "FacebookAI/xlm-roberta-base": model_layouts.xlm_roberta,
    "Systran/faster-whisper-small": model_layouts.whisper,
}

MOVED = {
    "roberta-base": "FacebookAI/roberta-base",
    "xlm-roberta-base": "FacebookAI/xlm-roberta-base",
}
"""Old names that models still use; the hub redirects them."""


class RealLayouts(Mapping[str, Repository]):
    """The repositories of `LAYOUTS` by name, each made at first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Repository] = {}
        self._lock = threading.Lock()  # the hub's threads ask too

    def __getitem__(self, name: str) -> Repository:
        if name not in LAYOUTS:
            raise KeyError(name)
        with self._lock:
            if name not in self._made:
                folder = self._folder / name.replace("/", "--")
                folder.mkdir(parents=True)
                with open_clip_layouts.quiet_and_seeded():
                    self._made[name] = LAYOUTS[name](folder)
            return self._made[name]

    def copy(self, name: str, to: Path, ref: str = "main") -> Path:
        """Write the files of a repository's revision into a new folder."""
        repository = self[name]
        for path, content in repository.revisions[repository.refs[ref]].items():
            (to / path).parent.mkdir(parents=True, exist_ok=True)
            (to / path).write_bytes(read(content))
        return to

    def __iter__(self) -> Iterator[str]:
        return iter(LAYOUTS)

    def __len__(self) -> int:
        return len(LAYOUTS)
