"""A real Bluesky network: the PDS and the directory of @atproto/dev-env, on loopback, and accounts that act on it.

The packages come through npm once into a cache folder that outlives the runs; what the servers keep goes with them.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from tests.processes import HANG_S

VERSION: Final = "0.3.215"
"""The last that Node 20 takes."""
_START_S: Final = 180.0
_FETCH_S: Final = 900.0
_LOOPBACK: Final = """\
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (first, ...rest) {
  if (typeof first === 'number') {
    return listen.call(this, first, '127.0.0.1', ...rest.filter((one) => typeof one === 'function'));
  }
  if (first && first.port !== undefined) return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest);
  return listen.call(this, first, ...rest);
};
"""
_NETWORK: Final = """\
const { TestNetworkNoAppView } = require('@atproto/dev-env');
(async () => {
  const network = await TestNetworkNoAppView.create({ plc: {}, pds: { hostname: 'localhost' } });
  const admin = network.pds.adminAuthHeaders();
  console.log(JSON.stringify({ port: network.pds.port, admin: admin.authorization }));
  process.stdin.resume();
  process.stdin.on('end', async () => { await network.close(); process.exit(0); });
})().catch((error) => { console.error(error); process.exit(1); });
"""


def missing() -> str | None:
    """Say in one line what is missing, and how to get it."""
    absent = [name for name in ("node", "npm") if shutil.which(name) is None]
    return f"{' and '.join(absent)} missing: install Node.js 20 or newer with npm" if absent else None


def modules() -> Path:
    """Give the folder of the packages, fetched if they are not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ricochet-tests"
    folder = cache / f"atproto-dev-env-{VERSION}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            inside = Path(fresh) / "network"
            inside.mkdir()
            (inside / "package.json").write_text('{"private": true}')
            (inside / "loopback.cjs").write_text(_LOOPBACK)
            (inside / "network.cjs").write_text(_NETWORK)
            fetch = ["npm", "install", f"@atproto/dev-env@{VERSION}", "--no-audit", "--no-fund"]
            done = subprocess.run(fetch, cwd=inside, capture_output=True, text=True, timeout=_FETCH_S, check=False)
            if done.returncode:
                raise RuntimeError(f"npm could not fetch the network:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
            try:
                inside.rename(folder)
            except OSError:
                assert folder.is_dir()  # another run was faster
    return folder


class Network:
    """The servers. They end with the block."""

    def __init__(self) -> None:
        self._clients: list[httpx.Client] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["node", "--require", "./loopback.cjs", "network.cjs"],
            cwd=modules(),
            env={**os.environ, "LOG_ENABLED": "false", "NODE_OPTIONS": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        said = ""
        try:
            while not said.startswith('{"port"'):
                said = self._said.get(timeout=_START_S)
                assert said, "the network ended before it began"
        except BaseException:
            self.__exit__(None, None, None)
            raise
        told = json.loads(said)
        self.host: str = f"127.0.0.1:{told['port']}"
        self._admin: str = told["admin"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.close()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(HANG_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(HANG_S)
        self._process.stdout.close()

    def account(self, name: str) -> Account:
        """Make an account."""
        client = httpx.Client(base_url=f"http://{self.host}/xrpc/", timeout=HANG_S)
        self._clients.append(client)
        given = {"handle": f"{name}.test", "email": f"{name}@example.com", "password": "ricochet"}
        made = _answer(client.post("com.atproto.server.createAccount", json=given))
        client.headers["Authorization"] = f"Bearer {made['accessJwt']}"
        return Account(made["did"], client)

    def take_down(self, account: Account) -> None:
        """Hide an account, as a moderator does."""
        subject = {"$type": "com.atproto.admin.defs#repoRef", "did": account.did}
        self._by_admin("updateSubjectStatus", {"subject": subject, "takedown": {"applied": True}})

    def delete(self, account: Account) -> None:
        """Delete an account for good."""
        self._by_admin("deleteAccount", {"did": account.did})

    def _by_admin(self, method: str, given: dict[str, Any]) -> None:
        asked = httpx.post(
            f"http://{self.host}/xrpc/com.atproto.admin.{method}",
            json=given,
            headers={"Authorization": self._admin},
            timeout=HANG_S,
        )
        _answer(asked)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line)
        self._said.put("")


class Account:
    """Somebody on the network. What it writes is named by its at-URI."""

    def __init__(self, did: str, client: httpx.Client) -> None:
        self.did, self._client = did, client

    def post(
        self, text: str, link: str | None = None, quotes: Record | None = None, answers: Record | None = None
    ) -> Record:
        """Write a post, with a link in it, as a quote, or as an answer."""
        record: dict[str, Any] = {"text": text}
        if link is not None:
            where = {"byteStart": 0, "byteEnd": len(text.encode())}
            record["facets"] = [{"index": where, "features": [{"$type": "app.bsky.richtext.facet#link", "uri": link}]}]
        if quotes is not None:
            record["embed"] = {"$type": "app.bsky.embed.record", "record": quotes.strong}
        if answers is not None:
            record["reply"] = {"root": answers.strong, "parent": answers.strong}
        return self._create("app.bsky.feed.post", record)

    def repost(self, of: Record, via: Record | None = None) -> Record:
        """Repost, through somebody's repost."""
        through = {} if via is None else {"via": via.strong}
        return self._create("app.bsky.feed.repost", {"subject": of.strong} | through)

    def follow(self, whom: Account) -> Record:
        """Follow an account."""
        return self._create("app.bsky.graph.follow", {"subject": whom.did})

    def take_back(self, record: Record) -> None:
        """Delete a record of one's own."""
        _, _, _, collection, rkey = record.uri.split("/")
        given = {"repo": self.did, "collection": collection, "rkey": rkey}
        _answer(self._client.post("com.atproto.repo.deleteRecord", json=given))

    def _create(self, collection: str, record: dict[str, Any]) -> Record:
        whole = {"$type": collection, "createdAt": datetime.now(UTC).isoformat(), **record}
        given = {"repo": self.did, "collection": collection, "record": whole}
        made = _answer(self._client.post("com.atproto.repo.createRecord", json=given))
        return Record(made["uri"], made["cid"], _moment(made["commit"]["rev"]))


@dataclass(frozen=True)
class Record:
    """What an account wrote, and when its server says it did (ms)."""

    uri: str
    cid: str
    at: int

    @property
    def strong(self) -> dict[str, str]:
        """Give it as other records name it."""
        return {"uri": self.uri, "cid": self.cid}


def _moment(rev: str) -> int:
    """Read a revision: 13 digits to the base 32, in which the last ten bits are no time."""
    digits = str.maketrans("234567abcdefghijklmnopqrstuvwxyz", "0123456789abcdefghijklmnopqrstuv")
    return (int(rev.translate(digits), 32) >> 10) // 1000


def _answer(response: httpx.Response) -> dict[str, Any]:
    assert response.is_success, response.text
    answer: dict[str, Any] = response.json() if response.content else {}
    return answer
