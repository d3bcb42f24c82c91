"""What is remembered of an open_clip model, so that later processes encode texts at once.

After a model was loaded completely, its text tower is built once more without torch. If it encodes
some texts to nearly the same vectors, its description is stored in the user's cache. A description
is valid while none of the model's files changes.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.text_tower import POOLINGS, TextTower, TextTowerConfig
from retrieval.encoders.tokens import SPECIMEN
from retrieval.errors import StorageError
from retrieval.files.documents import parse_json
from retrieval.files.writing import write_text
from retrieval.types import ImageGeometry

logger = logging.getLogger(__name__)

Tokenizer = Callable[[Sequence[str]], NDArray[np.int64]]
"""Returns the ids of texts, (n, context length)."""

RECORD_VERSION = 2
PROBES = ("", "a dog on the beach", "Ein Café, 3 Katzen & “東京”!", SPECIMEN)
"""Texts whose vectors must be equal, except for `TOLERANCE`."""

TOLERANCE = 1e-5
"""Maximum distance of the vectors of a text, and thus maximum difference of its scores."""


@dataclass(frozen=True, slots=True)
class TokenizerConfig:
    """A tokenizer.

    Attributes:
        kind: `simple` for open_clip's own, `fast` for a file of the library tokenizers.
        content: The file's content; empty for `simple`.
        clean: How texts are cleaned first, in open_clip's terms; empty for `simple`.
        context_length: Number of ids of each text.
    """

    kind: str
    content: str
    clean: str
    context_length: int


@dataclass(frozen=True, slots=True)
class FileState:
    """A file, and what changes when it is written."""

    path: str
    bytes: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: str) -> FileState:
        """Look at a file.

        Raises:
            OSError: There is no such file.
        """
        stat = os.stat(path)
        return cls(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class TextRecord:
    """Everything that encoding texts needs, besides the weights.

    Attributes:
        version: Version of this format.
        open_clip: Version of open_clip that the model was loaded with.
        files: The files that the model consists of.
    """

    version: int
    open_clip: str
    files: tuple[FileState, ...]
    weights: str
    slug: str
    dim: int
    digest: str
    logit_scale: float
    geometry: ImageGeometry
    tower: TextTowerConfig
    tokenizer: TokenizerConfig

    @property
    def is_current(self) -> bool:
        """Whether all files are as they were."""
        try:
            return self.files == tuple(FileState.of(file.path) for file in self.files)
        except OSError:
            return False


def read_record(spec: str) -> TextRecord | None:
    """Return the valid record of a model; None if there is none."""
    try:
        record = parse_json(TextRecord, record_path(spec).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    known = (record.version, record.open_clip) == (RECORD_VERSION, version("open_clip_torch"))
    return record if known and record.is_current else None


def record_path(spec: str) -> Path:
    """Return the path of the record of a model.

    The same specification means other files where the hub's cache is elsewhere.
    """
    from platformdirs import user_cache_path

    hub = [os.environ.get(name, "") for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")]
    name = hashlib.sha256(json.dumps([spec, *hub]).encode()).hexdigest()[:32]
    return user_cache_path("retrieval") / "texts" / f"{name}.json"


def write_record(encoder: Any) -> TextRecord | None:
    """Store the record of a loaded `OpenClipEncoder`; None if its texts need open_clip itself."""
    record = describe(encoder)
    if record is None:
        return None
    path = record_path(encoder.spec)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text(path, json.dumps(asdict(record)))
    except (OSError, StorageError) as error:
        logger.debug("%s: nothing is remembered: %s", path, error)
    return record


def describe(encoder: Any) -> TextRecord | None:
    """Describe a loaded `OpenClipEncoder`; None if its texts need open_clip itself."""
    try:
        weights = encoder.checkpoint.weights
        record = TextRecord(
            RECORD_VERSION,
            version("open_clip_torch"),
            tuple(FileState.of(str(path)) for path in _files(encoder.checkpoint)),
            str(weights),
            encoder.slug,
            encoder.dim,
            encoder.digest,
            encoder.logit_scale,
            encoder.geometry,
            _tower_config(encoder.model, encoder.dim),
            _tokenizer_config(encoder.tokenizer),
        )
        tokens = make_tokenizer(record.tokenizer)
        tower = TextTower.load(record.tower, weights)
        for probe in PROBES:
            difference = encoder.encode_text([probe]) - encode(tower, tokens([probe]))
            if not np.linalg.norm(difference) <= TOLERANCE:
                raise ValueError(f"{probe!r} has another vector")
    except Exception as error:  # any difference to what is expected means that open_clip is needed
        logger.debug("%s: texts need open_clip: %s", encoder.spec, error)
        return None
    return record


def encode(tower: TextTower, tokens: NDArray[np.int64], name: str = "text") -> NDArray[np.float32]:
    """Map (n, context length) ids to unit vectors, (n, dim) float32.

    Raises:
        InvalidVectorError: A vector is not finite or has no length; names `name`.
    """
    from retrieval.encoders.pooling import unit_rows

    # One by one, so that a vector does not depend on other texts.
    rows = [tower(text) for text in tokens]
    return unit_rows(np.stack(rows), name)


# ---------------------------------------------------------------- tokenizers


def make_tokenizer(config: TokenizerConfig) -> Tokenizer:
    """Return a function from texts to (n, context length) int64 ids."""
    module = _open_clip_tokenizers()
    if config.kind == "simple":
        return partial(_simple_ids, module.SimpleTokenizer(), config.context_length)
    import tokenizers

    tokenizer: Any = tokenizers.Tokenizer.from_str(config.content)
    clean = module.get_clean_fn(config.clean)

    def tokenize(texts: Sequence[str]) -> NDArray[np.int64]:
        encoded = tokenizer.encode_batch([clean(text) for text in texts])
        return np.array([each.ids for each in encoded], np.int64)

    return tokenize


def _simple_ids(tokenizer: Any, length: int, texts: Sequence[str]) -> NDArray[np.int64]:
    """Tokenize as open_clip's `SimpleTokenizer`, whose call returns tensors of torch."""
    ids = np.zeros((len(texts), length), np.int64)
    for row, text in zip(ids, texts, strict=True):
        tokens = [tokenizer.sot_token_id, *tokenizer.encode(text)][: length - 1]
        row[: len(tokens) + 1] = [*tokens, tokenizer.eot_token_id]
    return ids


def _open_clip_tokenizers() -> Any:
    """Import open_clip's module of tokenizers without its package and without torch."""
    package = importlib.util.find_spec("open_clip")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0]) / "tokenizer.py"
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    module.__builtins__ = {**vars(builtins), "__import__": _import_except_torch}
    spec.loader.exec_module(module)
    return module


def _import_except_torch(name: str, *arguments: Any) -> Any:
    """Import a module; of torch, only what annotations of functions mention."""
    if name == "torch":
        return SimpleNamespace(Tensor=None, LongTensor=None)
    return __import__(name, *arguments)


def _tokenizer_config(tokenizer: Any) -> TokenizerConfig:
    """Describe a tokenizer of open_clip.

    Raises:
        ValueError: It has a variant that is not known here.
    """
    length = int(tokenizer.context_length)
    if type(tokenizer).__name__ == "SimpleTokenizer":
        return TokenizerConfig("simple", "", "", length)
    if tokenizer.tokenizer_mode or tokenizer.strip_sep_token:
        raise ValueError("a mode of the tokenizer")
    wrapped = tokenizer.tokenizer
    fast: Any = type(wrapped.backend_tokenizer).from_str(wrapped.backend_tokenizer.to_str())
    fast.enable_truncation(length)
    fast.enable_padding(length=length, pad_id=wrapped.pad_token_id, pad_token=wrapped.pad_token)
    clean = tokenizer.clean_fn.__name__.removeprefix("_clean_")
    return TokenizerConfig("fast", fast.to_str(), clean, length)


# ---------------------------------------------------------------- models


def _files(checkpoint: Any) -> Iterator[Path]:
    """Yield the files that a model is loaded from."""
    yield checkpoint.weights
    for folder in {checkpoint.folder, checkpoint.tokenizer, checkpoint.weights.parent} - {None}:
        yield from (path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".txt"))
    current = checkpoint.weights.parent.parent.parent / "refs" / "main"
    if current.is_file():  # the commit that the hub's cache uses
        yield current


def _tower_config(model: Any, dim: int) -> TextTowerConfig:
    """Describe the text tower of a model of open_clip.

    Raises:
        ValueError, AttributeError: It has a variant that is not known here.
    """
    is_custom = type(model).__name__ == "CustomTextCLIP"
    text = model.text if is_custom else model
    first = text.transformer.resblocks[0]
    if (
        type(first).__name__ != "ResidualAttentionBlock"
        or getattr(text, "cls_emb", None) is not None
    ):
        raise ValueError("a variant of the text tower")
    pooling = text.pool_type if is_custom else text.text_pool_type
    if pooling not in POOLINGS:
        raise ValueError(f"the pooling {pooling}")
    activation, projection = first.mlp.gelu, text.text_projection
    names = {
        ("GELU", "none"): "gelu",
        ("GELU", "tanh"): "gelu_tanh",
        ("QuickGELU", ""): "quick_gelu",
    }
    kind = (type(activation).__name__, getattr(activation, "approximate", ""))
    linear = type(projection).__name__ == "Linear"
    length, width = text.positional_embedding.shape
    return TextTowerConfig(
        prefix="text." if is_custom else "",
        dim=dim,
        width=width,
        heads=first.attn.num_heads,
        layers=len(text.transformer.resblocks),
        mlp_width=first.mlp.c_fc.out_features,
        context_length=length,
        vocabulary=text.token_embedding.num_embeddings,
        activation=names[kind],
        epsilon=first.ln_1.eps,
        is_causal=text.attn_mask is not None,
        pooling=pooling,
        eos_id=int(text.eos_id if is_custom else text.text_eos_id),
        projection="none" if projection is None else "linear" if linear else "matrix",
    )
