"""`retrieval`: the commands, and what becomes of their errors."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType

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
    illustrate,
    import_,
    index,
    localize,
    models,
    remove,
    search,
    status,
    train,
    verify,
)
from cli.terminal import escaped, escaped_streams
from retrieval.errors import RetrievalError

app = typer.Typer(
    name="retrieval",
    help="Search images, music and video by meaning, down to the second.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo.demo,
    embed.embed,
    index.index,
    search.search,
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
):
    app.command()(command)
app.command("import")(import_.import_)
app.add_typer(train.app)
app.add_typer(models.app)
app.add_typer(bench.app)


def main() -> None:
    """Run a command; a known error is one line and exit code 2, any other keeps its traceback."""
    signal.signal(signal.SIGTERM, _stop)
    with escaped_streams():
        logging.basicConfig(level=logging.WARNING, handlers=[_Warnings()])
        try:
            app(with_dashes(sys.argv[1:]))
        except RetrievalError as error:
            print(f"retrieval: {told(error)}", file=sys.stderr)
            sys.exit(2)


MOST_CHARACTERS = 2_000
"""Of a message: one that quotes a whole file tells no more than its beginning and its end."""


def told(error: RetrievalError) -> str:
    """The message of an error in one line."""
    message = " ".join(str(error).split("\n"))
    if len(message) <= MOST_CHARACTERS:
        return message
    return f"{message[: MOST_CHARACTERS - 500]} … {message[-500:]}"


class _Warnings(logging.Handler):
    """Prints what the library warns of, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        print(escaped(record.getMessage()), file=sys.stderr)


def with_dashes(arguments: list[str]) -> list[str]:
    """Let `--batch_size` stand for `--batch-size`; what follows a lone `--` is left alone."""
    result: list[str] = []
    for position, argument in enumerate(arguments):
        if argument == "--":
            return result + arguments[position:]
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            argument = name.replace("_", "-") + equals + value
        result.append(argument)
    return result


def _stop(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the process the way Ctrl-C does: what is whole is published, locks are freed."""
    del frame
    sys.exit(128 + number)
