"""Compares the sources of an `embed` run with the collection, without decoding.

An item is identified by its path, by another path of its file, or, after a rename, by its content.
New captions and columns are stored without embedding again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from retrieval.embedding.file_states import (
    file_info,
    is_accessible,
    is_same_state,
    is_same_version,
)
from retrieval.embedding.item_texts import ItemTextReader
from retrieval.embedding.known_items import KnownItems, StoredMetadata
from retrieval.embedding.options import FAILURES_KEPT, EmbedOptions, EmbedReport
from retrieval.embedding.other_paths import store_other_paths
from retrieval.errors import DamagedMediaError
from retrieval.failure_stages import PARTIAL_STAGES
from retrieval.files.reading import check_regular, status_of
from retrieval.media.files import OpenFile
from retrieval.media.names import container_of
from retrieval.media.sources.listing import Listing
from retrieval.media.transcripts.sidecars import sidecar_uris
from retrieval.progress import Progress
from retrieval.store.schema import ITEMS
from retrieval.store.writer import CollectionWriter
from retrieval.types import (
    Failure,
    KnownFile,
    MediaInfo,
    Medium,
    Scalar,
    Source,
    TextSource,
)


class Reconciler:
    """Decides for each source of a run whether it must be embedded, and counts the others.

    Attributes:
        known: The items by uri, updated by renames.
        listing: Collects the findings of listing the sources.
        texts: Completes items with texts.
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
        self.texts = ItemTextReader(writer, options, self.listing)
        self._texts_are_missing = self.texts.are_missing
        self._failed = writer.snapshot.failures() if writer.snapshot else {}
        self._seen: set[str] = set()
        self._failed_now: set[str] = set()
        self._renamed_before: set[str] = set()
        self._counted: set[str] = set()  # renamed items whose texts are read again
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
                status = status_of(source.path)
            except OSError:
                continue
            if source.uri not in self.known.files and not source.is_tar:
                old_uri = self.known.renamed(source, status)
                if old_uri is not None:
                    self._renamed_before.add(source.uri)
                    self._rename(old_uri, file_info(source, status))
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
            status = status_of(source.path)
        except OSError as error:
            reason = f"{error.strerror or error}; restore the file, or leave it out"
            self.record_failure(Failure(source.uri, "open", reason))
            return None
        source = self.texts.with_sidecars(source)
        info = file_info(source, status)
        self._seen.add(source.uri)
        try:
            check_regular(source.path, status)
        except OSError as error:
            reason = f"{error.strerror}; leave it out"
            self.record_failure(Failure(source.uri, "open", reason, info.bytes, info.mtime))
            return None
        known = self.known.files.get(source.uri)
        if known is not None and is_same_version(known, info):
            return self._keep_unless_outdated(source, known, info)
        failure = self._failed.get(source.uri)
        if (
            failure is not None
            and not self._options.retry_failed
            and is_same_version(failure, info)
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
            info = file_info(source, status)
            known = self.known.files.get(uri)  # None for a tar
            if known is None or not is_same_version(known, info):
                return source
            return self._keep_unless_outdated(source, known, info)
        if source.is_tar:
            return None if self._follow_renamed_tar(source) else source
        return self._follow_renamed_file(source, status)

    def _follow_renamed_file(self, source: Source, status: os.stat_result) -> Source | None:
        """Rename the item of a renamed file; return the source if it must be decoded."""
        old_uri = self.known.renamed(source, status)
        if old_uri is None:
            return source
        known = self._rename(old_uri, file_info(source, status))
        rereads = self.texts.outdated(source, known.item_id)
        if not rereads:
            return None
        self._counted.add(source.uri)
        return replace(source, rereads=rereads)

    def _keep_unless_outdated(
        self, source: Source, known: KnownFile, info: MediaInfo
    ) -> Source | None:
        """Keep the item of an unchanged file, or return the source if its texts must be read."""
        rereads = self.texts.outdated(source, known.item_id)
        failures = [self._failed.get(uri) for uri in sidecar_uris(source)]
        for failure, sidecar in zip(failures, source.sidecars, strict=True):
            if failure is not None and is_same_state(failure, sidecar):
                if self._options.retry_failed:
                    rereads |= {TextSource.TRANSCRIPT}
                elif not rereads:
                    self.record_failure(failure)
        if rereads:
            return replace(source, rereads=rereads)
        self.keep(info)
        return None

    def _follow_renamed_tar(self, source: Source) -> bool:
        """Rename the items of a renamed tar; return whether it holds nothing else."""
        complete = False
        try:
            for member, old_uri in self.known.renamed_members(source):
                if old_uri is None or not isinstance(member, OpenFile):
                    return False  # the members before keep their new uris
                self._rename(old_uri, file_info(source, member))
                complete = True
        except OSError:
            return False  # decoding reports the error
        return complete

    # ------------------------------------------------------------ existing items

    def keep(self, info: MediaInfo, read: frozenset[TextSource] = frozenset()) -> None:
        """Keep the item of a file with unchanged content; update its metadata and texts.

        Args:
            info: The file; `texts` holds the texts of the sources in `read`.
            read: Sources of texts that were read.
        """
        known = self.known.files[info.uri]
        self._seen.add(info.uri)
        if not self._is_partial(info.uri):
            self._writer.resolve_failure(info.uri)
        info, names, has_texts = self._update_texts(known, info, self._metadata, read)
        if names or info.mtime != known.mtime:
            self._writer.update(known.item_id, info, names | {"bytes", "mtime"})
        if info.uri in self._counted:
            return
        if info.uri in self._renamed_before:
            self._report.renamed += 1
        elif names or has_texts:
            self._report.updated += 1
        else:
            self._report.unchanged += 1
            self._report.without_texts += self._texts_are_missing
        self.report_progress()

    @property
    def seen(self) -> frozenset[str]:
        """The uris of the files and items that were met."""
        return frozenset(self._seen)

    def mark_seen(self, uri: str) -> None:
        """Record that a file exists."""
        self._seen.add(uri)

    def _rename(self, old_uri: str, info: MediaInfo) -> KnownFile:
        known = self.known.rename(old_uri, info.uri)
        self._seen.add(info.uri)
        info, names, _ = self._update_texts(known, info, self._metadata, old_uri=old_uri)
        self._writer.update(known.item_id, info, names | {"uri", "bytes", "mtime"})
        self._writer.resolve_failure(info.uri)
        if info.uri not in self._renamed_before:
            self._report.renamed += 1
            self.report_progress()
        return known

    def _update_texts(
        self,
        known: KnownFile,
        info: MediaInfo,
        metadata: StoredMetadata,
        read: frozenset[TextSource] = frozenset(),
        *,
        old_uri: str | None = None,
    ) -> tuple[MediaInfo, set[str], bool]:
        """Store the changed texts of an item.

        Returns:
            The item with its facts as columns, the names of its changed columns, and whether texts
            changed.
        """
        names = self._changed_metadata(known, info, metadata)
        caption = info.caption
        if self.texts.reads_all or info.facts or old_uri is not None:
            stored = metadata.of(known.item_id)
            facts = self.texts.new_facts(info, stored, old_uri=old_uri)
            info = replace(info, columns={**facts, **info.columns})
            names |= facts.keys()
            if caption is None and isinstance(stored.get("caption"), str):
                caption = str(stored["caption"])
        has_texts = self.texts.update(
            known.item_id, info, read=read, caption=caption, new_caption="caption" in names,
            new_name=old_uri is not None,
        )  # fmt: skip
        return info, names, has_texts

    def _changed_metadata(
        self, known: KnownFile, info: MediaInfo, metadata: StoredMetadata
    ) -> set[str]:
        """Return the names of the caption and columns of a source that differ from the stored ones.

        Columns that a source lacks are kept: embedding a folder keeps the columns of a list. An
        empty caption ends the stored one.
        """
        if info.caption is None and not info.columns:
            return set()
        stored = metadata.of(known.item_id)
        names = {name for name in info.columns if self._differs(name, info, stored)}
        if info.caption is not None and (stored.get("caption") or "") != info.caption:
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

    def _is_partial(self, uri: str) -> bool:
        """Whether the failure of a uri concerns a part of its item only."""
        return uri in self._failed and self._failed[uri].stage in PARTIAL_STAGES

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
            if uri in self._failed_now or self._is_partial(uri):
                continue
            if (lists and uri.startswith(lists)) or (covers(uri) and is_accessible(uri)):
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
            info, names, _ = self._update_texts(file, info, metadata)
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
