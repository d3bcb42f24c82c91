"""`retrieval index`."""

from typing import Annotated

import typer

from cli.options import CollectionArgument, Device, DeviceOption


def index(
    collection: CollectionArgument,
    kind: Annotated[
        str, typer.Option(help="auto, exact, or a FAISS factory string such as IVF1024,SQ8.")
    ] = "auto",
    device: DeviceOption = Device.AUTO,
) -> None:
    """Build the index of every space, measure its recall and calibrate its scores."""
    from rich.console import Console

    import retrieval

    with Console(stderr=True).status("opening") as shown:
        opened = retrieval.open(collection, device=device.value)
        cards = opened.index(kind, progress=shown.update)
    for card in cards:
        print(card.summary())
