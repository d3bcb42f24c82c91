"""The `retrieval serve` command."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.clusters import AllOption, MemberTimeoutOption, ReplicasOption
from cli.options import Device, IndexDeviceOption, OnOption

if TYPE_CHECKING:
    from retrieval.serving.generations import RemoteMembers
    from retrieval.serving.server import ServerSettings


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
    mcp: Annotated[
        bool,
        typer.Option(
            "--mcp",
            help="Serve read-only tools to an assistant on standard input and output, by the "
            "Model Context Protocol, instead of the page.",
        ),
    ] = False,
    device: IndexDeviceOption = Device.AUTO,
    on: OnOption = None,
    replicas: ReplicasOption = 1,
    member_timeout: MemberTimeoutOption = 10.0,
    needs_all: AllOption = False,
) -> None:
    """Serve a page and an HTTP API to search collections.

    The only line on standard output is the address of the page. It opens one session.
    """
    if mcp:
        if (host, port, allow_host, root_path, token_file, open_page, no_token) != (
            "127.0.0.1", 0, None, "", None, False, False,
        ):  # fmt: skip
            raise typer.BadParameter("--mcp listens on no address; give only --device with it")
        _serve_mcp(collections, device)
        return
    require_serve_extra()
    from retrieval.collection_paths import expand
    from retrieval.serving.server import ServerSettings

    settings = ServerSettings(
        host=host,
        port=port,
        allow_hosts=allow_host or (),
        root_path=root_path.rstrip("/"),
        token_file=token_file,
        with_token=not no_token,
    )

    with ExitStack() as stack:
        members = None
        if on is not None:
            from retrieval.engines.ray.connection import connected
            from retrieval.engines.ray.searching import RemoteOptions, ServedMembers

            ray = stack.enter_context(connected(on))
            options = RemoteOptions(replicas, member_timeout, needs_all, device.value)
            members = ServedMembers(ray, options)
        run_server(
            expand(collections), settings, device=device, open_page=open_page, members=members
        )


def require_serve_extra() -> None:
    """Check that the libraries of the server are installed.

    Raises:
        MissingExtraError: They are not.
    """
    from retrieval.errors import MissingExtraError

    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise MissingExtraError(
            "the server needs FastAPI and uvicorn; install them with "
            "`pip install 'retrieval[serve]'`"
        )


def run_server(
    collections: Sequence[Path],
    settings: ServerSettings,
    *,
    device: Device,
    open_page: bool,
    members: RemoteMembers | None = None,
) -> None:
    """Serve collections until Ctrl-C; print the address, and open it if a browser is there."""
    from retrieval.serving.library import Library
    from retrieval.serving.server import serve as run

    def ready(address: str, browser_address: str) -> None:
        print(address, flush=True)
        if open_page:
            import webbrowser

            webbrowser.open(browser_address)

    try:
        run(Library(collections, device=device.value, members=members), settings, ready)
    except KeyboardInterrupt as error:
        raise SystemExit(130) from error


def _serve_mcp(collections: Sequence[Path], device: Device) -> None:
    from retrieval.errors import MissingExtraError

    if any(find_spec(name) is None for name in ("fastapi", "mcp", "httpx2")):
        raise MissingExtraError(
            "the tools for assistants need the SDK of the Model Context Protocol; install it with "
            "`pip install 'retrieval[mcp]'`"
        )
    from retrieval.serving.library import Library
    from retrieval.serving.mcp_server import serve_mcp

    try:
        serve_mcp(Library(collections, device=device.value))
    except KeyboardInterrupt as error:
        raise SystemExit(130) from error
