"""The `retrieval serve` command."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Device, IndexDeviceOption


def serve(
    collections: Annotated[
        list[Path], typer.Argument(metavar="COLLECTION...", help="Folders made by `embed`.")
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on. Another than loopback requires a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 chooses a free one.")] = 0,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Further host name of this server; repeatable."),
    ] = None,
    root_path: Annotated[
        str, typer.Option(metavar="PATH", help="Path of the page behind a reverse proxy: /photos.")
    ] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the token for `Authorization: Bearer`. A missing file is written.",
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Require no token. Loopback addresses only.")
    ] = False,
    device: IndexDeviceOption = Device.AUTO,
) -> None:
    """Serve a page and an HTTP API to search collections.

    The only line on standard output is the address of the page. It opens one session.
    """
    from retrieval.errors import MissingExtraError

    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise MissingExtraError(
            "the server needs FastAPI and uvicorn; install them with "
            "`pip install 'retrieval[serve]'`"
        )
    from retrieval.serving.library import Library
    from retrieval.serving.server import ServerSettings
    from retrieval.serving.server import serve as run

    settings = ServerSettings(
        host=host,
        port=port,
        allow_hosts=allow_host or (),
        root_path=root_path.rstrip("/"),
        token_file=token_file,
        with_token=not no_token,
    )

    def ready(address: str, browser_address: str) -> None:
        print(address, flush=True)
        if open_page:
            import webbrowser

            webbrowser.open(browser_address)

    try:
        run(Library(collections, device=device.value), settings, ready)
    except KeyboardInterrupt as error:
        raise SystemExit(130) from error
