"""Where a run writes what it found, suite by suite."""

from __future__ import annotations

from pathlib import Path

from benchmarks.results.html import suite_sections, write_html
from benchmarks.results.official_formats import write_runs, write_text
from benchmarks.results.outcome import Outcome
from benchmarks.results.tables import as_json, machine
from retrieval.files.writing import check_output, storage_errors


class Outputs:
    """The document, the answers and the page of a run; None where nobody asked.

    Everything is written anew after each suite, so that a later one that fails loses nothing.

    Args:
        document: File of the JSON document.
        runs: Folder of the answers in official formats.
        page: File of the HTML page.
        title: Of the page.

    Attributes:
        outcome: All that was found so far.
    """

    def __init__(
        self,
        document: Path | None = None,
        runs: Path | None = None,
        page: Path | None = None,
        *,
        title: str = "Results",
    ) -> None:
        self._document, self._runs, self._page, self._title = document, runs, page, title
        self._sections: list[str] = []
        self.outcome = Outcome([])

    def check(self) -> None:
        """Refuse what could not be written in the end, before hours of work.

        Raises:
            StorageError: A folder is missing, a file, or cannot be written to.
        """
        for path in (self._document, self._page):
            if path is not None:
                check_output(path)
        if self._runs is not None:
            with storage_errors(self._runs):
                self._runs.mkdir(parents=True, exist_ok=True)

    def add(self, found: Outcome) -> None:
        """Take what a suite found, while the media that its answers name are there.

        Raises:
            StorageError: A file cannot be written.
        """
        self.outcome = self.outcome.joined(found)
        if self._document is not None:
            document = as_json(self.outcome.results, self.outcome.queries)
            write_text(self._document, document + "\n")
        if self._runs is not None:
            write_runs(self._runs, found.answers)
        if self._page is not None:
            self._sections.append(suite_sections(found))
            write_html(self._page, self._sections, machine(), self._title)
