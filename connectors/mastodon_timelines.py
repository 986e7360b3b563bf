"""The past of an instance: timelines read on from an id, as streams resume nowhere.

- Ids of statuses hold their moment: milliseconds since 1970 above 16 bits. A status that arrives late is filed at the
  moment its own server gave it, behind what was read already; so a timeline of statuses is read again from a quarter of
  an hour before. Ids of notifications only count. Servers with other ids are read on from the id itself.
- An instance keeps a part of the past (of a home timeline some hundred posts). Where nothing is left that is as old as
  the cursor, what lies between is not known to be whole: a gap.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from connectors.clock import now_ms
from connectors.connector import Blind, CursorRejected
from connectors.mastodon_instance import Answer, Instance
from connectors.mastodon_statuses import millis
from spread.events import UNREADABLE

NOTIFICATIONS: Final = "notifications"
_KINDS: Final = ["reblog", "quote", "mention", "status", "follow"]
"""Notifications that are read."""
_STATUSES: Final = 40
_NOTIFICATIONS: Final = 80
"""Rows of a page: the most that an instance gives."""
_OVERLAP_MS: Final = 15 * 60_000
_MARK: Final = "mastodon "


class Place(NamedTuple):
    """An id in a timeline and its moment (ms). Before the first status of an empty one the id is empty."""

    id: str
    at: int


NOWHERE: Final = Place("", 0)


class _Stamp(msgspec.Struct):
    """Of a status or a notification what a cursor is made of."""

    id: str
    created_at: datetime


_stamp: Final = msgspec.json.Decoder(_Stamp).decode
_places: Final = msgspec.json.Decoder(dict[str, dict[str, Place]]).decode


class Places:
    """How far each timeline of each instance was read; a cursor is its text."""

    def __init__(self, cursor: str | None, hosts: Iterable[str]) -> None:
        self._of: dict[str, dict[str, Place]] = {}
        if cursor is None:
            return
        try:
            if not cursor.startswith(_MARK):
                raise ValueError
            found = _places(cursor.removeprefix(_MARK))
        except (ValueError, *UNREADABLE):
            raise CursorRejected("the cursor is none of Mastodon") from None
        self._of = {host: found[host] for host in hosts if host in found}
        if not self._of:
            raise CursorRejected("the cursor is of other instances")

    def __str__(self) -> str:
        return f"{_MARK}{msgspec.json.encode(self._of).decode()}"

    def get(self, host: str, timeline: str) -> Place | None:
        """How far a timeline was read."""
        return self._of.get(host, {}).get(timeline)

    def move(self, host: str, timeline: str, place: Place) -> None:
        """Go on to a place, never back."""
        known = self.get(host, timeline)
        if known is None or _order(known.id) < _order(place.id):
            at = max(place.at, known.at if known is not None else 0)
            self._of.setdefault(host, {})[timeline] = Place(place.id, at)


class CatchUp:
    """Reads a timeline of an instance on from a place, a page for each `step`, to where it ended at the first.

    What comes later is on the stream, which is attached: so a timeline that grows with every page has an end too.
    """

    def __init__(self, instance: Instance, timeline: str, since: Place, *, looks_back: bool) -> None:
        self.instance, self.timeline = instance, timeline
        self._since, self._looks_back = since, looks_back and bool(since.id)
        self._at = _rewound(timeline, since.id)
        self._end: str | None = None
        self.is_over = False

    def step(self) -> tuple[list[bytes], list[Place], Blind | None]:
        """The next rows, the oldest first, and where they stand; at the first, what window is missing before them."""
        rows = page(self.instance, self.timeline, min_id=self._at or "0").rows()
        # What can't be read goes along as it is, and is rejected like any other message.
        found = sorted(((place_of(row), row) for row in rows), key=lambda one: _order(one[0].id))
        places = [place for place, _ in found if place.id]
        blind = self._blind(places) if self._looks_back else None
        self._looks_back = False
        moved = bool(places) and _order(places[-1].id) > _order(self._at)
        self._at = places[-1].id if moved else self._at
        if moved and self._end is None:
            self._end = newest(self.instance, self.timeline).id
        self.is_over = not moved or bool(self._end and _order(self._end) <= _order(self._at))
        return [row for _, row in found], places, blind

    def _blind(self, places: list[Place]) -> Blind | None:
        """The window of which nothing is left, where nothing is as old as what was read last."""
        since = self._since
        if places and _order(places[0].id) <= _order(since.id):
            return None
        if page(self.instance, self.timeline, max_id=_after(since.id), limit=1, types=None).rows():
            return None
        until = max(since.at, places[0].at if places else now_ms())
        return Blind(since.at, until, f"{self.timeline.partition('/')[0]} timeline no longer reaches the cursor")


def newest(instance: Instance, timeline: str) -> Place:
    """Where a timeline ends now."""
    rows = page(instance, timeline, limit=1).rows()
    return place_of(rows[0]) if rows else NOWHERE


def place_of(row: bytes | str) -> Place:
    """Where a status or a notification stands; `NOWHERE` for what can't be read."""
    try:
        stamp = _stamp(row)
    except UNREADABLE:
        return NOWHERE
    return Place(stamp.id, millis(stamp.created_at))


def page(instance: Instance, timeline: str, **bounds: Any) -> Answer:
    """One page of a timeline. `min_id` gives the rows right after an id, `max_id` those before."""
    if timeline == NOTIFICATIONS:
        given: Mapping[str, Any] = {"limit": _NOTIFICATIONS, "types": [*_KINDS]} | bounds
        return instance.ask("notifications", lambda client: client.notifications(**given))
    given = {"limit": _STATUSES} | {name: id for name, id in bounds.items() if name != "types"}
    what = "timelines/home" if timeline == "home" else "timelines/tag"
    return instance.ask(what, lambda client: client.timeline(timeline, **given))


def _order(id: str) -> tuple[int, str]:
    """Ids are numbers, or texts of one length that sort."""
    return len(id), id


def _rewound(timeline: str, id: str) -> str:
    if not id.isdigit():
        return id
    back = 1 if timeline == NOTIFICATIONS else _OVERLAP_MS << 16
    return str(max(0, int(id) - back))


def _after(id: str) -> str:
    return str(int(id) + 1) if id.isdigit() else id
