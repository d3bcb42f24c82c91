from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from retrieval.errors import QueryError
from retrieval.search.calibration import QueryType
from retrieval.search.query import parse_query
from retrieval.search.query_vectors import QueryVectors, embed_query
from retrieval.search.vector_query import MAX_QUERY_VECTORS
from retrieval.types import AudioWindows, Medium, Space
from support.toy_encoder import ToyEncoder

EYE, EAR = ToyEncoder(), ToyEncoder.music()
PICTURES = Space("eye", EYE.spec, EYE.dim, EYE.media, EYE.digest)
SOUND = Space("ear", EAR.spec, EAR.dim, (Medium.AUDIO,), EAR.digest, windows=EAR.windows)
ENCODERS = {"eye": EYE, "ear": EAR}


def embedded(query: str, *spaces: Space) -> dict[str, QueryVectors]:
    chosen = spaces or (PICTURES, SOUND)
    return embed_query(parse_query(query), chosen, lambda space: ENCODERS[space.name])


@pytest.fixture
def red(tmp_path: Path) -> Path:
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


def test_a_text_has_one_vector_in_every_space() -> None:
    found = embedded("a red thing")
    assert found.keys() == {"eye", "ear"}
    np.testing.assert_array_equal(found["eye"].vectors, EYE.encode_text(["a red thing"]))
    assert found["eye"].query_type is QueryType.TEXT


def test_a_picture_is_embedded_in_image_spaces(red: Path) -> None:
    found = embedded(f"@{red}")
    assert found.keys() == {"eye"}
    pixels = np.zeros((1, 16, 16, 3), np.uint8)
    pixels[..., 0] = 255
    np.testing.assert_allclose(found["eye"].vectors, EYE.encode_images(pixels), atol=1e-6)
    assert found["eye"].query_type is QueryType.MEDIA


def test_a_sum_is_the_unit_vector_of_weighted_units(red: Path) -> None:
    found = embedded(f'"blue" + 0.5*@{red} - 0.25*"high"')["eye"]
    blue, high = (EYE.encode_text([word])[0] for word in ("blue", "high"))
    picture = embedded(f"@{red}")["eye"].vectors[0]
    total = blue + 0.5 * picture - 0.25 * high
    np.testing.assert_allclose(found.vectors[0], total / np.linalg.norm(total), atol=1e-6)


def test_a_long_recording_keeps_evenly_spaced_windows(tmp_path: Path) -> None:
    seconds = 2 * (MAX_QUERY_VECTORS + 40)
    tone = np.sin(2 * np.pi * 440 / 8000 * np.arange(8000 * seconds)) * 0.5
    soundfile.write(tmp_path / "tone.wav", tone, 8000)
    vectors = embedded(f"@{tmp_path / 'tone.wav'}")["ear"].vectors
    assert vectors.shape == (MAX_QUERY_VECTORS, EAR.dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_fault_31_terms_that_cancel_out_fail() -> None:
    with pytest.raises(QueryError, match="cancel each other out"):
        embedded('"red" - "red"')


def test_a_medium_that_no_space_embeds_fails(red: Path) -> None:
    with pytest.raises(QueryError, match=r"red\.png: no encoder for images; add one"):
        embedded(f"@{red}", SOUND)


@pytest.mark.parametrize("content", [b"", b"<html>"])
def test_fault_19_a_bad_file_as_a_query_fails(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(QueryError, match=r"bad\.jpg: "):
        embedded(f"@{tmp_path / 'bad.jpg'}")
    with pytest.raises(QueryError, match="no such file"):
        embedded(f"@{tmp_path / 'gone.jpg'}")


def test_windows_of_a_query_are_those_of_the_space(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", np.full(8000 * 6, 0.1), 8000)
    hopped = Space("ear", EAR.spec, EAR.dim, (Medium.AUDIO,), "0" * 64,
                   windows=AudioWindows(8000, 2.0, 1.0))  # fmt: skip
    assert len(embedded(f"@{tmp_path / 's.wav'}", hopped)["ear"].vectors) > 3
