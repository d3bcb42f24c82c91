"""The bundled models as they ship: small enough for a wheel, and each with a card."""

from importlib.resources import files
from pathlib import Path

from safetensors import safe_open

from retrieval.encoders.weights import SCALE_SUFFIX

WEIGHTS = Path(str(files("retrieval"))) / "weights"


def test_bundled_files_fit_24_mib() -> None:
    sizes = {path: path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= 24 * 2**20, sorted(sizes.items(), key=lambda pair: -pair[1])


def test_every_model_has_a_card_and_half_precision_weights() -> None:
    for path in WEIGHTS.rglob("*.safetensors"):
        card = (path.parent / "README.md").read_text()
        assert card.startswith(f"# {path.parent.name}\n")
        assert "Command: `retrieval train" in card
        assert "License: Apache-2.0" in card
        with safe_open(path, "pt") as weights:
            types = {name: weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - no mapping
        small = {type_ for name, type_ in types.items() if not name.endswith(SCALE_SUFFIX)}
        assert small <= {"F16", "I8", "I64"}
