"""Mutated messages: whatever comes in by whichever way, nothing crashes, grows without end, or shows a traceback."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.fuzzing import fuzz, surfaces

SEEDS = (1, 2)
MESSAGES = 25_000
"""For each seed, so that two workers of the tests share them."""
GROWTH_BYTES = 512 * 2**20
"""Of the process, at the most: a few messages of 256 KiB at hand, and an engine with some thousand events."""


@pytest.mark.parametrize("seed", SEEDS)
def test_no_message_is_a_surprise(seed: int) -> None:
    """Every mutated message is taken, or refused in the way that its reader says it refuses."""
    told = fuzz(MESSAGES, seed)
    assert told.faults == []
    assert sum(told.messages.values()) == MESSAGES
    assert min(told.messages.values()) > 100, "every surface had its share"
    assert told.grown_bytes < GROWTH_BYTES


FOUND = [
    ("stages", b"\x92\x02\x91\x92\xc0\x92\x08\xa3\xf8:a"),  # no UTF-8 in a fact
    ("facebook webhook", b"[" * 100_000),
    ("threads webhook", b'{"values": {"field": [], "value": 1}}'),
    ("linkedin webhook", b'{"a":' * 100_000),
    ("links", b"http://xn--bcher-"),
    ("links", "http://a\u2246.example/".encode()),
    ("feeds", b"<rss>\0</rss>"),
    ("feeds", b'{"items": [{"url": 7}], "next_url": 7}'),
    ("offers.csv", b'id,"a\nb","a\nb"\n'),
]


@pytest.mark.parametrize(("name", "message"), FOUND)
def test_what_was_a_surprise_once_is_none_any_more(name: str, message: bytes) -> None:
    """Messages that once crashed their reader, or broke its one line in two, are refused."""
    with ExitStack() as stack:
        surfaces(stack)[name].take(message)
