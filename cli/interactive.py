"""The prompt of `search -i`: queries and commands, answered by one open collection."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.hints import one_line
from cli.output import AnswerPrinter
from cli.terminal import escaped
from cli.viewers import open_hit
from retrieval.errors import QueryError, RetrievalError

if TYPE_CHECKING:
    from cli.media_folder import SearchedCollection
    from cli.pushed import SearchedAddress
    from cli.several import SearchedGroup
    from retrieval.search.hits import Hits
    from retrieval.search.query import Query
    from retrieval.types import Hit

HELP = """\
a query           text, @FILE, or a sum such as "a horse" + 0.5*@stripes.png - "cartoon"
:to image,video   restrict the type of the hits; :to alone allows all
:where CONDITION  restrict the items, as in :where year > 2000; :where alone allows all
:k 20             set the number of hits
:next             show the next hits of the query
:more 3           search for items like hit 3
:open 3           open hit 3, a video at its moment where the player allows it
:help, :quit      show this list; leave (also Ctrl-D)
Commands may be shortened: :w, :o 3. After :to, :where and :k the last query is repeated.
"""


class Session:
    """Answers the lines of a prompt.

    Args:
        searched: Opens the collection, and brings a media folder up to date.
        settings: Arguments of `Collection.answer`; commands change them.
        printer: Prints the hits.
        show_images: Draws the hits on the terminal; None where it cannot.
    """

    def __init__(
        self,
        searched: SearchedCollection | SearchedGroup | SearchedAddress,
        settings: dict[str, Any],
        printer: AnswerPrinter,
        show_images: Callable[[Hits], None] | None = None,
    ) -> None:
        self._searched = searched
        self._settings = settings
        self._printer = printer
        self._show_images = show_images
        self._query: Query | None = None
        self._hits: Hits | tuple[Hit, ...] = ()
        self.is_open = True
        self._commands: dict[str, Callable[[str], None]] = {
            "to": self._set_targets,
            "where": self._set_condition,
            "k": self._set_count,
            "next": self._show_next,
            "more": self._search_like,
            "open": self._open,
            "help": self._help,
            "quit": self._quit,
        }

    def run_line(self, line: str) -> bool:
        """Answer a query or run a command; return False if it failed, which prints one line."""
        line = line.strip()
        if not line:
            return True
        try:
            if line.startswith(":"):
                name, _, argument = line[1:].partition(" ")
                self._command(name)(argument.strip())
            else:
                from retrieval.search.query import Query

                self._ask(Query.of(line))
        except BrokenPipeError:
            raise
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return False
        except RetrievalError as error:
            print(f"retrieval: {one_line(error)}", file=sys.stderr)
            return False
        except Exception as error:  # no query may end the prompt
            print(f"retrieval: {type(error).__name__}: {error}", file=sys.stderr)
            return False
        return True

    def _command(self, name: str) -> Callable[[str], None]:
        """Return a command by its name or the start of it.

        Raises:
            QueryError: No command, or more than one, starts so.
        """
        names = [one for one in self._commands if one.startswith(name)] if name else []
        if name in self._commands or len(names) == 1:
            return self._commands[name if name in self._commands else names[0]]
        raise QueryError(f"no command :{name}; :help lists them")

    # ------------------------------------------------------------ queries

    def _ask(self, query: Query, *, offset: int = 0) -> None:
        collection = self._searched.prepare(self._settings["to"], [query])
        result = collection.answer(query, **self._settings | {"offset": offset})
        self._query, self._hits, self._offset = query, result.hits, offset
        self._printer.print(result)
        if self._show_images is not None:
            self._show_images(result.hits)

    def _change(self, **settings: object) -> None:
        """Change settings and repeat the query; a refused setting is not kept."""
        before = dict(self._settings)
        self._settings.update(settings)
        try:
            if self._query is not None:
                self._ask(self._query)
        except RetrievalError:
            self._settings.update(before)
            raise

    # ------------------------------------------------------------ commands

    def _set_targets(self, argument: str) -> None:
        from retrieval.search.arguments import targets_of

        self._change(to=tuple(targets_of(argument.replace(",", " ").split())))

    def _set_condition(self, argument: str) -> None:
        self._change(where=[argument] if argument else None)

    def _set_count(self, argument: str) -> None:
        count = _number(argument, "a number of hits, as in :k 20")
        self._change(k=count)

    def _show_next(self, argument: str) -> None:
        if self._query is None:
            raise QueryError("there are no hits yet; type a query")
        self._ask(self._query, offset=self._offset + self._settings["k"])

    def _search_like(self, argument: str) -> None:
        from retrieval.search.query import Query

        hit = self._hit(argument, ":more 3")
        self._ask(Query.like(hit.item_id, hit.collection))

    def _open(self, argument: str) -> None:
        print(escaped(open_hit(self._hit(argument, ":open 3"))))

    def _help(self, argument: str) -> None:
        print(HELP, end="")

    def _quit(self, argument: str) -> None:
        self.is_open = False

    def _hit(self, argument: str, example: str) -> Hit:
        rank = _number(argument, f"the number of a hit, as in {example}")
        for hit in self._hits:
            if hit.rank == rank:
                return hit
        shown = f"{self._hits[0].rank} to {self._hits[-1].rank}" if self._hits else "none"
        raise QueryError(f"no hit {rank} is shown; shown are {shown}")


def _number(argument: str, expected: str) -> int:
    if not (argument.isascii() and argument.isdecimal() and 0 < int(argument) < 1_000_000):
        raise QueryError(f"expected {expected}, got {argument[:40]!r}")
    return int(argument)


def ask_queries(
    searched: SearchedCollection | SearchedGroup | SearchedAddress,
    settings: dict[str, Any],
    printer: AnswerPrinter,
) -> None:
    """Answer queries from a terminal, or from the lines of standard input.

    Raises:
        SystemExit: With code 1, if a line of standard input failed.
    """
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not terminal:
        session = Session(searched, settings, printer)
        succeeded = [session.run_line(line) for line in _open_lines(session)]
        if not all(succeeded):
            raise SystemExit(1)
        return
    from cli.inline_images import image_printer

    collection = searched.prepare(settings["to"])
    print(escaped(f"{collection.summary()}; type a query, or :help"))
    session = Session(searched, settings, printer, image_printer())
    for line in _prompted_lines(session):
        session.run_line(line)


def _open_lines(session: Session) -> Iterator[str]:
    for line in sys.stdin:
        yield line
        if not session.is_open:
            return


def _prompted_lines(session: Session) -> Iterator[str]:
    """Yield lines that are typed at the prompt, until Ctrl-D or :quit."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
    from prompt_toolkit.completion import NestedCompleter
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory
    from prompt_toolkit.output import create_output

    from retrieval.targets import Target

    words = {f":{name}": None for name in ("where", "k", "next", "more", "open", "help", "quit")}
    completer = NestedCompleter.from_nested_dict(
        {":to": {target.value: None for target in Target}, **words}
    )
    path = history_file()
    history: History = InMemoryHistory() if path is None else FileHistory(path)
    prompt: PromptSession[str] = PromptSession(
        "> ",
        history=history,
        completer=completer,
        complete_while_typing=False,
        auto_suggest=AutoSuggestFromHistory(),
        # The raw stream, because the prompt's control sequences must not be escaped.
        output=create_output(getattr(sys.stdout, "raw", sys.stdout)),
    )
    while session.is_open:
        try:
            yield prompt.prompt()
        except KeyboardInterrupt:
            continue  # a new line
        except EOFError:
            return


def history_file() -> Path | None:
    """Return the file of typed queries, readable by the user alone; None if it cannot be kept."""
    import os

    from platformdirs import user_state_path

    path = user_state_path("retrieval", appauthor=False) / "search-history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        os.fchmod(handle, 0o600)
        os.close(handle)
    except OSError:
        return None
    return path
