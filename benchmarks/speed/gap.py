"""Generates rows and text queries with a modality gap, block by block from a seed.

They imitate the embeddings of a CLIP-like model in the properties that affect an index:

- Rows and texts are on two cones. Rows have a mean cosine of 0.5 to 0.6 among themselves, a text
  and its best row one of about 0.3 (Liang et al., "Mind the Gap", 2203.02053).
- Rows are in clusters of uneven size (Zipf), like concepts on the web.
- The spectrum decays, so the intrinsic dimension is far below the number of dimensions.
- A text shares a cluster with rows, but only a part of its direction; the rest is noise. Its
  neighbours are therefore in more lists, and further apart in a graph, than those of a row: texts
  are two to eight times slower at equal recall (VIBE).

The exponents of the spectra were set so that an inverted file of 1,024 lists that visits an eighth
of them finds 0.95 to 0.97 of the ten neighbours of a text, and 0.99 or more of those of a row. The
recall on the vectors of a real model can differ; methods differ less there than on these rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CLUSTERS = 4_096
ZIPF_EXPONENT = 0.8
"""The largest cluster holds 4.6 % of the rows, the median one 0.01 %."""

CONE_SHARE = 0.55
"""Squared length of the common part of all rows, their mean cosine. Texts have the same."""

CONES_COSINE = 0.25
"""Cosine of the axes of the two cones; of a text and an unrelated row it is 0.55 × 0.25 = 0.14."""

CLUSTER_SHARE = 0.7
"""Share of the squared length of a row's own part that its cluster has in common."""

SPECTRUM_EXPONENT = 0.7
"""Variance along the i-th principal direction is i ** -0.7, between and within clusters. The
exponent of the noise of texts is half of that."""

SHARED_SHARE = 0.2
"""Share of the squared length of a text's own part that is shared with media; the rest is noise."""

SEED_ROWS = 8_192
"""Number of rows that are generated together from one seed."""


class GapRows:
    """A corpus of generated unit rows with text queries, deterministic for a seed.

    Args:
        rows: Number of rows, which are generated on demand.
        dim: Dimension.
        seed: Seed of the space and its rows.
    """

    def __init__(self, rows: int, dim: int = 512, seed: int = 0) -> None:
        self.rows, self.dim, self._seed = rows, dim, seed
        rng = np.random.default_rng([seed, 0])
        axes, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
        variance = np.arange(1, dim + 1) ** -SPECTRUM_EXPONENT
        self._deviations = np.sqrt(variance / variance.sum()).astype(np.float32)
        self._axes = axes.T.astype(np.float32)
        self._row_cone, other = np.linalg.qr(rng.standard_normal((dim, 2)))[0].T.astype(np.float32)
        self._text_cone = CONES_COSINE * self._row_cone + np.sqrt(1 - CONES_COSINE**2) * other
        self._centres = self._draw(rng, CLUSTERS)
        weights = np.arange(1, CLUSTERS + 1) ** -ZIPF_EXPONENT
        self._ends = np.cumsum(weights / weights.sum())

    def block(self, first: int, last: int) -> NDArray[np.float16]:
        """Generate rows first … last - 1, (last - first, dim) of unit length."""
        if not 0 <= first <= last <= self.rows:
            raise ValueError(f"rows {first} … {last} are outside 0 … {self.rows}")
        rows = np.empty((last - first, self.dim), np.float16)
        for number in range(first // SEED_ROWS, -(-last // SEED_ROWS)):
            start = number * SEED_ROWS
            a, b = max(first, start), min(last, start + SEED_ROWS)
            rows[a - first : b - first] = self._seeded(number)[a - start : b - start]
        return rows

    def blocks(self, size: int = 16 * SEED_ROWS) -> Iterator[NDArray[np.float16]]:
        """Yield all rows in order, at most `size` per block."""
        for first in range(0, self.rows, size):
            yield self.block(first, min(self.rows, first + size))

    def texts(self, count: int, seed: int = 0) -> NDArray[np.float32]:
        """Generate (count, dim) unit queries, each near a random cluster."""
        rng = np.random.default_rng([self._seed, 2, seed])
        own = np.sqrt(np.float32(SHARED_SHARE)) * self._members(rng, count)
        noise = rng.standard_normal((count, self.dim), np.float32) * np.sqrt(self._deviations)
        noise *= np.sqrt(1 - SHARED_SHARE) / np.linalg.norm(noise, axis=1, keepdims=True)
        return _on_cone(self._text_cone, (own + noise) @ self._axes)

    def _seeded(self, number: int) -> NDArray[np.float32]:
        rng = np.random.default_rng([self._seed, 1, number])
        return _on_cone(self._row_cone, self._members(rng, SEED_ROWS) @ self._axes)

    def _members(self, rng: np.random.Generator, count: int) -> NDArray[np.float32]:
        """Draw (count, dim) members of random clusters, in principal coordinates."""
        clusters = np.searchsorted(self._ends, rng.random(count)).clip(max=CLUSTERS - 1)
        members = self._draw(rng, count)
        members *= np.sqrt(np.float32(1 - CLUSTER_SHARE))
        members += np.sqrt(np.float32(CLUSTER_SHARE)) * self._centres[clusters]
        return members

    def _draw(self, rng: np.random.Generator, count: int) -> NDArray[np.float32]:
        """Draw (count, dim) rows of about unit length with the variances of the spectrum."""
        drawn = rng.standard_normal((count, self.dim), np.float32)
        drawn *= self._deviations
        return drawn


def _on_cone(axis: NDArray[np.float32], own: NDArray[np.float32]) -> NDArray[np.float32]:
    """Combine the axis of a cone with the rows' own directions to unit vectors."""
    own *= np.sqrt(np.float32(1 - CONE_SHARE)) / np.linalg.norm(own, axis=1, keepdims=True)
    own += np.sqrt(np.float32(CONE_SHARE)) * axis
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    return own
