"""Writes the document, the answers and the HTML report of a run after each suite."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.results.html import SuiteSection, suite_sections, write_html
from benchmarks.results.official_formats import write_runs
from benchmarks.results.outcome import Outcome
from benchmarks.results.tables import as_json, machine
from retrieval.files.writing import check_output, storage_errors, write_text


@dataclass(slots=True)
class Outputs:
    """The output files of a run. Files that are None are not written.

    All files are rewritten after each suite, so a later failure loses no results.

    Attributes:
        document: File of the JSON document.
        runs: Folder of the answers in official formats.
        page: File of the HTML report.
        title: Title of the report.
        outcome: All results so far.
    """

    document: Path | None = None
    runs: Path | None = None
    page: Path | None = None
    title: str = "Results"
    outcome: Outcome = field(default_factory=Outcome)
    _sections: list[SuiteSection] = field(default_factory=list)

    def check(self) -> None:
        """Refuse output paths that cannot be written, before any work is done.

        Raises:
            StorageError: A folder is missing, is a file, or is not writable.
        """
        for path in (self.document, self.page):
            if path is not None:
                check_output(path)
        if self.runs is not None:
            with storage_errors(self.runs):
                self.runs.mkdir(parents=True, exist_ok=True)

    def add(self, outcome: Outcome) -> None:
        """Add the outcome of a suite and write all files. The media of its answers must exist.

        Raises:
            StorageError: A file cannot be written.
        """
        self.outcome = Outcome.merged([self.outcome, outcome])
        if self.document is not None:
            text = as_json(self.outcome.results, self.outcome.queries)
            write_text(self.document, text + "\n")
        if self.runs is not None:
            write_runs(self.runs, outcome.answers)
        if self.page is not None:
            self._sections += suite_sections(outcome)
            write_html(self.page, self._sections, machine(), self.title)
