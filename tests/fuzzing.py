"""Mutated messages for everything that reads what others wrote: none may crash it, whatever it holds.

A surface is a border of the system. It may refuse a message in the ways that it says it does; any other exception is a
fault, which tells the message that led to it.
"""

from __future__ import annotations

import json
import random
import resource
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from prometheus_client import generate_latest

from connectors import offer_files
from connectors.completion import Completion
from connectors.connector import Connector, KnowsNothing
from connectors.feeds import pages, systems
from connectors.feeds.web import FeedError, Page, Web
from connectors.journal import Journal
from connectors.short_links import ShortLinks
from connectors.webhook import Delivery, Reply
from ricochet import imports, metrics
from ricochet.errors import RicochetError
from ricochet.view import View
from spread.events import AnyEvent, Rejected, decode, key
from spread.facts import NewerEncoding
from spread.hashing import Hashing
from spread.urls import canonical, links
from streams import wire
from streams.embedded import Embedded
from streams.letters import foreign_letter, letter
from tests import corpora, linkedin, meta
from tests.connecting import made
from tests.crowd import NOON
from tests.exports import SECRET as OUTCOMES_SECRET
from tests.mutations import mutated
from tests.rehearsals import match

HASHING: Final = Hashing(b"0123456789abcdef", frozenset())
ENGINE: Final = 4_000
"""Messages after which an engine is asked everything, and another one begins."""


@dataclass(frozen=True)
class Surface:
    """What reads messages: `weight` is how often it is given one."""

    weight: int
    corpus: Sequence[bytes]
    take: Callable[[bytes], None]


@dataclass
class Fuzzed:
    """What came of it: messages by surface, faults with the message that led to each, and the growth of memory."""

    messages: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    grown_bytes: int = 0


def fuzz(n: int, seed: int, names: Sequence[str] = (), most_faults: int = 20) -> Fuzzed:
    """Give `n` mutated messages to the surfaces, all or those named; the same seed gives the same messages."""
    told = Fuzzed()
    with ExitStack() as stack:
        all_ = surfaces(stack)
        chosen = {name: all_[name] for name in names or all_}
        turns = [name for name, surface in chosen.items() for _ in range(surface.weight)]
        for surface in chosen.values():  # what is loaded or made once is there then
            for message in surface.corpus:
                surface.take(message)
        before = _peak_bytes()
        for number in range(n):
            rng = random.Random(seed * 1_000_003 + number)
            name = rng.choice(turns)
            message = mutated(rng, chosen[name].corpus)
            told.messages[name] += 1
            try:
                chosen[name].take(message)
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                shown = message if len(message) < 400 else message[:400] + b"..."
                told.faults.append(
                    f"{name} {seed}/{number}: {type(error).__name__}: {str(error)[:200]} "
                    f"({Path(where.filename).name}:{where.lineno}): {shown!r}"
                )
                if len(told.faults) >= most_faults:
                    break
        told.grown_bytes = _peak_bytes() - before
    return told


def surfaces(stack: ExitStack) -> dict[str, Surface]:
    """Give all surfaces; what they hold open is closed with the stack."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ricochet-fuzz-", dir=_memory())))
    engine = Engine(stack)
    found = {
        "events": Surface(30, corpora.events(), engine.take),
        "stages": Surface(6, corpora.stages(), open_envelope),
        "links": Surface(4, corpora.links(), follow),
        "feeds": Surface(8, corpora.feeds(), read_feed),
        "systems": Surface(6, corpora.systems(), read_systems),
        "offers.csv": Surface(6, corpora.offer_tables(), _offer_file(folder / "offers.csv")),
        "offers.yaml": Surface(1, corpora.offer_lists(), _offer_file(folder / "offers.yaml")),
        "exports": Surface(6, corpora.exports(), _export(folder / "export.csv", "viadeo")),
        "exports.jsonl": Surface(2, corpora.export_lines(), _export(folder / "export.jsonl", "viadeo")),
        "outcomes.csv": Surface(2, corpora.outcome_tables(), _export(folder / "outcomes.csv", "outcomes")),
    }
    for name, corpus in corpora.raws().items():
        journal = stack.enter_context(closing(Journal(folder / f"{name}.journal", [])))
        found[name] = Surface(5, corpus, _Raw(_made(name), journal).take)
    for name, (sign, corpus) in corpora.hooks().items():
        connector = _made(name)
        if name == "outcomes":
            connector.connect(None)
        found[f"{name} webhook"] = Surface(5, corpus, _Hooked(connector, sign).take)
    return found


class Engine:
    """Events on the whole way: read, hashed, encoded, taken in, asked for; what is refused becomes a dead letter."""

    def __init__(self, stack: ExitStack) -> None:
        self._engine = Embedded()
        stack.callback(self.close)
        self._n = 0
        self._waiting: list[AnyEvent] = []

    def close(self) -> None:
        """Close the engine that there is."""
        self._engine.close()

    def take(self, message: bytes) -> None:
        """Take a message in; now and then ask the engine everything."""
        self._n += 1
        for found in decode(message, NOON * 2 if self._n % 2 else None):
            if isinstance(found, Rejected):
                msgspec.json.decode(letter(found, "social-events", 0, 7, HASHING.name))
                msgspec.json.decode(foreign_letter(found, "x"))
                continue
            hashed = HASHING.event(found)
            assert decode(wire.social_event(hashed)) == [hashed]
            key(hashed).encode()
            self._waiting.append(hashed)
        if len(self._waiting) >= 100:
            waiting, self._waiting = self._waiting, []
            self._engine.feed(waiting)
        if self._n % ENGINE == 0:
            self._ask()
            self._engine.close()
            self._engine = Embedded()

    def _ask(self) -> None:
        view = View(self._engine)
        msgspec.json.encode(list(view.offers()))
        for id in self._engine.offers():
            for line in (*self._engine.report_lines(id), *self._engine.edge_lines(id)):
                json.loads(line)
            msgspec.json.encode(view.detail(id))
        generate_latest(metrics.registry(view, 50)).decode()


class _Raw:
    """A connector's messages on the whole way: read, completed with the journal, hashed."""

    def __init__(self, connector: Connector, journal: Journal) -> None:
        self._connector, self._bytes = connector, connector.declared.name in ("bluesky", "mastodon", "x")
        self._completion = Completion(journal, match, connector.declared.network, in_order=connector.declared.in_order)

    def take(self, message: bytes) -> None:
        """Take a message in, as bytes, or as the JSON that an answer of the network would be."""
        try:
            raw = message if self._bytes else msgspec.json.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        for said in self._connector.normalise(raw):
            if isinstance(said, Rejected):
                msgspec.json.decode(foreign_letter(said, "x"))
                continue
            for event in self._completion.events(said, "stream"):
                msgspec.json.encode(HASHING.event(event))


class _Hooked:
    """A webhook: what is signed is read, whatever it is, and what is not is refused."""

    def __init__(self, connector: Connector, sign: Callable[[bytes], Mapping[str, str]]) -> None:
        self._connector, self._sign = connector, sign
        (self._hook,) = connector.hooks

    def take(self, message: bytes) -> None:
        """Deliver a message signed, and with the signature of another."""
        signed, foreign = ({k.lower(): v for k, v in self._sign(one).items()} for one in (message, message + b" "))
        for query in (
            {},
            {"hub.challenge": message[:99].decode("latin-1"), "challengeCode": message[:99].decode("latin-1")},
        ):
            self._hook.take(Delivery("GET", query, {}, b""))
        refused = self._hook.take(Delivery("POST", {}, foreign, message))
        assert isinstance(refused, Reply) and refused.status == 401, refused
        taken = self._hook.take(Delivery("POST", {}, signed, message))
        if isinstance(taken, Reply):
            assert taken.status in (400, 422, 503), taken
            return
        for raw in taken:
            for said in self._connector.normalise(raw):
                if isinstance(said, Rejected):
                    msgspec.json.decode(foreign_letter(said, "x"))


class _Fed(Web):
    """A web that has one page, at every address."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def get(self, url: str, **params: str | int) -> Page:
        """Give it."""
        return Page(url, "", self._body)


def read_feed(message: bytes) -> None:
    """Read a page, and whatever it leads to on its site, which is the same again."""
    _refusable(FeedError, lambda: pages.read(_Fed(message), "https://acme.example/jobs"))


def read_systems(message: bytes) -> None:
    """Read what an applicant tracking system says."""
    for read in (systems.greenhouse, systems.lever, systems.smartrecruiters):
        _refusable(FeedError, lambda read=read: read(_Fed(message), systems.HOSTS, "acme"))  # type: ignore[misc]


def open_envelope(message: bytes) -> None:
    """Open a message between the stages."""
    _refusable(NewerEncoding, lambda: wire.open_envelope(message))


def follow(message: bytes) -> None:
    """Look at links, without asking anybody."""
    text = message.decode(errors="replace")
    for link in (text, *links(text)):
        canonical(link)
        ShortLinks(hosts=()).resolve(link)
        ShortLinks().is_short(link)


def _offer_file(path: Path) -> Callable[[bytes], None]:
    def take(message: bytes) -> None:
        path.write_bytes(message)
        _refusable(offer_files.OfferFileError, lambda: offer_files.read(str(path)))

    return take


def _export(path: Path, network: str) -> Callable[[bytes], None]:
    def take(message: bytes) -> None:
        path.write_bytes(message)
        _refusable(RicochetError, lambda: _rows(path, network))

    return take


def _rows(path: Path, network: str) -> None:
    with closing(imports.opened([str(path)], network, None, [])) as export:
        for row in export.rows(0, len(export)):
            imports.reading(network).normalise(row)
        export.heard(len(export))


def _refusable(refusal: type[Exception], take: Callable[[], object]) -> None:
    try:
        take()
    except refusal as error:
        text = str(error)
        assert len(text.splitlines()) <= 1, text
        assert "Traceback" not in text


def _made(name: str) -> Connector:
    return made(name, OPTIONS[name], KnowsNothing())


OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "bluesky": {},
    "mastodon": {"instances": ["social.example"], "token": "t"},
    "x": {"bearer_token": "t", "contract": "c"},
    "linkedin": {
        "access_token": "t",
        "organizations": ["42"],
        "client_id": "i",
        "client_secret": linkedin.SECRET,
    },
    "facebook": {"access_token": "t", "pages": ["1000"], "app_secret": meta.SECRET, "verify_token": meta.VERIFY},
    "threads": {"access_token": "t", "app_secret": meta.SECRET, "verify_token": meta.VERIFY},
    "outcomes": {"secret": OUTCOMES_SECRET},
}


def _memory() -> str | None:
    """Where files cost no disk, if there is such a place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
