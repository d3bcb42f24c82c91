"""`search`, `localize` and `export-hits` export what they find."""

from __future__ import annotations

import json
from pathlib import Path

import opentimelineio as otio
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from retrieval.collection import Collection
from retrieval.demo.world import World
from retrieval.errors import OutputExistsError, QueryError
from retrieval.timelines.names import clock
from support.commands import run
from support.numbered_videos import write_numbered


def invoke(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], input=text)


def test_moments_of_a_search_become_clips_and_a_timeline(
    indexed: Collection, tmp_path: Path
) -> None:
    clips, timeline = tmp_path / "clips", tmp_path / "t.otio"
    result = invoke(
        "search", indexed.root, "a red circle", "--to", "moment", "-k", 3, "--format", "json",
        "--export", f"{clips}/", "--export", timeline, "--merge", tmp_path / "all.mp4",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    hits = json.loads(result.stdout)["hits"]
    assert f"3 files exported to {clips}" in result.stderr
    names = sorted(path.name for path in clips.iterdir())
    assert [name[:16] for name in names] == [f"a-red-circle_0{rank}_" for rank in (1, 2, 3)]
    assert (tmp_path / "all.mp4").stat().st_size > 1_000
    read = otio.adapters.read_from_file(str(timeline))
    found = list(read.find_clips())
    for hit in hits:
        clip = next(c for c in found if c.metadata["retrieval"]["rank"] == hit["rank"])
        frame = 1 / clip.source_range.start_time.rate
        start = clip.source_range.start_time.to_seconds()
        assert hit["start_seconds"] - 0.002 <= start < hit["start_seconds"] + frame
    # The same from the saved hits.
    saved = tmp_path / "hits.json"
    saved.write_text(result.stdout, encoding="utf-8")
    again = tmp_path / "again.otio"
    assert run("export-hits", saved, again).split() == [str(again)]
    assert again.read_bytes() == timeline.read_bytes()
    piped = invoke("export-hits", "-", tmp_path / "t.csv", text=result.stdout)
    assert (piped.exit_code, piped.stdout) == (0, f"{tmp_path / 't.csv'}\n")
    with pytest.raises(OutputExistsError):
        run("export-hits", saved, again)
    run("export-hits", saved, again, "--force")


def test_localize_exports_one_file(world: World, tmp_path: Path) -> None:
    video = min((world.folder / "videos").glob("*.mp4"))
    out = tmp_path / "chapters.vtt"
    output = run(
        "localize", video, "a red circle", "--model", "tiny", "--format", "json", "--export", out
    )
    (hit, *_) = json.loads(output)["hits"]
    times = " --> ".join(clock(hit[name]) for name in ("start_seconds", "end_seconds"))
    assert f"{times}\na red circle (1, {hit['score']:.3f})\n" in out.read_text()


def test_failures_are_lines_and_exit_code_1(tmp_path: Path) -> None:
    video = write_numbered(tmp_path / "v.mp4", 60, gop=30)
    hits = [
        {"rank": 1, "uri": str(tmp_path / "gone\x1b.mp4"), "modality": "video",
         "start_seconds": 0, "end_seconds": 1},
        {"rank": 2, "uri": str(video), "modality": "video",
         "start_seconds": 1.4, "end_seconds": 2.0},
    ]  # fmt: skip
    saved = tmp_path / "hits.json"
    saved.write_text(json.dumps({"query": "bars", "hits": hits}))
    result = invoke("export-hits", saved, tmp_path / "clips", "--copy")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    (failure,) = (line for line in lines if line.startswith("not exported"))
    assert "hit 1, " in failure
    assert "gone\\x1b.mp4: the file cannot be opened (No such file" in failure
    (copied,) = (line for line in lines if "before the moment" in line)
    assert "shows 1.200 to 2.080 s; it begins 0.200 s before the moment" in copied
    assert result.stdout == f"{tmp_path / 'clips' / 'bars_02_00-00-01.400.mp4'}\n"
    saved.write_text(json.dumps({"query": "bars", "hits": []}))
    result = invoke("export-hits", saved, tmp_path / "x.csv")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no hits to export; nothing is written" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pad", "1"], "need --export or --merge"),
        (["--force"], "need --export or --merge"),
        (["--merge", "x.mkv"], r"writes an \.mp4 file"),
        (["--export", "x.avi"], "no format has the suffix"),
    ],
)
def test_options_are_checked_before_the_search(arguments: list[str], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        run("search", "no-collection", "a query", *arguments)
