"""What a run of `embed` does without decoding: it tells which files are as the collection has them.

A file is known by its path, or by another path of it; one that was renamed is known by its content.
New captions and columns are stored without embedding anything again. Whatever is wrong with a file
or a row of a list is a failure of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from retrieval.embedding.known_items import KnownItems, StoredMetadata
from retrieval.embedding.options import FAILURES_KEPT, EmbedOptions, EmbedReport
from retrieval.embedding.other_paths import note_other_paths
from retrieval.errors import DamagedMediaError
from retrieval.files.reading import check_regular
from retrieval.media.files import OpenFile
from retrieval.media.names import container_of
from retrieval.media.sources.listing import Listing
from retrieval.media.sources.presence import file_status
from retrieval.store.schema import ITEMS
from retrieval.store.writer import CollectionWriter
from retrieval.types import Failure, KnownFile, MediaInfo, Medium, Scalar, Source

SPACE_STAGE = "space"
"""Stage of a failure to embed an item in a further space: that its file is good does not end it."""


class Reconciler:
    """Compares the sources of one run with what the collection holds, and counts in its report.

    Attributes:
        known: The items by uri; updated where files were renamed.
        listing: How to list the sources, and what was met.
    """

    def __init__(
        self,
        writer: CollectionWriter,
        options: EmbedOptions,
        report: EmbedReport,
        tell: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._options = options
        self._report = report
        self._tell = tell
        self.known = KnownItems(writer.snapshot)
        self._metadata = StoredMetadata(writer.snapshot)
        self.listing = Listing(options.exclude, self.fail, notices=writer.notices)
        self._failed = writer.snapshot.failures() if writer.snapshot else {}
        self._seen: set[str] = set()
        self._reported: set[str] = set()
        self._renamed_before: set[str] = set()
        self._known_by: dict[str, str] = {}  # other paths of known files

    # ------------------------------------------------------------ before decoding

    def follow_renames(self, sources: Iterable[Source]) -> int:
        """Give items the new paths of their files, and nothing else; returns how many have one."""
        for source in sources:
            try:
                status = os.stat(source.path)
            except OSError:
                continue
            if source.uri not in self.known.files and not source.is_tar:
                older = self.known.renamed(source, status)
                if older is not None:
                    self._renamed_before.add(source.uri)
                    self._rename(older, _info(source, status))
        return len(self._renamed_before)

    def wanted(self, sources: Iterable[Source]) -> Iterator[Source]:
        """Yield the sources that must be decoded; the others are done with."""
        for source in sources:
            found = self._compared(source)
            if found is not None:
                yield found

    def _compared(self, source: Source) -> Source | None:
        try:
            status = os.stat(source.path)
        except OSError as error:
            self.fail(Failure(source.uri, "open", _why_missing(error)))
            return None
        info = _info(source, status)
        self._seen.add(source.uri)
        try:
            check_regular(source.path, status)
        except OSError as error:
            reason = f"{error.strerror}; leave it out"
            self.fail(Failure(source.uri, "open", reason, info.bytes, info.mtime))
            return None
        known = self.known.files.get(source.uri)
        if known is not None and self._took_as_unchanged(known, info):
            return None
        failure = self._failed.get(source.uri)
        if failure is not None and not self._options.retry_failed and _same(failure, info):
            self.fail(failure)
            return None
        return source if known is not None else self._known_otherwise(source, status)

    def _took_as_unchanged(self, known: KnownFile, info: MediaInfo) -> bool:
        if not _same(known, info):
            return False
        self.unchanged(info)
        return True

    def _known_otherwise(self, source: Source, status: os.stat_result) -> Source | None:
        """Look for a source among the items of other uris; returns what is to be decoded."""
        uri = self.known.other_name(source, status)
        if uri == source.uri:
            return source  # a tar whose members are known
        if uri is not None:
            self._known_by[source.uri] = uri
            self._seen.add(uri)
            source = replace(source, uri=uri)
            known = self.known.files.get(uri)  # None for a tar
            took = known is not None and self._took_as_unchanged(known, _info(source, status))
            return None if took else source
        if source.is_tar:
            return None if self._renamed_tar(source) else source
        older = self.known.renamed(source, status)
        if older is None:
            return source
        self._rename(older, _info(source, status))
        return None

    def _renamed_tar(self, source: Source) -> bool:
        """Follow the members of a renamed tar; whether nothing else is in it."""
        whole = False
        try:
            for member, older in self.known.renamed_members(source):
                if older is None or not isinstance(member, OpenFile):
                    return False  # those before it are known by their new uris
                self._rename(older, _info(source, member))
                whole = True
        except OSError:
            return False  # decoding it reports what is wrong
        return whole

    # ------------------------------------------------------------ items that exist

    def unchanged(self, info: MediaInfo) -> None:
        """Take note that an item's file has the content it had; its metadata can be new."""
        known = self.known.files[info.uri]
        self._seen.add(info.uri)
        if not self._lacks_space(info.uri):
            self._writer.resolve_failure(info.uri)
        names = self._changed(known, info, self._metadata)
        if names or info.mtime != known.mtime:
            self._writer.update(known.item_id, info, names | {"bytes", "mtime"})
        if info.uri in self._renamed_before:
            self._report.renamed += 1
        elif names:
            self._report.updated += 1
        else:
            self._report.unchanged += 1
        self._tell()

    def _rename(self, older: str, info: MediaInfo) -> None:
        known = self.known.rename(older, info.uri)
        self._seen.add(info.uri)
        names = self._changed(known, info, self._metadata) | {"uri", "bytes", "mtime"}
        self._writer.update(known.item_id, info, names)
        self._writer.resolve_failure(info.uri)
        if info.uri not in self._renamed_before:
            self._report.renamed += 1
            self._tell()

    def _changed(self, known: KnownFile, info: MediaInfo, metadata: StoredMetadata) -> set[str]:
        """The caption and columns that a source gives, where they differ from the stored ones.

        What a source does not mention stays: a run over the folder keeps the columns of a list.
        """
        if info.caption is None and not info.columns:
            return set()
        stored = metadata.of(known.item_id)
        names = {name for name in info.columns if self._differs(name, info, stored)}
        if info.caption is not None and stored.get("caption") != info.caption:
            names.add("caption")
        return names

    def _differs(self, name: str, info: MediaInfo, stored: Mapping[str, Scalar]) -> bool:
        """Whether a value is another than the stored one, which can have another name and type."""
        value = info.columns[name]
        if name not in ITEMS.names and stored.get(name) == value:
            return False
        row = self._writer.stored_columns(replace(info, columns={name: value}))
        return any(stored.get(column) != there for column, there in row.items())

    # ------------------------------------------------------------ failures

    def fail(self, failure: Failure) -> None:
        """Count a failure, once, and record it where it is not recorded as it is.

        Raises:
            DamagedMediaError: With `strict`.
        """
        if failure.uri in self._reported:
            return
        self._reported.add(failure.uri)
        if self._failed.get(failure.uri) != failure:
            self._writer.add_failure(failure)
        if self._options.strict:
            raise DamagedMediaError(f"{failure.uri}: {failure.reason}; drop --strict to skip it")
        self._report.failed += 1
        if len(self._report.failures) < FAILURES_KEPT:
            self._report.failures.append(failure)
        self._tell()

    def met(self, uri: str) -> None:
        """Take note that a file is there, whatever becomes of it."""
        self._seen.add(uri)

    def _lacks_space(self, uri: str) -> bool:
        return uri in self._failed and self._failed[uri].stage == SPACE_STAGE

    # ------------------------------------------------------------ after the last source

    def finish(self) -> None:
        """Note other paths, end failures that are over, and count or remove what is gone."""
        covers = self.listing.coverage()
        self._report.passed_over = dict(self.listing.skipped)
        others = self._other_paths()
        self._report.other_paths = sum(map(len, others.values()))
        self._writer.publish()  # so that new items have their ids
        self._store_further_metadata()
        note_other_paths(self._writer, others, self._seen)
        self._end_failures(covers)
        gone = [file.item_id for file in self.known.gone(self._met_here(covers), self._seen)]
        gone += [file.item_id for file in self._members_gone()]
        if self._options.prune:
            self._writer.remove(gone)
            self._report.pruned = len(gone)
        else:
            self._report.gone = len(gone)

    def _met_here(self, covers: Callable[[str], bool]) -> Callable[[str], bool]:
        """Whether the run would have met a file: it is in a folder, or a list names it."""
        return lambda uri: covers(container_of(uri)[0]) or uri in self._reported

    def _members_gone(self) -> Iterator[KnownFile]:
        """Items of tars that were read to the end and hold them no longer."""
        for uri, file in self.known.files.items():
            tar, member = container_of(uri)
            read = tar in self._seen and tar not in self._reported
            if member and read and uri not in self._seen and uri not in self._reported:
                yield file

    def _end_failures(self, covers: Callable[[str], bool]) -> None:
        """End the failures of rows and files that this run met no more."""
        lists = tuple(f"{uri}#row=" for uri in self.listing.finished_lists)
        for uri in self._failed:
            if uri in self._reported or self._lacks_space(uri):
                continue
            if (lists and uri.startswith(lists)) or (covers(uri) and _can_be_known(uri)):
                self._writer.resolve_failure(uri)

    def _store_further_metadata(self) -> None:
        """Store what a list says of files that a folder had listed before, or the like."""
        if not self.listing.later_metadata or self._writer.snapshot is None:
            return
        known = self._writer.snapshot.known_files()
        stored = StoredMetadata(self._writer.snapshot)
        for listed, values in self.listing.later_metadata.items():
            file = known.get(self._known_by.get(listed, listed))
            if file is None:
                continue  # it failed, or is a tar
            columns = {name: value for name, value in values.items() if name != "caption"}
            caption = values.get("caption")
            info = MediaInfo(
                listed, Medium.IMAGE, 0, 0.0, "",
                caption=caption if isinstance(caption, str) else None, columns=columns,
            )  # fmt: skip
            names = self._changed(file, info, stored)
            if names:
                self._writer.update(file.item_id, info, names)

    def _other_paths(self) -> dict[str, set[str]]:
        """The further paths of files that were met, by the uri of their item."""
        others: dict[str, set[str]] = {}
        for listed, paths in self.listing.other_paths.items():
            others.setdefault(self._known_by.get(listed, listed), set()).update(paths)
        for path, uri in self._known_by.items():
            others.setdefault(uri, set()).add(path)
        return others


def _info(source: Source, found: os.stat_result | OpenFile) -> MediaInfo:
    """What is known of a file, or of a member of a tar, without decoding it."""
    if isinstance(found, OpenFile):
        return MediaInfo(
            found.uri, Medium.IMAGE, found.bytes, found.mtime, "", caption=found.caption,
            columns=found.columns,
        )  # fmt: skip
    return MediaInfo(
        source.uri, Medium.IMAGE, found.st_size, found.st_mtime, "", caption=source.caption,
        columns=source.columns,
    )  # fmt: skip


def _same(known: KnownFile | Failure, info: MediaInfo) -> bool:
    return (known.bytes, known.mtime) == (info.bytes, info.mtime)


def _why_missing(error: OSError) -> str:
    return f"{error.strerror or error}; bring the file back, or leave it out"


def _can_be_known(uri: str) -> bool:
    """Whether the folder of a file can be looked into."""
    try:
        file_status(uri)
    except (OSError, ValueError):
        return False
    return True
