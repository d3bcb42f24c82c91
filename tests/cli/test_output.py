"""Rows 20, 21, 37 and 48: tables, times and the answers to many queries."""

import csv
import io
import json
import os
import pty
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cli.options import TimeFormat
from cli.output import AnswerPrinter, Output, clock, hms, path_of, print_table, span, text_of
from retrieval.collection import Collection
from retrieval.search.hits import Hits
from retrieval.search.query import read_queries
from retrieval.search.searcher import SearchResult, StageTimes
from retrieval.types import Hit, Medium, TextMatch, TextSource
from support.commands import run
from support.terminals import read_all
from support.texts import caption, collection_of, name

LONG = "/photographs/" + "a very long folder's name, " * 9 + "/日本語 100%25/IMG_0001.jpg"
PATH = LONG.replace("%25", "%")


def result(*hits: Hit, query: str = "a red circle") -> SearchResult:
    return SearchResult(query, Hits(hits), StageTimes(1, 1, 1, 1))


def hit(rank: int, uri: str = LONG, times: tuple[float, float] | None = None, **more) -> Hit:
    start, end = times or (None, None)
    medium = Medium.IMAGE if times is None else Medium.VIDEO
    return Hit(rank, 0.5, 10 + rank, uri, medium, medium, start, end, "s", likely=True, **more)


CAPTION = {"caption": "a caption " * 20}


def test_field_21_lines_in_a_pipe_are_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(result(hit(1, metadata=CAPTION), hit(2, "/b.jpg"), query="long query " * 40))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0] == ("long query " * 40).rstrip() or lines[0] == "long query " * 40
    assert PATH in lines[2]
    assert CAPTION["caption"].strip() in lines[2]
    assert lines[3].split() == ["2", "12", "0.500", "image", "/b.jpg"]


def shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, *hits: Hit) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    terminal, end = pty.openpty()
    with os.fdopen(end, "w") as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        print_table(result(*hits))
        monkeypatch.undo()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", read_all(terminal))
    return [line.rstrip() for line in plain.split("\r\n")]


@pytest.mark.parametrize("columns", [60, 71, 80, 120, 200])
def test_field_21_paths_end_with_their_names_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    from rich.cells import cell_len

    hits = (hit(1, metadata=CAPTION), hit(2, "/b.jpg"), hit(3, "/f.mp4", (3599.6, 3725.0)))
    lines = shown_on_a_terminal(monkeypatch, columns, *hits)
    assert max(map(cell_len, lines)) <= columns
    assert len([line for line in lines if line]) == 5  # a line for each hit
    assert "…" in lines[2]
    assert "IMG_0001.jpg" in lines[2]
    assert "/b.jpg" in lines[3]
    assert "1:00:00-1:02:05" in lines[4]
    assert "/f.mp4" in lines[4]


def test_field_20_paths_are_those_of_the_disk() -> None:
    assert path_of("/a%25b%FF.jpg") == "/a%b\udcff.jpg"
    assert path_of("/x%25.tar!in/a%25 b.jpg") == "/x%.tar!in/a% b.jpg"
    assert path_of("https://example.com/a%20b.jpg") == "https://example.com/a%20b.jpg"


def test_field_20_csv_and_json_keep_the_uri(capsys: pytest.CaptureFixture[str]) -> None:
    uri = "/a%25b\n\x1b.jpg"
    for output in (Output.CSV, Output.JSON):
        AnswerPrinter(output).print(result(hit(1, uri)))
    header, *rest = capsys.readouterr().out.splitlines()
    (row,) = csv.DictReader(io.StringIO(f"{header}\n{rest[0]}"))
    assert row["uri"] == "/a%25b%0A%1B.jpg"
    assert json.loads(rest[1])["hits"][0]["uri"] == uri


@pytest.mark.parametrize(
    ("seconds", "short", "exact"),
    [
        (0, "0:00", "0:00:00.000"),
        (59.9996, "1:00", "0:01:00.000"),
        (62.5, "1:02", "0:01:02.500"),
        (3599.9994, "1:00:00", "0:59:59.999"),
        (36_000.25, "10:00:00", "10:00:00.250"),
    ],
)
def test_field_48_times_as_people_write_them(seconds: float, short: str, exact: str) -> None:
    assert clock(seconds) == short
    assert hms(seconds) == exact


def test_field_48_times_of_tables_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    found = hit(1, "/f.mp4", (62.5, 3725.0))
    assert span(found) == "1:02-1:02:05"
    assert span(found, TimeFormat.HMS) == "0:01:02.500-1:02:05.000"
    assert span(found, TimeFormat.SECONDS) == "62.50-3725.00"
    assert span(hit(1), TimeFormat.HMS) == ""
    for time_format, start in ((None, "62.5"), (TimeFormat.SECONDS, "62.5"),
                               (TimeFormat.HMS, "0:01:02.500")):  # fmt: skip
        AnswerPrinter(Output.CSV, time_format=time_format).print(result(found, hit(2)))
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert rows[0]["start_seconds"] == start
        assert rows[1]["start_seconds"] == ""
    AnswerPrinter(Output.JSON, time_format=TimeFormat.HMS).print(result(found))
    assert json.loads(capsys.readouterr().out)["hits"][0]["start_seconds"] == 62.5


def test_field_37_many_queries_have_one_header_and_their_ids(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for output in (Output.CSV, Output.JSON, Output.TABLE):
        printer = AnswerPrinter(output, numbered=True)
        printer.print(result(hit(1), hit(2)), "seven")
        printer.print(result(hit(1)), 8)
    lines = capsys.readouterr().out.splitlines()
    rows = list(csv.DictReader(io.StringIO("\n".join(lines[:4]))))
    assert [row["qid"] for row in rows] == ["seven", "seven", "8"]
    assert [row["rank"] for row in rows] == ["1", "2", "1"]
    assert [json.loads(line)["qid"] for line in lines[4:6]] == ["seven", 8]
    assert lines[6] == "seven: a red circle"
    AnswerPrinter(Output.JSON).print(result(hit(1)))
    assert "qid" not in json.loads(capsys.readouterr().out)


def test_field_37_the_form_that_the_help_shows_is_read(tmp_path: Path) -> None:
    help_text = " ".join(run("search", "--help").split())
    assert 'JSON Lines of queries: {"qid": …, "query": …}. qid is optional.' in help_text
    path = tmp_path / "q.jsonl"
    path.write_text('{"query": "a"}\n\n{"qid": "x", "query": "b"}\n{"query": "c"}\n')
    assert [(line.qid, line.text) for line in read_queries(path)] == [
        (1, "a"), ("x", "b"), (4, "c"),
    ]  # fmt: skip


def test_field_37_on_the_command_line(indexed: Collection, tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"qid": "a", "query": "a red star"}\n{"query": "slow organ"}\n')
    out = run("search", indexed.root, "--queries", path, "-k", 2, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["qid"] for row in rows] == ["a", "a", "2", "2"]
    assert out.count("rank") == 1


# ---------------------------------------------------------------- matching texts

MATCHED = replace(
    hit(1, "/a.mp4", (41.2, 47)),
    score=None,
    space=None,
    text_score=5.25,
    matched=TextMatch(
        TextSource.TRANSCRIPT,
        "… the\x1b harbour …",
        ((7, 14),),
        start_seconds=41.2,
        end_seconds=47.0,
    ),
)


def test_field_28_a_matching_text_is_shown_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(result(MATCHED, hit(2, "/b.jpg", metadata={"caption": "a boat"})))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["id", "score", "when", "what", "where", "text"]
    assert lines[2].split()[:3] == ["1", "11", "words"]
    assert lines[2].endswith(r"transcript: … the\x1b harbour …")
    assert lines[3].rstrip().endswith("a boat")


def test_matching_words_are_highlighted() -> None:
    shown = text_of(MATCHED)
    ((start, end, style),) = [
        (s.start, s.end, s.style) for s in shown.spans if "bold" in str(s.style)
    ]
    assert shown.plain[start:end] == "harbour"
    assert style == "bold yellow"


def test_a_matching_text_in_csv_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    printer = AnswerPrinter(Output.CSV, time_format=TimeFormat.HMS)
    printer.print(result(MATCHED, hit(2, "/b.jpg")))
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert {name: first[name] for name in first if "text" in name or "matched" in name} == {
        "text_score": "5.25",
        "matched_source": "transcript",
        "matched_text": r"… the\x1b harbour …",
        "matched_start_seconds": "0:00:41.200",
        "matched_end_seconds": "0:00:47.000",
    }
    assert (first["score"], first["space"]) == ("", "")
    assert {second[name] for name in second if name.startswith("matched")} == {""}
    AnswerPrinter(Output.JSON).print(result(MATCHED))
    (shown,) = json.loads(capsys.readouterr().out)["hits"]
    assert (shown["score"], shown["space"], shown["text_score"]) == (None, None, 5.25)
    assert shown["matched"] == {
        "source": "transcript",
        "text": "… the\x1b harbour …",
        "marks": [[7, 14]],
        "start_seconds": 41.2,
        "end_seconds": 47.0,
    }


def test_words_on_the_command_line(tmp_path: Path) -> None:
    root = collection_of(tmp_path / "c", [caption("running dogs")], [name("harbour")]).root
    assert "running dogs" in run("search", root, "dogs", "--text", "only")
    assert "no item matches" in run("search", root, "dog", "--text", "only")
    run("index", root, "--language", "english")
    (shown,) = json.loads(run("search", root, "dog", "--text", "only", "--format", "json"))["hits"]
    assert shown["matched"]["marks"] == [[8, 12]]
    assert (shown["score"], shown["space"]) == (None, None)
    assert "2 (1 caption, 1 name)" in run("status", root)
    page = tmp_path / "page.html"
    run("search", root, "dog", "--text", "only", "--gallery", page)
    assert "running <mark>dogs</mark>" in page.read_text(encoding="utf-8")
