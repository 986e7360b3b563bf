"""Good messages made bad: as a broken producer, a broken disk or somebody with time might send them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

LONGEST: Final = 256 * 1024
"""Bytes of a mutated message, about."""

ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1.5, -0.0, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**400, 1e308),
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "\ud800",
        "\ufeff",
        "\u202e",
        "x" * 600,
        "é" * 300,
        "x:",
        ":",
        "x:#",
        "x:#AAAA",
        "0",
        "-1",
    ),
    *("9999-12-31", "0000-00-00", "2026-02-30T25:61:61Z", "1e999", "NaN", "inf", "${jndi:x}", "../../etc/passwd"),
    *("http://[", "http://127.0.0.1/", "javascript:1", "at://did:plc:a/b/c", "urn:li:share:1", "=1+1", "<b>&amp;"),
    *([], {}, [[]], [{}], {"": {}}, [None] * 50, list(range(200)), {"a": {"b": {"c": [1, 2, {"d": None}]}}}),
)
RAW: Final = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999999", b"-1e-999999", b"0x10", b"01", b"9" * 400, b"1." + b"0" * 400),
    *(b"undefined", b"'x'", b'"\\ud800"', b'"\\u0000"', b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8\x88\x80\x80"),
    *(b"\0", b"\x1a", b"\x7f", b"//", b"/**/", b'""', b"\r\n", b"\n\n", b"\xef\xbb\xbf", b";", b",", b"\t", b'"', b"'"),
    *(
        b"]]>",
        b"<![CDATA[",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"&b;",
        b"</script>",
        b"- ",
        b"&a *a",
        b"!!python/x",
        b"{",
    ),
)


def flip(rng: random.Random, message: bytes) -> bytes:
    """Flip bits of some bytes."""
    made = bytearray(message)
    for _ in range(rng.randint(1, 8)):
        if made:
            made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def cut(rng: random.Random, message: bytes) -> bytes:
    """Leave out the end, or a part."""
    one, other = sorted(rng.randrange(len(message) + 1) for _ in range(2))
    return message[:one] if rng.random() < 0.5 else message[:one] + message[other:]


def repeat(rng: random.Random, message: bytes) -> bytes:
    """Say a part again and again."""
    one, other = sorted(rng.randrange(len(message) + 1) for _ in range(2))
    return message[:one] + message[one:other] * rng.choice((2, 3, 50, 500)) + message[other:]


def insert(rng: random.Random, message: bytes) -> bytes:
    """Put something odd anywhere."""
    at = rng.randrange(len(message) + 1)
    return message[:at] + rng.choice(RAW) * rng.choice((1, 1, 1, 3, 100)) + message[at:]


def nest(rng: random.Random, message: bytes) -> bytes:
    """Wrap it, or a part of it, deeply, and close that or not."""
    depth = rng.choice((2, 10, 200, 1_000, 20_000))
    opening, closing = rng.choice(
        ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]"), (b"<a>", b"</a>"), (b"[[", b"]]"))
    )
    at = rng.choice((0, rng.randrange(len(message) + 1)))
    return message[:at] + opening * depth + message[at:] + closing * rng.choice((depth, 0))


def swell(rng: random.Random, message: bytes) -> bytes:
    """Put a long string somewhere."""
    at = rng.randrange(len(message) + 1)
    return (
        message[:at]
        + rng.choice((b"x", b"\xc3\xa9", b"\\u0041", b" ", b"#a ", b"9")) * rng.choice((1_000, 20_000))
        + message[at:]
    )


def shuffle(rng: random.Random, message: bytes) -> bytes:
    """Put lines, or what stands between commas, into another order."""
    sign = rng.choice((b"\n", b",", b";", b" "))
    parts = message.split(sign)
    rng.shuffle(parts)
    return sign.join(parts)


def retype(rng: random.Random, message: bytes) -> bytes:
    """Put something of another kind in the place of some values of a JSON message, or say a name twice."""
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return insert(rng, message)
    for _ in range(rng.choice((1, 1, 2, 5))):
        value = _changed(rng, value)
    try:
        made = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return insert(rng, message)
    if rng.random() < 0.1:  # a name twice
        made = made.replace(b"{", b"{" + made[made.find(b'"') : made.find(b",")] + b",", 1) if b"," in made else made
    return made


def _changed(rng: random.Random, value: Any) -> Any:
    """Change one place in a value."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice([*value])
        how = rng.random()
        if how < 0.1:
            return {key: one for key, one in value.items() if key != name}
        if how < 0.15:
            return value | {rng.choice(("", "\0", "id", "x" * 600, name.upper())): value[name]}
        return value | {name: _changed(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        how = rng.random()
        if how < 0.1:
            return value * rng.choice((2, 20))
        return [*value[:at], _changed(rng, value[at]), *value[at + 1 :]]
    return rng.choice(ODD)


MUTATIONS: Final[Sequence[Callable[[random.Random, bytes], bytes]]] = (
    *(retype, retype, retype, retype, retype, flip, flip, cut, repeat, insert, insert, nest, swell, shuffle),
)


def mutated(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Give a message of a corpus, made bad in one to three ways."""
    message = rng.choice(corpus)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        message = rng.choice(MUTATIONS)(rng, message)
        if len(message) > LONGEST:
            message = message[:LONGEST]
    return message
