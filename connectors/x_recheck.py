"""Asking X again about the posts that are kept: what has vanished is deleted, and totals come with it.

X tells nobody that a post was deleted or withheld, a retweet taken back, or an account protected or suspended, and asks
that it be deleted all the same. So the ids of the last thirty days are asked about in turn, a hundred at a time, at an
even pace: so many a day, since each costs.
"""

from typing import Final

from connectors.connector import Known, NotConnected, Page, RateLimited
from connectors.sightings import Removed
from connectors.x_api import AT_ONCE, Forbidden, Unpaid, XApi
from connectors.x_posts import NETWORK, Asked, answered, sightings
from spread.events import DAY_MS

KEPT_MS: Final = 30 * DAY_MS
"""How old a post may be to be followed and asked about."""


class Recheck:
    """Asks about `a_day` ids a day. Where it stands is in `asked_ms` and `after`: the caller keeps it."""

    def __init__(self, api: XApi, known: Known, a_day: float) -> None:
        self._api, self._known = api, known
        self._every_ms = DAY_MS * AT_ONCE / a_day if a_day > 0 else None
        self.asked_ms = 0
        """When the last question was asked."""
        self.after = ""
        """The last id that was asked about."""
        self._gone: set[str] = set()

    def step(self, now_ms: int) -> Page | None:
        """Ask about the next ids, if it is time for it. What fails is tried again at the next time."""
        if self._every_ms is None or now_ms - self.asked_ms < self._every_ms:
            return None
        self.asked_ms = now_ms
        oldest = now_ms - KEPT_MS
        ids = self._known.ids(oldest, self.after, AT_ONCE) or self._known.ids(oldest, "", AT_ONCE)
        asked = [id.removeprefix(NETWORK) for id in ids if id not in self._gone]
        try:
            message = answered(Asked("posts", now_ms, ids=asked), self._api.posts(asked)) if asked else None
        except Unpaid:
            raise
        except (RateLimited, NotConnected, Forbidden):
            return None
        self.after = ids[-1] if ids else ""
        if message is None:
            return None
        self._gone.update(seen.target for seen in sightings(message) if isinstance(seen, Removed))
        return Page([message], source="poll")
