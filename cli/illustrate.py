"""The `retrieval illustrate` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Device, DeviceOption


def illustrate(
    text: Annotated[Path, typer.Argument(metavar="TEXTFILE", help="File with some sentences.")],
    collection: Annotated[Path, typer.Option("-c", "--collection", help="Folder made by `embed`.")],
    out: Annotated[Path, typer.Option(help="HTML page to write.")],
    language: Annotated[
        str,
        typer.Option(help="Language code, such as en or de, for sentence splitting."),
    ] = "en",
    branching: Annotated[
        int, typer.Option(min=2, max=1_000, help="Clusters per level of the visual words.")
    ] = 12,
    depth: Annotated[int, typer.Option(min=1, max=8, help="Levels of the visual words.")] = 4,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Make a storyboard: each sentence of TEXTFILE with its best image or video frame.

    Neighbouring sentences are shown by different items and visual words, unless nothing else is
    there.
    """
    import retrieval
    from cli.output import location
    from cli.terminal import escaped
    from retrieval.zero_shot.illustration import illustrate as run
    from retrieval.zero_shot.storyboard import write_storyboard

    opened = retrieval.open(collection, device=device.value)
    illustrations = run(text, opened, language=language, branching=branching, depth=depth)
    write_storyboard(out, illustrations, title=text.stem)
    for illustration in illustrations:
        hit = illustration.hit
        print(escaped(illustration.sentence))
        print(f"    {hit.score:.3f}  {escaped(location(hit))}")
