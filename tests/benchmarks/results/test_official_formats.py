import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from benchmarks.results.official_formats import slug, trec_id, write_runs
from benchmarks.results.outcome import Answers, MomentAnswer, RankedAnswer
from benchmarks.score import trec, tvr, windows
from retrieval.errors import StorageError

ODD = "a\u00a0%.jpg"
RANKED = RankedAnswer("q 1", "a dog", ["b.jpg", ODD], [0.5, float(np.float32(0.1))], [ODD])
FOUND = MomentAnswer("7", "a dog runs", "v1", [(2.0, 4.0), (6.0, 9.0)], 10.0,
                     [("v1", 2.0, 5.0, 0.9), ("v1", 0.0, 1.0, 0.5)])  # fmt: skip
ELSEWHERE = MomentAnswer(
    "007", 'a "cat"', "v1", [(0.0, 1.0)], 10.0,
    [("v2", 2.0, 5.0, 0.9), ("v0", 1.0, 3.0, 0.8), ("v2", 0.0, 1.0, 0.5)],
)  # fmt: skip


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rankings_become_a_run_and_qrels(tmp_path: Path) -> None:
    run, qrels = write_runs(tmp_path, [Answers("flickr30k", "text → image, index", [RANKED])])
    assert run == tmp_path / "flickr30k" / "text-to-image-index.run"
    first, second = (line.split() for line in run.read_text().splitlines())
    assert first == ["q%201", "Q0", "b.jpg", "1", "0.5", "retrieval"]
    assert second[2:4] == ["a%C2%A0%25.jpg", "2"]
    assert np.float32(second[4]) == np.float32(0.1)
    assert qrels.read_text() == "q%201 0 a%C2%A0%25.jpg 1\n"


@pytest.mark.parametrize(
    "name", ["a b", "a\tb\nc", "100%", "\x1c", "\u2028", "é", "\udce9", "a%20b"]
)
def test_fault_27_odd_ids_are_one_column_and_are_returned(name: str) -> None:
    column = trec_id(name)
    assert column.split() == [column]
    assert unquote(column, errors="surrogatepass") == name


def test_moments_of_known_videos_are_in_qvhighlights_format(tmp_path: Path) -> None:
    answers = Answers("qvhighlights", "moment in the true video", [FOUND])
    predictions, truth = write_runs(tmp_path, [answers])
    assert lines(predictions) == [
        {"qid": 7, "query": "a dog runs", "vid": "v1",
         "pred_relevant_windows": [[2.0, 5.0, 0.9], [0.0, 1.0, 0.5]]}
    ]  # fmt: skip
    assert lines(truth) == [
        {"qid": 7, "query": "a dog runs", "vid": "v1", "duration": 10.0,
         "relevant_windows": [[2.0, 4.0], [6.0, 9.0]]}
    ]  # fmt: skip


def test_moments_of_a_corpus_are_in_tvr_format(tmp_path: Path) -> None:
    answers = Answers("tvr", "text → moment in a corpus", [FOUND, ELSEWHERE])
    predictions, truth = write_runs(tmp_path, [answers])
    document = json.loads(predictions.read_text())
    assert document["video2idx"] == {"v0": 0, "v1": 1, "v2": 2}
    first, second = document["VCMR"]
    assert first == {"desc_id": 7, "desc": "a dog runs",
                     "predictions": [[1, 2.0, 5.0, 0.9], [1, 0.0, 1.0, 0.5]]}  # fmt: skip
    assert second["desc_id"] == "007"  # not the same name as 7
    assert document["VR"][1]["predictions"] == [[2, 0.0, 0.0, 0.9], [0, 0.0, 0.0, 0.8]]
    assert lines(truth)[0] == {"desc_id": 7, "desc": "a dog runs", "vid_name": "v1",
                               "duration": 10.0, "ts": [2.0, 4.0]}  # fmt: skip


def test_bench_score_reads_what_is_written(tmp_path: Path) -> None:
    run_file, qrels = write_runs(tmp_path, [Answers("s", "ranking", [RANKED])])
    figures = trec.score(run_file, qrels)
    assert (figures["num_q"], figures["success_1"], figures["success_5"]) == (1, 0.0, 1.0)
    assert figures["recip_rank"] == 0.5

    predictions, truth = write_runs(tmp_path, [Answers("s", "window", [FOUND])])
    figures = windows.score(predictions, truth)
    assert figures["brief"]["MR-full-R1@0.5"] == 100.0  # 2 of 3 seconds

    predictions, truth = write_runs(tmp_path, [Answers("s", "corpus", [FOUND, ELSEWHERE])])
    figures = tvr.score(predictions, truth)
    assert figures["VCMR"]["0.5-r1"] == 50.0
    assert figures["VR"]["r1"] == 50.0


def test_a_task_without_answers_has_no_file(tmp_path: Path) -> None:
    assert write_runs(tmp_path / "runs", [Answers("s", "t", [])]) == []
    assert not (tmp_path / "runs").exists()


def test_fault_07_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(StorageError, match="cannot write"):
        write_runs(tmp_path / "runs", [Answers("s", "t", [RANKED])])
    assert (tmp_path / "runs").read_text() == "mine"


def test_names_of_tasks_as_names_of_files() -> None:
    assert slug("text → image, index") == "text-to-image-index"
    assert slug("../R@1 / IoU ≥ 0.5") == "r-1-iou-0-5"


def test_names_that_differ_in_punctuation_have_files_of_their_own(tmp_path: Path) -> None:
    written = write_runs(tmp_path, [Answers("s", name, [RANKED]) for name in ("t!", "t?", "t.")])
    assert [path.name for path in written[::2]] == ["t.run", "t-2.run", "t-2-2.run"]
