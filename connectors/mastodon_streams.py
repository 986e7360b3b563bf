"""The streams of an instance, as something that can be read: Mastodon.py holds the connection, this reads what is said.

A stream is attached once its answer began; only then is the past caught up with, so that nothing is lost between.
Payloads stay text: one that is no JSON is a rejected message, not the end of a stream.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

import requests
from mastodon import StreamListener
from urllib3 import BaseHTTPResponse

from connectors.connector import NotConnected
from connectors.mastodon_instance import Instance
from connectors.pump import Pump

_ATTACH_S: Final = 45.0
_MOST_BYTES: Final = 4 * 2**20
_ATTACHED: Final = ("", "")

Said = tuple[str, str]
"""An event and its payload."""


class Stream:
    """The stream of a timeline: `home` with its notifications, or `tag/...`. `news` is set whenever there is some."""

    def __init__(self, instance: Instance, timeline: str, news: threading.Event) -> None:
        self.instance, self.timeline = instance, timeline
        self._listener = _Listener(news)
        self._pump = Pump(f"mastodon {timeline}", self._work, self._listener.hang_up)
        self._news = news

    def attached(self) -> None:
        """Wait until it is attached. Raises what the contract of a connector names."""
        if self._pump.get(_ATTACH_S, most=1) != [_ATTACHED]:
            raise NotConnected(f"{self.instance.host}: a stream does not begin")

    def get(self) -> list[Said]:
        """What has come; nothing is waited for. Raises how the stream ended."""
        said: list[Said] = self._pump.get(0)
        return said

    def close(self) -> None:
        """Leave."""
        self._pump.close()

    def _work(self, put: Callable[[Any], None]) -> None:
        self._listener.put = put
        client, silence_s = self.instance.client, self.instance.silence_s
        try:
            with self.instance.faults("streaming"):
                if self.timeline == "home":
                    client.stream_user(self._listener, timeout=silence_s)
                else:
                    client.stream_hashtag(self.timeline.removeprefix("tag/"), self._listener, timeout=silence_s)
        finally:
            self._news.set()


class _Listener(StreamListener):
    """Hands on what a stream says as it came."""

    def __init__(self, news: threading.Event) -> None:
        self.put: Callable[[Any], None] = lambda _: None
        self._news = news
        self._raw: BaseHTTPResponse | None = None
        self._hung_up = False

    def handle_stream(self, response: requests.Response) -> None:
        """Read a stream to its end."""
        self._raw = response.raw
        if self._hung_up:
            return
        self._told(_ATTACHED)
        # Of a chunked answer a chunk is given as it comes; of another only a byte at a time is sure to be.
        chunks = response.iter_content(None if getattr(response.raw, "chunked", False) else 1)
        for said in events(chunks):
            self._told(said)

    def hang_up(self) -> None:
        """End it, from another thread: whoever reads it finds its end."""
        self._hung_up = True
        if self._raw is not None:
            with suppress(OSError, ValueError, RuntimeError):  # it ended by itself
                self._raw.shutdown()

    def _told(self, said: Said) -> None:
        self.put(said)
        self._news.set()


def events(chunks: Iterable[bytes]) -> Iterator[Said]:
    """The events in a stream of server-sent events; one that was cut off is none."""
    name, data = "", list[str]()
    for line in _lines(chunks):
        field, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if not line:
            if name or data:
                yield name, "\n".join(data)
            name, data = "", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
        if len(rest) > _MOST_BYTES:
            raise NotConnected("a line of a stream is too long")
        yield from (line.removesuffix(b"\r") for line in lines)
