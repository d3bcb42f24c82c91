"""The `retrieval` command: its subcommands, logging, and error handling."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Annotated

import typer

from cli import (
    bench,
    classify,
    compact,
    demo,
    diff,
    dups,
    embed,
    estimate,
    export,
    export_hits,
    folders,
    illustrate,
    import_,
    index,
    localize,
    models,
    push,
    remove,
    search,
    serve,
    status,
    train,
    verify,
)
from cli.hints import one_line
from cli.log_level import log_level
from cli.terminal import escaped, escaped_streams
from retrieval.errors import RetrievalError

app = typer.Typer(
    name="retrieval",
    help="Search images, music and video by meaning, down to the second.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={
        "help_option_names": ["-h", "--help"],
        # `--batch_size` means `--batch-size`.
        "token_normalize_func": lambda token: token.replace("_", "-"),
    },
)
for command in (
    demo.demo,
    embed.embed,
    index.index,
    search.search,
    serve.serve,
    localize.localize,
    classify.classify,
    illustrate.illustrate,
    diff.diff,
    dups.dups,
    status.status,
    verify.verify,
    remove.remove,
    compact.compact,
    estimate.estimate,
    export.export,
    export_hits.export_hits,
    push.push,
):
    app.command()(command)
app.command("import")(import_.import_)
app.add_typer(train.app)
app.add_typer(models.app)
app.add_typer(folders.app)
app.add_typer(bench.app)


OUR_LOGGERS = ("indexes", "retrieval", "benchmarks", "cli")


def _print_version(wanted: bool) -> None:
    if wanted:
        import retrieval

        print(f"retrieval {retrieval.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print details.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings only.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Search images, music and video by meaning, down to the second."""
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    context.with_resource(_logging_to_stderr(level))


def main() -> None:
    """Run a command. A known error is one line and exit code 2; others keep their traceback."""
    signal.signal(signal.SIGTERM, _stop)
    with escaped_streams():
        try:
            app()
        except RetrievalError as error:
            print(f"retrieval: {one_line(error)}", file=sys.stderr)
            sys.exit(2)


@contextmanager
def _logging_to_stderr(level: int) -> Iterator[None]:
    """Print the records of this project's loggers while a command runs."""
    handler = _StderrHandler()
    logging.getLogger().addHandler(handler)
    with ExitStack() as levels:
        for name in OUR_LOGGERS:
            levels.enter_context(log_level(name, level))
        levels.callback(logging.getLogger().removeHandler, handler)
        yield


class _StderrHandler(logging.Handler):
    """Prints each log record as one escaped line on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        print(escaped(record.getMessage()), file=sys.stderr)


def _stop(number: int, frame: FrameType | None) -> None:
    """Exit on SIGTERM like on Ctrl-C, so that finished work is published and locks are released."""
    del frame
    sys.exit(128 + number)
