import json

from benchmarks.datasets.dataset import DataSet
from benchmarks.results.page import PAGE, page, unmeasured
from benchmarks.results.tables import Result, as_json, as_markdown
from benchmarks.speed import SUBJECTS
from benchmarks.suites import SUITES


def test_the_page_is_what_the_documents_say() -> None:
    assert PAGE.read_text() == page(), "run `python -m benchmarks.results.page`"


def test_a_result_row_keeps_absent_values_null() -> None:
    document = json.loads(as_json([Result("demo", "text → image", "R@1", 0.5, goal=0.75)]))
    assert document["results"] == [
        {"suite": "demo", "task": "text → image", "metric": "R@1", "value": 0.5, "goal": 0.75,
         "baseline": None, "chance": None, "published": None, "pool": None,
         "spread": None}
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


DATA = DataSet(
    title="Small, test split", task="text to image", size="3 pictures", licence="none",
    source="a test", files=("a.json",), published={("text to image", "R@1"): 0.312},
    reported={"ViT-B/32": {("image to text", "R@1"): 0.5, ("image to text", "R@5"): 0.75}},
)  # fmt: skip


def test_what_was_never_run_has_empty_figures_and_a_command() -> None:
    (section,) = unmeasured({"small": DATA, "made": None}, ["gpu"])
    out = "--out benchmarks/results"
    assert [line for line in section.splitlines() if line.startswith("|")][2:] == [
        "| small | Small, test split: text to image; 3 pictures |  | text to image R@1 0.312; "
        "ViT-B/32: image to text R@1 0.5, image to text R@5 0.75 | "
        f"`retrieval bench run small --data DIR {out}/small.json` |",
        f"| made | generated |  |  | `retrieval bench run made {out}/made.json` |",
        f"| speed gpu |  |  |  | `retrieval bench speed gpu {out}/speed-gpu.json` |",
    ]
    assert unmeasured({}, []) == []


def test_every_suite_and_subject_stands_on_the_page() -> None:
    text = PAGE.read_text()
    for name in SUITES:
        assert f"## {name}\n" in text or f"| {name} |" in text
    for name in SUBJECTS:
        assert f"## speed-{name}\n" in text or f"| speed {name} |" in text
