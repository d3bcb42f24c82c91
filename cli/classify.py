"""The `retrieval classify` command."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from cli.options import Device, DeviceOption
from cli.output import path_of
from cli.progress import progress_bar
from cli.terminal import CsvPrinter, escaped, json_text, quoted

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
        str, typer.Option(help="'dog, cat, bird', or a file with one label per line.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(help="As for `embed`; repeatable. The first model of the medium counts."),
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(
            help="A sentence with {} for the label, or a file of them; repeatable. "
            "Default: built-in sentences for images, sounds and videos."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of labels per item.")] = 3,
    truth: Annotated[
        str | None,
        typer.Option(help="List column with the true labels, for the accuracy."),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Decoding processes; 0 decodes in the main process.")
    ] = None,
    path_col: Annotated[str | None, typer.Option(help="List column with the paths.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first file that cannot be used.")
    ] = False,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Classify images, recordings and videos with labels, without training.

    Each label is put into several sentences, as in CLIP. Probabilities are relative to the labels.
    """
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
    with progress_bar() as progress:
        for result in run(sources, names, options, templates=templates, k=k, truth=truth):
            report.count(result)
            if isinstance(result, Classification):
                shown.item(result)
            note = f"{report.failed} failed" if report.failed else ""
            progress("classify", report.seen, found, note)
    shown.end(report)
    _print_problems(report)


def _print_problems(report: ClassifyReport) -> None:
    for count, words in (
        (report.failed, "failed"),
        (report.without_encoder, "of a modality that no model embeds; add a model with --model"),
    ):
        if count:
            print(f"{count} {words}", file=sys.stderr)
    for failure in report.failures:
        print(f"  {escaped(failure.uri)}: {escaped(failure.reason)}", file=sys.stderr)


class _Printer(Protocol):
    """Prints items, and a summary at the end."""

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
