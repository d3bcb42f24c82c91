"""The card of an index part of a million rows."""

from indexes.effort import Effort
from retrieval.search.calibration import QueryType
from retrieval.search.indexing.card import IndexCard, Measurements
from retrieval.search.indexing.request import IndexRequest

CARD = IndexCard(
    space="toy-01234567",
    request=IndexRequest(),
    factory="IVF64,SQ8",
    efforts={QueryType.TEXT: Effort(8, 100), QueryType.MEDIA: Effort(8, 100)},
    reason="",
    rows=1_000_000,
    vectors=1_000_000,
    dim=32,
    bytes=0,
    training_rows=0,
    trained_for=1_000_000,
    faiss="",
    build_seconds=0.0,
    generation=1,
    first_item_id=0,
    last_item_id=9,
    measured=Measurements({}, {}, 0.0, 0.0),
)
