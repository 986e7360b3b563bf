"""From sightings to events: completed with the journal, tied to an offer, or dropped.

- A post is the first of its chain that matches an offer. What quotes or answers something of an offer, or shares it,
  belongs to the same root; what neither does nor matches is nobody's business and is not kept.
- An id that is known keeps what it was when it first came, so that reading a page twice gives the same events.
- Only ties and profiles of accounts that take part in an offer are passed on.
"""

from collections.abc import Callable
from typing import Any, Final

from connectors.connector import Normal
from connectors.journal import Entry, Gone, Journal, Kind
from connectors.sightings import Authored, Followed, Removed, Resulted, Shared, Sighting, Stated, Withdrawn
from spread.events import (
    AnyAct,
    AnyEvent,
    Counts,
    Delete,
    Forget,
    Outcome,
    Post,
    Profile,
    Quote,
    Rejected,
    Reply,
    Share,
    Ties,
)

Match = Callable[[Authored], str | None]
"""The offer that a post belongs to: as a person decided, else as the network named it, else by what it says."""

_DELETED: Final = "#deleted"


class Completion:
    """Completes what one connector sees. `in_order` as in its declaration; `deleted` is told what no offer has lost."""

    def __init__(
        self,
        journal: Journal,
        match: Match,
        network: str,
        *,
        in_order: bool = True,
        deleted: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._journal, self._match, self._network, self._in_order = journal, match, network, in_order
        self._deleted = deleted
        self._ways: Final[dict[type[Sighting], Callable[[Any, str], list[AnyEvent]]]] = {
            Authored: self._authored,
            Shared: self._shared,
            Removed: self._removed,
            Followed: self._followed,
            Withdrawn: self._withdrawn,
            Stated: self._stated,
            Resulted: self._resulted,
        }

    def events(self, seen: Normal, source: str) -> list[AnyEvent]:
        """The events that follow, in the order in which they are to be sent; the index learns of them."""
        if isinstance(seen, Sighting):
            return self._ways[type(seen)](seen, source)
        if isinstance(seen, Rejected) or (isinstance(seen, Profile) and not self._journal.takes_part(seen.actor)):
            return []
        return [seen]

    def _authored(self, seen: Authored, source: str) -> list[AnyEvent]:
        known = self._journal.entry(seen.id)
        if known is not None and seen.beside:
            self._note_alias(seen.alias, known)
            return []
        kind: Kind
        via: str | None = None
        if known is not None:
            kind, root, offer = known.kind, known.root, known.offer
            via = self._resolved(seen.quotes if kind == "quote" else seen.replies_to)
        elif seen.quotes is not None and (above := self._journal.entry(seen.quotes)) is not None:
            kind, root, offer, via = "quote", above.root, above.offer, above.id
        elif seen.replies_to is not None and (above := self._answered(seen)) is not None:
            kind, root, offer, via = "reply", above.root, above.offer, self._resolved(seen.replies_to)
        elif (matched := self._match(seen)) is not None:
            kind, root, offer = "post", seen.id, matched
        else:
            return []
        act = self._act(seen, source, offer, root)
        event: AnyAct
        if kind == "post":
            event = Post(**act, role="company" if seen.actor in self._journal.own else None)
        else:
            event = (Quote if kind == "quote" else Reply)(**act, via=via or root)
        return self._noted(event, kind, seen.alias)

    def _resolved(self, id: str | None) -> str | None:
        """The id that something goes by, where an alias may be given."""
        known = None if id is None else self._journal.entry(id)
        return id if known is None else known.id

    def _answered(self, seen: Authored) -> Entry | None:
        """What a reply belongs to: what it answers, else the post at the top of its conversation."""
        above = self._journal.entry(seen.replies_to or "")
        return above if above is not None or seen.thread is None else self._journal.entry(seen.thread)

    def _shared(self, seen: Shared, source: str) -> list[AnyEvent]:
        above = self._journal.entry(seen.of)
        if above is None and seen.named is not None:
            above = Entry(seen.of, "post", "", seen.at, seen.of, seen.named)
        if above is None or above.kind == "follow" or (seen.beside and self._journal.entry(seen.id) is not None):
            return []
        # What is passed on may be a quote or a reply: the share came through that, unless the network knows better.
        via = seen.via or (above.id if above.id != above.root else None)
        return self._noted(Share(**self._act(seen, source, above.offer, above.root), via=via), "share", seen.alias)

    def _act(self, seen: Authored | Shared, source: str, offer: str, root: str) -> dict[str, Any]:
        """The fields that posts, shares, quotes and replies have in common."""
        return {
            "v": 1,
            "id": seen.id,
            "network": self._network,
            "at": seen.at,
            "source": source,
            "actor": seen.actor,
            "offer": offer,
            "root": root,
            "followers": seen.followers,
        }

    def _noted(self, event: AnyAct, kind: Kind, alias: str | None) -> list[AnyEvent]:
        """An act, kept in the index; with its deletion if that came first."""
        entry = Entry(event.id, kind, event.actor, event.at, event.root, event.offer)
        self._journal.note(entry)
        self._note_alias(alias, entry)
        gone = None if self._in_order else self._journal.gone(event.id) or self._journal.gone(alias or "")
        if gone is None or gone.actor not in (None, event.actor):
            return [event]
        return [event, self._deletion(event.id, event.actor, gone.at, event.source)]

    def _note_alias(self, alias: str | None, entry: Entry) -> None:
        if alias is not None and self._journal.entry(alias) is None:
            self._journal.note_alias(alias, entry)

    def _removed(self, seen: Removed, source: str) -> list[AnyEvent]:
        known = self._journal.entry(seen.target)
        if known is None:
            self._deleted(seen.target)
            if not self._in_order:
                self._journal.note_gone(Gone(seen.target, seen.at, seen.actor))
            return []
        if seen.actor not in (None, known.account):
            return []
        if known.kind == "follow":
            id = f"{seen.target}{_DELETED}"
            return [self._ties(id, seen.at, known.account, source, unfollows=[known.root])]
        return [self._deletion(known.id, known.account, seen.at, source)]

    def _deletion(self, target: str, actor: str, at: int, source: str | None) -> AnyEvent:
        return Delete(
            v=1, id=f"{target}{_DELETED}", network=self._network, at=at, source=source, actor=actor, target=target
        )

    def _followed(self, seen: Followed, source: str) -> list[AnyEvent]:
        events: list[AnyEvent] = []
        if self._journal.takes_part(seen.actor):
            events.append(self._ties(seen.id, seen.at, seen.actor, source, follows=[seen.whom]))
        if self._journal.takes_part(seen.whom):
            id = f"{seen.id}#followed"
            events.append(self._ties(id, seen.at, seen.whom, source, followed_by=[seen.actor]))
        if events:
            self._journal.note(Entry(seen.id, "follow", seen.actor, seen.at, seen.whom))
        return events

    def _ties(self, id: str, at: int, actor: str, source: str, **lists: list[str]) -> AnyEvent:
        return Ties(v=1, id=id, network=self._network, at=at, source=source, actor=actor, **lists)  # type: ignore[arg-type]  # only lists of accounts

    def _withdrawn(self, seen: Withdrawn, source: str) -> list[AnyEvent]:
        if seen.for_good:
            if not self._journal.knows(seen.actor):
                return []
            self._journal.note_forgotten(seen.actor)
            return [Forget(v=1, id=seen.id, network=self._network, at=seen.at, source=source, actor=seen.actor)]
        return [self._deletion(one.id, one.account, seen.at, source) for one in self._journal.of(seen.actor)]

    def _stated(self, seen: Stated, source: str) -> list[AnyEvent]:
        known = self._journal.entry(seen.target)
        if known is None or not known.offer:
            return []
        return [
            Counts(
                v=1,
                id=seen.id,
                network=self._network,
                at=seen.at,
                source=source,
                offer=known.offer,
                target=known.id,
                shares=seen.shares,
                likes=seen.likes,
                replies=seen.replies,
                impressions=seen.impressions,
                clicks=seen.clicks,
            )
        ]

    def _resulted(self, seen: Resulted, source: str) -> list[AnyEvent]:
        known = self._journal.entry(seen.id)
        about = Authored(id=seen.id, actor="", at=seen.at, urls=seen.urls, refs=seen.refs)
        offer = self._match(about) if known is None else known.offer
        if offer is None:
            return []
        self._journal.note(Entry(seen.id, "outcome", "", seen.at, "", offer))
        return [
            Outcome(
                v=1,
                id=seen.id,
                network=seen.network,
                at=seen.at,
                source=source,
                offer=offer,
                stage=seen.stage,
                n=seen.n,
            )
        ]
