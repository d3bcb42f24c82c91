import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import XCLIPModel

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.pretrained import quiet_transformers
from retrieval.encoders.weights import weight_files
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError

INDEX = "model.safetensors.index.json"


@pytest.fixture
def parts(small_x_clip: Path, tmp_path: Path) -> Path:
    """Save an X-CLIP with sharded weights."""
    folder = Path(shutil.copytree(small_x_clip, tmp_path / "parts"))
    (folder / "model.safetensors").unlink()
    with quiet_transformers():
        XCLIPModel.from_pretrained(small_x_clip).save_pretrained(folder, max_shard_size="200KB")
    assert (folder / INDEX).is_file()
    return folder


def test_sharded_weights_make_the_same_vectors(parts: Path, small_x_clip: Path) -> None:
    assert len(weight_files(parts)) >= 2
    want = load_encoder(f"xclip:{small_x_clip}", device="cpu").encode_text(["a dog"])
    found = load_encoder(f"xclip:{parts}", device="cpu")
    np.testing.assert_allclose(found.encode_text(["a dog"]), want, atol=1e-6)
    digest = found.digest
    assert load_encoder(f"xclip:{parts}", device="cpu").digest == digest


def test_a_part_that_is_missing_or_damaged_fails(parts: Path) -> None:
    part = weight_files(parts)[-1]
    content = part.read_bytes()
    part.write_bytes(content[:-10])
    with pytest.raises(WeightsFormatError, match=f"{part.name}: not a valid safetensors file"):
        load_encoder(f"xclip:{parts}", device="cpu")
    part.unlink()
    with pytest.raises(WeightsNotAvailableError, match=f"{part.name}: no such file of weights"):
        load_encoder(f"xclip:{parts}", device="cpu")


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": 3}', '{"weight_map": {"a": 1}}'])
def test_a_damaged_list_of_parts_fails(parts: Path, content: str) -> None:
    (parts / INDEX).write_text(content)
    with pytest.raises(WeightsFormatError, match="lists no files of weights"):
        weight_files(parts)


def test_a_list_that_leads_out_of_the_folder_fails(parts: Path) -> None:
    index = json.loads((parts / INDEX).read_text())
    index["weight_map"] = dict.fromkeys(index["weight_map"], "../elsewhere.safetensors")
    (parts / INDEX).write_text(json.dumps(index))
    with pytest.raises(WeightsFormatError, match="lists no files of weights"):
        weight_files(parts)


def test_quiet_transformers_keeps_stdout_clean(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet_transformers():
        sys.stdout.write("loading …")
    sys.stdout.write("an answer")
    assert capsys.readouterr().out == "an answer"
