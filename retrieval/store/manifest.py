"""The manifest: which files are a generation, and the rules that its JSON must keep."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NoReturn, TypeVar, cast

from retrieval.errors import CollectionFormatError
from retrieval.types import AudioWindows, Medium, Sampling, Space

SCHEMA_VERSION = 2
"""What is written. Version 1 is the same without columns of timestamps and dates."""

READ_VERSIONS = (1, SCHEMA_VERSION)

REASON_CHARACTERS = 500
"""A reason quotes what it found, which in a damaged manifest can be of any length."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_PATHS = re.compile(
    rf"(?:items|failures)/\d{{5,}}\.parquet"
    rf"|(?:segments|frames)/(?P<rows_of>{_NAME})/\d{{5,}}\.parquet"
    rf"|(?:removed|updated)/\d{{6,}}\.parquet"
    rf"|indexes/(?P<index_of>{_NAME})/\d{{6,}}/{_NAME}",
    re.ASCII,
)
_SPACE_NAME = re.compile(_NAME, re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file of a generation.

    Attributes:
        path: Relative to the collection, with `/` between folders.
        bytes: Its size.
        sha256: Digest of its content, in hex.
        rows: Rows of a Parquet file; 0 for a file of an index.
        first_item_id: First id of the range of items that the file was computed for; None where
            it is not about items in a range.
        last_item_id: Last id of that range, included.
    """

    path: str
    bytes: int
    sha256: str
    rows: int
    first_item_id: int | None
    last_item_id: int | None

    @property
    def folder(self) -> str:
        """The folder it lies in, relative to the collection."""
        return self.path.rpartition("/")[0]

    @property
    def number(self) -> int:
        """The number that names it: the generation of a file of `removed` or `updated`."""
        return int(self.path.rpartition("/")[2].partition(".")[0])


@dataclass(frozen=True, slots=True)
class Manifest:
    """One immutable generation of a collection; files of a folder are in item order."""

    generation: int
    spaces: tuple[Space, ...]
    next_item_id: int
    files: tuple[ListedFile, ...]

    def listed(self, folder: str) -> tuple[ListedFile, ...]:
        """The files directly in a folder, as `items` or `segments/NAME`, in item order."""
        return tuple(file for file in self.files if file.folder == folder)

    def to_json(self) -> bytes:
        """The content of `manifests/GENERATION.json`."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}, indent=1).encode()

    @classmethod
    def from_json(cls, blob: bytes, name: str) -> Manifest:
        """Parse and check a manifest; `name` is what error messages call it.

        Raises:
            CollectionFormatError: Not JSON, another schema version, an unknown or missing key, a
                value of the wrong type, or a path that the format does not know.
        """
        try:
            raw = json.loads(blob, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise CollectionFormatError(f"{name} is not valid JSON: {error}") from error
        try:
            manifest = _manifest(raw)
            _check(manifest)
        except _RuleError as error:
            raise CollectionFormatError(f"{name}: {str(error)[:REASON_CHARACTERS]}") from error
        return manifest


# ---------------------------------------------------------------- parsing and rules


class _RuleError(ValueError):
    """A manifest breaks a rule of the format; the caller adds its name."""


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")


def _record(raw: object, keys: type | set[str], what: str) -> dict[str, Any]:
    """A JSON object with exactly the expected keys."""
    names = keys if isinstance(keys, set) else set(cast(Any, keys).__dataclass_fields__)
    if not isinstance(raw, dict):
        raise _RuleError(f"{what} is {type(raw).__name__}, expected an object")
    if raw.keys() != names:
        raise _RuleError(f"{what} has the keys {sorted(raw)}, expected {sorted(names)}")
    return raw


def _typed(raw: dict[str, Any], key: str, kind: type[Value]) -> Value:
    """A value of exactly one type: JSON's true is not the number 1."""
    value = raw[key]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise _RuleError(f"{key} is {value!r}, expected {kind.__name__}")
    return value


def _natural(raw: dict[str, Any], key: str) -> int:
    value = _typed(raw, key, int)
    if not 0 <= value < 2**63:
        raise _RuleError(f"{key} is {value}, expected 0 or more")
    return value


def _positive(raw: dict[str, Any], key: str) -> float:
    value = _typed(raw, key, float)
    if not value > 0:
        raise _RuleError(f"{key} is {value}, expected more than 0")
    return value


def _optional(raw: dict[str, Any], key: str, parse: Callable[[Any], Value]) -> Value | None:
    return None if raw[key] is None else parse(raw[key])


def _manifest(raw: object) -> Manifest:
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if type(version) is not int or version not in READ_VERSIONS:
        raise _RuleError(
            f"schema version {version!r}, this release reads {READ_VERSIONS[0]} to "
            f"{READ_VERSIONS[-1]}; "
            "use the release that wrote it"
        )
    fields = _record(raw, {"schema_version", *Manifest.__dataclass_fields__}, "the manifest")
    return Manifest(
        generation=_natural(fields, "generation"),
        spaces=tuple(_space(each) for each in _typed(fields, "spaces", list)),
        next_item_id=_natural(fields, "next_item_id"),
        files=tuple(_listed_file(each) for each in _typed(fields, "files", list)),
    )


def _space(raw: object) -> Space:
    fields = _record(raw, Space, "a space")
    media = _typed(fields, "media", list)
    if (
        not media
        or len(set(map(str, media))) < len(media)
        or not set(map(str, media)) <= set(Medium)
    ):
        raise _RuleError(
            f"media is {media!r}, expected some of {[str(medium) for medium in Medium]}"
        )
    dim = _natural(fields, "dim")
    if dim == 0:
        raise _RuleError("dim is 0, expected more")
    return Space(
        name=_matching(fields, "name", _SPACE_NAME),
        encoder=_typed(fields, "encoder", str),
        dim=dim,
        media=tuple(Medium(medium) for medium in media),
        digest=_typed(fields, "digest", str),
        sampling=_sampling(fields["sampling"]),
        windows=_optional(fields, "windows", _windows),
    )


def _sampling(raw: object) -> Sampling:
    fields = _record(raw, Sampling, "sampling")
    return Sampling(
        frames_per_second=_positive(fields, "frames_per_second"),
        clip_seconds=_positive(fields, "clip_seconds"),
    )


def _windows(raw: object) -> AudioWindows:
    fields = _record(raw, AudioWindows, "windows")
    return AudioWindows(
        sample_rate_hz=_natural(fields, "sample_rate_hz"),
        window_seconds=_positive(fields, "window_seconds"),
        hop_seconds=_positive(fields, "hop_seconds"),
    )


def _listed_file(raw: object) -> ListedFile:
    fields = _record(raw, ListedFile, "a file")
    return ListedFile(
        path=_matching(fields, "path", _PATHS),
        bytes=_natural(fields, "bytes"),
        sha256=_matching(fields, "sha256", _SHA256),
        rows=_natural(fields, "rows"),
        first_item_id=_optional(
            fields, "first_item_id", lambda _: _natural(fields, "first_item_id")
        ),
        last_item_id=_optional(fields, "last_item_id", lambda _: _natural(fields, "last_item_id")),
    )


def _matching(raw: dict[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = _typed(raw, key, str)
    if pattern.fullmatch(value) is None:
        raise _RuleError(f"{key} {value!r} is none that the format knows")
    return value


def _check(manifest: Manifest) -> None:
    """The rules that hold between the parts of a manifest."""
    names = [space.name for space in manifest.spaces]
    if len(set(names)) < len(names):
        raise _RuleError(f"two spaces have one name: {names}")
    last_ids: dict[str, int] = {}
    seen: set[str] = set()
    for file in manifest.files:
        if file.path in seen:
            raise _RuleError(f"{file.path} is listed twice")
        seen.add(file.path)
        _check_file(file, names, manifest.next_item_id)
        if file.path.startswith(("items/", "segments/", "frames/")):
            _check_order(file, last_ids.get(file.folder, -1))
            last_ids[file.folder] = cast(int, file.last_item_id)
    _check_parts(manifest)


def _check_file(file: ListedFile, spaces: list[str], next_item_id: int) -> None:
    match = cast(re.Match[str], _PATHS.fullmatch(file.path))
    space = match["rows_of"] or match["index_of"]
    if space is not None and space not in spaces:
        raise _RuleError(f"{file.path} belongs to a space that is not listed; listed are {spaces}")
    first, last = file.first_item_id, file.last_item_id
    if (first is None) != (last is None):
        raise _RuleError(f"{file.path} has one end of a range of items only")
    if first is not None and last is not None and not first <= last < next_item_id:
        raise _RuleError(f"{file.path} is about items {first} to {last} of {next_item_id}")


def _check_order(file: ListedFile, after: int) -> None:
    if file.first_item_id is None:
        raise _RuleError(f"{file.path} lacks its range of items")
    if file.first_item_id <= after:
        raise _RuleError(f"{file.path} starts at item {file.first_item_id}, expected over {after}")


def _check_parts(manifest: Manifest) -> None:
    """The parts of an index follow each other in item order, and each is about one span."""
    spans = {
        file.folder: (file.first_item_id, file.last_item_id)
        for file in manifest.files
        if file.path.startswith("indexes/")
    }
    for file in manifest.files:
        if file.folder in spans and spans[file.folder] != (file.first_item_id, file.last_item_id):
            raise _RuleError(f"{file.path} is about other items than its neighbours")
    for (one, (_, last)), (other, (first, _)) in pairwise(spans.items()):
        same = one.rpartition("/")[0] == other.rpartition("/")[0]
        if same and (first is None or last is None or first <= last):
            raise _RuleError(f"two parts of an index overlap: {one} and {other}")
