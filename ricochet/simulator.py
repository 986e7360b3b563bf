"""A made-up day of job offers on several networks, for `ricochet demo`: seeded, bounded, valid by the event contract.

Most offers are subcritical and stay small, as most do; one meets an influencer and is supercritical until attention,
which decays exponentially, is spent.

What real streams do is planted: an offer reshared after it closed, an account that closes and takes its acts back, an
un-share by somebody with children, a delete before its target, duplicates, late events, blind windows, networks that
name no parent (X, Mastodon, LinkedIn, Facebook) or mostly give totals (LinkedIn, Facebook). One generator draws
everything in one fixed order, so the same arguments give the same scenario.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ricochet.social_graph import Appeal, FollowerGraph, Indices, Sharing, diffuse, grow, native_id

MINUTE = 60_000  # ms, like every time here
HOUR = 60 * MINUTE
MOST_NODES = 2_000  # of one offer: bounds a scenario at well under 20,000 events
PAGE = 200  # accounts in one page of a follower list
TOTALS_ONLY = ("linkedin", "facebook")  # give counts, and the names of few sharers
NAMED = 0.25  # share of sharers that those networks name

COMPANIES = ("Korrigan & Cie Logiciels", "Polyclinique Sainte-Marmotte", "Nordwind-Möwe Logistik")
CATALOGUE: tuple[tuple[str, int, str, str, tuple[str, ...]], ...] = (  # id, company, title, place, networks
    ("backend-python", 0, "Backend engineer (Python)", "Rennes", ("x", "linkedin", "bluesky", "mastodon")),
    ("fiabilite", 0, "Ingénieur·e fiabilité (SRE)", "Nantes, télétravail", ("x", "linkedin", "mastodon")),
    ("front-end", 0, "Développeur·se front-end", "Rennes", ("linkedin", "bluesky", "x")),
    ("alternance-donnees", 0, "Alternance analyste de données", "Brest", ("x", "linkedin", "facebook")),
    ("infirmier-nuit", 1, "Infirmier·ère de nuit", "Annecy", ("facebook", "linkedin", "x")),
    ("aide-soignant", 1, "Aide-soignant·e", "Annecy", ("facebook",)),
    ("sage-femme", 1, "Sage-femme", "Chambéry", ("facebook", "mastodon")),
    ("data-engineer", 2, "Data Engineer (m/w/d)", "Hamburg", ("x", "linkedin", "bluesky")),
    ("nachtdisposition", 2, "Disponent:in Nachtschicht", "Bremen", ("linkedin", "facebook")),
    ("conducteur-pl", 2, "Conducteur·rice poids lourd", "Lille", ("facebook",)),
    ("magazijn", 2, "Teamleider magazijn", "Antwerpen", ("linkedin", "mastodon")),
)
QUOTES = ("Belle équipe, foncez !", "I worked with them, ask me anything.", "Das wäre etwas für dich?", "À partager.")
REPLIES = ("Télétravail possible ?", "Is the salary range public?", "Je candidate !", "Quel diplôme faut-il ?")

Event = dict[str, Any]


@dataclass(frozen=True)
class SimulatedOffer:
    """A line of the registry; `posted` and `closes` in ms since 1970 UTC."""

    id: str
    title: str
    company: str
    place: str
    posted: int
    closes: int | None
    networks: tuple[str, ...]


@dataclass(frozen=True)
class Arrival:
    """One delivery of an event, `due` ms after the scenario's start; a duplicate is an arrival of its own."""

    due: int
    event: Event


@dataclass(frozen=True)
class Scenario:
    """The offers and everything that arrives about them, in order of arrival (`due`, then id)."""

    offers: tuple[SimulatedOffer, ...]
    events: tuple[Arrival, ...]


@dataclass(eq=False)
class _Act:
    """A node or a reply as it truly happened; one that is not `seen` shows in its network's totals at most."""

    event: Event
    account: int
    parent: "_Act | None"
    seen: bool = True


def simulate(seed: int, start: int, hours: float = 24.0) -> Scenario:
    """Draw a scenario that begins at `start` (ms since 1970 UTC); nothing in it happens after `start + hours`."""
    return _Simulation(seed, start, hours).run()


class _Simulation:
    def __init__(self, seed: int, start: int, hours: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.graph: FollowerGraph = grow(self.rng, len(COMPANIES))
        self.start, self.span = start, int(hours * HOUR)
        self.end = start + self.span
        self.acts: list[_Act] = []
        self.notes: list[Event] = []  # every event that is no act
        self.lags: dict[str, int] = {}  # event id -> planted delivery lag
        self.serial = 0
        on_x = [number for number, offer in enumerate(CATALOGUE) if "x" in offer[4]]
        takes_off = [number for number in on_x if "bluesky" in CATALOGUE[number][4]]
        self.viral = takes_off[self._below(len(takes_off))]
        on_x.remove(self.viral)
        self.closing = on_x[self._below(len(on_x))]
        strangers = self.graph.find("x", "stranger")
        self.quitter, self.latecomer = (int(account) for account in self.rng.choice(strangers, 2, replace=False))
        self.quits = self._moment(0.84, 0.88)

    def run(self) -> Scenario:
        offers = tuple(self._publish(number) for number in range(len(CATALOGUE)))
        self._withdraw()
        self._go_blind()
        self._look_up_people()
        self._count()
        return Scenario(offers, self._deliver())

    def _below(self, bound: int) -> int:
        return int(self.rng.integers(bound))

    def _moment(self, low: float, high: float) -> int:
        """Draw a time between two fractions of the scenario."""
        return self.start + int(self.span * (low + (high - low) * self.rng.random()))

    def _delay(self, minutes: float) -> int:
        """Draw a heavy-tailed delay (log-normal) with the given median."""
        return 1_000 + int(MINUTE * minutes * self.rng.lognormal(0.0, 1.2))

    # Offers and their cascades

    def _publish(self, number: int) -> SimulatedOffer:
        """Put one offer on its networks, by its company and some of its employees, and let it spread."""
        name, company, title, place, networks = CATALOGUE[number]
        posted = self._moment(0.01, 0.1) if number == self.viral else self._moment(0.01, 0.35)
        closes = posted + (7 + self._below(35)) * 24 * HOUR if self.rng.random() < 0.7 else None
        if number == self.closing:
            closes = self._moment(0.45, 0.5)
        offer = SimulatedOffer(name, title, COMPANIES[company], place, posted, closes, networks)
        appeal = Appeal(0.002 + 0.012 * self.rng.random() ** 2)
        if number == self.viral:
            appeal = Appeal(0.012, 0.125, self._moment(0.15, 0.22), min(4 * HOUR, 1 + self.span // 6))
        room = MOST_NODES
        for at, account, role in self._authors(offer, company, number == self.viral):
            root = self._root(offer, account, at, role)
            planted = self._planted(number, at, appeal) if role == "company" else {}
            room -= self._spread(root, appeal, planted.get(self.graph.accounts[account].network, []), room)
        return offer

    def _authors(self, offer: SimulatedOffer, company: int, popular: bool) -> Iterator[tuple[int, int, str]]:
        for order, network in enumerate(offer.networks):
            (account,) = self.graph.find(network, "company", company)
            yield min(offer.posted + order * self._below(4 * MINUTE), self.end), account, "company"
        for _ in range(3 if popular else self._below(3)):
            network = offer.networks[self._below(len(offer.networks))]
            staff = self.graph.find(network, "employee", company)
            at = offer.posted + self._delay(40)
            if at < self.end:
                yield at, staff[self._below(len(staff))], "employee"

    def _planted(self, number: int, posted: int, appeal: Appeal) -> dict[str, list[tuple[int, int]]]:
        """Return the shares that must happen, by network: (time, account)."""
        planted: dict[str, list[tuple[int, int]]] = {"x": []}
        if "x" in CATALOGUE[number][4]:
            planted["x"].append((max(posted + MINUTE, self._moment(0.4, 0.8)), self.quitter))
        if number == self.closing:
            planted["x"].append((self._moment(0.55, 0.75), self.latecomer))
        if number == self.viral:
            for network in ("x", "bluesky"):
                star, *others = self.graph.find(network, "influencer")
                planted.setdefault(network, []).append((appeal.since + self._below(MINUTE), star))
                planted[network].append((appeal.since + self._delay(50), others[self._below(len(others))]))
        return planted

    def _root(self, offer: SimulatedOffer, account: int, at: int, role: str) -> _Act:
        root = self._act("post", offer.id, account, at, None)
        link = f"https://jobs.example/{offer.id}"
        text = f"{offer.company} recrute : {offer.title}, {offer.place} {link}"
        root.event |= {"root": root.event["id"], "text": text, "urls": [link], "tags": ["emploi"], "role": role}
        return root

    def _spread(self, root: _Act, appeal: Appeal, planted: list[tuple[int, int]], room: int) -> int:
        """Run one cascade, and the talk around it; return how many nodes it has, `room` at most."""
        origin = Sharing(root.account, root.event["at"], -1)
        closed = {self.quitter: self.quits}
        cascade = diffuse(
            self.rng, self.graph, origin, appeal=appeal, planted=planted, closed=closed, end=self.end, room=room
        )
        nodes = [root]
        for sharing in cascade[1:]:
            nodes.append(self._reshare(sharing.account, sharing.at, nodes[sharing.parent], sharing.planted))
        replies: list[_Act] = []
        for node in nodes:
            self._converse(node, replies)
        return len(nodes)

    def _reshare(self, account: int, at: int, parent: _Act, forced: bool) -> _Act:
        kind = "quote" if not forced and self.rng.random() < 0.08 else "share"
        node = self._act(kind, parent.event["offer"], account, at, parent)
        network = node.event["network"]
        node.event["root"] = parent.event["root"]
        if network == "bluesky":
            node.event["via"] = parent.event["id"]
        elif kind == "quote":
            node.event["via"] = _quotable(parent).event["id"]
        if kind == "quote":
            node.event["text"] = QUOTES[self._below(len(QUOTES))]
        node.seen = network not in TOTALS_ONLY or kind == "quote" or self.rng.random() < NAMED
        return node

    def _converse(self, node: _Act, replies: list[_Act]) -> None:
        """Let now and then a follower reply: to the post a node shows, or to an earlier reply."""
        audience = self.graph.followers[node.account]
        if self.rng.random() >= 0.12 or not len(audience):
            return
        account, at = int(audience[self._below(len(audience))]), node.event["at"] + self._delay(10)
        if at > self.end or account == self.quitter:
            return
        target = _quotable(node)
        if replies and replies[-1].event["at"] < at and self.rng.random() < 0.2:
            target = replies[-1]
        reply = self._act("reply", node.event["offer"], account, at, target)
        reply.event |= {"root": node.event["root"], "via": target.event["id"]}
        reply.event["text"] = REPLIES[self._below(len(REPLIES))]
        replies.append(reply)

    def _act(self, kind: str, offer: str, account: int, at: int, parent: _Act | None) -> _Act:
        who = self.graph.accounts[account]
        self.serial += 1
        native = native_id(who.network, kind, who.name.partition(":")[2], at, self.serial)
        event = _event(f"{who.network}:{native}", kind, who.network, at)
        event |= {"actor": who.name, "offer": offer, "followers": who.stated}
        act = _Act(event, account, parent)
        self.acts.append(act)
        return act

    # What people take back

    def _withdraw(self) -> None:
        """Plant the deletes: every act of a closed account, a share with children, a share not yet delivered."""
        for order, act in enumerate([act for act in self.acts if act.account == self.quitter]):
            self._delete(act, min(self.quits + 400 * order, self.end))
        nodes = [act for act in self.acts if act.event["kind"] in ("share", "quote") and act.seen]
        parents = {act.parent.event["id"]: act for act in nodes if act.parent}  # id -> its latest child
        shares = [act for act in nodes if act.event["kind"] == "share" and self._fickle(act.account)]
        joints = [act for act in shares if act.event["network"] == "bluesky" and act.event["id"] in parents]
        if joints:
            joint = joints[self._below(len(joints))]
            self._delete(joint, min(parents[joint.event["id"]].event["at"] + self._delay(20), self.end))
        hasty = [act for act in shares if act.event["network"] == "x" and act.event["at"] + MINUTE < self.end]
        if hasty:
            act = hasty[self._below(len(hasty))]
            self.lags[act.event["id"]] = 3 * MINUTE + self._below(MINUTE)
            self.lags[self._delete(act, act.event["at"] + 20_000)["id"]] = 500

    def _fickle(self, account: int) -> bool:
        """Tell whether an account may un-share: a stranger for whom nothing else is planned."""
        return self.graph.accounts[account].kind == "stranger" and account not in (self.quitter, self.latecomer)

    def _delete(self, act: _Act, at: int) -> Event:
        event = _event(f"{act.event['id']}#delete", "delete", act.event["network"], at)
        event |= {"actor": act.event["actor"], "target": act.event["id"]}
        self.notes.append(event)
        return event

    # What is looked up

    def _look_up_people(self) -> None:
        """List the followers of companies, employees and influencers who acted, and whom some others follow."""
        first: dict[int, int] = {}
        for act in sorted((act for act in self.acts if act.seen), key=lambda act: act.event["at"]):
            first.setdefault(act.account, act.event["at"])
        for account, acted in first.items():
            at = acted + self._delay(6)
            if self.graph.accounts[account].kind != "stranger":
                self._list_followers(account, at)
            elif self.rng.random() < 0.25:
                self._ties(account, at, "follows", follows=self._names(self.graph.follows[account]), complete=True)
            if self.rng.random() < 0.12:
                self._profile(account, at + self._delay(120))
        followers = [account for account in first if len(self.graph.follows[account])]
        for account in self.rng.choice(followers, min(6, len(followers)), replace=False):
            left = self._names(self.graph.follows[account][:1])
            self._ties(int(account), first[int(account)] + self._delay(200), "unfollows", unfollows=left)

    def _list_followers(self, account: int, at: int) -> None:
        """Record a follower list: whole and paged if long; a star's, too long to fetch, is only its first page."""
        names = self._names(self.graph.followers[account])
        if not self.graph.listed_whole(account):
            self._ties(account, at, "followers", followed_by=names)
            return
        pages = [names[i : i + PAGE] for i in range(0, len(names), PAGE)] or [[]]
        of = {"of": len(pages), "list": f"{self.graph.accounts[account].name}/followers/{at}"}
        for part, page in enumerate(pages, 1):
            paging: Event = {"part": part, **of} if len(pages) > 1 else {}
            self._ties(account, at, f"followers/{part}", followed_by=page, complete=True, **paging)

    def _ties(self, account: int, at: int, what: str, **lists: object) -> None:
        who = self.graph.accounts[account]
        self._note(f"{who.name}/{what}/{at}", "ties", who.network, at, actor=who.name, **lists)

    def _profile(self, account: int, at: int) -> None:
        who = self.graph.accounts[account]
        followers = who.stated + self._below(2 + who.stated // 50)
        self._note(f"{who.name}/profile/{at}", "profile", who.network, at, actor=who.name, followers=followers)

    def _names(self, accounts: Indices) -> list[str]:
        return [self.graph.accounts[account].name for account in accounts]

    def _note(self, event_id: str, kind: str, network: str, at: int, **fields: object) -> None:
        """Keep an event that is no act, unless it would come after the end."""
        if at <= self.end:
            self.notes.append(_event(event_id, kind, network, at) | fields)

    def _count(self) -> None:
        """Ask each network for its totals, and the employer's site for clicks and what came of them."""
        shares: dict[str, list[int]] = {}
        for act in self.acts:
            if act.event["kind"] in ("share", "quote"):
                shares.setdefault(act.event["root"], []).append(act.event["at"])
        hired = False
        for act in [act for act in self.acts if act.event["kind"] == "post"]:
            root, network, offer = act.event["id"], act.event["network"], act.event["offer"]
            times = sorted(shares.get(root, []))
            fans = self.rng.random()
            before = 0
            for step in range(1, 13):  # a poll each twelfth of the scenario
                at = act.event["at"] + step * self.span // 12 + self._below(max(1, min(MINUTE, self.span // 12)))
                if at > self.end:
                    break
                seen = int(np.searchsorted(times, at, side="right"))
                if network in TOTALS_ONLY or self.rng.random() < 0.15:
                    grown = 1.0 - math.exp(-step / 4)
                    likes = 3 * seen + int(20 * fans * grown)
                    impressions = int(act.event["followers"] * (0.2 + fans) * grown) + 90 * seen
                    totals = {"target": root, "shares": seen, "likes": likes, "impressions": impressions}
                    self._note(f"{root}#counts/{at}", "counts", network, at, offer=offer, **totals)
                clicks = int(self.rng.poisson(0.4 + 1.5 * (seen - before)))
                funnel = {"click": clicks, "application": int(self.rng.binomial(clicks, 0.07)), "hire": 0}
                if funnel["application"] and step > 6 and not hired:
                    funnel["hire"], hired = 1, True
                for stage, n in funnel.items():
                    if n:
                        fields = {"offer": offer, "stage": stage, "n": n, "via": root}
                        self._note(f"{root}#{stage}/{at}", "outcome", network, at, **fields)
                before = seen

    def _go_blind(self) -> None:
        """Lose what happened to the roots of two networks for some minutes, and say so."""
        for network, why in (("mastodon", "stream disconnected"), ("linkedin", "rate limited")):
            since = self._moment(0.3, 0.7)
            until = min(since + (8 + self._below(25)) * MINUTE, self.end)
            for act in self.acts:
                if act.parent and act.event["network"] == network and since <= act.event["at"] < until:
                    act.seen = False
            self._note(f"{network}:gap/{since}", "gap", network, until, **{"from": since, "to": until, "why": why})

    # What the wire does

    def _deliver(self) -> tuple[Arrival, ...]:
        """Give each event its time of arrival: most at once, 2 % minutes late, 2 % a second time."""
        events = [act.event for act in self.acts if act.seen] + self.notes
        late, twice = self.rng.random(len(events)) < 0.02, self.rng.random(len(events)) < 0.02
        arrivals: list[Arrival] = []
        for position, event in enumerate(events):
            lag = 200 + self._below(20_000 if event["network"] in TOTALS_ONLY else 2_000)
            if late[position]:
                lag = MINUTE + self._below(5 * MINUTE)
            due = event["at"] - self.start + self.lags.get(event["id"], lag)
            arrivals.append(Arrival(due, event))
            if twice[position]:
                arrivals.append(Arrival(due + 5_000 + self._below(5 * MINUTE), dict(event)))
        arrivals.sort(key=lambda arrival: (arrival.due, arrival.event["id"]))
        return tuple(arrivals)


def _event(event_id: str, kind: str, network: str, at: int) -> Event:
    return {"v": 1, "id": event_id, "kind": kind, "network": network, "at": at, "source": "simulator"}


def _quotable(act: _Act) -> _Act:
    """Return the post or quote that a share shows: a share has no words that could be quoted or answered."""
    while act.event["kind"] == "share" and act.parent is not None:
        act = act.parent
    return act
