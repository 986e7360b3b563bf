"""Who follows whom on X: every row costs, so lists come in pages that are no longer than a budget may want to pay."""

from contextlib import suppress
from typing import Any

from connectors.connector import Finder
from connectors.x_api import Unfit, XApi
from connectors.x_posts import NETWORK


class XFollowers(Finder):
    """Lists of followers and of those followed. Counts come with the posts."""

    page_rows = 100

    def __init__(self, api: XApi) -> None:
        self._api = api
        self._hidden: set[tuple[str, str]] = set()

    def listed(self, account: str, side: str, page: str | None) -> tuple[list[str], str | None]:
        """A hundred of a list, and the next page."""
        answer: dict[str, Any] = {}
        with suppress(Unfit):  # the account is gone
            answer = self._api.listed(account.removeprefix(NETWORK), side, self.page_rows, page)
        data, meta = answer.get("data"), answer.get("meta")
        if data is None and meta is None:
            self._hidden.add((account, side))
        rows = data if isinstance(data, list) else []
        following = meta.get("next_token") if isinstance(meta, dict) else None
        ids = [f"{NETWORK}{row['id']}" for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
        return ids, following if ids and following != page else None

    def is_whole(self, account: str, side: str, rows: int) -> bool:
        """X gives no list of an account that is protected or gone: that is not an empty one."""
        return (account, side) not in self._hidden

    def close(self) -> None:
        """Close the connections."""
        self._api.close()
