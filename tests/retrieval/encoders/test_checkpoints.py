"""Checkpoints of all backends: use by the public commands, and refusals."""

import contextlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from cli.main import app
from retrieval.encoders.catalogue import load_encoder
from retrieval.errors import ModelError, WeightsFormatError
from support.media_files import make_picture, make_tone, write_video

SEEING = ("small_clip", "small_pe_core", "small_siglip2")
WATCHING = ("small_x_clip", "small_pe_av")
HEARING = ("small_clap", "small_clap_general", "small_mulan")
BACKENDS = {
    "small_clip": "open_clip",
    "small_pe_core": "open_clip",
    "small_siglip2": "open_clip",
    "small_x_clip": "xclip",
    "small_pe_av": "pe-av",
    "small_clap": "clap",
    "small_clap_general": "clap",
    "small_mulan": "mulan",
}

Checkpoint = Callable[[str], Path]


@pytest.fixture
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    """Return the folder of a backend's small model."""
    return lambda fixture: Path(request.getfixturevalue(fixture))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two pictures, a video of 5 s that brightens, one that darkens, and 25 s of audio."""
    folder = tmp_path_factory.mktemp("media")
    for seed in (1, 2):
        make_picture(seed=seed).save(folder / f"{seed}.png")
    levels = [5 * number for number in range(50)]
    write_video(folder / "brighter.mp4", levels)
    write_video(folder / "darker.mp4", levels[::-1])
    tones = np.concatenate([make_tone(13, 48_000, 220.0), make_tone(12, 48_000, 1760.0)])
    soundfile.write(folder / "tones.flac", tones, 48_000)
    return folder


def run(*arguments: object) -> str:
    """Run a command; return its standard output or raise its error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def hits(collection: Path, query: str, *options: object) -> list[dict]:
    return json.loads(run("search", collection, query, *options, "--format", "json"))["hits"]


@pytest.mark.long
@pytest.mark.parametrize("fixture", [*SEEING, *WATCHING, *HEARING])
def test_embed_and_search(
    fixture: str, checkpoint: Checkpoint, media: Path, tmp_path: Path
) -> None:
    collection = tmp_path / "c"
    model = f"{BACKENDS[fixture]}:{checkpoint(fixture)}"
    # PE-Core's smallest image tower reads 384 pixels: a few frames suffice.
    fps = 0.4 if fixture == "small_pe_core" else 2
    embed = ("embed", media, "-c", collection, "--model", model, "--workers", 0, "--fps", fps)
    pictures, recordings = (2 if fixture in SEEING else 0), (1 if fixture in HEARING else 0)
    items = pictures + recordings + 2
    assert run(*embed, "--device", "cpu").startswith(
        f"{items} items added ({pictures} {'image' if pictures == 1 else 'images'}, "
        f"{recordings} {'recording' if recordings == 1 else 'recordings'}, 2 videos)"
    )
    assert f"{items} unchanged" in run(*embed)  # its digest is stable
    run("index", collection)
    assert {"score", "space"} <= hits(collection, "a red circle", "-k", 1)[0].keys()
    names = ["tones.flac"] if recordings else ["brighter.mp4", "darker.mp4"]
    for name in names:
        best = hits(collection, f'@"{media / name}"')[0]
        assert best["uri"] == str(media / name)
        assert best["score"] == pytest.approx(1.0, abs=2e-3)


@pytest.mark.long
@pytest.mark.parametrize("fixture", WATCHING)
def test_a_clip_encoder_and_an_image_encoder_share_a_collection(
    fixture: str, checkpoint: Checkpoint, small_clip: Path, media: Path, tmp_path: Path
) -> None:
    """Images search the image space; texts search both spaces."""
    collection = tmp_path / "c"
    models = (f"open_clip:{small_clip}", f"{BACKENDS[fixture]}:{checkpoint(fixture)}")
    for model in models:  # the second completes the items of the first
        run("embed", media, "-c", collection, "--model", model, "--workers", 0)
    run("index", collection)
    status = json.loads(run("status", collection, "--format", "json"))
    assert status["items"] == {"image": 2, "video": 2}
    by_picture = hits(collection, f'@"{media / "1.png"}"')
    assert {hit["space"].rpartition("-")[0] for hit in by_picture} == {"small-clip"}
    assert {Path(hit["uri"]).suffix for hit in by_picture} == {".png", ".mp4"}
    assert len(hits(collection, "brighter and brighter", "--to", "video")) == 2


# ---------------------------------------------------------------- refused, and nothing executed


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


FIXTURES = ("small_clip", "small_clap", "small_mulan", "small_x_clip", "small_pe_av")


def weights_of(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


def check_refusal(fixture: str, folder: Path, canary: Path, match: str) -> None:
    """Check that loading fails in one line that names the folder, and runs no code."""
    with pytest.raises(ModelError, match=match) as caught:
        load_encoder(f"{BACKENDS[fixture]}:{folder}", device="cpu")
    assert "\n" not in str(caught.value)
    assert folder.name in str(caught.value)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.ckpt"])
@pytest.mark.parametrize("fixture", FIXTURES)
def test_fault_17_a_pickle_in_place_of_weights_fails(
    fixture: str, name: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder, canary = (
        Path(shutil.copytree(checkpoint(fixture), tmp_path / "bad")),
        tmp_path / "canary",
    )
    weights_of(folder).unlink()
    (folder / name).write_bytes(pickle.dumps(Canary(canary)))
    check_refusal(fixture, folder, canary, f"{name}, a pickle")


@pytest.mark.parametrize("fixture", FIXTURES)
def test_fault_17_a_pickle_under_the_name_of_weights_fails(
    fixture: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder, canary = (
        Path(shutil.copytree(checkpoint(fixture), tmp_path / "bad")),
        tmp_path / "canary",
    )
    weights_of(folder).write_bytes(pickle.dumps(Canary(canary)))
    check_refusal(fixture, folder, canary, "not a valid safetensors file")


@pytest.mark.parametrize("fixture", FIXTURES)
def test_fault_18_truncated_weights_fail(
    fixture: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint(fixture), tmp_path / "bad"))
    weights = weights_of(folder)
    weights.write_bytes(weights.read_bytes()[:-1000])
    check_refusal(fixture, folder, tmp_path / "canary", "not a valid safetensors file")


@pytest.mark.parametrize("fixture", FIXTURES)
def test_weights_of_another_kind_fail(fixture: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint(fixture), tmp_path / "bad"))
    other = "small_x_clip" if fixture != "small_x_clip" else "small_clap"
    shutil.copy(weights_of(checkpoint(other)), weights_of(folder))
    check_refusal(fixture, folder, tmp_path / "canary", "fit")


@pytest.mark.parametrize("fixture", ["small_clap", "small_x_clip", "small_pe_av"])
def test_a_folder_of_another_kind_fails(
    fixture: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    other = "small_x_clip" if fixture != "small_x_clip" else "small_clap"
    folder = Path(shutil.copytree(checkpoint(other), tmp_path / "bad"))
    check_refusal(fixture, folder, tmp_path / "canary", "bad")


@pytest.mark.parametrize("fixture", ["small_clap", "small_x_clip", "small_pe_av"])
def test_code_beside_the_weights_is_never_executed(
    fixture: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Configurations can name Python files, which a trusting loader would run."""
    folder, canary = (
        Path(shutil.copytree(checkpoint(fixture), tmp_path / "bad")),
        tmp_path / "canary",
    )
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(canary)!r})\n")
    auto = dict.fromkeys(("AutoConfig", "AutoModel", "AutoImageProcessor"), "evil.Evil")
    auto |= {"AutoTokenizer": ["evil.Evil", "evil.Evil"], "AutoFeatureExtractor": "evil.Evil"}
    for path in folder.glob("*config.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": auto}))
    with contextlib.suppress(ModelError):  # refused, or loaded without it
        load_encoder(f"{BACKENDS[fixture]}:{folder}", device="cpu").encode_text(["a"])
    assert not canary.exists()


def test_a_single_file_fails_and_the_message_names_the_converter(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "630k-audioset-best.pt"
    path.write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(
        WeightsFormatError,
        match=r"630k-audioset-best\.pt is a pickle, .*convert_clap_original_pytorch_to_hf\.py",
    ) as caught:
        load_encoder(f"clap:{path}")
    assert "\n" not in str(caught.value)
    with pytest.raises(WeightsFormatError, match=r"a pickle, which can run code.*save_pretrained"):
        load_encoder(f"xclip:{path}")
    assert not canary.exists()
