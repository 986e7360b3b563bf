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
    values = np.sort(values)
    different: NDArray[_N] = values[np.append(True, values[1:] != values[:-1])]
    return different
