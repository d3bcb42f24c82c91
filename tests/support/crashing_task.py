"""A task that ends its process, as a decoder with a bug does."""

import os
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True)
class CrashingTask:
    modality: str
    seconds: float
    side: int

    def run(self, file: BinaryIO) -> bytes:
        os._exit(7)
