"""Which partition a key belongs to: murmur2, as Kafka's own default partitioner has it.

Every border needs the same answer: the door that publishes, a worker that meets an event, a reader that looks for the
owner of an offer.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_32: Final = 0xFFFFFFFF
_FEW: Final = 8
"""Keys of one length: as few are quicker one by one."""


@lru_cache(maxsize=2**17)
def partition(key: str, partitions: int) -> int:
    """The partition, of so many, that a key belongs to."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def partition_of_each(keys: Sequence[str], partitions: int) -> list[int]:
    """The same for many keys, those of one length at a time."""
    by_length: dict[int, list[int]] = {}
    raw = [key.encode() for key in keys]
    for place, one in enumerate(raw):
        by_length.setdefault(len(one), []).append(place)
    found = [0] * len(raw)
    for length, places in by_length.items():
        if len(places) <= _FEW:
            for place in places:
                found[place] = partition(keys[place], partitions)
        else:
            hashes = _murmur2_of_each(b"".join([raw[place] for place in places]), len(places), length)
            for place, number in zip(places, ((hashes & 0x7FFFFFFF) % partitions).tolist(), strict=True):
                found[place] = number
    return found


def _murmur2_of_each(joined: bytes, n: int, length: int) -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
    """`murmur2` of n byte strings of one length, end to end: in 32 bits, which overflow as they should."""
    padded = np.zeros((n, -(-length // 4) * 4), np.uint8)
    padded[:, :length] = np.frombuffer(joined, np.uint8).reshape(n, length)
    words = padded.view("<u4").T
    multiplier = np.uint32(_M)
    hashed = np.full(n, _SEED ^ length, np.uint32)
    for word in words[: length // 4]:
        k = word * multiplier
        k ^= k >> np.uint32(24)
        k *= multiplier
        hashed *= multiplier
        hashed ^= k
    if length % 4:
        hashed ^= words[-1]
        hashed *= multiplier
    hashed ^= hashed >> np.uint32(13)
    hashed *= multiplier
    hashed ^= hashed >> np.uint32(15)
    return hashed


def murmur2(raw: bytes) -> int:
    """MurmurHash2 (Austin Appleby), 32 bits, with the seed that Kafka uses."""
    length = len(raw)
    whole = length & ~3
    hashed = _SEED ^ length
    for at in range(0, whole, 4):
        k = int.from_bytes(raw[at : at + 4], "little") * _M & _32
        k = (k ^ k >> 24) * _M & _32
        hashed = hashed * _M & _32 ^ k
    if length > whole:
        hashed = (hashed ^ int.from_bytes(raw[whole:], "little")) * _M & _32
    hashed = (hashed ^ hashed >> 13) * _M & _32
    return hashed ^ hashed >> 15
