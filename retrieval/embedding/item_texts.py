"""Decides which texts and facts of items an `embed` run reads, and which of them changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from retrieval.columns.types import ColumnType, type_of
from retrieval.embedding.options import EmbedOptions
from retrieval.media.captions import caption_texts
from retrieval.media.item_texts import FILE_SOURCES
from retrieval.media.name_words import folder_of, name_text
from retrieval.media.names import container_of
from retrieval.media.sources.listing import Listing
from retrieval.media.transcripts.sidecars import SidecarFinder
from retrieval.store.reader import Snapshot
from retrieval.store.text_rows import TextUpdate
from retrieval.store.writer import CollectionWriter
from retrieval.types import MediaInfo, Scalar, Sidecar, Source, TextSource, TimedText

FOLDER = "folder"
"""Column of the folder that an item is in."""

_NONE: frozenset[TextSource] = frozenset()


class ItemTextReader:
    """Completes new items with names, captions and facts, and finds changed texts of known ones.

    Attributes:
        file_texts: The sources that decoding processes read.
    """

    def __init__(self, writer: CollectionWriter, options: EmbedOptions, listing: Listing) -> None:
        self._writer = writer
        self._listing = listing
        self._sources = frozenset(options.texts)
        self._refresh = options.refresh
        self._snapshot = writer.snapshot
        self._sidecars = self._snapshot.sidecars() if self._snapshot else {}
        self._finder = SidecarFinder()
        self.file_texts = self._sources & FILE_SOURCES

    @property
    def reads_all(self) -> bool:
        """Whether the texts of unchanged files are read, too."""
        return self._refresh and bool(self._sources)

    @property
    def are_missing(self) -> bool:
        """Whether the collection has items and none of the wanted texts was ever read."""
        if self._snapshot is None or not self._sources or self._refresh:
            return False
        manifest = self._snapshot.manifest
        has_texts = manifest.files_in("texts") or FOLDER in self._writer.column_types()
        return bool(manifest.files_in("items")) and not has_texts

    # ------------------------------------------------------------ before decoding

    def with_sidecars(self, source: Source) -> Source:
        """Return a source with the transcript files beside it; members of a tar have their own."""
        if source.is_tar:
            return replace(source, rereads=self.file_texts if self._refresh else _NONE)
        if TextSource.TRANSCRIPT not in self._sources:
            return source
        return replace(source, sidecars=self._finder.find(source.path))

    def outdated(self, source: Source, item_id: int) -> frozenset[TextSource]:
        """Return the sources to read again in the unchanged file of an item."""
        if self._refresh:
            return self.file_texts
        is_wanted = TextSource.TRANSCRIPT in self._sources
        if is_wanted and source.sidecars != self._sidecars.get(item_id, ()):
            return frozenset((TextSource.TRANSCRIPT,))
        return _NONE

    # ------------------------------------------------------------ new items

    def completed(self, info: MediaInfo) -> MediaInfo:
        """Return a new item with the texts of its name and captions, and its facts as columns."""
        texts = [*self._name(info.uri), *self._captions(info.caption), *info.texts]
        facts = self._folder(info.uri) | info.facts
        columns = self._fitting(facts, info.columns) | info.columns
        return replace(info, texts=tuple(texts), columns=columns)

    def _name(self, uri: str) -> list[TimedText]:
        if TextSource.NAME not in self._sources:
            return []
        text = name_text(uri, self._listing.base_of(uri))
        return [] if text is None else [TimedText(TextSource.NAME, text)]

    def _captions(self, caption: str | None) -> list[TimedText]:
        return caption_texts(caption) if TextSource.CAPTION in self._sources else []

    def _folder(self, uri: str) -> dict[str, Scalar]:
        return {FOLDER: folder_of(uri)} if TextSource.NAME in self._sources else {}

    def _fitting(self, facts: Mapping[str, Scalar], columns: Iterable[str]) -> dict[str, Scalar]:
        """Return the facts for which the user has no column of another spelling or type."""
        types = {name.casefold(): (name, type_) for name, type_ in
                 self._writer.column_types().items()}  # fmt: skip
        own = {name.casefold() for name in columns}
        return {
            name: value
            for name, value in facts.items()
            if name not in own and _fits(name, value, types.get(name))
        }

    # ------------------------------------------------------------ known items

    def new_facts(
        self, info: MediaInfo, stored: Mapping[str, Scalar], *, old_uri: str | None = None
    ) -> dict[str, Scalar]:
        """Return the facts of a known item that its stored columns lack.

        A stored value may be the user's, so that it stays; only the folder follows a rename.
        """
        facts = dict(info.facts)
        if self._refresh or old_uri is not None:
            facts |= self._folder(info.uri)
        if old_uri is not None and stored.get(FOLDER) == folder_of(old_uri):
            stored = {**stored, FOLDER: None}
        missing = {name: value for name, value in facts.items() if stored.get(name) is None}
        return self._fitting(missing, info.columns)

    def update(
        self,
        item_id: int,
        info: MediaInfo,
        *,
        read: frozenset[TextSource] = _NONE,
        caption: str | None = None,
        new_caption: bool = False,
        new_name: bool = False,
    ) -> bool:
        """Store the changed texts of a known item; return whether there are any.

        Args:
            item_id: The item.
            info: `texts` holds the texts of the sources in `read`.
            read: Sources that were read in the file.
            caption: The caption to store.
            new_caption: Whether it differs from the stored one.
            new_name: Whether the file was renamed.
        """
        texts, replaced = list(info.texts), set(read)
        changed: set[TextSource] = set()
        if self._refresh or new_name:
            texts += self._name(info.uri)
            replaced.add(TextSource.NAME)
        if self._refresh or new_caption:
            texts += self._captions(caption)
            replaced.add(TextSource.CAPTION)
        sidecars: tuple[Sidecar, ...] | None = None
        stored_sidecars = self._sidecars.get(item_id, ())
        # An archive is read as a whole, and its members without transcripts are not read again.
        is_member = container_of(info.uri)[1] is not None
        lost = is_member and not new_name and not read and not info.sidecars
        if (TextSource.TRANSCRIPT in read or lost) and info.sidecars != stored_sidecars:
            sidecars = info.sidecars
            changed.add(TextSource.TRANSCRIPT)
        replaced = (replaced | changed) & self._sources
        changed |= {source for source in replaced - changed
                    if self._differs(item_id, source, texts)}  # fmt: skip
        changed &= self._sources
        if not changed and sidecars is None:
            return False
        kept = tuple(text for text in texts if text.source in changed)
        self._writer.update_texts(item_id, TextUpdate(kept, frozenset(changed), sidecars))
        return True

    def _differs(self, item_id: int, source: TextSource, texts: Iterable[TimedText]) -> bool:
        digest = 0
        for text in texts:
            if text.source is source:
                digest = _extended(digest, text.start_seconds, text.end_seconds, text.language,
                                   text.text)  # fmt: skip
        return self._digests.get((item_id, str(source)), 0) != digest

    @cached_property
    def _digests(self) -> dict[tuple[int, str], int]:
        """Digests of the stored texts by item and source; valid in this process."""
        return _digests_of(self._snapshot) if self._snapshot else {}


def _digests_of(snapshot: Snapshot) -> dict[tuple[int, str], int]:
    digests: dict[tuple[int, str], int] = {}
    for batch in snapshot.texts():
        columns = (column.to_pylist() for column in batch.columns)
        for item_id, source, *values in zip(*columns, strict=True):
            key = (item_id, source)
            digests[key] = _extended(digests.get(key, 0), *values)
    return digests


def _extended(digest: int, *values: object) -> int:
    return hash((digest, *values))


def _fits(name: str, value: Scalar, column: tuple[str, ColumnType] | None) -> bool:
    if column is None:
        return True
    stored_name, type_ = column
    numbers = {type_, type_of(value)} == {ColumnType.INT64, ColumnType.DOUBLE}
    return stored_name == name and (type_ is type_of(value) or numbers)
