import subprocess
import sys
from pathlib import Path

import pytest

from retrieval.encoders.catalogue import BUNDLED, CATALOGUE, load_encoder, resolve
from retrieval.errors import MissingExtraError, UnknownModelError
from retrieval.types import Medium


def test_names_stand_for_sets_of_encoders() -> None:
    music = "clap:laion/larger_clap_general"
    assert resolve("tiny") == ("tiny-image", "tiny-music", "tiny-video")
    assert resolve("small") == ("open_clip:ViT-B-32-SigLIP2-256/webli", music)
    assert resolve("base") == ("open_clip:PE-Core-B-16/meta", music)
    assert resolve("large") == ("open_clip:PE-Core-L-14-336/meta", music)
    assert resolve("music") == (music,)
    assert resolve("music-and-speech") == ("clap:laion/larger_clap_music_and_speech",)
    assert resolve("pe-av") == ("pe-av:facebook/pe-av-small-16-frame",)
    assert resolve("x-clip") == ("xclip:microsoft/xclip-base-patch32",)
    names = ["tiny", "small", "base", "large", "music", "music-and-speech", "muq-mulan"]
    assert list(CATALOGUE) == [*names, "pe-av", "x-clip"]
    for entry in CATALOGUE.values():
        for spec, media in entry.encoders.items():
            assert set(media) <= set(Medium)
            assert resolve(spec) == (spec,)  # as stored in a collection


def test_names_of_open_clip_exist_there() -> None:
    import open_clip

    for entry in CATALOGUE.values():
        for spec in entry.encoders:
            if spec.startswith("open_clip:"):
                name, _, tag = spec.removeprefix("open_clip:").partition("/")
                assert open_clip.get_pretrained_cfg(name, tag)["hf_hub"]


def test_local_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "w.safetensors").touch()
    assert resolve("mulan:mine") == (f"mulan:{tmp_path}/mine",)
    assert resolve("clap:~/mine") == (f"clap:{tmp_path}/mine",)
    for path in ("mine/w.safetensors", "~/mine/w.safetensors", f"{tmp_path}/mine/w.safetensors"):
        want = (f"open_clip:ViT-B-32/{tmp_path}/mine/w.safetensors",)
        assert resolve(f"open_clip:ViT-B-32/{path}") == want
        assert resolve(want[0]) == want
    assert resolve("clap:maker/model") == ("clap:maker/model",)


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("smal", r"did you mean 'small'\? the names are tiny, small, base, .*open_clip:NAME/TAG"),
        ("", "the names are tiny"),
        ("onnx:x", "the prefixes are open_clip, clap, mulan, video-text, pe-av, xclip, muq"),
        ("open_clip:", "open_clip:FOLDER"),
        ("mulan", "expected mulan:FOLDER"),
        ("muq", "use muq-mulan"),
        ("xclip", "expected xclip:HUB-ID-OR-FOLDER"),
    ],
)
def test_unknown_names_fail(model: str, hint: str) -> None:
    with pytest.raises(UnknownModelError, match=hint):
        resolve(model)
    with pytest.raises(UnknownModelError, match=hint):
        load_encoder(model)


def test_a_name_of_several_encoders_is_not_loadable() -> None:
    with pytest.raises(UnknownModelError, match="one of them: tiny-image, tiny-music"):
        load_encoder("tiny")


def test_a_backend_without_its_extra_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.encoders.catalogue.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"'muq'; .*retrieval\[muq\].*CC-BY-NC"):
        load_encoder(resolve("muq-mulan")[0])


@pytest.mark.parametrize("spec", list(BUNDLED))
def test_bundled_models_load_by_name(spec: str) -> None:
    encoder = load_encoder(spec, device="cpu")
    assert encoder.spec == spec
    assert encoder.encode_text(["a red circle", "slow piano"]).shape == (2, encoder.dim)


def test_resolving_a_name_imports_no_model_library() -> None:
    code = (
        "import sys, retrieval.encoders.catalogue as c, retrieval.encoders.spaces;"
        "c.resolve('tiny');"
        "import retrieval.encoders.pooling, retrieval.encoders.weights;"
        "print(sorted({'torch', 'transformers', 'open_clip', 'faiss'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
