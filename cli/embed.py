"""The `retrieval embed` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.interrupted import kept_on_interrupt
from cli.options import Device, DeviceOption
from cli.progress import progress_bar
from cli.terminal import escaped

if TYPE_CHECKING:
    from retrieval.embedding.options import EmbedReport
    from retrieval.media.sources.listing import LiteralPaths
    from retrieval.types import TextSource

DEFAULT_TEXTS = "name,caption,tag,transcript"

SUFFIXES_SHOWN = 8
"""Number of suffixes of skipped files that the report lists."""


def embed(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Folders, files, quoted patterns, lists (CSV, JSONL, Parquet) or tars; "
            "- reads paths from standard input, one per line or separated by NUL.",
        ),
    ],
    collection: Annotated[
        Path,
        typer.Option("-c", "--collection", help="Collection folder; created if missing."),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Name from `models list`, or open_clip:NAME/TAG; repeatable. "
            "Default: the models of the collection, else small."
        ),
    ] = None,
    device: DeviceOption = Device.AUTO,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Images, frames or audio windows per batch.")
    ] = 64,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Decoding processes; 0 decodes in the main process.")
    ] = None,
    fps: Annotated[float, typer.Option(min=0.01, help="Video frames sampled per second.")] = 2.0,
    clip_seconds: Annotated[
        float, typer.Option(min=0.1, help="Length of a video segment in seconds.")
    ] = 2.0,
    window_seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="Audio segment length. Default: the model's."),
    ] = None,
    hop_seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Distance of audio segments. Default: no overlap.")
    ] = None,
    sound: Annotated[bool, typer.Option(help="Embed the sound of videos.")] = True,
    path_col: Annotated[str | None, typer.Option(help="List column with the paths.")] = None,
    caption_col: Annotated[str | None, typer.Option(help="List column with the captions.")] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Exclude files that match this pattern, as in .gitignore; repeatable. "
            "Files named .retrievalignore contain further patterns.",
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Remove items whose files are missing from the SOURCEs."),
    ] = False,
    texts: Annotated[
        str,
        typer.Option(
            metavar="SOURCES",
            help="Sources of texts to store, separated by commas: name, caption, tag, transcript, "
            "ocr, speech; or none.",
        ),
    ] = DEFAULT_TEXTS,
    ocr: Annotated[
        bool,
        typer.Option("--ocr", help="Also read the words in images and videos, as --texts ocr."),
    ] = False,
    speech: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Also read spoken words with this model, such as whisper-small, which --texts "
            "speech uses.",
        ),
    ] = None,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="Read texts and columns of unchanged files again."),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first file that cannot be used.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try files that failed before again.")
    ] = False,
) -> None:
    """Embed media files into COLLECTION: add new files and replace changed ones.

    Repeating the command changes nothing; after an interruption it continues. Renamed files keep
    their items. New captions, columns and texts are stored without embedding again.

    The exit code is 0 if at least one file is in the collection, 1 if none is, and 2 for an error
    that ended the run.
    """
    from cli.models import offer_download
    from retrieval.embedding.options import EmbedOptions
    from retrieval.embedding.run import embed as run
    from retrieval.embedding.run import missing_encoders
    from retrieval.media.sources.find import find_sources
    from retrieval.media.sources.listing import Listing
    from retrieval.types import Sampling

    options = EmbedOptions(
        models=tuple(model or ()),
        device=device.value,
        batch_samples=batch_size,
        sampling=Sampling(fps, clip_seconds),
        window_seconds=window_seconds,
        hop_seconds=hop_seconds,
        sound_of_videos=sound,
        strict=strict,
        retry_failed=retry_failed,
        path_column=path_col,
        caption_column=caption_col,
        exclude=tuple(exclude or ()),
        prune=prune,
        texts=_sources_of_texts(texts, ocr=ocr, speech=speech is not None),
        refresh=refresh,
    )
    if workers is not None:
        options = replace(options, workers=workers)
    if speech is not None:
        options = replace(options, speech_model=speech)
    given = [_paths_of_stdin() if source == "-" else source for source in sources]
    listing = Listing(options.exclude, lambda failure: None)
    listed = find_sources(given, path_column=path_col, caption_column=caption_col, listing=listing)
    found = sum(1 for _ in listed)  # Refuse missing sources before any download.
    offer_download(missing_encoders(collection, options))
    with kept_on_interrupt(collection), progress_bar() as show:
        report = run(given, collection, options, show, total=found)
    _print_report(report, collection)
    if not report.in_collection:
        raise typer.Exit(1)


def _sources_of_texts(names: str, *, ocr: bool, speech: bool) -> tuple[TextSource, ...]:
    from retrieval.embedding.options import text_sources
    from retrieval.types import TextSource

    sources = text_sources(part.strip() for part in names.split(","))
    added = (TextSource.OCR,) * ocr + (TextSource.SPEECH,) * speech
    return tuple(dict.fromkeys((*sources, *added)))


def _paths_of_stdin() -> LiteralPaths:
    """Read paths from standard input: separated by NUL if there is one, else one per line."""
    from retrieval.media.sources.listing import LiteralPaths

    content = sys.stdin.buffer.read()
    names = content.split(b"\0" if b"\0" in content else b"\n")
    return LiteralPaths([os.fsdecode(name) for name in names if name])


def _print_report(report: EmbedReport, collection: Path) -> None:
    from retrieval.types import Medium, TextSource

    added = report.added
    names = {Medium.IMAGE: "image", Medium.AUDIO: "recording", Medium.VIDEO: "video"}
    parts = ", ".join(_counted(added[medium], name) for medium, name in names.items())
    print(f"{_counted(sum(added.values()), 'item')} added ({parts}) in {report.seconds:.1f} s")
    for count, words in (
        (report.replaced, "of them replaced an older version"),
        (
            report.without_segments,
            "of them have no segments, such as silent videos without a model for pictures",
        ),
        (report.unchanged, "unchanged"),
        (report.updated, "with new captions, columns or texts, not embedded again"),
        (report.renamed, "renamed or moved, not embedded again"),
        (report.other_paths, "further names of the same files, as links"),
        (report.completed, "existing items gained a space they lacked"),
        (report.failed, f"failed; reasons in {collection / 'failures'}"),
        (report.read[TextSource.OCR], "read for words in pictures"),
        (report.read[TextSource.SPEECH], "read for spoken words"),
        (report.unread, f"could not be read for words; reasons in {collection / 'failures'}"),
        (report.pruned, "removed, because their files are missing"),
        (report.without_encoder, "of a modality that no model embeds; add a model with --model"),
    ):
        if count:
            print(f"{count} {words}")
    for notice in report.notices:
        print(f"note: {notice}", file=sys.stderr)
    if report.passed_over:
        print(_passed_over(report.passed_over))
    if report.without_texts:
        items = _counted(report.without_texts, "item")
        print(f"{items} without texts; --refresh reads names, captions, tags and transcripts")
    if report.gone:
        one = report.gone == 1
        print(f"{report.gone} {'item whose file is' if one else 'items whose files are'} gone; "
              f"--prune removes {'it' if one else 'them'}")  # fmt: skip
    for failure in report.failures:
        print(f"  {escaped(failure.uri)}: {escaped(failure.reason)}", file=sys.stderr)


def _passed_over(kinds: Mapping[str, int]) -> str:
    """Describe the skipped files by suffix, the most frequent first."""
    total = sum(kinds.values())
    ordered = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    shown = [f"{count} {suffix}" for suffix, count in ordered[:SUFFIXES_SHOWN]]
    rest = sum(count for _, count in ordered[SUFFIXES_SHOWN:])
    if rest:
        shown.append(f"{rest} of other kinds")
    return f"{_counted(total, 'file')} passed over: {', '.join(shown)}"


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
