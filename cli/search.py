"""`retrieval search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import CollectionArgument, Device, IndexDeviceOption, LocalizerOption
from cli.output import Output
from retrieval.targets import Target


def search(
    collection: CollectionArgument,
    query: Annotated[
        str | None,
        typer.Argument(
            help='Text, @FILE, or a sum such as \'"a horse" + 0.5*@stripes.png - "cartoon"\'.'
        ),
    ] = None,
    to: Annotated[
        list[Target] | None,
        typer.Option(help="What to find; repeatable. Default: image, music and video."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Hits to return.")] = 10,
    where: Annotated[
        str | None, typer.Option(help='SQL condition over the items\' columns: "year > 2020".')
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help='JSONL of queries, one {"query": …} a line.')
    ] = None,
    cutoff: Annotated[
        bool, typer.Option("--cutoff", help="Drop hits that look no better than chance.")
    ] = False,
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Judge the first pictures again: tiny, tiny:FOLDER or blip:HUB-ID-OR-FOLDER.",
        ),
    ] = None,
    rerank_top: Annotated[int, typer.Option(help="Hits that --rerank considers.")] = 20,
    with_vectors: Annotated[
        bool,
        typer.Option("--with-vectors", help="Add the stored vector of each hit, in JSON only."),
    ] = False,
    output: Annotated[Output, typer.Option("--format", help="How to print the hits.")] = (
        Output.TABLE
    ),
    gallery: Annotated[
        Path | None, typer.Option(help="Also write the hits as an HTML page.")
    ] = None,
    localizer: LocalizerOption = "auto",
    device: IndexDeviceOption = Device.AUTO,
) -> None:
    """Find the media closest to QUERY, best first."""
    import retrieval
    from cli.output import print_result
    from retrieval.errors import QueryError
    from retrieval.gallery.page import GallerySection, write_gallery
    from retrieval.search.query import Query, read_queries

    if (query is None) == (queries is None):
        raise QueryError("give either a QUERY or --queries FILE")
    asked: list[str | Query] = [query] if query is not None else []
    if queries is not None:
        asked = [line.query for line in read_queries(queries)]
    opened = retrieval.open(collection, device=device.value, localizer=localizer)
    sections = []
    for one in asked:
        result = opened.answer(
            one,
            to=to or (),
            k=k,
            where=where,
            cutoff=cutoff,
            rerank=rerank,
            rerank_top=rerank_top,
            with_vectors=with_vectors,
        )
        print_result(result, output)
        if gallery is not None:
            sections.append(GallerySection(result.query, result.hits))
    if gallery is not None:
        write_gallery(gallery, sections, title=f"Search in {collection}")
