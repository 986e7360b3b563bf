"""Small things on arrays of integers."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_N = TypeVar("_N", bound=np.generic)


def distinct(values: NDArray[_N]) -> NDArray[_N]:
    """The different values, sorted.

    As `numpy.unique`, without its look for masked arrays, which costs more than most of these sorts.
    """
    if len(values) < 2:
        return values
    values = values.copy()
    values.sort()
    different: NDArray[_N] = values[is_first(values)]
    return different


def is_first(values: NDArray[_N]) -> NDArray[np.bool_]:
    """Of sorted values, at least one, whether each is the first of its kind."""
    first = np.empty(len(values), bool)
    first[0] = True
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first
