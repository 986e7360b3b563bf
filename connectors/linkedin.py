"""LinkedIn: posts of organisations, who shared and commented them, totals. For pages that the token administers.

Notifications are pushed to `/hooks/linkedin` and kept for 60 days, so that a pull fills what a webhook missed. LinkedIn
takes a webhook away without a word with the member's role or consent, which is looked after here.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import quote

import msgspec

from connectors import linkedin_posts
from connectors.api import Answer, Api, NotTaken
from connectors.clock import now_ms
from connectors.connector import (
    Abilities,
    Check,
    ConnectorError,
    Declaration,
    Known,
    Normal,
    Option,
    Options,
    Refused,
    Root,
)
from connectors.pushed import Mark, Pushed, pull_options
from connectors.webhook import Delivery, Hook, Reply, signed
from spread.events import DAY_MS, UNREADABLE

VERSION: Final = "202610"
"""Of the API (`LinkedIn-Version`). LinkedIn drops a version about a year after its month."""
_EVENTS: Final = "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS"
_SIGNED: Final = "hmacsha256="
_CODE: Final = re.compile(r"[A-Za-z0-9-]{1,128}\Z")
"""A challenge, which is a UUID; what is signed of a delivery begins otherwise."""
"""Stands before the body in what is signed; taken off the signature too, should it stand there."""
_ROWS: Final = 100
_PAGES: Final = 100
"""Of one list in one pull, at most."""


class LinkedIn(Pushed):
    """The connector."""

    declared: ClassVar = Declaration(
        name="linkedin",
        network="linkedin",
        summary="Posts of your organisations, who shared and commented them, totals",
        abilities=Abilities(
            reshares="public shares of your organisations' posts, by webhook and pull",
            followers="count of your organisations' followers",
            deletes="comments; your own posts, when totals are asked for",
            resume="60 days back",
        ),
        options=(
            Option("organizations", "Ids of your organisations (the number in the page's address).", [], required=True),
            Option("access_token", "Token of a member who administers them.", secret=True, required=True),
            Option("client_id", "Id of your application, to ask how long the token holds."),
            Option(
                "client_secret", "Secret of your application; it signs webhooks, without it none is taken.", secret=True
            ),
            Option("api", "Address of the API.", "https://api.linkedin.com"),
            Option("oauth", "Address that knows tokens.", "https://www.linkedin.com"),
            *pull_options(),
        ),
        in_order=False,
    )
    kept_ms = 60 * DAY_MS
    history_ms = 60 * DAY_MS - 600_000
    """A cold start asks for all that LinkedIn keeps; a little less, so that its own cursor is not too old at once."""
    counts_at_once = 20

    def __init__(self, options: Options, known: Known) -> None:
        super().__init__(options, known)
        self._organizations = [f"urn:li:organization:{id.rpartition(':')[2]}" for id in options.texts("organizations")]
        self._secret = options.text("client_secret")
        headers = {
            "Authorization": f"Bearer {options.text('access_token')}",
            "LinkedIn-Version": VERSION,
            "X-Restli-Protocol-Version": "2.0.0",
        }
        self._api = Api(options.text("api"), headers)
        if self._secret:
            self.hooks = (Hook("/hooks/linkedin", self._take, self._inbox),)

    def close(self) -> None:
        """Leave the API."""
        super().close()
        self._api.close()

    def pull(self, since: Mark, until_ms: int) -> Iterator[list[Any]]:
        """Posts by when they were last changed, then notifications of the window."""
        for organization in self._organizations:
            yield from self._posts(organization, since.posts)
            yield from self._notifications(organization, since.seen, until_ms)

    def _notifications(self, organization: str, since_ms: int, until_ms: int) -> Iterator[list[Any]]:
        criteria = f"q=criteria&actions=List({','.join(linkedin_posts.ACTIONS)})"
        whose = f"organizationalEntity={quote(organization, safe='')}&timeRange=(start:{since_ms},end:{until_ms})"
        for elements in self._listed(f"organizationalEntityNotifications?{criteria}&{whose}", "notifications"):
            yield [{"notification": element} for element in elements]

    def _posts(self, organization: str, since_ms: int) -> Iterator[list[Any]]:
        author = quote(organization, safe="")
        for elements in self._listed(f"posts?q=author&author={author}&sortBy=LAST_MODIFIED", "posts"):
            yield [{"post": element} for element in elements]
            if min(map(_modified, elements), default=0) < since_ms:
                return

    def _listed(self, path: str, what: str) -> Iterator[list[Any]]:
        for page in range(_PAGES):
            answer = self._ask(f"{path}&start={page * _ROWS}&count={_ROWS}", what)
            elements = _field(answer, "elements", list)
            yield elements
            if len(elements) < _ROWS:
                return

    def count(self, roots: list[Root]) -> list[Any]:
        """Share statistics of some posts, and which of them are not there any more."""
        urns = [root.id.removeprefix(linkedin_posts.NETWORK) for root in roots]
        raws: list[Any] = []
        for organization in self._organizations:
            own = [
                urn
                for urn, root in zip(urns, roots, strict=True)
                if root.account == linkedin_posts.NETWORK + organization
            ]
            kinds = {"shares": "urn:li:share:", "ugcPosts": "urn:li:ugcPost:"}
            asked = [
                f"{name}=List({','.join(quote(urn, safe='') for urn in own if urn.startswith(kind))})"
                for name, kind in kinds.items()
                if any(urn.startswith(kind) for urn in own)
            ]
            if not asked:
                continue
            whose = f"q=organizationalEntity&organizationalEntity={quote(organization, safe='')}"
            answer = self._ask(f"organizationalEntityShareStatistics?{whose}&{'&'.join(asked)}", "share statistics")
            raws += [{"statistics": one, "at": answer.at} for one in _field(answer, "elements", list)]
            raws += self._gone(own)
        return raws

    def _gone(self, urns: list[str]) -> list[Any]:
        """Posts that LinkedIn says are not there, as it says nothing when one is deleted."""
        answer = self._ask(f"posts?ids=List({','.join(quote(urn, safe='') for urn in urns)})", "posts")
        errors = answer.said.get("errors") if isinstance(answer.said, dict) else None
        return [
            {"gone": urn, "at": answer.at}
            for urn, error in (errors.items() if isinstance(errors, dict) else ())
            if urn in urns and isinstance(error, dict) and error.get("status") == 404
        ]

    def audience(self) -> Iterator[list[Any]]:
        """How many follow each organisation."""
        for organization in self._organizations:
            path = f"networkSizes/{quote(organization, safe='')}?edgeType=COMPANY_FOLLOWED_BY_MEMBER"
            answer = self._ask(path, "followers")
            yield [
                {"followers": {"account": organization, "n": _field(answer, "firstDegreeSize", int)}, "at": answer.at}
            ]

    def post(self, id: str) -> list[Any]:
        """One post."""
        try:
            return [{"post": self._ask(f"posts/{quote(id, safe='')}", "a post").said}]
        except (NotTaken, Refused):  # another's post may be forbidden
            return []

    def post_in(self, raw: Any) -> str | None:
        """The URN of a post."""
        post = raw.get("post") if isinstance(raw, dict) else None
        id = post.get("id") if isinstance(post, dict) else None
        return id if isinstance(id, str) else None

    def post_of(self, raw: Any) -> str | None:
        """The URN of the post that was shared or commented."""
        try:
            told = msgspec.convert(raw["notification"], linkedin_posts.Notification)
        except (msgspec.ValidationError, KeyError, TypeError):
            return None  # it will be rejected
        return linkedin_posts.post_urn(told)

    def ends_ms(self) -> int | None:
        """Ask how long the token holds, if the application says who it is."""
        who = {"client_id": self.options.text("client_id"), "client_secret": self._secret}
        if not all(who.values()):
            return None
        oauth = Api(self.options.text("oauth"))
        try:
            form = {**who, "token": self.options.text("access_token")}
            said = oauth.ask("POST", "/oauth/v2/introspectToken", form=form, what="the token").said
        finally:
            oauth.close()
        if isinstance(said, dict) and said.get("active") is False:
            raise Refused("the token is not active any more")
        ends = said.get("expires_at") if isinstance(said, dict) else None
        return ends * 1000 if isinstance(ends, int) else None

    def unheard(self) -> str | None:
        """Whether each organisation has a subscription."""
        answer = self._ask(f"eventSubscriptions?q=subscriberAndEventType&eventType={_EVENTS}", "subscriptions")
        # Where in an element the organisation stands is not documented: it is looked for in all of it.
        told = msgspec.json.encode(_field(answer, "elements", list)).decode()
        without = [one for one in self._organizations if f'{one}"' not in told and f"{one}," not in told]
        return (
            f"LinkedIn has no webhook for {len(without)} of {len(self._organizations)} organisations"
            if without
            else None
        )

    def check(self) -> Check:
        """Ask for what each organisation shows to this token."""
        sees, misses = [], ["who follows whom: LinkedIn tells nobody", "shares of posts that are not public"]
        now = now_ms()
        for organization in self._organizations:
            next(self._posts(organization, now))
            next(self._notifications(organization, now - DAY_MS, now))
            sees.append(f"posts, shares and comments of organisation {organization.rpartition(':')[2]}")
        try:
            next(self.audience(), None)
            sees.append("how many follow")
        except ConnectorError as error:
            misses.append(f"how many follow: {error}")
        at_once, not_at_once = self.at_once()
        self.close()
        return Check((*sees, *at_once), (*misses, *not_at_once))

    def _ask(self, path: str, what: str) -> Answer:
        return self._api.ask("GET", f"/rest/{path}", what=what)

    def _take(self, delivery: Delivery) -> Reply | Sequence[Any]:
        """Answer the challenge, and take what is signed."""
        if delivery.method == "GET":
            code = delivery.query.get("challengeCode", "")
            if not _CODE.match(code):  # else whoever asks could have a delivery of his own signed
                return Reply(400)
            response = hmac.new(self._secret.encode(), code.encode(), hashlib.sha256).hexdigest()
            answer = msgspec.json.encode({"challengeCode": code, "challengeResponse": response})
            return Reply(200, answer, "application/json")
        signature = delivery.headers.get("x-li-signature", "").removeprefix(_SIGNED)
        if not signed(signature, _SIGNED.encode() + delivery.body, self._secret):
            return Reply(401)
        try:
            said = msgspec.json.decode(delivery.body)
        except UNREADABLE:
            return Reply(400)
        told = said.get("notifications") if isinstance(said, dict) and said.get("type") == _EVENTS else None
        return [{"notification": one} for one in told] if isinstance(told, list) else []

    @classmethod
    def normalise(cls, raw: Any) -> Sequence[Normal]:
        """What a message says."""
        return linkedin_posts.normalise(raw)


def _modified(post: Any) -> int:
    modified = post.get("lastModifiedAt") if isinstance(post, dict) else None
    return modified if isinstance(modified, int) else 0


def _field(answer: Answer, name: str, kind: type[Any]) -> Any:
    """A field of an answer, empty where it has none."""
    found = answer.said.get(name) if isinstance(answer.said, dict) else None
    return found if isinstance(found, kind) else kind()
