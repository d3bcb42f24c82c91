"""The manifest of a generation: its JSON and the rules of the format."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import NoReturn, cast

from retrieval.errors import CollectionFormatError
from retrieval.files.documents import parse_json
from retrieval.types import Medium, Space

SCHEMA_VERSION = 2
"""The version written. Version 1 lacks texts, and columns of timestamps and dates."""

READ_VERSIONS = (1, SCHEMA_VERSION)

RANGED_FOLDERS = ("items", "texts", "sidecars", "segments", "frames")
"""Folders whose files cover ranges of items, which ascend."""

TEXT_INDEX = "texts"
"""The folder in `indexes/` of the index of texts; the others belong to spaces."""

REASON_CHARACTERS = 500
"""Limit of a message, which quotes values of any length from a damaged manifest."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_PATHS = re.compile(
    rf"(?:items|texts|sidecars|failures)/\d{{5,}}\.parquet"
    rf"|(?:segments|frames)/(?P<rows_of>{_NAME})/\d{{5,}}\.parquet"
    rf"|(?:removed|updated)/\d{{6,}}\.parquet"
    rf"|indexes/(?P<index_of>{_NAME})/\d{{6,}}/{_NAME}",
    re.ASCII,
)
_SPACE_NAME = re.compile(_NAME, re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file of a generation.

    Attributes:
        path: Relative to the collection, with `/` between folders.
        bytes: Size.
        sha256: Digest of the content, in hex.
        rows: Rows of a Parquet file; 0 for a file of an index.
        first_item_id: First id of the range of items that the file covers; None where the file
            covers no range.
        last_item_id: Last id of the range, inclusive.
    """

    path: str
    bytes: int
    sha256: str
    rows: int
    first_item_id: int | None
    last_item_id: int | None

    @property
    def folder(self) -> str:
        """The folder of the file, relative to the collection."""
        return self.path.rpartition("/")[0]

    @property
    def number(self) -> int:
        """The number in the file name; for `removed` and `updated` it is the generation."""
        return int(self.path.rpartition("/")[2].partition(".")[0])

    @property
    def is_index_file(self) -> bool:
        """Whether the file belongs to an index."""
        return self.path.startswith("indexes/")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One immutable generation of a collection; the files of a folder are in item order."""

    generation: int
    spaces: tuple[Space, ...]
    next_item_id: int
    files: tuple[ListedFile, ...]

    def files_in(self, folder: str) -> tuple[ListedFile, ...]:
        """Return the files directly in a folder, as `items` or `segments/NAME`, in item order."""
        return tuple(file for file in self.files if file.folder == folder)

    def to_json(self) -> bytes:
        """Return the content of `manifests/GENERATION.json`."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}, indent=1).encode()

    @classmethod
    def from_json(cls, blob: bytes, name: str) -> Manifest:
        """Parse and check a manifest; `name` identifies it in error messages.

        Raises:
            CollectionFormatError: The text is not JSON, has another schema version, lacks a key or
                has an unknown one, or breaks a rule of the format.
        """
        try:
            raw = json.loads(blob, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise CollectionFormatError(f"{name} is not valid JSON: {error}") from error
        try:
            _check_version(raw)
            document = parse_json(_Document, blob)
            _check_spaces(raw["spaces"], document.spaces)
            manifest = cls(
                document.generation, document.spaces, document.next_item_id, document.files
            )
            _check_files(manifest)
        except ValueError as error:
            raise CollectionFormatError(f"{name}: {str(error)[:REASON_CHARACTERS]}") from error
        return manifest


def is_data_path(path: str) -> bool:
    """Whether a path, relative to a collection, is one of the format's data or index files."""
    return _PATHS.fullmatch(path) is not None


# ---------------------------------------------------------------- rules of the format


@dataclass(frozen=True, slots=True)
class _Document:
    """The JSON object of a manifest."""

    schema_version: int
    generation: int
    spaces: tuple[Space, ...]
    next_item_id: int
    files: tuple[ListedFile, ...]


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _check_version(raw: object) -> None:
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if type(version) is not int or version not in READ_VERSIONS:
        raise ValueError(
            f"schema version {version!r}, expected {READ_VERSIONS[0]} to {READ_VERSIONS[-1]}; "
            "use the release that wrote it"
        )


def _check_spaces(raw_spaces: list[object], spaces: tuple[Space, ...]) -> None:
    names = [space.name for space in spaces]
    if len(set(names)) < len(names):
        raise ValueError(f"two spaces have the same name: {names}")
    for raw, space in zip(raw_spaces, spaces, strict=True):
        if raw != json.loads(json.dumps(asdict(space))):
            # The parser fills in the defaults of `Space`, which the format does not have.
            raise ValueError(f"a key of space {space.name!r} is missing")
        _check_match("name", space.name, _SPACE_NAME)
        if not space.media or len(set(space.media)) < len(space.media):
            raise ValueError(
                f"media is {[str(medium) for medium in space.media]}, expected some of "
                f"{[str(medium) for medium in Medium]}, each once"
            )
        numbers = {"dim": space.dim} | asdict(space.sampling)
        if space.windows is not None:
            numbers |= asdict(space.windows)
        for name, number in numbers.items():
            if not 0 < number < math.inf:
                raise ValueError(f"{name} is {number}, expected more than 0")


def _check_files(manifest: Manifest) -> None:
    _check_int64("generation", manifest.generation)
    _check_int64("next_item_id", manifest.next_item_id)
    space_names = [space.name for space in manifest.spaces]
    last_ids: dict[str, int] = {}
    paths: set[str] = set()
    for file in manifest.files:
        _check_file(file, space_names, manifest.next_item_id)
        if file.path in paths:
            raise ValueError(f"{file.path} is listed twice")
        paths.add(file.path)
        if file.folder.partition("/")[0] in RANGED_FOLDERS:
            if file.first_item_id is None:
                raise ValueError(f"{file.path} lacks its range of items")
            if file.first_item_id <= (last := last_ids.get(file.folder, -1)):
                raise ValueError(
                    f"{file.path} starts at item {file.first_item_id}, expected over {last}"
                )
            last_ids[file.folder] = cast(int, file.last_item_id)
    _check_index_parts(manifest)


def _check_file(file: ListedFile, space_names: list[str], next_item_id: int) -> None:
    match = _check_match("path", file.path, _PATHS)
    _check_match("sha256", file.sha256, _SHA256)
    _check_int64("bytes", file.bytes)
    _check_int64("rows", file.rows)
    space = match["rows_of"] or match["index_of"]
    if space is not None and space not in space_names and match["index_of"] != TEXT_INDEX:
        raise ValueError(f"{file.path} belongs to an unlisted space; listed are {space_names}")
    first, last = file.first_item_id, file.last_item_id
    if (first is None) != (last is None):
        raise ValueError(f"{file.path} has only one end of a range of items")
    if first is not None and last is not None and not 0 <= first <= last < next_item_id:
        raise ValueError(f"{file.path} covers items {first} to {last} of {next_item_id}")


def _check_match(key: str, value: str, pattern: re.Pattern[str]) -> re.Match[str]:
    match = pattern.fullmatch(value)
    if match is None:
        raise ValueError(f"{key} {value!r} is not valid in this format")
    return match


def _check_int64(key: str, value: int) -> None:
    if not 0 <= value < 2**63:
        raise ValueError(f"{key} is {value}, expected 0 or more, below 2^63")


def _check_index_parts(manifest: Manifest) -> None:
    """Check that each part of an index covers one range, and that the ranges ascend."""
    ranges = {
        file.folder: (file.first_item_id, file.last_item_id)
        for file in manifest.files
        if file.is_index_file
    }
    for file in manifest.files:
        if file.is_index_file and ranges[file.folder] != (file.first_item_id, file.last_item_id):
            raise ValueError(f"{file.path} covers other items than the files of its folder")
    for (before, (_, last)), (after, (first, _)) in pairwise(ranges.items()):
        same_index = before.rpartition("/")[0] == after.rpartition("/")[0]
        if same_index and (first is None or last is None or first <= last):
            raise ValueError(f"two parts of an index overlap: {before} and {after}")
