"""The AppView of Bluesky: who follows whom, and how many follow. It asks for no account."""

from collections.abc import Mapping
from typing import Any, Final

from connectors.api import Api
from connectors.connector import Finder, NotConnected

_NETWORK: Final = "bluesky:"
_TIMEOUT_S: Final = 10.0
"""Short, since after a gap the stream waits while something is asked."""
_LISTS: Final = {"follows": "getFollows", "followed_by": "getFollowers"}
_FIELDS: Final = {"follows": "follows", "followed_by": "followers"}


class AppView(Finder):
    """Questions to the AppView at `base`."""

    page_rows = 100
    counts_at_once = 25

    def __init__(self, base: str) -> None:
        self._api = Api(base, timeout_s=_TIMEOUT_S)

    def counts(self, accounts: list[str]) -> dict[str, int]:
        """How many follow each of some accounts, at most 25; those that are gone are left out."""
        answer = self.ask("app.bsky.actor.getProfiles", {"actors": [_did(account) for account in accounts]})
        return {
            f"{_NETWORK}{profile['did']}": profile["followersCount"]
            for profile in answer.get("profiles", ())
            if isinstance(profile.get("did"), str) and isinstance(profile.get("followersCount"), int)
        }

    def listed(self, account: str, side: str, page: str | None) -> tuple[list[str], str | None]:
        """A hundred of a list, and the cursor of the next."""
        params = {"actor": _did(account), "limit": self.page_rows, "cursor": page}
        answer = self.ask(f"app.bsky.graph.{_LISTS[side]}", params)
        rows = answer.get(_FIELDS[side], ())
        dids = [row["did"] for row in rows if isinstance(row, dict) and isinstance(row.get("did"), str)]
        following = answer.get("cursor")
        return [f"{_NETWORK}{did}" for did in dids], following if dids and following != page else None

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one question; what is None is not asked."""
        given = {name: value for name, value in params.items() if value is not None}
        answer = self._api.get(f"/xrpc/{method}", given)
        if not isinstance(answer, dict):
            raise NotConnected(f"{method}: an answer of another shape")
        return answer


def _did(account: str) -> str:
    return account.removeprefix(_NETWORK)
