"""What sources say of an offer, in its own form: texts without markup, links, dates in ms, and an id that lasts."""

import html
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from typing import Final
from urllib.parse import urljoin

from spread.events import DAY_MS, MAX_ID_BYTES
from spread.registry import JobOffer
from spread.urls import canonical

_LONGEST: Final = 1_000
_LINK: Final = 4_096
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]*>")
_LAST_MS: Final = 253_402_300_800_000
_PLACE_ENDS: Final = re.compile(r"[,;|/(]| - ")


def offer(
    *,
    id: str,
    title: object = "",
    company: object = "",
    place: object = "",
    family: object = "",
    urls: Iterable[object] = (),
    posted: int | None = None,
    closes: int | None = None,
) -> JobOffer:
    """An offer of what a source says."""
    links = {canonical(url): url for url in map(link, urls) if url}
    return JobOffer(
        id=short(id),
        title=text(title),
        company=text(company),
        place=_PLACE_ENDS.split(text(place))[0].strip(),
        family=text(family),
        urls=tuple(links.values()),
        posted=posted,
        closes=closes if closes is None or posted is None or posted <= closes else None,
    )


def short(id: str) -> str:
    """An id; the digest of one that is too long."""
    id = text(id)
    return id if len(id.encode()) <= MAX_ID_BYTES else blake2b(id.encode(), digest_size=16).hexdigest()


def text(value: object) -> str:
    """A text on one line, without markup or what can't be seen; empty where it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return ""
    plain = _TAG.sub(" ", html.unescape(html.unescape(value[: 4 * _LONGEST])))
    plain = "".join(sign if sign.isprintable() else " " for sign in plain)
    return " ".join(plain.split())[:_LONGEST].strip()


def link(value: object) -> str:
    """An http link, empty where it is none."""
    if not isinstance(value, str) or len(value) > _LINK:
        return ""
    value = html.unescape(value.strip())
    found = value.lower().startswith(("http://", "https://")) and value.isprintable() and " " not in value
    return value if found else ""


def joined(page: str, to: object) -> str:
    """A link as it stands on a page, in full; empty where it is none, or too long to be one."""
    try:
        # Links that are relative to one another may grow with each page.
        full = urljoin(page, to) if isinstance(to, str) else ""
    except ValueError:
        return ""
    return full if len(full) <= _LINK else ""


def moment(value: object, *, end: bool = False) -> int | None:
    """A date in ms: a day (its `end` if that is asked for), a moment, one as in mail, or ms; None where it is none.

    UTC, where no offset is given.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < _LAST_MS else None
    if not isinstance(value, str):
        return None
    value = value.strip()
    try:
        start = int(datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC).timestamp() * 1000)
        return start + DAY_MS - 1 if end else start
    except (ValueError, OverflowError):
        pass
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = read(value)
            return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None
