"""The `retrieval export-hits` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.exporting import CopyOption, Exporter, ForceOption, MergeOption, PadOption


def export_hits(
    hits: Annotated[
        str,
        typer.Argument(
            metavar="HITS.json",
            help="Output of `search --format json`, for one or several queries; - reads it from "
            "standard input.",
        ),
    ],
    out: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR|FILE...",
            help="A folder gets a clip of each hit; a file is .mp4, .otio, .edl, .fcpxml, .m3u8, "
            ".vtt, .csv, .jpg, .pdf or .webp.",
        ),
    ],
    merge: MergeOption = None,
    pad: PadOption = 0.0,
    copy: CopyOption = False,
    force: ForceOption = False,
) -> None:
    """Export saved hits as clips, timelines, playlists or contact sheets.

    The exit code is 1 if a hit cannot be exported or there is none.
    """
    from retrieval.errors import QueryError
    from retrieval.timelines.saved_hits import parse_hits, read_hits

    exporter = Exporter(out, merge, pad_seconds=pad, copy=copy, force=force)
    if hits == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise QueryError("standard input: hits cannot be read (it is not UTF-8)") from error
        answers = parse_hits(text, "standard input")
    else:
        answers = read_hits(hits)
    for answer in answers:
        exporter.add(answer)
    exporter.run(print_paths=True)
