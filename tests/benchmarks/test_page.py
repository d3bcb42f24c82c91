import json

from benchmarks.datasets.dataset import DataSet
from benchmarks.page import PAGE, page, unmeasured_rows
from benchmarks.results.outcome import Result
from benchmarks.results.tables import as_json, as_markdown
from benchmarks.speed import SUBJECTS
from benchmarks.suites import SUITES


def test_the_page_agrees_with_the_documents() -> None:
    assert PAGE.read_text() == page(), "run `python -m benchmarks.page`"


def test_a_result_row_keeps_absent_values_null() -> None:
    document = json.loads(as_json([Result("demo", "text → image", "R@1", 0.5, goal=0.75)]))
    assert document["results"] == [
        {"suite": "demo", "task": "text → image", "metric": "R@1", "value": 0.5, "goal": 0.75,
         "baseline": None, "chance": None, "published": None, "pool": None,
         "spread": None, "low": None, "high": None}
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


def test_the_table_shows_intervals_where_there_are_some() -> None:
    table = as_markdown(
        [
            Result("s", "a minus b", "R@1", -0.25, goal=0.0, low=-0.5, high=0.125),
            Result("s", "u", "a", 1.0),
        ]
    )
    assert table.splitlines() == [
        "| task | metric | value | low | high | goal | baseline | chance | pool |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| a minus b | R@1 | -0.25 | -0.5 | 0.125 | 0 |  |  |  |",
        "| u | a | 1 |  |  |  |  |  |  |",
    ]


DATA = DataSet(
    title="Small, test split", task="text to image", size="3 pictures", licence="none",
    source="a test", files=("a.json",),
    reported={
        "RN50": {("text to image", "R@1"): 0.312},
        "ViT-B/32": {("image to text", "R@1"): 0.5, ("image to text", "R@5"): 0.75},
    },
)  # fmt: skip


def test_unmeasured_suites_have_empty_figures_and_a_command() -> None:
    out = "--out benchmarks/results"
    assert unmeasured_rows({"small": DATA, "generated": None}, ["gpu"]) == [
        "| small | Small, test split: text to image; 3 pictures |  | "
        "RN50: text to image R@1 0.312; ViT-B/32: image to text R@1 0.5, image to text R@5 0.75 | "
        f"`retrieval bench run small --data DIR {out}/small.json` |",
        f"| generated | generated |  |  | `retrieval bench run generated {out}/generated.json` |",
        f"| speed gpu |  |  |  | `retrieval bench speed gpu {out}/speed-gpu.json` |",
    ]
    assert unmeasured_rows({}, []) == []


def test_every_suite_and_speed_benchmark_is_on_the_page() -> None:
    text = PAGE.read_text()
    for name in SUITES:
        assert f"## {name}\n" in text or f"| {name} |" in text
    for name in SUBJECTS:
        assert f"## speed-{name}\n" in text or f"| speed {name} |" in text
