"""Who follows whom, as the instances on the list show it.

An instance knows the whole lists of its own accounts, and of others only what concerns it; some accounts hide theirs.
So a list is whole where it has as many rows as the account is said to have, and a part otherwise.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from connectors.api import Missing
from connectors.connector import Finder
from connectors.mastodon_instance import Instance, read
from connectors.mastodon_statuses import NETWORK, account_of

_PAGE: Final = 80


class _Account(msgspec.Struct):
    id: str
    acct: str
    followers_count: int = -1
    following_count: int = -1
    hide_collections: bool | None = None


_account: Final = msgspec.json.Decoder(_Account).decode


class Followers(Finder):
    """Questions to some instances; of an account to its own, if that is among them, else to the first.

    The first page of a list is empty: it finds the account, and is a call like any other.
    """

    page_rows = _PAGE

    def __init__(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        self._sizes: dict[tuple[str, str], int] = {}

    def listed(self, account: str, side: str, page: str | None) -> tuple[list[str], str | None]:
        """Eighty of a list, and the next page: the account's number there, its size, and the id that it is before."""
        instance = self._asked(account)
        try:
            if page is None:
                return [], self._found(instance, account, side)
            number, size, before = page.split(" ")
            self._sizes[account, side] = int(size)
            answer = instance.ask(
                f"accounts/{side}",
                lambda client: (client.account_followers if side == "followed_by" else client.account_following)(
                    number, max_id=before or None, limit=_PAGE
                ),
            )
        except Missing:
            return [], None
        rows = [account_of(read(row, _account).acct, instance.domain) for row in answer.rows()]
        following = instance.client.get_pagination_info(answer.object, "next")
        onwards = None if following is None or not rows else f"{number} {size} {following['max_id']}"
        return rows, None if onwards == page else onwards

    def is_whole(self, account: str, side: str, rows: int) -> bool:
        """Whether there are as many rows as the account is said to have."""
        size = self._sizes.pop((account, side), -1)
        return 0 <= size <= rows

    def close(self) -> None:
        """Close the connections."""
        for instance in self._instances:
            instance.close()

    def _asked(self, account: str) -> Instance:
        for instance in self._instances:
            if not instance.domain:
                instance.greet()
        domain = account.rpartition("@")[2]
        return next((one for one in self._instances if one.domain == domain), self._instances[0])

    def _found(self, instance: Instance, account: str, side: str) -> str | None:
        """The first page of a list with rows, by the account's number on an instance; None if its lists are hidden."""
        name = account.removeprefix(NETWORK)
        answer = instance.ask("accounts/lookup", lambda client: client.account_lookup(name))
        found = read(answer.body, _account)
        if found.hide_collections:
            return None
        size = found.followers_count if side == "followed_by" else found.following_count
        return f"{found.id} {size} "
