"""How many bands of how many rows: what a pair of documents is found by, before it is compared.

Source: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4.
"""

import math
from dataclasses import dataclass
from functools import cache

_MAX_PERMUTATIONS = 1 << 16
_MOST_AT_HALF = 0.01


@dataclass(frozen=True, kw_only=True)
class Banding:
    """Documents are candidates where their signatures agree in all rows of a band."""

    bands: int
    rows: int

    @property
    def num_permutations(self) -> int:
        return self.bands * self.rows

    def probability(self, similarity: float) -> float:
        """That a pair of this Jaccard similarity shares a band."""
        return float(-math.expm1(self.bands * math.log1p(-(similarity**self.rows)))) if similarity < 1.0 else 1.0


@cache
def banding_for(threshold: float, recall: float) -> Banding:
    """The banding of the fewest permutations that finds a pair at exactly `threshold` with at least the probability
    `recall`, and no more than 1 % of the pairs at half the threshold; of equally many, the one that finds fewer there.

    Fewest permutations alone would always be bands of a single row, which make almost every pair a candidate. 1 % at
    half the threshold is what FineWeb's 14 bands of 8 keep to, and they are what this gives for 0.8 and 0.92.

    Raises:
        ValueError: none of up to 65536 permutations does.
    """
    found: list[tuple[int, float, Banding]] = []
    for rows in range(1, _MAX_PERMUTATIONS + 1):
        agree = threshold**rows
        if agree * _MAX_PERMUTATIONS < 1e-9:  # no number of bands can do it
            break
        # one band less than the formula says, lest rounding ask for one too many
        bands = max(1, math.ceil(math.log1p(-recall) / math.log1p(-agree)) - 1) if agree < 1.0 else 1
        if Banding(bands=bands, rows=rows).probability(threshold) < recall:
            bands += 1
        banding = Banding(bands=bands, rows=rows)
        unlike = banding.probability(threshold / 2)
        if banding.num_permutations <= _MAX_PERMUTATIONS and unlike <= _MOST_AT_HALF:
            found.append((banding.num_permutations, unlike, banding))
        if found and rows > found[0][0]:  # every banding from here on takes more permutations
            break
    if not found:
        raise ValueError(
            f"recall={recall}: at threshold={threshold} no banding of up to {_MAX_PERMUTATIONS} permutations finds so "
            "many pairs and no more than 1 % of those half as similar; ask for less, or give bands and rows"
        )
    return min(found, key=lambda each: each[:2])[2]
