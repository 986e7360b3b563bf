"""Networks in small, for the standard suite that every connector passes (tests/test_connectors.py).

A rehearsal is a local server that speaks one network's shapes and can misbehave. It is a replay, not the network: it
says what the documentation shows, and nothing about how the real one is run. Whoever adds a connector adds its
rehearsal: a class in a module of its own, and a line in `rehearsals`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, ClassVar, Self

from connectors.sightings import Authored

URL = "https://jobs.example/42"
OFFER = "offer-42"


def match(post: Authored) -> str | None:
    """Know the one offer there is, and those that a network names."""
    return post.named or (OFFER if URL in post.urls or URL in post.text else None)


class Rehearsal(ABC):
    """What the suite asks of every network."""

    limits: ClassVar[bool] = True
    """Whether the network has rate limits."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        """That lead the connector here; with each secret that it has."""
        self.secrets: list[str] = []
        self.acts: list[str] = []
        """The ids of all events that the connector should have made so far."""
        self.names: set[str] = set()
        """Accounts and posts in clear, that must not pass the door."""
        self.calls: list[float] = []
        """When the network was called (monotonic)."""

    @abstractmethod
    def __enter__(self) -> Self:
        """Start the server."""

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""

    @abstractmethod
    def spread(self, shares: int) -> None:
        """Let so many accounts share the post of the offer, which is published first if it was not yet."""

    @abstractmethod
    def cut(self) -> None:
        """Break the connections that there are, in the middle of what is said."""

    @abstractmethod
    def limit(self, seconds: int) -> None:
        """Answer the next call that too many came, and when the limit is lifted."""

    @abstractmethod
    def garble(self) -> None:
        """Say what can't be read, in every way that the network could, each time full of names in clear."""

    @property
    @abstractmethod
    def stale_cursor(self) -> str:
        """Give a cursor that the network does not go on from."""

    def called(self) -> None:
        """Note a call."""
        self.calls.append(time.monotonic())


def rehearsals() -> dict[str, type[Rehearsal]]:
    """Give the rehearsal of each connector, by its name."""
    from tests.exports import OutcomesRehearsal, ViadeoRehearsal
    from tests.jetstream import JetstreamRehearsal
    from tests.linkedin import LinkedInRehearsal
    from tests.mastodon_instance import MastodonRehearsal
    from tests.meta import FacebookRehearsal, ThreadsRehearsal
    from tests.x_network import XRehearsal

    return {
        "bluesky": JetstreamRehearsal,
        "mastodon": MastodonRehearsal,
        "outcomes": OutcomesRehearsal,
        "viadeo": ViadeoRehearsal,
        "x": XRehearsal,
        "linkedin": LinkedInRehearsal,
        "facebook": FacebookRehearsal,
        "threads": ThreadsRehearsal,
    }
