"""Tasks for decoding processes: one that answers, and ones that fail in several ways."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import BinaryIO

from retrieval.errors import MediaTooLargeError


@dataclass(frozen=True)
class Describe:
    """Returns the content, and the process that read it."""

    def run(self, file: BinaryIO) -> tuple[bytes, int]:
        return file.read(), os.getpid()


@dataclass(frozen=True)
class Fail:
    how: str

    def run(self, file: BinaryIO) -> object:
        if self.how == "crash":
            os._exit(7)
        if self.how == "hang":
            time.sleep(60)
        if self.how == "too large":
            raise MediaTooLargeError("too\nlarge")
        raise KeyError("bug")
