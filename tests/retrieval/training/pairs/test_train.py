import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import retrieval
from retrieval.collection import Collection
from retrieval.demo.videos import sample_video, write_video
from retrieval.embedding.options import EmbedOptions
from retrieval.encoders.catalogue import load_encoder
from retrieval.errors import ModelError, SourceError, UnknownModelError, WeightsFormatError
from retrieval.targets import Target
from retrieval.training.pairs.options import PairsOptions
from retrieval.training.pairs.train import train_on_pairs
from retrieval.training.pairs.trainable import resolve_init
from support.stopped import stop_at


@pytest.fixture
def options(few_pictures, small_model: Path, tmp_path: Path) -> PairsOptions:
    """A few steps that continue a small image-text model."""
    return PairsOptions(
        "clip",
        few_pictures.train,
        tmp_path / "out",
        validation=few_pictures.val,
        init=str(small_model),
        steps=3,
        batch=16,
        part_pairs=8,
        learning_rate=1e-3,
        device="cpu",
    )


@pytest.fixture
def tones(german_tones, small_mulan: Path, tmp_path: Path) -> PairsOptions:
    """The same with sound; the manifest names spans of recordings."""
    return PairsOptions(
        "mulan",
        german_tones.train,
        tmp_path / "out",
        validation=german_tones.val,
        init=str(small_mulan),
        steps=3,
        batch=8,
        learning_rate=1e-3,
        device="cpu",
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = (p for p in folder.glob("*.safetensors") if "checkpoint" not in p.name)
    return load_file(path)


@pytest.mark.long
def test_towers_learn_their_pairs(options: PairsOptions) -> None:
    report = train_on_pairs(replace(options, steps=40, batch=32, validation=options.pairs))
    assert (report.spans, report.skipped, report.steps) == (32, 0, 40)
    assert report.after.shares["R@5"] > report.before.shares["R@5"] + 0.2


@pytest.mark.long
def test_the_bundled_model_is_continued(options: PairsOptions) -> None:
    report = train_on_pairs(replace(options, init="tiny", steps=1))
    assert report.spec == f"open_clip:{options.out}"
    encoder = load_encoder(report.spec, device="cpu")
    assert encoder.encode_text(["ein rot vor Meer"]).shape == (1, 256)
    assert encoder.geometry == load_encoder("tiny-image", device="cpu").geometry
    assert {path.name for path in options.out.iterdir()} == {
        "README.md",
        "open_clip_config.json",
        "open_clip_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.svg",
    }
    assert "R@1" in (options.out / "training.svg").read_text()
    assert "32 media of few-train.csv" in (options.out / "README.md").read_text()


def test_a_stopped_training_resumes_and_ends_the_same(
    options: PairsOptions, caplog: pytest.LogCaptureFixture
) -> None:
    options = replace(options, steps=6)
    whole = replace(options, out=options.out.with_name("whole"))
    want = train_on_pairs(whole)
    with pytest.raises(KeyboardInterrupt):
        train_on_pairs(options, stop_at("training", 5))
    assert [path.name for path in options.out.iterdir()] == ["checkpoint.safetensors"]
    caplog.set_level("INFO", "retrieval.training")
    report = train_on_pairs(options)
    assert "resuming after 4 of 6 steps" in caplog.messages
    assert (report.before, report.after) == (want.before, want.after)
    assert all(
        torch.equal(tensor, weights(whole.out)[name])
        for name, tensor in weights(options.out).items()
    )
    assert not (options.out / "checkpoint.safetensors").exists()


def test_a_checkpoint_of_other_settings_fails(options: PairsOptions) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_on_pairs(options, stop_at("training", 2))
    with pytest.raises(WeightsFormatError, match=r"seed 0 \(now 1\)"):
        train_on_pairs(replace(options, seed=1))


@pytest.mark.parametrize("frozen", ["image", "text"])
def test_a_frozen_tower_keeps_its_weights(
    options: PairsOptions, small_model: Path, frozen: str
) -> None:
    train_on_pairs(replace(options, frozen=frozen))
    before = weights(small_model)
    for name, tensor in weights(options.out).items():
        same = torch.equal(tensor, before[name].half())
        belongs_to_image = name.startswith("visual.")
        if belongs_to_image == (frozen == "image") and name != "logit_scale":
            assert same, name
        elif name.endswith("proj.weight") or name == "token_embedding.weight":
            assert not same, name


@pytest.mark.long
def test_a_new_model(options: PairsOptions) -> None:
    report = train_on_pairs(replace(options, init=None, steps=1))
    encoder = load_encoder(report.spec, device="cpu")
    assert encoder.dim == 256
    assert encoder.tokenize(["ein rot vor Meer"])[0].count_nonzero() <= 6  # its own words
    assert not (options.out / "start").exists()


def test_without_validation_pairs_some_files_are_held_out(options: PairsOptions) -> None:
    report = train_on_pairs(replace(options, validation=None))
    assert report.spans == 29
    assert report.after.pool == 3


@pytest.mark.long
def test_a_trained_folder_is_continued(options: PairsOptions) -> None:
    first = train_on_pairs(options)
    other = replace(options, init=str(options.out), out=options.out.with_name("next"), steps=1)
    assert train_on_pairs(other).before.shares["R@10"] == pytest.approx(
        first.after.shares["R@10"],
        abs=0.041,  # float16 on the way
    )


def test_an_architecture_with_a_local_file_of_weights_is_continued(
    options: PairsOptions, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `open_clip:NAME/path/to.safetensors`: configuration and tokenizer are open_clip's own."""
    import open_clip
    from safetensors.torch import save_file

    name = "ViT-small-for-tests"
    config = json.loads((small_model / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, config)
    torch.manual_seed(0)
    model = open_clip.create_model(name)
    save_file(
        {key: one.contiguous() for key, one in model.state_dict().items()},
        tmp_path / "w.safetensors",
    )
    report = train_on_pairs(
        replace(options, init=f"open_clip:{name}/{tmp_path}/w.safetensors", steps=1, batch=4)
    )
    encoder = load_encoder(report.spec, device="cpu")
    assert encoder.dim == open_clip.get_model_config(name)["embed_dim"]
    assert report.before.pool == 8


def test_spans_of_recordings(tones: PairsOptions) -> None:
    report = train_on_pairs(replace(tones, steps=12))
    assert (report.spans, report.after.pool) == (24, 8)
    assert report.after.shares["R@1"] >= report.before.shares["R@1"]
    encoder = load_encoder(report.spec, device="cpu")
    windows = np.zeros((1, encoder.windows.window_samples), np.float32)
    assert encoder.encode_audio(windows, np.array([1.0])).shape == (1, 16)


@pytest.mark.long
def test_a_new_sound_model(tones: PairsOptions) -> None:
    report = train_on_pairs(replace(tones, init=None, frozen="audio"))
    assert load_encoder(report.spec, device="cpu").dim == 128


def test_a_masked_language_model_is_trained_as_well(tones: PairsOptions) -> None:
    plain = train_on_pairs(replace(tones, out=tones.out.with_name("plain")))
    report = train_on_pairs(replace(tones, masked_language=0.5))
    with_it, without = weights(tones.out), weights(tones.out.with_name("plain"))
    assert with_it.keys() == without.keys()  # the head is thrown away
    assert not torch.equal(with_it["text.embed.weight"], without["text.embed.weight"])
    assert report.after.pool == plain.after.pool == 8


def test_unusable_rows_are_logged_and_skipped(
    options: PairsOptions, caplog: pytest.LogCaptureFixture
) -> None:
    folder = options.pairs.parent / "bad"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    rows = options.pairs.read_text().splitlines()[:20]
    for row in rows[1:]:
        name = row.split(",")[0]
        shutil.copy(options.pairs.parent / name, folder / name)
    (folder / "0003.png").write_bytes(b"GIF89a and nothing else")
    manifest = folder / "pairs.csv"
    manifest.write_text("\n".join([*rows, "nowhere.png,ein Nichts"]))
    report = train_on_pairs(replace(options, pairs=manifest))
    assert (report.spans, report.skipped) == (18, 2)
    lines = [line for line in caplog.messages if line.startswith(str(manifest))]
    assert lines[0].startswith(f"{manifest}, row 20: nowhere.png is not a file")
    assert f"{manifest}, row 4: {folder / '0003.png'}: not a readable image" in lines[1]


def test_many_unusable_rows_are_summed_up(
    options: PairsOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = tmp_path / "pairs.csv"
    rows = [f"{row}.png,x" for row in range(30)]
    manifest.write_text("\n".join(["path,caption", *rows]))
    with pytest.raises(SourceError, match="0 usable spans"):
        train_on_pairs(replace(options, pairs=manifest))
    lines = [line for line in caplog.messages if line.startswith(str(manifest))]
    assert len(lines) == 21
    assert lines[0].startswith(f"{manifest}, row 1: 0.png is not a file")
    assert lines[-1] == f"{manifest}: 10 more rows skipped"


def test_a_manifest_without_usable_rows_fails(options: PairsOptions, tmp_path: Path) -> None:
    manifest = tmp_path / "pairs.csv"
    manifest.write_text("path,caption\na.png,x\nb.png,y\n")
    with pytest.raises(SourceError, match=r"0 usable spans.*row 1: a\.png is not a file"):
        train_on_pairs(replace(options, pairs=manifest))
    (tmp_path / "a.png").write_text("no")
    (tmp_path / "b.png").write_text("no")
    with pytest.raises(SourceError, match=r"0 usable spans.*not a readable image"):
        train_on_pairs(replace(options, pairs=manifest))


def test_models_that_cannot_be_continued_fail(options: PairsOptions) -> None:
    with pytest.raises(ModelError, match="no tower 'audio' to freeze, expected image or text"):
        train_on_pairs(replace(options, frozen="audio"))
    with pytest.raises(UnknownModelError, match="has no open_clip model to continue"):
        train_on_pairs(replace(options, init="music"))
    with pytest.raises(UnknownModelError, match="no model 'nothing'"):
        train_on_pairs(replace(options, init="nothing"))


def test_fault_17_a_pickle_is_never_loaded(options: PairsOptions, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(Path(retrieval.__file__).parent / "weights" / "tiny-image", folder)
    (folder / "open_clip_model.safetensors").rename(folder / "open_clip_model.bin")
    with pytest.raises(WeightsFormatError, match="a pickle, which can run code"):
        train_on_pairs(replace(options, init=str(folder)))


def test_init_is_resolved(tmp_path: Path) -> None:
    assert resolve_init("clip", "tiny") == "tiny-image"
    assert resolve_init("mulan", "tiny") == "tiny-music"
    assert resolve_init("clip", str(tmp_path)) == f"open_clip:{tmp_path}"
    assert resolve_init("mulan", str(tmp_path)) == f"mulan:{tmp_path}"
    (tmp_path / "adapter.json").touch()
    assert resolve_init("clip", str(tmp_path), any_backend=True) == f"adapter:{tmp_path}"
    assert resolve_init("mulan", "music", any_backend=True).startswith("clap:")
    assert resolve_init("clip", "small", any_backend=True).startswith("open_clip:")


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of eight short videos of the demo world."""
    folder = tmp_path_factory.mktemp("filmed")
    lines = ["path,caption,start_seconds,end_seconds"]
    for number in range(8):
        video = sample_video(np.random.default_rng(number), seconds=(4.0, 6.0))
        write_video(video, folder / f"{number}.mp4", size_pixels=64)
        lines.append(f"{number}.mp4,{json.dumps(video.events[0].caption.text)},0,")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    return folder / "pairs.csv"


@pytest.mark.long
def test_a_video_text_model_extends_an_image_model(
    filmed: Path, small_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = PairsOptions(
        "video", filmed, out, init=str(small_model), frozen="images", steps=2, batch=4, device="cpu"
    )
    report = train_on_pairs(options)
    assert report.spec == f"video-text:{out}"
    assert not (out / "images").exists()
    encoder = load_encoder(report.spec, device="cpu")
    assert encoder.encode_text(["a star moving left"]).shape == (1, 32)
    # Its result is continued; then the image model is trained and saved as well.
    more = replace(options, out=tmp_path / "more", init=str(out), frozen=None, steps=1)
    report = train_on_pairs(more)
    assert (tmp_path / "more" / "images" / "open_clip_model.safetensors").exists()
    assert load_encoder(report.spec, device="cpu").digest != encoder.digest
    with pytest.raises(ModelError, match="no tower 'text' to freeze, expected images"):
        train_on_pairs(replace(options, frozen="text"))


@pytest.mark.long
def test_its_folder_embeds_and_finds_videos(filmed: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    train_on_pairs(
        PairsOptions("video", filmed, out, frozen="images", steps=1, batch=4, device="cpu")
    )
    collection = Collection(tmp_path / "c")
    collection.add(filmed.parent, options=EmbedOptions(models=("tiny-image", f"video-text:{out}")))
    collection.index()
    spaces = {space.encoder: space.name for space in collection.snapshot.spaces}
    name = spaces[f"video-text:{out}"]
    (hit, *_) = collection.answer(f'@"{filmed.parent / "3.mp4"}"', k=1, spaces=[name]).hits
    assert (hit.uri.endswith("3.mp4"), hit.space) == (True, name)
    assert hit.score == pytest.approx(1, abs=1e-3)

    # Moments are localized in a space with frames, whichever space found the video.
    def spans(*among: str) -> set[tuple[str, float, float]]:
        hits = collection.answer("a star", to=[Target.MOMENT, Target.VIDEO], k=99, spaces=among)
        return {(hit.uri, hit.start_seconds, hit.end_seconds) for hit in hits.hits}

    assert spans(name, spaces["tiny-image"]) == spans(spaces["tiny-image"])
    assert spans(name)  # It also answers alone.
