import json

from benchmarks.page import PAGE, page
from benchmarks.report import Result, as_json, as_markdown


def test_the_page_is_what_the_documents_say() -> None:
    assert PAGE.read_text() == page(), "run `python -m benchmarks.page`"


def test_a_result_row_keeps_absent_values_null() -> None:
    document = json.loads(as_json([Result("demo", "text → image", "R@1", 0.5, goal=0.75)]))
    assert document["results"] == [
        {"suite": "demo", "task": "text → image", "metric": "R@1", "value": 0.5, "goal": 0.75,
         "baseline": None, "chance": None, "published": None, "pool": None}
    ]  # fmt: skip
    assert set(document["machine"]) >= {"processor", "cores", "python", "libraries", "commit"}


def test_the_table_leaves_absent_values_empty() -> None:
    table = as_markdown([Result("s", "t", "R@1", 0.25, chance=0.001, pool=1000)])
    assert table.splitlines()[-1] == "| t | R@1 | 0.25 |  |  | 0.001 | 1000 |"


def test_the_table_shows_published_figures_where_there_are_some() -> None:
    table = as_markdown(
        [Result("s", "t", "accuracy", 0.5, published=0.81), Result("s", "u", "a", 1.0)]
    )
    assert table.splitlines() == [
        "| task | metric | value | goal | baseline | chance | published | pool |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| t | accuracy | 0.5 |  |  |  | 0.81 |  |",
        "| u | a | 1 |  |  |  |  |  |",
    ]
