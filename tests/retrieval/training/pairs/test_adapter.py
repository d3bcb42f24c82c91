import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from retrieval.collection import Collection
from retrieval.embedding.options import EmbedOptions
from retrieval.encoders.catalogue import load_encoder
from retrieval.errors import ModelError
from retrieval.training.pairs.options import PairsOptions
from retrieval.training.pairs.train import PairsReport, train_on_pairs

pytestmark = pytest.mark.long


def train(manifests, out: Path, **options: object) -> PairsReport:
    values = {"init": "tiny", "adapter": True, "batch": 64, "device": "cpu", "steps": 160}
    values |= {"validation": manifests.val, **options}
    return train_on_pairs(PairsOptions("clip", manifests.train, out, **values))


@pytest.fixture(scope="module")
def adapted(german_pictures, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("adapted") / "german"
    return folder, train(german_pictures, folder)


def test_an_adapter_learns_words_that_are_new_to_its_base(adapted) -> None:
    _, report = adapted
    assert report.before.pool == report.after.pool == 50
    assert report.before.shares["R@1"] <= 0.1
    assert report.after.shares["R@1"] >= 0.7
    assert report.after.shares["R@10"] >= 0.9


def test_the_encoder_scores_as_in_training(adapted, german_pictures) -> None:
    folder, report = adapted
    encoder = load_encoder(report.spec, device="cpu")
    rows = [line.split(",") for line in german_pictures.val.read_text().splitlines()[1:]]
    media = np.stack(
        [np.asarray(Image.open(german_pictures.val.parent / path)) for path, _ in rows]
    )
    scores = encoder.encode_text([text for _, text in rows]) @ encoder.encode_images(media).T
    first = float(np.mean(scores.argmax(axis=1) == np.arange(len(rows))))
    assert first == pytest.approx(report.after.shares["R@1"], abs=0.02)
    assert report.spec == f"adapter:{folder}"


def test_embed_and_search_with_it(adapted, german_pictures, tmp_path: Path) -> None:
    _, report = adapted
    collection = Collection(tmp_path / "c", device="cpu")
    done = collection.add(
        german_pictures.val, options=EmbedOptions(models=(report.spec,), device="cpu", workers=0)
    )
    assert sum(done.added.values()) == 50
    collection.index()
    path, text = german_pictures.val.read_text().splitlines()[1].split(",")
    assert path in [hit.uri.rpartition("/")[2] for hit in collection.search(text, k=3)]


def test_files_are_embedded_once(
    adapted, german_pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, report = adapted
    (tmp_path / "features.safetensors").write_bytes((folder / "features.safetensors").read_bytes())
    monkeypatch.setattr("retrieval.training.pairs.media.read_image", None)  # no file is read again
    again = train(german_pictures, tmp_path)
    assert again.after == report.after
    one, other = (load_file(place / "adapter.safetensors") for place in (folder, tmp_path))
    assert all((tensor == other[name]).all() for name, tensor in one.items())


def test_a_frozen_tower_keeps_its_vectors(german_pictures, tmp_path: Path) -> None:
    report = train(german_pictures, tmp_path, frozen="image", steps=40)
    base, encoder = (load_encoder(spec, device="cpu") for spec in ("tiny-image", report.spec))
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    np.testing.assert_allclose(
        encoder.encode_images(pictures), base.encode_images(pictures), atol=1e-6
    )
    assert abs(encoder.encode_text(["rot"]) - base.encode_text(["rot"])).max() > 0.05


def test_an_adapter_is_continued(adapted, german_pictures, tmp_path: Path) -> None:
    folder, report = adapted
    again = train(german_pictures, tmp_path, init=str(folder), steps=1, learning_rate=1e-6)
    assert again.before.shares["R@1"] == report.after.shares["R@1"]
    assert json.loads((tmp_path / "adapter.json").read_text())["base"] == "tiny-image"


def test_any_audio_encoder_takes_an_adapter(
    german_tones, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "retrieval")
    report = train_on_pairs(
        PairsOptions(
            "mulan",
            german_tones.train,
            tmp_path / "tones",
            validation=german_tones.val,
            init="tiny",
            adapter=True,
            steps=60,
            device="cpu",
        )
    )
    assert load_encoder(report.spec, device="cpu").media == ("audio",)
    assert report.after.shares["R@1"] >= max(0.75, report.before.shares["R@1"])
    assert any(line.startswith("step 0: R@1") for line in caplog.messages)


def test_an_adapter_without_a_base_fails(german_pictures, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="an adapter needs a model to adapt"):
        train(german_pictures, tmp_path / "out", init=None)
    with pytest.raises(ModelError, match="tiny-music embeds no image"):
        train(german_pictures, tmp_path / "out", init="tiny-music")
