"""The card of an index part of a million rows, as tests of what comes after it need one."""

from indexes.effort import Effort
from retrieval.search.calibration import Calibration, QueryKind
from retrieval.search.indexing.card import IndexCard, Measured
from retrieval.search.indexing.request import IndexRequest

CARD = IndexCard(
    space="toy-01234567",
    request=IndexRequest(),
    factory="IVF64,SQ8",
    looking={QueryKind.TEXT: Effort(8, 100), QueryKind.MEDIA: Effort(8, 100)},
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
    measured=Measured({}, {}, 0.0, 0.0),
    calibration=Calibration({}),
)
