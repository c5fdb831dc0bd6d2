"""The exponential function from sums and products alone: libraries differ in its last bits, and so would scores."""

import math

from numba import njit

_LOG2_E = 1.4426950408889634
_LN2_HIGH = 0.6931471803691238  # its last 20 bits are zero: a multiple of it is exact
_LN2_LOW = 1.9082149292705877e-10
_NUM_TERMS = 13


@njit(nogil=True, cache=True)
def exponential(x: float) -> float:
    """e^x for |x| <= 700, to 4 units in the last place: Taylor's series within ln(2)/2 of zero, and a power of two."""
    power = math.floor(x * _LOG2_E + 0.5)
    rest = (x - power * _LN2_HIGH) - power * _LN2_LOW
    total = 1.0
    for term in range(_NUM_TERMS, 0, -1):
        total = 1.0 + total * rest / term
    return math.ldexp(total, power)


@njit(nogil=True, cache=True)
def logistic(x: float) -> float:
    """1 / (1 + e^-x), for any x."""
    if x < 0.0:
        grown = exponential(max(x, -700.0))
        return grown / (1.0 + grown)
    return 1.0 / (1.0 + exponential(-min(x, 700.0)))
