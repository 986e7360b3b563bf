"""The firehose of a PDS or a relay as a source: frames of atproto, turned into messages of Jetstream's shape.

Its cursor is the number of a frame on one host, and goes on behind it. A number that the host has not reached, or one
of another host, is of no use: a gap. Where it no longer keeps a number it says so, and begins with the oldest it has.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from atproto_core.car import CAR
from atproto_core.cid import CID
from atproto_subscription import Frame, FrameDecodingError

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
        if frames and self._seq is None and (body := self._body(frames[0])) is not None:
            # A cold start begins before the first frame: that is told before anything is made of it.
            self._seq, self._waiting = body["seq"] - 1, frames
            return Page(cursor=self._cursor())
        for data in frames:
            body = self._body(data)
            seen_ms = None if body is None else _millis(body.get("time"))
            if body is None or seen_ms is None:
                continue
            if self._outdated:
                self._outdated = False
                blind = Blind(
                    self._heard or seen_ms, seen_ms, "the firehose no longer keeps what came behind the cursor"
                )
            self._seq, self._heard = body["seq"], seen_ms
            messages.extend(messages_of(body, self._collections, seen_ms))
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

    def _body(self, data: bytes) -> dict[str, Any] | None:
        """What a frame holds, if it is no note of the host's own."""
        body = body_of(data)
        if body["$type"] == "#info":
            self._outdated = body.get("name") == "OutdatedCursor"
            return None
        return body


def body_of(data: bytes) -> dict[str, Any]:
    """What a frame holds; its type stands under `$type`. An error is raised in the words of the contract."""
    try:
        frame = Frame.from_bytes(data)
    except (FrameDecodingError, ValueError):
        raise NotConnected("a frame of the firehose that can't be read") from None
    if frame.is_error:
        name = str(getattr(frame.body, "error", ""))
        if name == "FutureCursor":
            raise CursorRejected("the cursor is ahead of the firehose")
        raise NotConnected(f"the firehose says {name if name.isalnum() else 'an error'}")
    body: dict[str, Any] = frame.body
    return body | {"$type": getattr(frame.header, "t", None)}


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
