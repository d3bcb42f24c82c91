"""The `retrieval demo` command."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Device
from cli.serve import require_serve_extra, run_server


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the world and the page.")
    ] = Path("demo-out"),
    images: Annotated[int, typer.Option(min=10, help="Number of images.")] = 300,
    tunes: Annotated[int, typer.Option(min=5, help="Number of recordings.")] = 60,
    videos: Annotated[int, typer.Option(min=3, help="Number of videos.")] = 12,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the collection afterwards, and open its page.")
    ] = False,
) -> None:
    """Generate a small world, search it with the bundled models, and write DIR/gallery.html."""
    if serve:
        require_serve_extra()
    from cli.output import print_table
    from cli.progress import progress_bar
    from retrieval.demo.tour import tour
    from retrieval.demo.world import WorldSettings

    settings = WorldSettings(images=images, tunes=tunes, videos=videos)
    with progress_bar() as progress:
        stops = tour(folder, settings=settings, progress=progress)
    for stop in stops:
        print(f"\n--to {stop.target}; expected: {stop.expected.file}", end="")
        if stop.expected.start_seconds is not None:
            print(
                f" at {stop.expected.start_seconds:.1f}-{stop.expected.end_seconds:.1f} s", end=""
            )
        print()
        print_table(stop.result)
    print(f"\nOpen {folder / 'gallery.html'} in a browser.")
    collection = folder / "collection"
    if not serve:
        print(f"`retrieval serve {shlex.quote(str(collection))} --open` opens a page to search it.")
        return
    from retrieval.serving.server import ServerSettings

    run_server([collection], ServerSettings(), device=Device.AUTO, open_page=True)
