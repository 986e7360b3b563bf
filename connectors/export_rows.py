"""What a row of a network's export says: the fields it may have, and the sightings that follow.

A row is one act, and `kind` says which: post, share, quote, reply, delete, follow, profile (a follower count) or counts
(totals of a post). Without a kind it is a share if it has `of`, else a post. What has no `id` is known by a hash of
what it says, so that the same row twice is one act.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Final

from connectors.connector import Normal
from connectors.exports import FIRST, LATE, Rank, Row, fault
from connectors.sightings import Authored, Followed, Removed, Shared, Stated
from spread.events import MAX_ID_BYTES, MAX_TEXT_BYTES, Profile, Rejected

TOTALS: Final = ("shares", "likes", "replies", "impressions", "clicks")
FIELDS: Final = (
    *("kind", "id", "at", "actor", "offer", "of", "via", "whom", "followers"),
    *("text", "urls", "tags"),
    *TOTALS,
)
_IDENTITY: Final = ("kind", "at", "actor", "of", "whom", "text")
"""What tells one act from another where there is no id. Not what may be put right later: offer, followers."""
_MOST: Final = 10**12
_DIGEST_BYTES: Final = 16


class BadField(Exception):
    """A field is not what it should be: its name and why."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


def normalise(row: Row) -> Sequence[Normal]:
    """What a row says. Pure; a row that can't be read is a `Rejected` with its place."""
    if row.fault is not None:
        return fault(row)
    try:
        return [_KINDS[_kind(row)](row)]
    except BadField as error:
        return [row.rejected(error.field, str(error))]


def rank(row: Row) -> Rank:
    """By time; of one time a post before what is made of it, and what is known of others' acts at the end of all."""
    (said,) = normalise(row)
    match said:
        case Rejected():
            return Rank(FIRST, FIRST)
        case Authored():
            return Rank(said.at, 0 if said.quotes is None and said.replies_to is None else 1)
        case Shared():
            return Rank(said.at, 2)
        case Removed():
            return Rank(said.at, 3)
    return Rank(said.at, LATE)


def moment(row: Row, field: str = "at") -> int:
    """A time in ms."""
    try:
        return row.columns.moment(needed(row, field))
    except ValueError as error:
        raise BadField(field, str(error)) from None


def needed(row: Row, field: str) -> str:
    """The text of a field that must be there."""
    if field not in row.fields:
        raise BadField(field, "is empty")
    return row.fields[field]


def number(row: Row, field: str) -> int | None:
    """A whole number, None where there is none."""
    text = row.fields.get(field)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 13 and int(text) <= _MOST):
        raise BadField(field, "no whole number")
    return int(text)


def within(row: Row, field: str, text: str, most: int = MAX_ID_BYTES) -> str:
    """A text that is no longer than its bound, and holds no sign that can't be seen."""
    if len(text.encode(errors="replace")) > most:
        raise BadField(field, f"over {most:,} bytes")
    if most == MAX_ID_BYTES and not text.isprintable():
        raise BadField(field, "has signs in it that can't be seen")
    return text


def row_id(row: Row, fields: Sequence[str]) -> str:
    """The id of a row that has none: a hash of some of its fields."""
    told = "\n".join(f"{name}={row.fields[name]}" for name in fields if name in row.fields)
    return f"row-{blake2b(told.encode(errors='replace'), digest_size=_DIGEST_BYTES).hexdigest()}"


def _kind(row: Row) -> str:
    word = row.fields.get("kind")
    kind = row.columns.kind(word) if word is not None else "share" if "of" in row.fields else "post"
    if kind not in _KINDS:
        raise BadField("kind", f"none of {', '.join(_KINDS)}")
    return kind


def _name(row: Row, field: str) -> str:
    """An id with its network before it."""
    text = needed(row, field)
    if field in ("actor", "whom"):
        text = text.removeprefix("@")
    return within(row, field, text if text.startswith(f"{row.network}:") else f"{row.network}:{text}")


def _optional(row: Row, field: str) -> str | None:
    return _name(row, field) if field in row.fields else None


def _id(row: Row) -> str:
    return _name(row, "id") if "id" in row.fields else f"{row.network}:{row_id(row, _IDENTITY)}"


def _offer(row: Row) -> str | None:
    return within(row, "offer", row.fields["offer"]) if "offer" in row.fields else None


def _said(row: Row) -> dict[str, Any]:
    """What acts of all kinds have."""
    return {
        "id": _id(row),
        "actor": _name(row, "actor"),
        "at": moment(row),
        "followers": number(row, "followers"),
        "named": _offer(row),
    }


def _authored(row: Row, quotes: str | None = None, replies_to: str | None = None) -> Normal:
    return Authored(
        **_said(row),
        text=within(row, "text", row.fields.get("text", ""), MAX_TEXT_BYTES),
        urls=tuple(row.fields.get("urls", "").split()),
        tags=tuple(tag.removeprefix("#") for tag in row.fields.get("tags", "").split()),
        quotes=quotes,
        replies_to=replies_to,
    )


def _share(row: Row) -> Normal:
    return Shared(**_said(row), of=_name(row, "of"), via=_optional(row, "via"))


def _delete(row: Row) -> Normal:
    return Removed(target=_name(row, "of"), at=moment(row), actor=_optional(row, "actor"))


def _follow(row: Row) -> Normal:
    return Followed(id=_id(row), actor=_name(row, "actor"), at=moment(row), whom=_name(row, "whom"))


def _profile(row: Row) -> Normal:
    needed(row, "followers")
    followers = number(row, "followers") or 0
    return Profile(
        v=1, id=_id(row), network=row.network, at=moment(row), actor=_name(row, "actor"), followers=followers
    )


def _counts(row: Row) -> Normal:
    totals = {name: number(row, name) for name in TOTALS}
    if all(total is None for total in totals.values()):
        raise BadField("shares", "is empty, and so are all other totals")
    return Stated(id=_id(row), at=moment(row), target=_name(row, "of"), **totals)


_KINDS: Final[dict[str, Callable[[Row], Normal]]] = {
    "post": _authored,
    "share": _share,
    "quote": lambda row: _authored(row, quotes=_name(row, "of")),
    "reply": lambda row: _authored(row, replies_to=_name(row, "of")),
    "delete": _delete,
    "follow": _follow,
    "profile": _profile,
    "counts": _counts,
}
