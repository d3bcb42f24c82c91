"""A replacement of `os` for modules that write files: its n-th call that reaches the disk fails."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from typing import Any

STEPS = ("open", "write", "fsync", "replace", "close")


class FlakySystem:
    """Fails or kills the process at the n-th step, or where a file of a name is renamed."""

    def __init__(
        self,
        *,
        fail_at: int = 0,
        kill_at: int = 0,
        kill_before_renaming_to: str = "",
        error: BaseException | None = None,
    ) -> None:
        self.steps = 0
        self.failed_step = ""
        self._fail_at = fail_at
        self._kill_at = kill_at
        self._name = kill_before_renaming_to
        self._error = error or OSError(errno.EIO, os.strerror(errno.EIO))

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name == "fsync":  # no test takes the power away: spare the disk
            real = os.fstat
        return self._step(name, real) if name in STEPS else real

    def _step(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.steps += 1
            if self.steps == self._kill_at or (self._name and self._renames(name, arguments)):
                if name == "write":  # half of the data reaches the file
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            if self.steps == self._fail_at:
                self.failed_step = name
                if name == "close":  # the system closes it all the same
                    real(*arguments)
                raise self._error
            return real(*arguments)

        return call

    def _renames(self, name: str, arguments: tuple[Any, ...]) -> bool:
        return name == "replace" and str(arguments[1]).endswith(self._name)


def use_system(system: FlakySystem, setter: Callable[[Any, str, Any], None] = setattr) -> None:
    """Replace `os` in the modules that write and publish files."""
    from retrieval.files import writing
    from retrieval.store import publish

    setter(writing, "os", system)
    setter(publish, "os", system)
