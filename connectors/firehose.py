"""The firehose of a PDS or a relay as a source: frames of atproto, turned into messages of Jetstream's shape.

Its cursor is the number of a frame on one host, and goes on behind it. A number that the host has not reached, or one
of another host, is of no use: a gap. Where it no longer keeps a number it says so, and begins with the oldest it has.
A frame that can't be read is handed on as it is, to be rejected, and the next one is read.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from atproto_core.car import CAR
from atproto_core.cid import CID
from atproto_core.exceptions import AtProtocolError
from atproto_subscription import Frame

from connectors.connector import Blind, CursorRejected, NotConnected, Page
from connectors.listening import Socket

_METHOD: Final = "xrpc/com.atproto.sync.subscribeRepos"
_FRAMES: Final = 200


class Firehose:
    """The stream of the host at `url`, of some collections and of what happens to accounts."""

    def __init__(self, url: str, collections: Iterable[str]) -> None:
        self._url, self._collections = url, frozenset(collections)
        self._socket: Socket | None = None
        self._host = ""
        self._seq: int | None = None
        self._heard: int | None = None
        self._waiting: list[bytes] = []
        self._outdated = False

    def connect(self, cursor: str | None) -> None:
        """Connect behind a frame, or with what comes from now on."""
        self.close()
        self._waiting = []
        self._host, self._seq = self._url.partition("://")[2].rstrip("/"), None
        if cursor is not None:
            source, _, rest = cursor.partition(" ")
            host, _, seq = rest.partition(" ")
            if source != "firehose" or host != self._host or not seq.isdigit():
                raise CursorRejected("the cursor is none of this firehose")
            self._seq = int(seq)
        query = "" if self._seq is None else f"?{urlencode({'cursor': self._seq})}"
        self._socket = Socket(f"{self._url.rstrip('/')}/{_METHOD}{query}")

    def read(self, timeout_s: float) -> Page | None:
        """The records of some frames."""
        assert self._socket is not None
        messages: list[bytes] = []
        blind = None
        frames, self._waiting = self._waiting or self._socket.read(timeout_s, _FRAMES), []
        if frames and self._seq is None:
            # A cold start begins before the first frame: that is told before anything is made of it.
            first = next((seq for seq in map(_number, frames) if seq is not None), None)
            if first is None:
                return None
            self._seq, self._waiting = first - 1, frames
            return Page(cursor=self._cursor())
        for data in frames:
            try:
                body = body_of(data)
            except Unreadable:
                messages.append(data)
                continue
            if body["$type"] == "#info":
                self._outdated = body.get("name") == "OutdatedCursor"
            seq, seen_ms = body.get("seq"), _millis(body.get("time"))
            if not isinstance(seq, int) or seen_ms is None:
                continue
            if self._outdated:
                self._outdated = False
                blind = self._blind(seq, seen_ms)
            self._seq, self._heard = seq, seen_ms
            messages += _messages(data, body, self._collections, seen_ms)
        if not frames or self._seq is None:
            return None
        return Page(messages, self._cursor(), self._heard, blind=blind)

    def close(self) -> None:
        """Leave."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _cursor(self) -> str:
        return f"firehose {self._host} {self._seq}"

    def _blind(self, seq: int, seen_ms: int) -> Blind:
        """What lies before the oldest frame that there is. In a new process the runner knows since when."""
        why = "the firehose no longer keeps what came behind the cursor"
        if self._heard is None:
            self._heard = seen_ms  # whatever is lost until the next connection is told from here on
            raise CursorRejected(why, f"firehose {self._host} {seq - 1}", seen_ms)
        return Blind(self._heard, seen_ms, why)


class Unreadable(Exception):
    """A frame that can't be read."""


def body_of(data: bytes) -> dict[str, Any]:
    """What a frame holds; its type stands under `$type`. An error is raised in the words of the contract."""
    try:
        frame = Frame.from_bytes(data)
    except (AtProtocolError, ValueError):
        raise Unreadable from None
    if frame.is_error:
        name = str(getattr(frame.body, "error", ""))
        if name == "FutureCursor":
            raise CursorRejected("the cursor is ahead of the firehose")
        raise NotConnected(f"the firehose says {name if name.isalnum() else 'an error'}")
    if not isinstance(frame.body, dict):
        raise Unreadable
    return frame.body | {"$type": getattr(frame.header, "t", None)}


def _number(data: bytes) -> int | None:
    """The number of a frame, if it has one."""
    try:
        seq = body_of(data).get("seq")
    except Unreadable:
        return None
    return seq if isinstance(seq, int) else None


def _messages(data: bytes, body: dict[str, Any], collections: frozenset[str], seen_ms: int) -> list[bytes]:
    """The messages of a frame. One whose records can't be read is handed on itself, to be rejected."""
    try:
        return [*messages_of(body, collections, seen_ms)]
    except Exception:  # whatever a frame holds, and the libraries raise at it: the next one is read
        return [data]


def messages_of(body: dict[str, Any], collections: frozenset[str], seen_ms: int) -> Iterator[bytes]:
    """The messages that a Jetstream makes of a frame's body."""
    kind = body["$type"]
    envelope = {"time_us": seen_ms * 1000}
    if kind == "#account":
        account = {key: body.get(key) for key in ("active", "status", "did", "seq")}
        yield msgspec.json.encode(envelope | {"did": body["did"], "kind": "account", "account": account})
    if kind != "#commit":
        return
    blocks: dict[CID, Any] | None = None
    for op in body["ops"]:
        collection, _, rkey = op["path"].partition("/")
        if collection not in collections:
            continue
        commit = {"rev": body["rev"], "operation": op["action"], "collection": collection, "rkey": rkey}
        if op["action"] != "delete":
            if blocks is None:
                blocks = CAR.from_bytes(body["blocks"]).blocks
            record = blocks.get(CID.decode(op["cid"]))
            if record is None:
                continue  # too big for the stream
            commit["record"] = record
        yield msgspec.json.encode(
            envelope | {"did": body["repo"], "kind": "commit", "commit": commit}, enc_hook=lambda value: None
        )


def _millis(time: Any) -> int | None:
    try:
        return int(datetime.fromisoformat(time).timestamp() * 1000)
    except (TypeError, ValueError):
        return None
