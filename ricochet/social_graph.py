"""A random follower graph, and how a post diffuses on it: companies, their employees, influencers and strangers.

Every network is a world of its own, as accounts of different networks are different accounts. How many followers an
account has is drawn from a Pareto law, so that most have a handful and a few have hundreds; who they are follows the
model of Chung & Lu (2002, Annals of Combinatorics 6, "Connected components in random graphs with given expected
degree sequences"). Colleagues follow each other much more often than that, and nearly all follow their company.

A share exposes the sharer's followers, each of whom shares in turn with a small probability after a log-normal delay:
a branching process, subcritical for most posts (Goel et al. 2015, Management Science 62(1)).

An account's stated follower count is never below its followers in the graph, and above where the network has
followers that nobody simulated.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["company", "employee", "influencer", "stranger"]
Indices = NDArray[np.int64]

STRANGERS = {"x": 2600, "linkedin": 1200, "bluesky": 1400, "mastodon": 700, "facebook": 900}
EMPLOYEES = 9  # of one company on one network
INFLUENCERS = 6  # on one network; the first is its star, whose audience reaches far beyond the graph
TAIL = 1.6  # exponent of the Pareto law of follower counts: finite mean, infinite variance
COLLEAGUE_TIE = 0.5  # probability that one employee follows another
COLLEAGUE_SHARE = 0.12  # probability that an employee shares what a colleague or the company did
DELAY = 18 * 60_000  # ms, median time from a share to one that follows from it
DELAY_SPREAD = 1.2  # standard deviation of its logarithm
NO_COMPANY = -1


@dataclass(frozen=True)
class Account:
    """One account: its contract name, what it is, its company's position (-1: none), its stated follower count."""

    name: str
    network: str
    kind: Kind
    company: int
    stated: int


@dataclass(frozen=True)
class FollowerGraph:
    """Who follows whom; accounts are numbered, `followers[a]` and `follows[a]` are sorted account numbers."""

    accounts: tuple[Account, ...]
    followers: tuple[Indices, ...]
    follows: tuple[Indices, ...]
    employer: Indices  # per account: the company it works for or is, -1 for none

    def find(self, network: str, kind: Kind, company: int = NO_COMPANY) -> list[int]:
        """Return the accounts of one kind on a network, those of one company where it is given, in order."""
        return [
            number
            for number, account in enumerate(self.accounts)
            if account.network == network and account.kind == kind and account.company == company
        ]

    def listed_whole(self, account: int) -> bool:
        """Tell whether the graph holds every follower that the account is stated to have."""
        return self.accounts[account].stated == len(self.followers[account])


@dataclass(frozen=True)
class Appeal:
    """Probability that an exposed follower shares: `base`, and `surge` from `since` on, fading over `fade` ms."""

    base: float
    surge: float = 0.0
    since: int = 0
    fade: int = 1

    def at(self, moment: int) -> float:
        """Return the probability at a time (ms)."""
        fresh = math.exp(-(moment - self.since) / self.fade) if moment >= self.since else 0.0
        return self.base + self.surge * fresh


@dataclass(frozen=True)
class Sharing:
    """One node of a true cascade: who, when (ms), the position of its parent (the root: -1), whether it was planted."""

    account: int
    at: int
    parent: int
    planted: bool = False


def grow(rng: np.random.Generator, companies: int) -> FollowerGraph:
    """Draw a follower graph over all networks, with the given number of companies present on each of them."""
    roles: list[tuple[str, Kind, int]] = []
    pairs: list[NDArray[np.int64]] = []  # rows of (account, follower)
    for network, strangers in STRANGERS.items():
        members = _members(companies, strangers)
        pairs.append(_pairs(rng, members) + len(roles))
        roles.extend((network, kind, company) for kind, company in members)
    return _assemble(rng, roles, np.concatenate(pairs))


def _members(companies: int, strangers: int) -> list[tuple[Kind, int]]:
    members: list[tuple[Kind, int]] = []
    for company in range(companies):
        members.append(("company", company))
        members.extend([("employee", company)] * EMPLOYEES)
    members.extend([("influencer", NO_COMPANY)] * INFLUENCERS)
    members.extend([("stranger", NO_COMPANY)] * strangers)
    return members


def _pairs(rng: np.random.Generator, members: list[tuple[Kind, int]]) -> NDArray[np.int64]:
    """Draw the follower pairs of one network: a Chung-Lu graph, and the dense groups of colleagues on top."""
    size = len(members)
    tail = (1.0 - rng.random(size)) ** (-1.0 / TAIL)
    spread = rng.random(size)
    expected = np.minimum(4.0 * tail, 0.06 * size)
    for number, (kind, _) in enumerate(members):
        if kind == "company":
            expected[number] = size * (0.05 + 0.08 * spread[number])
        elif kind == "influencer":
            expected[number] = size * (0.12 + 0.12 * spread[number])
        elif kind == "employee":
            expected[number] += 8
    curiosity = np.cumsum((1.0 - rng.random(size)) ** (-1.0 / 2.5))  # some follow many, most a few
    followed = np.repeat(np.arange(size), expected.astype(np.int64))
    follower = np.searchsorted(curiosity, rng.random(len(followed)) * curiosity[-1])
    colleagues = _colleagues(rng, members)
    pairs = np.concatenate([np.column_stack([followed, follower]), colleagues])
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


def _colleagues(rng: np.random.Generator, members: list[tuple[Kind, int]]) -> NDArray[np.int64]:
    staff = [(number, kind, company) for number, (kind, company) in enumerate(members) if company != NO_COMPANY]
    pairs = [
        (followed, follower)
        for followed, kind, company in staff
        for follower, follower_kind, employer in staff
        if employer == company
        and follower_kind == "employee"
        and rng.random() < (0.9 if kind == "company" else COLLEAGUE_TIE)
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _assemble(rng: np.random.Generator, roles: list[tuple[str, Kind, int]], pairs: NDArray[np.int64]) -> FollowerGraph:
    size = len(roles)
    followers = _grouped(pairs[:, 0], pairs[:, 1], size)
    follows = _grouped(pairs[:, 1], pairs[:, 0], size)
    codes = rng.choice(16**6, size=size, replace=False)
    unseen = rng.lognormal(-0.5, 1.0, size)  # followers outside the graph, per follower inside
    accounts: list[Account] = []
    stars: set[str] = set()
    for number, (network, kind, company) in enumerate(roles):
        stated = len(followers[number])
        if kind == "stranger":
            stated += int(stated * unseen[number])
        elif kind == "influencer" and network not in stars:
            stars.add(network)
            stated = int(stated * (30 + 20 * min(unseen[number], 5.0)))
        accounts.append(Account(f"{network}:{codes[number]:06x}", network, kind, company, stated))
    employer = np.array([company for _, _, company in roles], dtype=np.int64)
    return FollowerGraph(tuple(accounts), followers, follows, employer)


def _grouped(keys: Indices, values: Indices, size: int) -> tuple[Indices, ...]:
    order = np.lexsort((values, keys))
    bounds = np.searchsorted(keys[order], np.arange(1, size))
    return tuple(np.split(values[order], bounds))


def diffuse(
    rng: np.random.Generator,
    graph: FollowerGraph,
    root: Sharing,
    *,
    appeal: Appeal,
    planted: Sequence[tuple[int, int]],
    closed: Mapping[int, int],
    end: int,
    room: int,
) -> list[Sharing]:
    """Run one cascade in order of time, its root first, up to `end` (ms) or to `room` nodes.

    `planted` are shares of the root that happen for sure, as (time, account), even a second time by one account;
    `closed` says from when on an account shares nothing. Nobody else shares one root twice.
    """
    cascade = [root]
    shared = {root.account}
    queue = [(at, order, Sharing(account, at, 0, True)) for order, (at, account) in enumerate(planted)]
    queue += [(s.at, len(queue) + order, s) for order, s in enumerate(_persuaded(rng, graph, root, 0, appeal))]
    heapq.heapify(queue)
    pushed = len(queue)
    while queue and len(cascade) < room:
        at, _, sharing = heapq.heappop(queue)
        if at > end:
            break
        if at >= closed.get(sharing.account, end + 1) or (sharing.account in shared and not sharing.planted):
            continue
        shared.add(sharing.account)
        cascade.append(sharing)
        for follower in _persuaded(rng, graph, sharing, len(cascade) - 1, appeal):
            heapq.heappush(queue, (follower.at, pushed, follower))
            pushed += 1
    return cascade


def _persuaded(
    rng: np.random.Generator, graph: FollowerGraph, sharer: Sharing, position: int, appeal: Appeal
) -> list[Sharing]:
    """Draw which followers of a sharer will share in turn, and when."""
    audience = graph.followers[sharer.account]
    chance = np.full(len(audience), appeal.at(sharer.at))
    employer = graph.employer[sharer.account]
    if employer != NO_COMPANY:
        chance[graph.employer[audience] == employer] = COLLEAGUE_SHARE
    willing = audience[rng.random(len(audience)) < chance]
    delays = rng.lognormal(math.log(DELAY), DELAY_SPREAD, len(willing))
    return [
        Sharing(int(account), sharer.at + 1_000 + int(delay), position)
        for account, delay in zip(willing, delays, strict=True)
    ]


def native_id(network: str, kind: str, account: str, at: int, serial: int) -> str:
    """Return an act's id in the network's own form; `at` in ms, `serial`, scrambled one to one, keeps it unique."""
    low = serial * 2_654_435_761 % 2**22
    snowflake = (at - 1_288_834_974_657) % 2**41 << 22 | low
    if network == "bluesky":
        collection = "repost" if kind == "share" else "post"
        did = _base32(int(account, 16) * 0xD1B54A32D192ED03A0761D6478BD642F % 2**120, 24)
        return f"at://did:plc:{did}/app.bsky.feed.{collection}/{_base32(at % 2**42 << 22 | low, 13)}"
    if network == "mastodon":
        status = f"https://mastodon.example/users/{account}/statuses/{at << 22 | low}"
        return f"{status}/activity" if kind == "share" else status
    if network == "linkedin":
        return f"urn:li:share:{at << 22 | low}"
    if network == "facebook":
        return f"{100_000_000_000_000 + int(account, 16)}_{at << 22 | low}"
    return str(snowflake)


def _base32(number: int, length: int) -> str:
    letters = "234567abcdefghijklmnopqrstuvwxyz"
    return "".join(letters[number >> 5 * place & 31] for place in reversed(range(length)))
