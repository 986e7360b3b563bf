"""The contract of a connector: whoever writes one reads this page and nothing else.

A connector brings what one network says, and knows nothing of Kafka, offers or crashes:

- It is declared once, in its class: `declared` holds its name, options and abilities. Its file is one of this package,
  its line stands in `connectors.catalogue`, and its rehearsal in the standard suite (tests/test_connectors.py), which
  every connector passes. Settings, `--list`, the table in the README and the tests follow from these.
- One thread, the runner's, calls it: `connect(cursor)` until that returns, then `read` again and again, `close` at
  the end and whenever something failed; `connect` may come again after it. A webhook's `take` alone has another thread.
- `read` gives a `Page`: raw messages as they came, and the cursor with which `connect` goes on behind them. It waits
  `timeout_s` at most and never sleeps beyond: a page may say `again_s`, when it is worth asking again.
- `normalise(raw)` is pure: the same message gives the same sightings, whatever came before. It invents no time and no
  id, and never raises: what it can't read is a `Rejected`, whose detail quotes nothing of it. What a message leaves out
  (whose post was deleted, where a quote leads) the runner completes from its journal, see `connectors.sightings`.
- The runner moves the cursor, and calls the page's `ack`, once all events of the page are safe behind the door, never
  before. After a crash a connector reads from the last cursor that was saved: what comes twice has the same id.
- What goes wrong is an exception: `NotConnected` (close, wait with full jitter, connect with the last cursor),
  `RateLimited` (wait as long as the network says, go on), `CursorRejected` (the past is lost: a `gap`, a cold start),
  `Refused` (credentials: a person has to act). Their text is one line, and names no secret, account or post.
- A cold start tells its cursor in an empty page, before the first message: else a crash then would be another one.
- Blindness is told: a page that begins later than its cursor promised says so in `blind`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from pydantic import SecretStr

from connectors.sightings import Sighting
from connectors.webhook import Hook
from spread.events import AnyEvent, Rejected
from spread.registry import JobOffer

Value = str | int | float | bool | list[str] | SecretStr | None
Normal = Sighting | AnyEvent | Rejected
"""What a message becomes: a sighting that is still to be completed, an event as it is, or neither."""


@dataclass(frozen=True)
class Option:
    """One option of a connector. Its type is that of its default; None stands for a text that may be missing.

    A secret never shows; `NAME_file` may name a file that holds it. `required` ones have no default.
    """

    name: str
    help: str
    default: str | int | float | bool | list[str] | None = None
    secret: bool = False
    required: bool = False


@dataclass(frozen=True)
class Abilities:
    """What a network gives through this connector: in a few words how, None where it does not."""

    reshares: str | None = None
    parents: str | None = None
    followers: str | None = None
    deletes: str | None = None
    resume: str | None = None


@dataclass(frozen=True)
class Prices:
    """What a look-up costs, in US dollars: each call, and each row of an answer."""

    call: float = 0.0
    row: float = 0.0


@dataclass(frozen=True)
class Declaration:
    """A connector as `--list`, the settings and the tests know it.

    `in_order`: the network tells a deletion after what it deletes. Where it does not, deletions of what is not known
    are kept for an hour.
    """

    name: str
    network: str
    summary: str
    abilities: Abilities
    options: tuple[Option, ...] = ()
    in_order: bool = True
    prices: Prices | None = None
    """Of follower look-ups (`Connector.finder`); None where there are none."""


@dataclass(frozen=True)
class Blind:
    """A window (ms) of which nothing is known, and why in a few words."""

    from_ms: int
    to_ms: int
    why: str


@dataclass(frozen=True)
class Page:
    """Messages of one read, and where to go on behind them.

    `heard` is when the newest of them happened, by the network's clock (ms); None leaves it as it was. `again_s`: how
    long it is not worth reading again. `source` as in an event. `ack` is called once the page is safe and its cursor
    saved; from which thread is not said.
    """

    raw: Sequence[Any] = ()
    cursor: str | None = None
    heard: int | None = None
    source: str = "stream"
    again_s: float = 0.0
    blind: Blind | None = None
    ack: Callable[[], None] | None = None


@dataclass(frozen=True)
class Root:
    """A post of an offer, or a quote of one, that the journal knows: `id` as in events, `at` in ms."""

    id: str
    offer: str
    account: str
    at: int


class Known(Protocol):
    """What a connector may ask of the rest, in the runner's thread."""

    def roots(self, since_ms: int) -> list[Root]:
        """Posts of offers that are not older, the newest first."""

    def quotes(self, since_ms: int) -> list[Root]:
        """Quotes below such posts, likewise: they are shared and quoted in their turn."""

    def ids(self, since_ms: int, after: str, most: int) -> list[str]:
        """Ids of posts, shares, quotes and replies that are not older, in their order behind `after`."""

    def takes_part(self, account: str) -> bool:
        """Whether an account is known to have posted, shared, quoted or replied."""

    def has(self, id: str) -> bool:
        """Whether a post or a share of an offer is known by this id."""

    def offers(self) -> Sequence[JobOffer]:
        """The open offers of the registry."""


class KnowsNothing(Known):
    """For a connector that is only asked what it would see: nobody's offers and posts."""

    def roots(self, since_ms: int) -> list[Root]:
        """None."""
        return []

    def quotes(self, since_ms: int) -> list[Root]:
        """None."""
        return []

    def ids(self, since_ms: int, after: str, most: int) -> list[str]:
        """None."""
        return []

    def takes_part(self, account: str) -> bool:
        """Nobody does."""
        return False

    def has(self, id: str) -> bool:
        """Nothing."""
        return False

    def offers(self) -> Sequence[JobOffer]:
        """None."""
        return ()


@dataclass(frozen=True)
class Check:
    """What `--check` found: `sees` and `misses` in a line each."""

    sees: tuple[str, ...] = ()
    misses: tuple[str, ...] = ()


class Options(Mapping[str, Value]):
    """A connector's options as they are in force. Its text never shows a secret."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values: Final = dict(values)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Options({', '.join(f'{name}={value!s}' for name, value in self._values.items())})"

    def text(self, name: str) -> str:
        """A text or a secret, in clear; empty where there is none."""
        value = self._values[name]
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value or "")

    def number(self, name: str) -> float:
        """A number."""
        value = self._values[name]
        assert isinstance(value, int | float)
        return value

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        value = self._values[name]
        assert isinstance(value, list)
        return value


class Finder(ABC):
    """Looks followers up, for the thread that plans and pays (connectors.finding). Names are those of events."""

    page_rows: int = 100
    """Rows that one call for a list may give."""
    counts_at_once: int = 0
    """Accounts whose follower counts one call gives; 0 where there are none, or they come with the events."""

    def counts(self, accounts: list[str]) -> dict[str, int]:
        """How many follow each of some accounts; those that are gone are left out."""
        raise NotImplementedError

    @abstractmethod
    def listed(self, account: str, side: str, page: str | None) -> tuple[list[str], str | None]:
        """One page of those that an account `follows`, or is `followed_by`, and the next page, None at the end."""

    def is_whole(self, account: str, side: str, rows: int) -> bool:
        """Whether a list that ended after so many rows names everybody; a network may show a part of it as the end.

        Asked right behind the last page; the first may be of days ago, and of another process.
        """
        return True

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""


def lookup_options(calls: int, money: float = 0.0) -> tuple[Option, ...]:
    """The options of a connector that has a finder: a budget for each day, and for how long an answer holds."""
    return (
        Option("lookup_calls", "Calls a day for follower look-ups at most; 0: none.", calls),
        Option("lookup_money", "US dollars a day for follower look-ups at most.", money),
        Option("lookup_days", "Days after which an account may be looked up again.", 7.0),
    )


class Connector(ABC):
    """A source of one network. Made with its options; touches nothing outside before `connect`."""

    declared: ClassVar[Declaration]
    hooks: Sequence[Hook] = ()
    """Routes of the receiver, for what the network pushes."""
    expires_ms: int | None = None
    """When its credentials end, by the wall clock; None where they do not, or nobody says. Set by `connect`."""
    warns: str | None = None
    """What a person should see to though it still reads, in a line: its credentials end soon, a webhook is gone."""

    def __init__(self, options: Options, known: Known) -> None:
        self.options, self.known = options, known

    @abstractmethod
    def connect(self, cursor: str | None) -> None:
        """Connect, to go on behind a cursor; None is a cold start, with what comes from now on."""

    @abstractmethod
    def read(self, timeout_s: float) -> Page | None:
        """What has come, or None if nothing did in `timeout_s` seconds."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections and threads. May come twice, and without `connect`."""

    @classmethod
    @abstractmethod
    def normalise(cls, raw: Any) -> Sequence[Normal]:
        """What a message says. Pure; never raises."""

    def finder(self) -> Finder | None:
        """What looks followers up, with connections of its own; None where there is nothing to look up."""
        return None

    def check(self) -> Check:
        """Ask the network what these credentials will see. May raise what `connect` may."""
        abilities = self.declared.abilities
        told = {name: getattr(abilities, name) for name in abilities.__dataclass_fields__}
        return Check(
            tuple(f"{name}: {how}" for name, how in told.items() if how),
            tuple(name for name, how in told.items() if not how),
        )


class ConnectorError(Exception):
    """What goes wrong with a network, in one line that names no secret."""


class NotConnected(ConnectorError):
    """The connection is lost, or can't be had. `after_s` where the network says how long to stay away."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class RateLimited(ConnectorError):
    """Too many calls. The connection holds; `after_s` until the limit is lifted, None where the network is silent."""

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class CursorRejected(ConnectorError):
    """The network does not go on from this cursor. `earliest` is the oldest one it takes, None to begin with now.

    `seen_from` (ms) says from when on an `earliest` cursor sees again.
    """

    def __init__(self, why: str, earliest: str | None = None, seen_from: int | None = None) -> None:
        super().__init__(why)
        self.earliest, self.seen_from = earliest, seen_from


class Refused(ConnectorError):
    """The network does not take these credentials, or takes them no longer: waiting does not help."""
