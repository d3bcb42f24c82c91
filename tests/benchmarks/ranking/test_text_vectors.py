from pathlib import Path

import numpy as np
import pytest

from benchmarks.ranking.text_vectors import cached_text_vectors
from retrieval.collection import Collection

TEXTS = ["a red circle", "a green star", "the sea"]


def test_texts_are_embedded_once(indexed: Collection, tmp_path: Path) -> None:
    space = indexed.snapshot.spaces[0]
    vectors = cached_text_vectors(tmp_path / "texts", indexed, space, TEXTS)
    np.testing.assert_array_equal(vectors, indexed.encoder(space).encode_text(TEXTS))
    without_model = Collection(indexed.root, device="nowhere")
    kept = cached_text_vectors(tmp_path / "texts", without_model, space, TEXTS)
    np.testing.assert_array_equal(kept, vectors)
    other = cached_text_vectors(tmp_path / "texts", indexed, space, TEXTS[:2])
    np.testing.assert_allclose(other, vectors[:2], atol=1e-5)
    assert len(list((tmp_path / "texts").iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", None])
def test_a_damaged_file_is_written_again(
    content: bytes | None, indexed: Collection, tmp_path: Path
) -> None:
    space = indexed.snapshot.spaces[0]
    vectors = cached_text_vectors(tmp_path, indexed, space, TEXTS)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] if content is None else content)
    np.testing.assert_array_equal(cached_text_vectors(tmp_path, indexed, space, TEXTS), vectors)
    assert path.read_bytes() == whole
