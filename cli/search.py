"""The `retrieval search` command."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clusters import (
    AllOption,
    MemberTimeoutOption,
    ReplicasOption,
    SearchedOnCluster,
    print_absent,
    searched_group,
)
from cli.exporting import (
    CopyOption,
    Exporter,
    ExportOption,
    ForceOption,
    MergeOption,
    PadOption,
)
from cli.media_folder import SearchedCollection
from cli.object_stores import local_copy
from cli.options import (
    Device,
    IndexDeviceOption,
    LocalizerOption,
    OnOption,
    Print0Option,
    TextOption,
    TimeFormatOption,
    WhereOption,
)
from cli.output import AnswerPrinter, Output, paths_wanted
from cli.pushed import SearchedAddress, is_address
from cli.running_server import ask_server
from cli.several import SearchedGroup, SkipDamagedOption, split_query
from retrieval.targets import Target, TextMode

if TYPE_CHECKING:
    from retrieval.search.hits import Hits
    from retrieval.search.query import Query
    from retrieval.search.result import SearchResult
    from retrieval.search.vector_query import VectorQuery

    Selected = list[tuple[int | str | None, Query | VectorQuery]]
    Searched = SearchedCollection | SearchedGroup | SearchedAddress | SearchedOnCluster


def search(
    context: typer.Context,
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="COLLECTION|FOLDER|ADDRESS [QUERY]",
            help="Folders made by `embed`, patterns of them such as 'archive/*', any folders of "
            "media, which are embedded first, or the address that `push` printed: "
            "qdrant://HOST:6333/NAME. Then a text, @FILE, @ARCHIVE.tar!MEMBER, or a sum such as "
            '\'"a horse" + 0.5*@stripes.png - "cartoon"\'. With one folder and no query, a prompt '
            "asks for queries.",
        ),
    ],
    interactive: Annotated[
        bool,
        typer.Option(
            "--interactive",
            "-i",
            help="Ask for queries at a prompt, or read one per line from standard input.",
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model of a FOLDER that was never searched, as in `embed`. Default: small."
        ),
    ] = None,
    here: Annotated[
        bool,
        typer.Option("--here", help="Keep the collection of a new FOLDER inside it."),
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option(
            "--collection",
            help="For an ADDRESS: the folder that was pushed, for moments and exact scores.",
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="ITEM_ID",
            help="Search for items similar to this one, instead of QUERY. NAME:ITEM_ID names an "
            "item of several collections.",
        ),
    ] = None,
    to: Annotated[
        list[Target] | None,
        typer.Option(help="Type of the hits; repeatable. Default: image, music and video."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of hits.")] = 10,
    offset: Annotated[int, typer.Option(help="Number of hits to skip.")] = 0,
    where: WhereOption = None,
    ids: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Search only the items whose ids are in this text file."),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(help='JSON Lines of queries: {"qid": …, "query": …}. qid is optional.'),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="Drop hits with a lower score whose texts do not match.")
    ] = None,
    vector: Annotated[
        Path | None,
        typer.Option(help="A .npy file with a vector, instead of QUERY. No model is loaded."),
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="Space of --vector; `status` lists the names.")
    ] = None,
    cutoff: Annotated[
        bool, typer.Option("--cutoff", help="Drop hits that are no better than chance.")
    ] = False,
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Re-rank the first images: tiny, tiny:FOLDER or blip:HUB-ID-OR-FOLDER.",
        ),
    ] = None,
    rerank_top: Annotated[int, typer.Option(help="Number of hits that --rerank reads.")] = 20,
    with_vectors: Annotated[
        bool,
        typer.Option("--with-vectors", help="Add the stored vector of each hit (JSON only)."),
    ] = False,
    output: Annotated[Output, typer.Option("--format", help="Output format.")] = (Output.TABLE),
    print0: Print0Option = False,
    time_format: TimeFormatOption = None,
    gallery: Annotated[
        Path | None, typer.Option(help="Also write an HTML page of the hits.")
    ] = None,
    text: TextOption = TextMode.AUTO,
    export: ExportOption = None,
    merge: MergeOption = None,
    pad: PadOption = 0.0,
    copy: CopyOption = False,
    force: ForceOption = False,
    localizer: LocalizerOption = "auto",
    device: IndexDeviceOption = Device.AUTO,
    skip_damaged: SkipDamagedOption = False,
    on: OnOption = None,
    replicas: ReplicasOption = 1,
    member_timeout: MemberTimeoutOption = 10.0,
    needs_all: AllOption = False,
) -> None:
    """Find the media closest to QUERY, best first.

    Several collections are searched as one, and hits name theirs.

    A FOLDER of media gets a collection of its own in the user's data directory. Each search embeds
    what is new there and what the query needs; after Ctrl-C it answers from what is embedded so
    far. `retrieval folders` lists and deletes such collections.
    """
    from retrieval.collection_paths import is_pattern
    from retrieval.errors import QueryError

    if space is not None and vector is None:
        raise QueryError("--space names the space of --vector; other queries ask every space")
    exporter = Exporter(export, merge, pad_seconds=pad, copy=copy, force=force)
    given = (queries, like, vector)
    roots, query = split_query(
        arguments, has_query=interactive or any(one is not None for one in given)
    )
    addressed = is_address(roots, source, folder_options=model is not None or here)
    roots = _local_roots(context, roots, on, addressed=addressed)
    is_group = on is not None or (not addressed and (len(roots) > 1 or is_pattern(roots[0])))
    asks = interactive or _is_prompt_wanted(query, *given)
    if asks and any(one is not None for one in (query, queries, like, vector, gallery, export)):
        raise QueryError("-i asks for queries; leave out QUERY, --queries, --like, --vector, "
                         "--gallery, and --export")  # fmt: skip
    output = paths_wanted(output, print0=print0)
    printer = AnswerPrinter(
        output,
        time_format=time_format,
        nul=print0,
        numbered=queries is not None,
        named=is_group,
    )
    settings: dict[str, Any] = {
        "to": to or [],
        "k": k,
        "offset": offset,
        "where": where or [],
        "cutoff": cutoff,
        "min_score": min_score,
        "text": text,
    }
    others = (queries, vector, ids, rerank, gallery, export, merge, model, with_vectors, here)
    defaults = (localizer, device, rerank_top) == ("auto", Device.AUTO, 20)
    is_simple = defaults and (query is None) != (like is None) and not any((asks, *others))
    if is_simple and not (is_group or addressed):
        answer = ask_server(Path(roots[0]), query, like, settings)
        if answer is not None:
            printer.print_document(answer)
            return
    from retrieval.search.arguments import read_ids

    _check_single(is_group, ids, model, here)
    selected = [] if asks else _selected(query, queries, like, vector, space, is_group=is_group)
    settings |= {
        "ids": None if ids is None else read_ids(ids),
        "rerank": rerank,
        "rerank_top": rerank_top,
        "with_vectors": with_vectors,
    }
    opening = {"device": device.value, "localizer": localizer}
    searched: Searched
    if addressed:
        searched = SearchedAddress(roots[0], collection=source, **opening)
    elif is_group:
        cluster = {"replicas": replicas, "timeout": member_timeout, "needs_all": needs_all}
        searched = searched_group(roots, on, cluster, skip_damaged=skip_damaged, **opening)
    else:
        searched = SearchedCollection(Path(roots[0]), model=model, here=here, **opening)
    if asks:
        from cli.interactive import ask_queries

        ask_queries(searched, settings, printer)
        return
    shown: list[tuple[str, Hits]] = []
    for qid, result in _answers(searched, selected, settings):
        printer.print(result, qid)
        print_absent(result)
        exporter.add(result)
        if gallery is not None:
            shown.append((result.query, result.hits))
    _write_gallery(gallery, shown, roots)
    exporter.run()


def _local_roots(
    context: typer.Context, roots: list[str], on: str | None, *, addressed: bool
) -> list[str]:
    """Copy collections of object stores, and return the local folders.

    Raises:
        QueryError: The address of a pushed collection is given with a cluster.
    """
    from retrieval.errors import QueryError

    if addressed and on is not None:
        raise QueryError("the address of a pushed collection is searched without --on")
    return roots if addressed else [str(local_copy(context, Path(root))) for root in roots]


def _answers(
    searched: Searched, selected: Selected, settings: dict[str, Any]
) -> Iterator[tuple[int | str | None, SearchResult]]:
    """Answer queries one after the other."""
    opened = searched.prepare(settings["to"], [item for _, item in selected])
    for qid, item in selected:
        yield qid, opened.answer(item, **settings)


def _write_gallery(
    out: Path | None, answers: Sequence[tuple[str, Hits]], roots: Sequence[str]
) -> None:
    """Write a page of the hits of each query, if one is requested."""
    if out is None:
        return
    from retrieval.gallery.page import GallerySection, write_gallery

    sections = [GallerySection(query, hits) for query, hits in answers]
    write_gallery(out, sections, title=f"Search in {', '.join(roots)}")


def _check_single(is_group: bool, *options: object) -> None:
    from retrieval.errors import QueryError

    if is_group and any(options):
        raise QueryError("--ids, --model and --here are for a single collection")


def _is_prompt_wanted(*queries: object) -> bool:
    """Whether there is no query, and a terminal to ask on."""
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return terminal and all(query is None for query in queries)


def _selected(
    query: str | None,
    queries: Path | None,
    like: str | None,
    vector: Path | None,
    space: str | None,
    *,
    is_group: bool,
) -> Selected:
    """Parse the one query or list of queries, with their ids.

    Raises:
        QueryError: None or several are given, or one cannot be parsed.
    """
    from retrieval.errors import QueryError
    from retrieval.search.query import Query, read_queries
    from retrieval.search.vector_query import VectorQuery

    if sum(given is not None for given in (query, queries, like, vector)) != 1:
        also = "" if query is None else f"; {query[:40]!r} is read as QUERY"
        raise QueryError(f"give a QUERY or --queries FILE, --like ITEM_ID, or --vector FILE{also}")
    if queries is not None:
        return [(line.qid, line.query) for line in read_queries(queries)]
    if vector is not None:
        return [(None, VectorQuery.read(vector, space))]
    if like is not None:
        return [(None, _like(like, is_group=is_group))]
    return [(None, Query.of(query or ""))]


def _like(text: str, *, is_group: bool) -> Query:
    from retrieval.errors import QueryError
    from retrieval.search.arguments import parse_item
    from retrieval.search.query import Query

    if is_group:
        name, item_id = parse_item(text)
        return Query.like(item_id, name)
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise QueryError(f"--like takes the id of an item, got {text[:40]!r}")
    return Query.like(int(text))
