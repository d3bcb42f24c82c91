"""The options of commands that export hits, and the export itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli.progress import progress_bar
from cli.terminal import escaped

if TYPE_CHECKING:
    from retrieval.timelines.moments import Answer
    from retrieval.timelines.options import ExportedFile, ExportReport

ExportOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DIR|FILE",
        help="Also export the hits: a folder gets a clip of each; a file is .mp4, .otio, .edl, "
        ".fcpxml, .m3u8, .vtt, .csv, .jpg, .pdf or .webp. Repeatable.",
    ),
]
MergeOption = Annotated[
    str | None,
    typer.Option(metavar="ONE.mp4", help="Also export all hits as one video."),
]
PadOption = Annotated[
    float,
    typer.Option(metavar="SECONDS", help="Seconds to add before and after each exported moment."),
]
CopyOption = Annotated[
    bool,
    typer.Option(
        "--copy",
        help="Export copies of the streams, which begin at a keyframe, and copies of images "
        "instead of links.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace existing exports.")]

NOTABLE_SECONDS = 0.001


class Exporter:
    """Collects the results of queries and exports them at the end.

    Args:
        outputs: Folders and files.
        merged: One more file, an .mp4.
        pad_seconds: Seconds to add before and after each moment.
        copy: Copy streams and images.
        force: Replace existing files.

    Raises:
        RetrievalError: An output cannot be written.
    """

    def __init__(
        self,
        outputs: list[str] | None,
        merged: str | None,
        *,
        pad_seconds: float,
        copy: bool,
        force: bool,
    ) -> None:
        self._outputs = [*(outputs or ()), *([] if merged is None else [merged])]
        self._answers: list[Answer] = []
        if not self._outputs:
            if pad_seconds or copy or force:
                from retrieval.errors import QueryError

                raise QueryError("--pad, --copy and --force need --export or --merge")
            return
        from retrieval.errors import QueryError
        from retrieval.timelines.export import check_export
        from retrieval.timelines.options import ExportOptions

        if merged is not None and not merged.lower().endswith(".mp4"):
            raise QueryError(f"--merge writes an .mp4 file, got {merged}")
        self._options = ExportOptions(pad_seconds, copy, force)
        for output in self._outputs:
            check_export(output, self._options)

    def add(self, answer: Answer) -> None:
        """Add the result of a query."""
        if self._outputs:
            self._answers.append(answer)

    def run(self, *, print_paths: bool = False) -> None:
        """Export everything; exit with code 1 if a hit cannot be exported or there is none.

        Args:
            print_paths: Print the paths of the files to standard output.
        """
        if not self._outputs:
            return
        from retrieval.timelines.export import export

        is_complete = True
        with progress_bar() as progress:
            reports = [
                (output, export(self._answers, output, self._options, progress))
                for output in self._outputs
            ]
        for output, report in reports:
            _print_report(output, report)
            is_complete = is_complete and bool(report.files) and not report.failures
            if print_paths:
                for file in report.files:
                    print(escaped(file.path))
        if not is_complete:
            raise typer.Exit(1)


def _print_report(output: str, report: ExportReport) -> None:
    if not report.files and not report.failures:
        print(f"{escaped(output)}: no hits to export; nothing is written", file=sys.stderr)
        return
    for file in report.files:
        for line in _differences(file):
            print(f"{escaped(file.path)}: {escaped(line)}", file=sys.stderr)
    for failure in report.failures:
        place = f"hit {failure.rank}, {failure.uri}"
        print(f"not exported: {escaped(place)}: {escaped(failure.reason)}", file=sys.stderr)
    count = len(report.files)
    words = f"{count} file{'' if count == 1 else 's'} exported to"
    print(f"{words} {escaped(output)}", file=sys.stderr)


def _differences(file: ExportedFile) -> list[str]:
    """Describe where a clip differs from its moment."""
    lines = list(file.notes)
    if file.moment is None or file.start_seconds is None or file.end_seconds is None:
        return lines
    early = file.moment.span[0] - file.start_seconds
    if early > NOTABLE_SECONDS:
        lines.append(
            f"shows {file.start_seconds:.3f} to {file.end_seconds:.3f} s; it begins {early:.3f} s "
            "before the moment"
        )
    return lines
