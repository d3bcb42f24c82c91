"""The `retrieval demo` command."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to put the world and the page.")
    ] = Path("demo-out"),
    images: Annotated[int, typer.Option(min=10, help="Pictures to generate.")] = 300,
    tunes: Annotated[int, typer.Option(min=5, help="Recordings to generate.")] = 60,
    videos: Annotated[int, typer.Option(min=3, help="Videos to generate.")] = 12,
) -> None:
    """Generate a small world, search it with the bundled models, write DIR/gallery.html."""
    from cli.output import print_table
    from cli.progress import progress_bar
    from retrieval.demo.tour import tour
    from retrieval.demo.world import WorldSettings

    settings = WorldSettings(images=images, tunes=tunes, videos=videos)
    with progress_bar() as progress:
        stops = tour(folder, settings=settings, progress=progress)
    for stop in stops:
        print(f"\n--to {stop.target}; right is {stop.expected.file}", end="")
        if stop.expected.start_seconds is not None:
            print(
                f" at {stop.expected.start_seconds:.1f}-{stop.expected.end_seconds:.1f} s", end=""
            )
        print()
        print_table(stop.result)
    print(f"\nOpen {folder / 'gallery.html'} in a browser.")
