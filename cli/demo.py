"""The `retrieval demo` command."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the world and the page.")
    ] = Path("demo-out"),
    images: Annotated[int, typer.Option(min=10, help="Number of images.")] = 300,
    tunes: Annotated[int, typer.Option(min=5, help="Number of recordings.")] = 60,
    videos: Annotated[int, typer.Option(min=3, help="Number of videos.")] = 12,
) -> None:
    """Generate a small world, search it with the bundled models, and write DIR/gallery.html."""
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
