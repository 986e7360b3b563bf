"""The AppView of Bluesky: who follows whom, how many follow, who has reposted or quoted."""

from collections.abc import Mapping
from typing import Any, Final

from connectors.api import Api
from connectors.connector import NotConnected

PAGE: Final = 100
PROFILES: Final = 25


class AppView:
    """Questions to the AppView at `base`, without an account. Names are DIDs and at-URIs, as the network has them."""

    def __init__(self, base: str) -> None:
        self._api = Api(base)

    def ping(self) -> None:
        """Ask for nobody: whether it answers."""
        self._ask("app.bsky.actor.getProfiles", {"actors": []})

    def followers(self, did: str, cursor: str | None = None) -> tuple[list[str], str | None]:
        """Some DIDs that follow an account, and the cursor of the next, None at the end."""
        answer = self._ask("app.bsky.graph.getFollowers", {"actor": did, "limit": PAGE, "cursor": cursor})
        return _dids(answer, "followers"), answer.get("cursor")

    def follows(self, did: str, cursor: str | None = None) -> tuple[list[str], str | None]:
        """Some DIDs that an account follows, and the cursor of the next, None at the end."""
        answer = self._ask("app.bsky.graph.getFollows", {"actor": did, "limit": PAGE, "cursor": cursor})
        return _dids(answer, "follows"), answer.get("cursor")

    def follower_counts(self, dids: list[str]) -> dict[str, int]:
        """How many follow each of some accounts, at most 25; those that are gone are left out."""
        answer = self._ask("app.bsky.actor.getProfiles", {"actors": dids})
        return {
            profile["did"]: profile["followersCount"]
            for profile in answer.get("profiles", ())
            if isinstance(profile.get("did"), str) and isinstance(profile.get("followersCount"), int)
        }

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def _ask(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in params.items() if value is not None}
        answer = self._api.get(f"/xrpc/{method}", given)
        if not isinstance(answer, dict):
            raise NotConnected(f"{method}: an answer of another shape")
        return answer


def _dids(answer: Mapping[str, Any], name: str) -> list[str]:
    return [one["did"] for one in answer.get(name, ()) if isinstance(one, dict) and isinstance(one.get("did"), str)]
