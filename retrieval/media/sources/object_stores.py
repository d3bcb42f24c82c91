"""List the media below an address of an object store, such as `s3://bucket/photos`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from retrieval.errors import SourceError
from retrieval.files.objects import list_objects
from retrieval.media.files import is_media_name
from retrieval.media.names import quote
from retrieval.media.sources.ignore_rules import compile_patterns, match_path
from retrieval.media.sources.listing import Listing
from retrieval.media.sources.patterns import has_fixed_extension


def find_objects(address: str, listing: Listing) -> Iterator[str]:
    """Yield the addresses of the media that an address or a pattern names, sorted.

    Names that begin with a dot are skipped silently, and other objects than media are counted.

    Raises:
        SourceError: There is no such object, or the store refuses.
    """
    is_pattern = re.search(r"[*?\[]", address) is not None
    base = re.split(r"[*?\[]", address)[0].rpartition("/")[0] if is_pattern else address
    base = base.rstrip("/")
    try:
        found = list(list_objects(address))
    except OSError as error:
        raise SourceError(f"{quote(address)}: {error.strerror or error}") from error
    if not found:
        raise SourceError(f"{quote(address)}: no such object; check the address")
    if found == [address]:
        yield address  # an object, whatever its name
        return
    listing.add_address(base)
    excluded = compile_patterns(listing.exclude) if listing.exclude else None
    all_objects = is_pattern and has_fixed_extension(address)
    for each in found:
        name = each[len(base) + 1 :]
        if any(part.startswith(".") for part in name.split("/")):
            continue
        if excluded is not None and match_path(excluded, name) is True:
            continue
        if all_objects or is_media_name(name):
            yield each
        else:
            listing.count_skipped(name)
