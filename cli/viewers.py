"""Opens a hit with a player or with the viewer of the system."""

from __future__ import annotations

import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

from cli.output import clock
from retrieval.errors import QueryError

if TYPE_CHECKING:
    from retrieval.types import Hit

PLAYERS = {"mpv": "start", "vlc": "start-time"}
"""Players that start at a time, and the option for it; the first that is installed is used."""


def open_hit(hit: Hit) -> str:
    """Open the file of a hit without waiting; return what was opened.

    Raises:
        QueryError: The hit is inside an archive, or nothing can open it.
    """
    from retrieval.media.names import container_of, is_address, uri_to_path
    from retrieval.media.sources.presence import is_missing

    if is_address(hit.uri):
        return _launch(hit.uri)
    path = uri_to_path(hit.uri)
    archive, member = container_of(hit.uri)
    if member is not None:
        raise QueryError(f"{path} is inside {uri_to_path(archive)}; extract it to open it")
    if is_missing(hit.uri):
        raise QueryError(f"{path} is missing; restore the file")
    if hit.start_seconds is not None:
        for player, option in PLAYERS.items():
            program = shutil.which(player)
            if program is not None:
                _start([program, f"--{option}={hit.start_seconds:.2f}", path])
                return f"{path} at {clock(hit.start_seconds)}, by {player}"
    return _launch(path)


def _start(command: list[str]) -> None:
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise QueryError(f"{command[0]} does not start: {error.strerror}") from error
    threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves no zombie


def _launch(target: str) -> str:
    import typer

    if typer.launch(target) != 0:
        raise QueryError(f"this system has no viewer for {target}; install xdg-utils or mpv")
    return target
