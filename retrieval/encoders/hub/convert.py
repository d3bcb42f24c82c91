"""Conversion of pickled weights to safetensors: `python -m … PICKLE [PICKLE...] OUT`.

It runs in a separate process that may neither open connections nor start programs. torch's
restricted reader loads tensors and plain containers and refuses all other objects.
"""

from __future__ import annotations

import sys
from typing import Any

REFUSED = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.spawn",
)
"""Prefixes of audit events of connections and programs."""


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise PermissionError for connections and programs; an audit hook."""
    del arguments
    if event.startswith(REFUSED):
        raise PermissionError(f"{event} is refused while a pickle is converted")


def main(pickles: list[str], out: str) -> None:
    """Convert the parts of one model into one file."""
    import torch
    from safetensors.torch import save_file

    sys.addaudithook(refuse)
    tensors: dict[str, torch.Tensor] = {}
    storages: set[int] = set()
    for pickle in pickles:
        state = torch.load(pickle, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)  # the key in training checkpoints
        for name, tensor in state.items():
            if not isinstance(tensor, torch.Tensor):
                continue
            shared = tensor.untyped_storage().data_ptr() in storages
            storages.add(tensor.untyped_storage().data_ptr())
            # safetensors stores each tensor separately, tied ones too.
            tensors[name] = tensor.clone().contiguous() if shared else tensor.contiguous()
    if not tensors:
        raise ValueError("it contains no tensors")
    save_file(tensors, out, metadata={"format": "pt"})


if __name__ == "__main__":
    main(sys.argv[1:-1], sys.argv[-1])
