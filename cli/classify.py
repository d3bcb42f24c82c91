"""The `retrieval classify` command."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from cli.options import Device, DeviceOption
from cli.output import path_of
from cli.terminal import CsvPrinter, console, escaped, json_text, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retrieval.zero_shot.classification import Classification, ClassifyReport


class Format(StrEnum):
    """How labels are printed; each item as soon as it is known."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def classify(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Folders, files, quoted patterns, lists (CSV, JSONL, Parquet) or tars.",
        ),
    ],
    labels: Annotated[
        str, typer.Option(help="'dog, cat, bird', or a file with one label on each line.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(help="As for `embed`; repeatable. The first that embeds a kind judges it."),
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            help="A sentence with {} for the label, or a file of them; repeatable. "
            "Default: built-in sets for pictures, sounds and videos."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Labels to show for each item.")] = 3,
    truth: Annotated[
        str | None,
        typer.Option(help="Column of the lists with the true labels: accuracy is printed."),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print them.")] = Format.TABLE,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Decoding processes; 0 decodes in this one.")
    ] = None,
    path_col: Annotated[
        str | None, typer.Option(help="Column of a list that holds the paths.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first file that cannot be used.")
    ] = False,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Give pictures, recordings and videos the best of some labels, without training.

    Each label is put into several sentences, as CLIP does; probabilities are among the labels.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from retrieval.embedding.options import EmbedOptions
    from retrieval.media.sources.find import find_sources
    from retrieval.media.sources.listing import Listing
    from retrieval.zero_shot.classification import Classification, ClassifyReport
    from retrieval.zero_shot.classification import classify as run
    from retrieval.zero_shot.prompts import read_labels, read_templates

    names, templates = read_labels(labels), read_templates(template or ())
    options = EmbedOptions(
        models=tuple(model or ()),
        device=device.value,
        strict=strict,
        path_column=path_col,
    )
    if workers is not None:
        options = replace(options, workers=workers)
    listing = Listing(on_failure=lambda failure: None)
    found = sum(1 for _ in find_sources(sources, path_column=path_col, listing=listing))
    report = ClassifyReport()
    shown = _PRINTERS[output](names)
    with Progress(
        TextColumn("classify"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[failed]}"),
        console=console(stderr=True),
        # Else what a pipe should get would go through the bar's console, to stderr.
        redirect_stdout=sys.stdout.isatty(),
    ) as bar:  # fmt: skip
        task = bar.add_task("classify", total=found, failed="")
        for result in run(sources, names, options, templates=templates, k=k, truth=truth):
            report.count(result)
            if isinstance(result, Classification):
                shown.item(result)
            failed = f"{report.failed} failed" if report.failed else ""
            bar.update(task, completed=report.seen, failed=failed)
    shown.end(report)
    _print_problems(report)


def _print_problems(report: ClassifyReport) -> None:
    for count, words in (
        (report.failed, "failed"),
        (report.without_encoder, "of a kind that no model here embeds; add one with --model"),
    ):
        if count:
            print(f"{count} {words}", file=sys.stderr)
    for failure in report.failures:
        print(f"  {escaped(failure.uri)}: {escaped(failure.reason)}", file=sys.stderr)


class _Printer(Protocol):
    """Prints items one by one, and what there is to say at the end."""

    def item(self, result: Classification) -> None: ...

    def end(self, report: ClassifyReport) -> None: ...


class _Lines:
    """A line for each item: its best labels, then where it is; the accuracy comes last."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._width = min(24, max(map(len, labels)))

    def item(self, result: Classification) -> None:
        guesses = "  ".join(
            f"{guess.probability:6.1%} {escaped(guess.label):{self._width}}"
            for guess in result.guesses
        )
        wrong = result.truth is not None and result.truth != result.guesses[0].label
        line = f"{guesses}  {escaped(path_of(result.uri))}"
        print(line + (f"  (is {escaped(result.truth)})" if wrong else ""))

    def end(self, report: ClassifyReport) -> None:
        if report.accuracy is not None:
            print(
                f"accuracy {report.accuracy:.1%} ({report.correct} of {report.with_truth}), "
                f"among the labels shown {report.accuracy_in_k:.1%}"
            )


class _Json:
    """One object, written as it grows."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._before = "\n"
        print(f'{{"labels": {json_text(labels)}, "items": [', end="")

    def item(self, result: Classification) -> None:
        print(self._before + json_text(asdict(result)), end="")
        self._before = ",\n"

    def end(self, report: ClassifyReport) -> None:
        rest = {
            "failures": [asdict(failure) for failure in report.failures],
            "failed": report.failed,
            "accuracy": report.accuracy,
            "accuracy_in_k": report.accuracy_in_k,
        }
        print("\n], " + json_text(rest)[1:])


class _Csv:
    """A row for each label of each item."""

    def __init__(self, labels: Sequence[str]) -> None:
        del labels
        self._rows = CsvPrinter(
            ("uri", "modality", "rank", "label", "probability", "score", "truth")
        )

    def item(self, result: Classification) -> None:
        for rank, guess in enumerate(result.guesses, 1):
            self._rows.row(
                (quoted(result.uri), result.modality.value, rank, guess.label, guess.probability,
                 guess.score, result.truth)
            )  # fmt: skip

    def end(self, report: ClassifyReport) -> None:
        if report.accuracy is not None:
            print(f"accuracy {report.accuracy:.4f} of {report.with_truth}", file=sys.stderr)


_PRINTERS: dict[Format, Callable[[Sequence[str]], _Printer]] = {
    Format.TABLE: _Lines,
    Format.JSON: _Json,
    Format.CSV: _Csv,
}
