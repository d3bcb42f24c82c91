from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.search.query import MAX_QUERY_CHARS, Query, Term, parse_query, read_queries


@pytest.mark.parametrize(
    "text",
    [
        "a horse",
        "sci-fi - night",
        "5 * 3",
        "0.5*a horse",
        '"a "quoted" word"',
        "mail to me@example.com",
        "@",
        "@ home",
        "🐎 + 🦓",
        'unbalanced "quote',
    ],
)
def test_text_that_does_not_parse_completely_is_plain_text(text: str) -> None:
    assert parse_query(text) == Query((Term(text=text),))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ('"a horse"', [Term(text="a horse")]),
        ("@a.png", [Term(path="a.png")]),
        ('@"my cat.png"', [Term(path="my cat.png")]),
        ("@a+b-c.png", [Term(path="a+b-c.png")]),
        ('2*"a"+.5*"b"', [Term(text="a", weight=2), Term(text="b", weight=0.5)]),
        ('"a"-1e-1 * @b', [Term(text="a"), Term(path="b", weight=-0.1)]),
        (
            '"a horse" + 0.5*@stripes.png - "cartoon"',
            [
                Term(text="a horse"),
                Term(path="stripes.png", weight=0.5),
                Term(text="cartoon", weight=-1),
            ],
        ),
        (r'"say \"hi\" \\ C:\dir"', [Term(text=r'say "hi" \ C:\dir')]),
        (' \n"a"\t+ "b" ', [Term(text="a"), Term(text="b")]),
        ("@\udcff.jpg", [Term(path="\udcff.jpg")]),
        ('+ "a horse"', [Term(text="a horse")]),
        ('- "cartoon" + "a horse"', [Term(text="cartoon", weight=-1), Term(text="a horse")]),
    ],
)
def test_expressions(text: str, terms: list[Term]) -> None:
    assert parse_query(text) == Query(tuple(terms))


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert parse_query("@~/cat.png").terms[0].path == "/home/ada/cat.png"


_names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.strip() == text and "\0" not in text and not text.startswith("~")
)
_weights = st.sampled_from([1.0, 2.0, 0.5, 0.25])
_terms = st.builds(lambda name, weight: Term(text=name, weight=weight), _names, _weights) | (
    st.builds(lambda name, weight: Term(path=name, weight=weight), _names, _weights)
)


@given(st.lists(_terms, min_size=2, max_size=4))
def test_a_printed_expression_parses_to_itself(terms: list[Term]) -> None:
    query = Query(tuple(terms))
    assert parse_query(str(query)) == query


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_parses_or_is_refused_by_type(text: str) -> None:
    try:
        assert parse_query(text).terms
    except QueryError as error:
        assert "\n" not in str(error)  # noqa: PT017  # an answer is legal here, and so is a refusal


@pytest.mark.parametrize("text", ["", "  \n", '""', '"a" + " "'])
def test_empty_text_fails(text: str) -> None:
    with pytest.raises(QueryError, match="empty"):
        parse_query(text)


def test_fault_31_100000_characters_are_read_and_more_fail() -> None:
    assert parse_query("x" * MAX_QUERY_CHARS).terms[0].text == "x" * MAX_QUERY_CHARS
    with pytest.raises(QueryError, match=r"100,001 characters, at most 100,000"):
        parse_query("x" * (MAX_QUERY_CHARS + 1))


def test_fault_31_backslashes_do_not_backtrack() -> None:
    text = '"' + "\\" * (MAX_QUERY_CHARS - 2) + "a"
    assert parse_query(text).terms == (Term(text=text),)


def test_fault_31_lone_surrogates_fail() -> None:
    with pytest.raises(QueryError, match="not valid Unicode at character 3"):
        parse_query("a \ud800 horse")
    with pytest.raises(QueryError, match="not a valid file name"):
        parse_query("@\ud800.jpg")


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_fault_31_weights_that_are_not_finite_fail(weight: float) -> None:
    with pytest.raises(QueryError, match="finite"):
        Term(text="a", weight=weight)
    with pytest.raises(QueryError, match="finite"):
        parse_query('1e999*"a"')


def test_too_many_terms_fail() -> None:
    with pytest.raises(QueryError, match="101 terms, at most 100"):
        parse_query(" + ".join(['"a"'] * 101))


def test_a_path_with_nul_fails() -> None:
    with pytest.raises(QueryError, match="is not a file name"):
        parse_query('@"a\0b"')


def test_read_queries(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('{"qid": 7, "query": "a horse"}\n\n{"qid": "b", "query": "\\"a\\" + @b"}\n')
    first, second = read_queries(file)
    assert (first.qid, first.text, first.query) == (7, "a horse", Query((Term(text="a horse"),)))
    assert second.query == Query((Term(text="a"), Term(path="b")))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: expected an object"),
        ("a cat", "line 2: expected an object"),
        ("7,a cat", "line 2: expected an object"),
        ('["a"]', "line 2: expected an object"),
        ('{"qid": 1}', "line 2: expected an object"),
        ('{"qid": 1.5, "query": "a"}', "line 2: the qid must be"),
        ('{"qid": 2, "query": 3}', "line 2: the query must be a string"),
        ('{"qid": 2, "query": ""}', "line 2: the query is empty"),
        ('{"qid": 1, "query": "a"}', "line 2: the qid 1 occurs twice"),
        ("[" * 100_000, "line 2: expected an object"),
    ],
)
def test_field_37_a_malformed_line_fails(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('{"qid": 1, "query": "a"}\n' + line)
    with pytest.raises(QueryError, match=f"q.jsonl, {message}"):
        read_queries(file)


def test_a_query_file_that_cannot_be_read_fails(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="cannot be read"):
        read_queries(tmp_path / "absent.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(QueryError, match="no queries"):
        read_queries(tmp_path / "empty.jsonl")


@pytest.fixture
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for a file fails the test."""

    def refuse(path: str) -> bool:
        raise AssertionError(f"{path} was looked for")

    monkeypatch.setattr("retrieval.search.expression.os.path.isfile", refuse)


@pytest.mark.usefixtures("no_files")
@pytest.mark.parametrize("text", ["@/etc/passwd", "a @/etc/passwd b", "mail a@b.png"])
def test_without_files_a_path_is_a_text(text: str) -> None:
    assert parse_query(text, files=False) == Query((Term(text),))


@pytest.mark.usefixtures("no_files")
@pytest.mark.parametrize("text", ['"a" + @/etc/passwd', '"a" - 2*@"/etc/passwd"'])
def test_without_files_a_path_in_a_sum_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match='expected a text in "double quotes"'):
        parse_query(text, files=False)


def test_without_files_sums_of_texts_are_parsed() -> None:
    assert parse_query('"a@b" - 2*"c"', files=False) == parse_query('"a@b" - 2*"c"')
