"""Past faults between the commands and the real hub, reproduced on a local hub."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app, main, one_line
from indexes.errors import RetrievalError
from retrieval.encoders.catalogue import load_encoder
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError
from support.hub.client import environment
from support.hub.faults import Fault
from support.hub.layouts import RealLayouts
from support.hub.server import Hub

SIGLIP = "open_clip:ViT-B-32-SigLIP2-256/webli"
BLIP = "blip:Salesforce/blip-itm-base-coco"


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def error(*arguments: object) -> str:
    """Return the error line of a command."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(result.exception, RetrievalError), (result.output, result.exception)
    message = one_line(result.exception)
    assert "\n" not in message
    return message


def advice(message: str) -> list[str]:
    """Return the command in a message's backquotes, without `retrieval`."""
    command = next(part for part in message.split("`") if part.startswith("retrieval "))
    return command.split()[1:]


def test_row_1_a_tokenizer_without_config_json_loads_after_it_was_fetched(
    real_layout_hub: Hub, mixed: Path, tmp_path: Path
) -> None:
    run("models", "fetch", SIGLIP)
    said = run("embed", mixed, "-c", tmp_path / "c", "--fps", "0.5", "--model", SIGLIP).stdout
    assert said.startswith("2 items added (1 image, 0 recordings, 1 video)")


def test_row_2_clap_is_fetched_at_the_commit_that_holds_safetensors(
    real_layout_hub: Hub,
) -> None:
    shown = run("models", "fetch", "music").stderr
    assert "laion/larger_clap_general at 16c8cc3159a3: " in shown
    assert not [path for path in real_layout_hub.downloaded if path.endswith(".bin")]
    assert load_encoder("clap:laion/larger_clap_general", device="cpu").dim > 0


def test_row_2_all_downloads_are_described_before_the_first_one(real_layout_hub: Hub) -> None:
    real_layout_hub.faults = [Fault("/api/models/laion/*", "repo_not_found")]
    assert "laion/larger_clap_general: the hub has no such model" in error(
        "models", "fetch", "small"
    )
    assert real_layout_hub.downloaded == []


def test_row_2_a_pickle_is_converted_once_or_refused(
    real_layout_hub: Hub, real_layouts: RealLayouts, tmp_path: Path
) -> None:
    spec = "clap:laion/clap-htsat-unfused"
    assert "as a pickle only" in error("models", "fetch", spec, "--no-convert")
    assert real_layout_hub.downloaded == []
    assert "a pickle that is converted" in run("models", "fetch", spec).stderr
    encoder = load_encoder(spec, device="cpu")
    record = next((tmp_path / "hub-cache").rglob("retrieval/*.json"))
    converted = json.loads(record.read_text())["converted"]
    assert [file["name"] for file in converted["from"]] == ["pytorch_model.bin"]
    assert len(converted["sha256"]) == 64
    assert not list((tmp_path / "hub-cache").rglob("*.bin"))  # deleted after conversion
    real_layout_hub.downloaded.clear()
    run("models", "fetch", spec)
    assert real_layout_hub.downloaded == []
    assert load_encoder(spec, device="cpu").digest == encoder.digest


def test_row_3_the_command_that_a_missing_reranker_names_works(
    real_layout_hub: Hub, mixed: Path, tmp_path: Path
) -> None:
    run("embed", mixed, "-c", tmp_path / "c", "--model", "tiny")
    question = ("search", tmp_path / "c", "a red circle", "--rerank", BLIP)
    command = advice(error(*question))
    assert command == ["models", "fetch", BLIP]
    run(*command)
    run(*question)


def test_row_4_muq_comes_with_its_towers_and_opens_no_connection(
    real_layout_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("muq", reason="the extra muq is not installed")
    shown = run("models", "fetch", "muq-mulan").stderr
    for repo in ("OpenMuQ/MuQ-MuLan-large", "OpenMuQ/MuQ-large-msd-iter", "xlm-roberta-base"):
        assert f"{repo} at " in shown
    real_layout_hub.requests.clear()
    monkeypatch.setattr("socket.socket.connect", None)
    encoder = load_encoder("muq:OpenMuQ/MuQ-MuLan-large", device="cpu")
    assert encoder.encode_text(["slow piano"]).shape == (1, 512)
    assert real_layout_hub.requests == []


def test_row_5_a_model_without_a_tag_names_the_tags(
    real_layout_hub: Hub, mixed: Path, tmp_path: Path
) -> None:
    for command in (("models", "fetch"), ("embed", mixed, "-c", tmp_path / "c", "--model")):
        assert "lacks a tag; published are open_clip:ViT-B-32/openai" in error(
            *command, "open_clip:ViT-B-32"
        )


@pytest.mark.parametrize(
    "typed",
    [
        "open_clip:vit-b-32/openai",
        "open_clip:ViT-B/32/openai",
        "hf-hub:timm/vit_base_patch32_clip_224.openai",
        "open_clip:hf-hub:timm/vit_base_patch32_clip_224.openai",
        "timm/vit_base_patch32_clip_224.openai",
    ],
)
def test_row_6_the_forms_of_model_cards_are_fetched_and_loaded(
    real_layout_hub: Hub, mixed: Path, tmp_path: Path, typed: str
) -> None:
    run("models", "fetch", typed)
    said = run("embed", mixed, "-c", tmp_path / "c", "--fps", "0.5", "--model", typed).stdout
    assert said.startswith("2 items added")


def test_row_6_fetch_suggests_close_names(real_layout_hub: Hub) -> None:
    assert "close names: open_clip:ViT-B-32/openai" in error(
        "models", "fetch", "open_clip:ViT-B-23/openai"
    )
    assert "did you mean 'small'" in error("models", "fetch", "smal")
    assert "is not a supported model" in error("models", "fetch", "FacebookAI/roberta-base")


def test_row_7_refusals_have_their_own_messages(real_layout_hub: Hub) -> None:
    """Each cause in detail: tests/retrieval/encoders/hub/test_retries.py."""
    said = set()
    for kind in ("gated", "403", "500", "html", "repo_not_found"):
        real_layout_hub.faults = [Fault("/api/*", kind)]
        said.add(error("models", "fetch", SIGLIP))
    assert len(said) == 5


def test_row_8_an_interrupted_fetch_is_resumed_by_the_next_command(
    real_layout_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "*/open_clip_model.safetensors"
    real_layout_hub.faults = [Fault(broken, "drop", after_bytes=50_000, method="GET", times=1)]
    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", interrupt)
        assert CliRunner().invoke(app, ["models", "fetch", SIGLIP]).exit_code == 130
    real_layout_hub.requests.clear()
    run("models", "fetch", SIGLIP)
    ranges = [request.headers.get("range", "") for request in real_layout_hub.requests]
    assert any(value.startswith("bytes=") and value != "bytes=0-" for value in ranges)


def interrupt(seconds: float) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("spec", "name", "lost"),
    [
        (SIGLIP, "small", "tokenizer.json"),
        (SIGLIP, "small", "open_clip_model.safetensors"),
        ("clap:laion/larger_clap_music_and_speech", "music-and-speech", "preprocessor_config.json"),
        ("xclip:microsoft/xclip-base-patch32", "x-clip", "config.json"),
    ],
)
def test_row_9_the_list_shows_as_present_what_loads(
    real_layout_hub: Hub, tmp_path: Path, spec: str, name: str, lost: str
) -> None:
    run("models", "fetch", spec)
    assert listed(spec) is not None
    load_encoder(spec, device="cpu")
    for path in (tmp_path / "hub-cache").rglob(f"snapshots/*/{lost}"):
        path.unlink()
    assert listed(spec) is None
    assert "incomplete" in run("models", "list").stdout
    with pytest.raises(WeightsNotAvailableError) as caught:
        load_encoder(spec, device="cpu")
    assert caught.value.fetchable == spec
    run("models", "fetch", spec)
    assert listed(spec) is not None
    load_encoder(spec, device="cpu")


def listed(spec: str) -> int | None:
    models = json.loads(run("models", "list", "--format", "json").stdout)
    return next(model["bytes"] for model in models if model["spec"] == spec)


# ---------------------------------------------------------------- asking


def test_without_a_terminal_embed_stops_with_a_command_that_works(
    real_layout_hub: Hub, mixed: Path, tmp_path: Path
) -> None:
    message = error("embed", mixed, "-c", tmp_path / "c")
    assert "timm/ViT-B-32-SigLIP2-256, about 1.51 GB" in message
    assert "laion/larger_clap_general, about 776.0 MB" in message
    assert real_layout_hub.requests == []  # no request
    command = advice(message)
    assert command == ["models", "fetch", "--yes", "small"]
    run(*command)
    run("embed", mixed, "-c", tmp_path / "c", "--fps", "0.5")


def test_audio_is_skipped_if_only_its_model_is_missing(
    real_layout_hub: Hub,
    mixed: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    collection = tmp_path / "c"
    run("models", "fetch", SIGLIP)
    said = run("embed", mixed, "-c", collection, "--fps", "0.5", "--model", "small").stdout
    assert said.startswith("2 items added (1 image, 0 recordings, 1 video)")
    (line,) = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert line.startswith("sound is left out of this run: clap:laion/larger_clap_general")
    run("index", collection)
    assert search(collection, "image", "video") == {"image", "video"}
    run("models", "fetch", "clap:laion/larger_clap_general")
    run("embed", mixed, "-c", collection, "--fps", "0.5", "--model", "small")
    assert search(collection, "image", "music", "video") == {"image", "audio", "video"}


def test_a_collection_works_without_its_missing_audio_model(
    real_layout_hub: Hub,
    mixed: Path,
    world_pictures: list[Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    collection = tmp_path / "c"
    run("models", "fetch", "small")
    run("embed", mixed, "-c", collection, "--fps", "0.5")
    run("index", collection)
    for path in (tmp_path / "hub-cache").rglob("models--laion*/snapshots/*/*"):
        path.unlink()
    said = run("embed", *world_pictures, "-c", collection).stdout
    assert said.startswith("2 items added (2 images")
    assert search(collection, "image", "music", "video") == {"image", "video"}
    assert any("is not searched" in r.getMessage() for r in caplog.records)
    assert "larger_clap_general" in error("search", collection, "a tune", "--to", "music")
    run("models", "fetch", "music")
    assert (
        "2 existing items gained a space" in run("embed", *world_pictures, "-c", collection).stdout
    )
    assert search(collection, "image", "music", "video") == {"image", "audio", "video"}


def search(collection: Path, *targets: str) -> set[str]:
    to = [word for target in targets for word in ("--to", target)]
    output = run("search", collection, "a red circle", *to, "--format", "json").stdout
    return {hit["modality"] for hit in json.loads(output)["hits"]}


def test_embed_on_a_terminal_downloads_after_confirmation(
    real_layout_hub: Hub, mixed: Path, tmp_path: Path
) -> None:
    asked, code = on_terminal(
        real_layout_hub, tmp_path, "y\n", "embed", mixed, "-c", tmp_path / "c"
    )
    assert "timm/ViT-B-32-SigLIP2-256, about 1.51 GB, Apache-2.0" in asked
    assert "Download them now?" in asked
    assert "3 items added (1 image, 1 recording, 1 video)" in asked
    assert code == 0


def test_embed_on_a_terminal_downloads_nothing_without_confirmation(
    real_layout_hub: Hub, mixed: Path, tmp_path: Path
) -> None:
    asked, code = on_terminal(
        real_layout_hub, tmp_path, "n\n", "embed", mixed, "-c", tmp_path / "c"
    )
    assert "fetch the model first" in " ".join(asked.split())
    assert "`retrieval models fetch " in " ".join(asked.split())
    assert code == 2
    assert real_layout_hub.requests == []
    assert not (tmp_path / "c" / "CURRENT").exists()


def on_terminal(hub: Hub, home: Path, typed: str, *arguments: object) -> tuple[str, int]:
    """Run a command on a new terminal; return its output and exit code."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "import cli.main; cli.main.main()", *map(str, arguments)]
    env = environment(hub, home / "home") | {"COLUMNS": "300"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    os.write(ours, typed.encode())
    shown = b""
    while True:
        try:
            block = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        shown += block
    os.close(ours)
    return shown.decode(), process.wait()


def test_large_downloads_need_confirmation(
    real_layout_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.models.ASK_ABOVE_BYTES", 1_000)
    message = error("models", "fetch", SIGLIP)
    assert "there is no terminal to ask on" in message
    assert real_layout_hub.downloaded == []
    run(*advice(message))


def test_main_prints_one_line(
    real_layout_hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["retrieval", "models", "fetch", "clap:maker/none"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.count("\n") == 1


def test_a_pickle_in_a_shared_cache_is_never_read(real_layout_hub: Hub, tmp_path: Path) -> None:
    """Another tool has cached a snapshot of main with a pickle only."""
    spec = "clap:laion/clap-htsat-unfused"
    snapshot = tmp_path / "hub-cache" / "models--laion--clap-htsat-unfused" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("1")
    (snapshot / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises((WeightsNotAvailableError, WeightsFormatError), match="lacks its weights"):
        load_encoder(spec)
