"""The week in one page, as text and as HTML: what spread, how far, and what people were told.

Read from where offers are answered for; nothing is stored for it. Figures of the week are shares in the offer's curve,
whose buckets may be hours wide for old offers.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec

from connectors.feeds.web import shown
from ricochet.errors import RicochetError
from ricochet.guard import asking
from spread.events import DAY_MS, UNREADABLE

DAYS: Final = 7
_MOST: Final = 10
_HANG_S: Final = 30.0
_NAMES: Final = {
    "takes_off": "took off",
    "viral": "was viral",
    "left_its_own_followers": "left your own followers",
    "second_wave": "had a second wave",
    "jumped_to_another_network": "came to another network",
    "a_big_account_joined": "was shared by a big account",
    "spreads_although_closed": "spread although closed",
    "clicks_without_applications": "was clicked without applications",
    "gone_quiet_early": "went quiet early",
    "depends_on_one_account": "depended on one account",
}


class Line(msgspec.Struct, frozen=True):
    """One offer in the digest."""

    offer: str
    title: str
    company: str
    state: str
    gained: int
    """Shares of the week."""
    nodes: int
    low: int
    high: int | None
    networks: str
    told: tuple[str, ...]


class Digest(msgspec.Struct, frozen=True):
    """The week: `since` and `until` in ms."""

    since: int
    until: int
    offers: int
    gained: int
    lines: tuple[Line, ...]
    """The offers with the most shares of the week, the first the most."""
    closed: tuple[Line, ...]
    """Those that are closed and were shared."""


def read(addresses: Iterable[str], until: int, days: int = DAYS, token: str | None = None) -> Digest:
    """Ask workers, or `ricochet run`, for their offers, and sum the days up. Raises `RicochetError`.

    `token` is that of the settings, which the addresses are shown.
    """
    since = until - days * DAY_MS
    lines: list[Line] = []
    with asking(token, _HANG_S) as client:
        for address in addresses:
            try:
                for offer in _answer(client, f"{address}/offers"):
                    detail = _answer(client, f"{address}/offers/{quote(offer['offer'], safe='')}")
                    lines.append(_line(detail, since, until))
            except httpx.HTTPError as error:
                raise RicochetError(f"{shown(address)}: no answer of Ricochet: {_why(error)}") from None
            except (*UNREADABLE, KeyError, TypeError) as error:
                raise RicochetError(f"{shown(address)}: no answer of Ricochet: {error}") from None
    moved = sorted((line for line in lines if line.gained or line.told), key=lambda line: (-line.gained, line.offer))
    return Digest(
        since,
        until,
        len(lines),
        sum(line.gained for line in lines),
        tuple(moved[:_MOST]),
        tuple(line for line in moved if line.state == "closed" and line.gained),
    )


def text(digest: Digest) -> str:
    """The digest as plain text."""
    out = [_heading(digest), ""]
    for line in digest.lines:
        out += [_title(line), *(f"  {fact}" for fact in _facts(line)), ""]
    if digest.closed:
        out += ["Shared although closed: " + ", ".join(map(_title, digest.closed)), ""]
    if not digest.lines:
        out += ["Nothing was shared.", ""]
    return "\n".join(out)


def html(digest: Digest) -> str:
    """The digest as a page for a mail: no script, no picture, nothing from elsewhere."""
    out = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>Ricochet: the week</title></head>',
        '<body style="font-family:sans-serif;max-width:40em">',
        f"<h1>{escape(_heading(digest))}</h1>",
    ]
    for line in digest.lines:
        facts = "".join(f"<li>{escape(fact)}</li>" for fact in _facts(line))
        out.append(f"<h2>{escape(_title(line))}</h2><ul>{facts}</ul>")
    if digest.closed:
        out.append(f"<p>Shared although closed: {escape(', '.join(map(_title, digest.closed)))}</p>")
    if not digest.lines:
        out.append("<p>Nothing was shared.</p>")
    return "\n".join([*out, "</body></html>", ""])


def send(digest: Digest, alertmanager: str, auth: tuple[str, str] | None = None) -> None:
    """Have Alertmanager send it by the ways of the alerts; `auth` is user and password. Raises `RicochetError`."""
    alert = {
        "labels": {"alertname": "RicochetDigest", "audience": "recruiters", "severity": "digest"},
        "annotations": {"summary": _heading(digest), "description": text(digest)},
        "startsAt": _moment(digest.until).isoformat(),
        # Over at once: a digest has no end to tell of.
        "endsAt": datetime.fromtimestamp(digest.until / 1000 + 600, UTC).isoformat(),
    }
    try:
        answer = httpx.post(f"{alertmanager}/api/v2/alerts", json=[alert], auth=auth, timeout=_HANG_S, trust_env=False)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise RicochetError(f"{shown(alertmanager)}: the digest was not taken: {_why(error)}") from None


def _why(error: httpx.HTTPError) -> str:
    """What went wrong; of a status httpx would say the whole address, with what is secret in it."""
    return f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else str(error)


def _line(detail: dict[str, Any], since: int, until: int) -> Line:
    id, curve, reach = detail["offer"], detail["curve"], detail["reach"]
    moments = (curve["start"] + curve["width"] * (place + 0.5) for place in range(len(curve["counts"])))
    counted = zip(moments, curve["counts"], strict=True)
    told = detail.get("told", {}).items()
    conditions = [name for name, called in told if not called["is_over"] or since <= called["since"] <= until]
    networks = sorted(detail["networks"].items(), key=lambda one: (-one[1]["nodes"], one[0]))
    return Line(
        id,
        detail["title"] or id,
        detail["company"],
        detail["state"],
        sum(n for moment, n in counted if since <= moment <= until),
        detail["nodes"],
        reach["low"],
        reach["high"],
        ", ".join(f"{name} {there['nodes']:,}" for name, there in networks),
        tuple(_NAMES.get(name, name) for name in conditions),
    )


def _facts(line: Line) -> list[str]:
    bounds = f"at least {line.low:,} accounts reached" + ("" if line.high is None else f", at most {line.high:,}")
    facts = [f"{line.gained:,} shares this week, {line.nodes:,} posts and shares in all ({line.networks})", bounds]
    return [*facts, f"it {', '.join(line.told)}"] if line.told else facts


def _heading(digest: Digest) -> str:
    days = f"{_moment(digest.since):%d %B} to {_moment(digest.until):%d %B %Y}"
    return f"Your offers, {days}: {digest.gained:,} shares of {digest.offers:,} offers"


def _title(line: Line) -> str:
    return f"{line.title} ({line.company})" if line.company else line.title


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _answer(client: httpx.Client, url: str) -> Any:
    answer = client.get(url)
    answer.raise_for_status()
    return msgspec.json.decode(answer.content)
