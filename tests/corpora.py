"""Good messages of every kind that is read: what a fuzzer makes bad."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spread.facts import EraseFact, OutcomeFact, ProfileFact
from streams import wire
from tests import linkedin, meta
from tests.crowd import NOON, crowd
from tests.exports import SECRET as OUTCOMES_SECRET
from tests.jetstream import FOLLOW, REPOST, account, commit, offer_post, ref, uri
from tests.mastodon_instance import ME, boost, notification, offer, status
from tests.rehearsals import URL
from tests.x_network import in_new_names, post


def events() -> list[bytes]:
    """Give every kind of event, singly and in batches."""
    lines = [line.strip() for line in crowd(7, 200)]
    whole: dict[str, Any] = {"offer": "o", "root": "x:1"}
    more: list[dict[str, Any]] = [
        {"kind": "ties", "actor": "x:a", "follows": ["x:b", "x:c"], "followed_by": ["x:d"], "complete": True},
        {"kind": "ties", "actor": "x:a", "followed_by": ["x:d"], "complete": True, "part": 1, "of": 2, "list": "l"},
        {"kind": "profile", "actor": "x:a", "followers": 12},
        {"kind": "counts", "offer": "o", "target": "x:1", "shares": 3, "likes": 4, "impressions": 5},
        {"kind": "outcome", "offer": "o", "stage": "hire", "n": 2, "via": "x:1"},
        {"kind": "assign", "offer": "o", "root": "x:1"},
        {"kind": "forget", "actor": "x:a"},
        {"kind": "gap", "from": NOON - 5, "to": NOON, "why": "away"},
        {"kind": "delete", "actor": "x:a", "target": "x:2"},
        {
            "kind": "post",
            "actor": "x:e",
            "offer": "o",
            "root": "x:1",
            "id": "x:1",
            "text": "We",
            "urls": [URL],
            "tags": ["a"],
        },
        {
            "kind": "quote",
            "actor": "x:a",
            "offer": "o",
            "root": "x:1",
            "via": "x:1",
            "id": "x:2",
            "text": "Look",
            "followers": 9,
        },
        whole | {"kind": "reply", "actor": "x:b", "via": "x:2", "text": "Nice"},
        whole | {"kind": "share", "actor": "x:c", "followers": 3, "source": "stream"},
    ]
    built = [
        json.dumps({"v": 1, "id": f"x:e{n}", "network": "x", "at": NOON} | one).encode() for n, one in enumerate(more)
    ]
    return [*built, *built, *lines, b"[" + b",".join(built) + b"]", b"[" + b",".join(lines[:30]) + b"]"]


def stages() -> list[bytes]:
    """Give messages between the stages."""
    facts = (OutcomeFact("x:1", NOON, "x", "hire", 2), ProfileFact("x:2", NOON, "x:a", 7), EraseFact("x:a"))
    pairs = [wire.pair("o", fact) for fact in facts]
    return [wire.envelope(pairs), wire.envelope([wire.pair(None, facts[2])]), wire.batch([b"{}"])]


def links() -> list[bytes]:
    """Give links, alone and in a text."""
    found = (
        "https://t.co/a?b=c#d",
        "http://bit.ly/x",
        "HTTPS://user:pass@Jobs.Example.:443/a/../b/?utm_source=x&gh_jid=7",
    )
    return [one.encode() for one in (*found, "see http://xn--bcher-kva.example/é, and (https://[::1]:8/x).", URL)]


def feeds() -> list[bytes]:
    """Give pages and feeds with postings."""
    posting = {
        **{
            "@context": "https://schema.org/",
            "@type": "JobPosting",
            "title": "Data Engineer",
            "identifier": {"value": "R-1"},
        },
        **{
            "datePosted": "2026-08-01",
            "validThrough": "2026-12-31T23:59:59+01:00",
            "url": "https://acme.example/jobs/1",
        },
        "hiringOrganization": {"name": "Acme"},
        "jobLocation": [{"address": {"addressLocality": "Lyon", "addressCountry": {"name": "FR"}}}],
    }
    told = json.dumps(posting)
    html = f'<html><head><script type="application/ld+json">{told}</script></head><body><p>We hire</p></body></html>'
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "Acme",
        "items": [{"url": "/1", "_jobposting": posting}],
    }
    return [
        told.encode(),
        html.encode(),
        json.dumps({"@graph": [posting, {"@type": "ItemList", "itemListElement": [{"url": "/jobs/1"}]}]}).encode(),
        json.dumps(feed | {"next_url": "/2"}).encode(),
        b'<?xml version="1.0"?><urlset><url><loc>https://acme.example/jobs/1</loc></url></urlset>',
        b'<rss version="2.0"><channel><item><link>https://acme.example/jobs/1</link></item></channel></rss>',
        b'<feed xmlns="http://www.w3.org/2005/Atom"><entry><link href="/1"/></entry><link rel="next" href="2"/></feed>',
    ]


def systems() -> list[bytes]:
    """Give answers of applicant tracking systems."""
    job = {"id": 1, "title": "Engineer", "absolute_url": "https://a.example/1", "location": {"name": "Lyon"}}
    lever = {
        "id": "a-1",
        "text": "Engineer",
        "hostedUrl": "https://a.example/1",
        "createdAt": NOON,
        "categories": {"team": "x"},
    }
    recruiter = {"id": "7", "name": "Engineer", "company": {"name": "Acme"}, "releasedDate": "2026-08-01T00:00:00.000Z"}
    found: tuple[Any, ...] = (
        {"jobs": [job], "meta": {"total": 1}},
        [lever],
        [],
        {"content": [recruiter], "totalFound": 1},
    )
    return [json.dumps(one).encode() for one in found]


def offer_tables() -> list[bytes]:
    """Give offers as CSV."""
    table = "id,title,company,place,urls,tags,accounts,posted,closes\n" + "".join(
        f'o-{n},"Data ""Engineer""\n(m/f)",Acme,Lyon,https://a.example/{n} https://b.example,jobs,x:acme,2026-09-01,\n'
        for n in range(5)
    )
    return [table.encode(), b"\xef\xbb\xbf" + table.replace(",", ";").encode(), table.replace("\n", "\r\n").encode()]


def offer_lists() -> list[bytes]:
    """Give offers as YAML."""
    one = "- id: o-1\n  title: 'Data: Engineer'\n  urls: [https://a.example/1]\n  tags:\n    - jobs\n"
    return [one.encode(), (one + one.replace("o-1", "o-2")).encode()]


def exports() -> list[bytes]:
    """Give exports as CSV."""
    table = "kind,id,at,actor,of,text,followers,urls\n" + "".join(
        f'share,s{n},2026-09-0{n % 9 + 1} 10:00,member{n},p1,"so ""nice"",\nreally",{n},\n' for n in range(5)
    )
    table += f"post,p1,1790000000000,acme,,We hire,,{URL}\nfollow,,2026-09-01T10:00:00Z,a,,,,\n"
    return [table.encode(), table.replace(",", ";").encode(), table.replace(",", "\t").encode()]


def export_lines() -> list[bytes]:
    """Give exports as JSON lines."""
    rows = [
        {"kind": "post", "id": "p1", "at": "2026-09-01T10:00:00Z", "actor": "acme", "urls": [URL]},
        {"kind": "share", "id": 7, "at": NOON, "actor": "b", "of": "p1", "followers": 5},
    ]
    return [b"".join(json.dumps(row).encode() + b"\n" for row in rows)]


def outcome_tables() -> list[bytes]:
    """Give outcomes as CSV."""
    return [f"id,at,stage,n,offer,url\n1,2026-09-01,click,120,o,\n2,2026-09-01 10:00,hire,,,{URL}\n".encode()]


def raws() -> dict[str, list[bytes]]:
    """Give messages of the networks, as their connectors get them."""
    us = NOON * 1000
    job = uri("did:plc:company", "app.bsky.feed.post", "job")
    root = offer(7, at=NOON)
    tweet = post("1800000000000000000", "1", "We hire", URL)
    x = [
        {"data": tweet, "includes": {"users": [{"id": "1", "public_metrics": {"followers_count": 7}}], "tweets": []}},
        {
            "data": post("1800000004194304000", "2", "RT", retweeted="1800000000000000000"),
            "includes": {"tweets": [tweet]},
        },
        {"data": post("1800000004194304001", "2", "So", quoted="1800000000000000000"), "includes": {"tweets": [tweet]}},
    ]
    told = [("update", root), ("update", boost(9, "ann@else.example", root, NOON)), ("delete", "7")]
    told += [("notification", notification(3, "reblog", "ann@else.example", root, NOON))]
    told += [("update", status(8, "ann", "<p>Hi <a href='https://a.example'>x</a></p>", NOON, in_reply_to_id="7"))]
    linked = [{"post": linkedin.offer_post(at=5)}]
    linked += [
        {"notification": linkedin.notification(n, kind, "p", 5)} for n, kind in enumerate(("SHARE", "COMMENT", "LIKE"))
    ]
    asked: list[dict[str, Any]] = [{"followers": {"account": "a", "n": 5}, "at": 5}, {"gone": "1", "at": 5}]
    page = json.loads(meta.page_delivery(*(meta.change("comment", verb, "9", 1) for verb in ("add", "remove"))))
    faces: list[Any] = [*asked, page, page["entry"][0]["changes"][0], {"post": {"id": meta.ROOT, "message": URL}}]
    threads: list[Any] = [*asked, meta.media("1"), meta.reply("2", "ann"), {"media": meta.media("1")}]

    def lines(messages: Sequence[Any]) -> list[bytes]:
        return [json.dumps(one).encode() for one in messages]

    return {
        "bluesky": [
            offer_post(us),
            commit("did:plc:ann", us, REPOST, {"subject": ref(job), "via": ref(job), "createdAt": "2026"}, "r"),
            commit("did:plc:ann", us, FOLLOW, {"subject": "did:plc:bob", "createdAt": "2026"}, "f"),
            commit("did:plc:ann", us, REPOST, None, "r"),
            account("did:plc:ann", us, "deleted"),
        ],
        "mastodon": lines(
            [
                {
                    **{"instance": "social.example", "me": ME, "event": event, "seen": NOON},
                    "payload": one if isinstance(one, str) else json.dumps(one),
                }
                for event, one in told
            ]
        ),
        "x": lines([*x, *map(in_new_names, x)]),
        "linkedin": lines([*linked, *asked]),
        "facebook": lines(faces),
        "threads": lines(threads),
    }


def hooks() -> dict[str, tuple[Callable[[bytes], Mapping[str, str]], list[bytes]]]:
    """Give how deliveries are signed, and some of them."""

    def outcomes(body: bytes) -> dict[str, str]:
        digest = hmac.new(OUTCOMES_SECRET.encode(), body, hashlib.sha256).hexdigest()
        return {"X-Ricochet-Signature": f"sha256={digest}"}

    acts = [linkedin.notification(n, kind, "p", 5) for n, kind in enumerate(("SHARE", "COMMENT"))]
    changes = [meta.change("comment", "add", "9", 1), meta.change("post", "add", "9", 2)]
    row = {"id": 17, "at": NOON, "stage": "click", "n": 3, "url": URL}
    return {
        "linkedin": (
            linkedin.signature,
            [linkedin.delivery(*acts)],
        ),
        "facebook": (
            meta.signature,
            [meta.page_delivery(*changes)],
        ),
        "threads": (meta.signature, [meta.threads_delivery("replies", meta.reply("2", "ann"))]),
        "outcomes": (outcomes, [json.dumps(row).encode(), json.dumps([row, row]).encode()]),
    }
