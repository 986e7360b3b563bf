"""Which partition a key belongs to: murmur2, as Kafka's own default partitioner has it.

Every border needs the same answer: the door that publishes, a worker that meets an event, a reader that looks for the
owner of an offer.
"""

from functools import lru_cache
from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_32: Final = 0xFFFFFFFF


@lru_cache(maxsize=2**17)
def partition(key: str, partitions: int) -> int:
    """The partition, of so many, that a key belongs to."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


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
