"""Compares the sources of an `embed` run with the collection, without decoding.

An item is identified by its path, by another path of its file, or, after a rename, by its content.
New captions and columns are stored without embedding again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from retrieval.embedding.known_items import KnownItems, StoredMetadata
from retrieval.embedding.options import FAILURES_KEPT, EmbedOptions, EmbedReport
from retrieval.embedding.other_paths import store_other_paths
from retrieval.errors import DamagedMediaError
from retrieval.files.reading import check_regular
from retrieval.media.files import OpenFile
from retrieval.media.names import container_of
from retrieval.media.sources.listing import Listing
from retrieval.media.sources.presence import file_status
from retrieval.progress import Progress
from retrieval.store.schema import ITEMS
from retrieval.store.writer import CollectionWriter
from retrieval.types import Failure, KnownFile, MediaInfo, Medium, Scalar, Source

SPACE_STAGE = "space"
"""Stage of a failure in a further space of an existing item; a readable file does not end it."""


class Reconciler:
    """Decides for each source of a run whether it must be embedded, and counts the others.

    Attributes:
        known: The items by uri, updated by renames.
        listing: Collects the findings of listing the sources.
    """

    def __init__(
        self,
        writer: CollectionWriter,
        options: EmbedOptions,
        report: EmbedReport,
        progress: Progress,
    ) -> None:
        self._writer = writer
        self._options = options
        self._report = report
        self._progress = progress
        self.known = KnownItems(writer.snapshot)
        self._metadata = StoredMetadata(writer.snapshot)
        self.listing = Listing(options.exclude, self.record_failure, notices=writer.notices)
        self._failed = writer.snapshot.failures() if writer.snapshot else {}
        self._seen: set[str] = set()
        self._failed_now: set[str] = set()
        self._renamed_before: set[str] = set()
        self._item_uris: dict[str, str] = {}  # by other path of the item's file

    def report_progress(self) -> None:
        """Report the number of processed items."""
        failed = f"{self._report.failed} failed" if self._report.failed else ""
        self._progress("embedding", self._report.seen, None, failed)

    # ------------------------------------------------------------ before decoding

    def follow_renames(self, sources: Iterable[Source]) -> int:
        """Give items the new paths of their renamed files; return the number of renames."""
        for source in sources:
            try:
                status = os.stat(source.path)
            except OSError:
                continue
            if source.uri not in self.known.files and not source.is_tar:
                old_uri = self.known.renamed(source, status)
                if old_uri is not None:
                    self._renamed_before.add(source.uri)
                    self._rename(old_uri, _info(source, status))
        return len(self._renamed_before)

    def select(self, sources: Iterable[Source]) -> Iterator[Source]:
        """Yield the sources that must be decoded; record all others."""
        for source in sources:
            selected = self._reconcile(source)
            if selected is None:
                continue
            if self._options.needs(source.path):
                yield selected
            else:
                self._report.deferred += 1
                self.report_progress()

    def _reconcile(self, source: Source) -> Source | None:
        """Return the source if it must be decoded, possibly under the uri of its item."""
        try:
            status = os.stat(source.path)
        except OSError as error:
            reason = f"{error.strerror or error}; restore the file, or leave it out"
            self.record_failure(Failure(source.uri, "open", reason))
            return None
        info = _info(source, status)
        self._seen.add(source.uri)
        try:
            check_regular(source.path, status)
        except OSError as error:
            reason = f"{error.strerror}; leave it out"
            self.record_failure(Failure(source.uri, "open", reason, info.bytes, info.mtime))
            return None
        known = self.known.files.get(source.uri)
        if known is not None and _is_same_version(known, info):
            self.keep(info)
            return None
        failure = self._failed.get(source.uri)
        if (
            failure is not None
            and not self._options.retry_failed
            and _is_same_version(failure, info)
        ):
            self.record_failure(failure)
            return None
        return source if known is not None else self._reconcile_other_uri(source, status)

    def _reconcile_other_uri(self, source: Source, status: os.stat_result) -> Source | None:
        """Match a source with an item of another uri."""
        uri = self.known.other_name(source, status)
        if uri == source.uri:
            return source  # a tar whose members are items
        if uri is not None:
            self._item_uris[source.uri] = uri
            self._seen.add(uri)
            source = replace(source, uri=uri)
            info = _info(source, status)
            known = self.known.files.get(uri)  # None for a tar
            if known is None or not _is_same_version(known, info):
                return source
            self.keep(info)
            return None
        if source.is_tar:
            return None if self._follow_renamed_tar(source) else source
        old_uri = self.known.renamed(source, status)
        if old_uri is None:
            return source
        self._rename(old_uri, _info(source, status))
        return None

    def _follow_renamed_tar(self, source: Source) -> bool:
        """Rename the items of a renamed tar; return whether it holds nothing else."""
        complete = False
        try:
            for member, old_uri in self.known.renamed_members(source):
                if old_uri is None or not isinstance(member, OpenFile):
                    return False  # the members before keep their new uris
                self._rename(old_uri, _info(source, member))
                complete = True
        except OSError:
            return False  # decoding reports the error
        return complete

    # ------------------------------------------------------------ existing items

    def keep(self, info: MediaInfo) -> None:
        """Keep the item of a file with unchanged content; update its metadata."""
        known = self.known.files[info.uri]
        self._seen.add(info.uri)
        if not self._lacks_space(info.uri):
            self._writer.resolve_failure(info.uri)
        names = self._changed_metadata(known, info, self._metadata)
        if names or info.mtime != known.mtime:
            self._writer.update(known.item_id, info, names | {"bytes", "mtime"})
        if info.uri in self._renamed_before:
            self._report.renamed += 1
        elif names:
            self._report.updated += 1
        else:
            self._report.unchanged += 1
        self.report_progress()

    def mark_seen(self, uri: str) -> None:
        """Record that a file exists."""
        self._seen.add(uri)

    def _rename(self, old_uri: str, info: MediaInfo) -> None:
        known = self.known.rename(old_uri, info.uri)
        self._seen.add(info.uri)
        names = self._changed_metadata(known, info, self._metadata)
        self._writer.update(known.item_id, info, names | {"uri", "bytes", "mtime"})
        self._writer.resolve_failure(info.uri)
        if info.uri not in self._renamed_before:
            self._report.renamed += 1
            self.report_progress()

    def _changed_metadata(
        self, known: KnownFile, info: MediaInfo, metadata: StoredMetadata
    ) -> set[str]:
        """Return the names of the caption and columns of a source that differ from the stored ones.

        Columns that a source lacks are kept: embedding a folder keeps the columns of a list.
        """
        if info.caption is None and not info.columns:
            return set()
        stored = metadata.of(known.item_id)
        names = {name for name in info.columns if self._differs(name, info, stored)}
        if info.caption is not None and stored.get("caption") != info.caption:
            names.add("caption")
        return names

    def _differs(self, name: str, info: MediaInfo, stored: Mapping[str, Scalar]) -> bool:
        """Return whether a value differs from the stored one, which may be renamed or converted."""
        value = info.columns[name]
        if name not in ITEMS.names and stored.get(name) == value:
            return False
        row = self._writer.stored_columns(replace(info, columns={name: value}))
        return any(stored.get(column) != converted for column, converted in row.items())

    # ------------------------------------------------------------ failures

    def record_failure(self, failure: Failure) -> None:
        """Count a failure once per uri, and store it if it is new.

        Raises:
            DamagedMediaError: With `strict`.
        """
        if failure.uri in self._failed_now:
            return
        self._failed_now.add(failure.uri)
        if self._failed.get(failure.uri) != failure:
            self._writer.add_failure(failure)
        if self._options.strict:
            raise DamagedMediaError(
                f"{failure.uri}: {failure.reason}; embed without strict to skip it"
            )
        self._report.failed += 1
        if len(self._report.failures) < FAILURES_KEPT:
            self._report.failures.append(failure)
        self.report_progress()

    def _lacks_space(self, uri: str) -> bool:
        return uri in self._failed and self._failed[uri].stage == SPACE_STAGE

    # ------------------------------------------------------------ after the last source

    def finish(self) -> None:
        """Store other paths and metadata, end resolved failures, and count or prune gone items."""
        covers = self.listing.coverage()
        self._report.passed_over = dict(self.listing.skipped)
        others = self._other_paths()
        self._report.other_paths = sum(map(len, others.values()))
        self._writer.publish()  # assigns the ids of new items
        self._store_further_metadata()
        store_other_paths(self._writer, others, self._seen)
        self._end_failures(covers)
        gone = [file.item_id for file in self.known.gone(self._is_covered(covers), self._seen)]
        gone += [file.item_id for file in self._members_gone()]
        if self._options.prune:
            self._writer.remove(gone)
            self._report.pruned = len(gone)
        else:
            self._report.gone = len(gone)

    def _is_covered(self, covers: Callable[[str], bool]) -> Callable[[str], bool]:
        """Return a test whether the sources include a file: in a folder, or named by a list."""
        return lambda uri: covers(container_of(uri)[0]) or uri in self._failed_now

    def _members_gone(self) -> Iterator[KnownFile]:
        """Yield the items of completely read tars that no longer contain them."""
        for uri, file in self.known.files.items():
            tar, member = container_of(uri)
            read = tar in self._seen and tar not in self._failed_now
            if member and read and uri not in self._seen and uri not in self._failed_now:
                yield file

    def _end_failures(self, covers: Callable[[str], bool]) -> None:
        """End the failures of list rows and files that this run did not see again."""
        lists = tuple(f"{uri}#row=" for uri in self.listing.finished_lists)
        for uri in self._failed:
            if uri in self._failed_now or self._lacks_space(uri):
                continue
            if (lists and uri.startswith(lists)) or (covers(uri) and _is_accessible(uri)):
                self._writer.resolve_failure(uri)

    def _store_further_metadata(self) -> None:
        """Store the metadata of files that were listed a second time."""
        if not self.listing.later_metadata or self._writer.snapshot is None:
            return
        known = self._writer.snapshot.known_files()
        metadata = StoredMetadata(self._writer.snapshot)
        for listed_uri, values in self.listing.later_metadata.items():
            file = known.get(self._item_uris.get(listed_uri, listed_uri))
            if file is None:
                continue  # it failed, or is a tar
            columns = {name: value for name, value in values.items() if name != "caption"}
            caption = values.get("caption")
            info = MediaInfo(
                listed_uri, Medium.IMAGE, 0, 0.0, "",
                caption=caption if isinstance(caption, str) else None, columns=columns,
            )  # fmt: skip
            names = self._changed_metadata(file, info, metadata)
            if names:
                self._writer.update(file.item_id, info, names)

    def _other_paths(self) -> dict[str, set[str]]:
        """Return the other paths of the seen files by the uri of their item."""
        others: dict[str, set[str]] = {}
        for listed_uri, paths in self.listing.other_paths.items():
            others.setdefault(self._item_uris.get(listed_uri, listed_uri), set()).update(paths)
        for path, uri in self._item_uris.items():
            others.setdefault(uri, set()).add(path)
        return others


def _info(source: Source, file: os.stat_result | OpenFile) -> MediaInfo:
    """Return the metadata of a file or a tar member that is known without decoding."""
    if isinstance(file, OpenFile):
        return MediaInfo(
            file.uri, Medium.IMAGE, file.bytes, file.mtime, "", caption=file.caption,
            columns=file.columns,
        )  # fmt: skip
    return MediaInfo(
        source.uri, Medium.IMAGE, file.st_size, file.st_mtime, "", caption=source.caption,
        columns=source.columns,
    )  # fmt: skip


def _is_same_version(known: KnownFile | Failure, info: MediaInfo) -> bool:
    return (known.bytes, known.mtime) == (info.bytes, info.mtime)


def _is_accessible(uri: str) -> bool:
    """Return whether the folder of a file can be read."""
    try:
        file_status(uri)
    except (OSError, ValueError):
        return False
    return True
