"""Outcomes: how many clicked, applied and were hired, from a file or a signed webhook, joined with the offers.

Nothing about a candidate passes. Only the fields below are taken, all others are dropped where they come in, before
anything is kept; and of these only a stage, a number, a time and the id of a known offer go on. An id is refused if it
may be a name or an address, and goes on as a hash. Links and campaigns are compared with the offers and dropped.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, Literal, cast
from urllib.parse import parse_qsl, urlsplit

from connectors.columns import Columns
from connectors.connector import Abilities, Declaration, Known, Normal, Option, Options, Page, Refused
from connectors.export_rows import BadField, moment, needed, number, row_id
from connectors.exports import FIRST, MAPPING, ExportConnector, Rank, Row, fault
from connectors.sightings import Resulted
from connectors.table_files import taken
from connectors.webhook import Delivery, Hook, Inbox, Reply, signed
from spread.events import Rejected

STAGES: Final = ("click", "application", "hire")
FIELDS: Final = ("id", "at", "stage", "n", "offer", "url", "utm_content", "utm_campaign", "utm_source")
PATH: Final = "/hooks/outcomes"
MOST: Final = 500
"""Rows of a delivery."""
_REFS: Final = ("offer", "utm_content", "utm_campaign")
_IDENTITY: Final = ("at", "stage", "offer", "url", "utm_content", "utm_campaign", "utm_source")
"""What tells one row from another where there is no id."""
_ID: Final = re.compile(r"(?=.*[0-9])[A-Za-z0-9_.:/-]{1,128}")
NETWORK: Final = "outcomes"
_SOURCES: Final = {
    "x": "x",
    "twitter": "x",
    "linkedin": "linkedin",
    "facebook": "facebook",
    "fb": "facebook",
    "bluesky": "bluesky",
    "mastodon": "mastodon",
    "threads": "threads",
    "viadeo": "viadeo",
}
"""By `utm_source`, the network that they came from; where it says none of these, none."""


class Outcomes(ExportConnector):
    """Reads files, and takes what is pushed where its secret is set."""

    declared = Declaration(
        name="outcomes",
        network=NETWORK,
        summary="Clicks, applications and hires, from a file or a signed webhook.",
        abilities=Abilities(resume="file hash and row; who pushes comes again"),
        options=(
            Option("files", "Files of outcomes, CSV or JSON lines, put there whole.", []),
            MAPPING,
            Option(
                "secret", f"Secret that deliveries to {PATH} are signed with; without it none is taken.", secret=True
            ),
        ),
    )
    fields = FIELDS

    def __init__(self, options: Options, known: Known) -> None:
        super().__init__(options, known)
        self._inbox = Inbox()
        self._secret = options.text("secret")
        self.hooks = [Hook(PATH, self._take, self._inbox)] if self._secret else ()

    @classmethod
    def normalise(cls, raw: Any) -> Sequence[Normal]:
        """What a row says."""
        return normalise(raw)

    @classmethod
    def rank(cls, row: Row) -> Rank:
        """Where it stands in the order."""
        return rank(row)

    def connect(self, cursor: str | None) -> None:
        """Look the files through, if there are any."""
        if not self._secret and not self.options.texts("files"):
            raise Refused("neither files nor a secret for the webhook is given")
        super().connect(cursor)

    def read(self, timeout_s: float) -> Page | None:
        """What was pushed, else the next rows of the files."""
        delivered = self._inbox.get(0)
        if delivered is not None:
            return Page(delivered.messages, ack=delivered.ack)
        return super().read(timeout_s)

    def _take(self, delivery: Delivery) -> Reply | Sequence[Any]:
        """The rows of a delivery, whole or not at all; what nobody mapped is dropped here."""
        if delivery.method != "POST":
            return Reply(405)
        signature = delivery.headers.get("x-ricochet-signature", "").removeprefix("sha256=")
        if not signed(signature, delivery.body, self._secret):
            return Reply(401)
        if self._export is None:
            return Reply(503)
        try:
            rows = _rows(delivery.body, self._export.columns)
        except ValueError as error:
            return Reply(400, f"{error}\n".encode())
        wrong = [said.detail for row in rows for said in normalise(row) if isinstance(said, Rejected)]
        return Reply(422, "".join(f"{line}\n" for line in wrong).encode()) if wrong else rows


def normalise(row: Row) -> Sequence[Normal]:
    """What a row says. Pure; a row that can't be read is a `Rejected` with its place."""
    if row.fault is not None:
        return fault(row)
    try:
        return [_resulted(row)]
    except BadField as error:
        return [row.rejected(error.field, str(error))]


def rank(row: Row) -> Rank:
    """By time."""
    (said,) = normalise(row)
    return Rank(said.at, 0) if isinstance(said, Resulted) else Rank(FIRST, FIRST)


def _resulted(row: Row) -> Resulted:
    stage = row.columns.kind(needed(row, "stage"))
    if stage not in STAGES:
        raise BadField("stage", f"none of {', '.join(STAGES)}")
    n = number(row, "n")
    url = row.fields.get("url")
    campaign = _campaign(url or "")
    refs = [row.fields[name] for name in _REFS if name in row.fields]
    refs += [campaign[name] for name in _REFS[1:] if name in campaign]
    if not refs and url is None:
        raise BadField("offer", "is empty, and so is what else may name one: url, utm_content, utm_campaign")
    came_from = row.fields.get("utm_source", campaign.get("utm_source", "")).lower()
    return Resulted(
        id=f"{NETWORK}:{_id(row)}",
        at=moment(row),
        stage=cast(Literal["click", "application", "hire"], stage),
        n=1 if n is None else n,
        network=_SOURCES.get(came_from, NETWORK),
        refs=tuple(refs),
        urls=() if url is None else (url,),
    )


def _id(row: Row) -> str:
    if "id" not in row.fields:
        return row_id(row, _IDENTITY)
    if not _ID.fullmatch(row.fields["id"]):
        raise BadField("id", "may be a name or an address; give a number of yours, or none")
    return row_id(row, ("id",))


def _campaign(url: str) -> dict[str, str]:
    """What a link says of the campaign."""
    try:
        return dict(parse_qsl(urlsplit(url).query))
    except ValueError:
        return {}


def _rows(body: bytes, columns: Columns) -> list[Row]:
    """The rows of a delivery: an object, or an array of some. Raises `ValueError`, which quotes nothing."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    records = told if isinstance(told, list) else [told]
    if len(records) > MOST:
        raise ValueError(f"{len(records):,} rows, at most {MOST}")
    names = {columns.column(name): name for name in FIELDS}
    rows = []
    for number_, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise ValueError(f"row {number_} is no object")
        try:
            fields, wrong = {names[column]: text for column, text in taken(record, names).items()}, None
        except ValueError as error:
            fields, wrong = {}, str(error)
        rows.append(Row(NETWORK, "webhook", number_, fields, columns, wrong))
    return rows
