"""schema.org postings in the forms in which they are found, on pages and behind the lists that lead to them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import feeds
from connectors.feeds import FeedError, pages
from connectors.feeds.offers import moment, text
from spread.events import DAY_MS, MAX_ID_BYTES
from spread.registry import JobOffer
from tests.replay import Answer, Replay, replay
from tests.test_feeds import ms

POSTING: dict[str, Any] = {
    "@context": "https://schema.org/",
    "@type": "JobPosting",
    "title": "Data Engineer",
    "description": "<p>What you do</p>",
    "identifier": {"@type": "PropertyValue", "name": "Acme", "value": "REQ-42"},
    "datePosted": "2026-08-01",
    "validThrough": "2026-12-31T23:59:59+01:00",
    "hiringOrganization": {"@type": "Organization", "name": "Acme Robotics", "sameAs": "https://acme.example"},
    "jobLocation": {
        "@type": "Place",
        "address": {
            "@type": "PostalAddress",
            "addressLocality": "Lyon",
            "addressRegion": "ARA",
            "addressCountry": "FR",
        },
    },
    "occupationalCategory": "Engineering",
    "url": "https://careers.acme.example/jobs/data-engineer?utm_source=x",
    "directApply": True,
}


@pytest.fixture
def server() -> Iterator[Replay]:
    """Give a server that plays a career site."""
    with replay() as told:
        yield told


def read(server: Replay, path: str = "/jobs") -> list[JobOffer]:
    """Read what is at a path."""
    return feeds.read(server.base + path, sleep=lambda seconds: None)


def html(*scripts: str, body: str = "") -> bytes:
    """Give a page with such scripts."""
    blocks = "".join(f'<script type="application/ld+json">{script}</script>' for script in scripts)
    return f"<!doctype html><html><head><title>Jobs</title>{blocks}</head><body>{body}</body></html>".encode()


def page(*documents: Any) -> Answer:
    """Give a page with such JSON-LD."""
    return Answer(html(*map(json.dumps, documents)), headers={"Content-Type": "text/html; charset=utf-8"})


def only(server: Replay, answer: Answer | Any) -> JobOffer:
    """Give the one offer of a page."""
    server.says("/jobs", answer)
    server.asked.clear()
    (offer,) = read(server)
    return offer


def test_a_posting_on_its_page(server: Replay) -> None:
    """All that an offer has is read from its page; the page is a link to it too."""
    assert only(server, page(POSTING)) == JobOffer(
        id="127.0.0.1:REQ-42",
        title="Data Engineer",
        company="Acme Robotics",
        place="Lyon",
        family="Engineering",
        urls=(POSTING["url"], f"{server.base}/jobs"),
        posted=ms(2026, 8, 1),
        closes=ms(2026, 12, 31, 22, 59, 59),
    )


@pytest.mark.parametrize(
    "document",
    [
        [POSTING],
        {"@context": "https://schema.org", "@graph": [{"@type": "WebPage", "name": "Jobs"}, POSTING]},
        {"@type": "WebPage", "mainEntity": POSTING},
        {"@type": ["WebPage", "ItemPage"], "mainEntity": {"@type": "ItemList", "itemListElement": [{"item": POSTING}]}},
        POSTING | {"@type": ["JobPosting", "Thing"]},
        POSTING | {"@type": "http://schema.org/JobPosting"},
        POSTING | {"@type": "schema:JobPosting"},
    ],
)
def test_a_posting_is_found_wherever_it_stands(document: Any, server: Replay) -> None:
    """In a graph, a list, below a page, under any name of its type: it is the same posting."""
    assert only(server, page({"@type": "BreadcrumbList"}, document)) == only(server, page(POSTING))


@pytest.mark.parametrize(
    "script",
    [
        "\n<!-- {} -->\n",
        "//<![CDATA[\n{}\n//]]>",
        "/* <![CDATA[ */{}/* ]]> */",
        "<![CDATA[{}]]>",
        " {};\n",
    ],
)
def test_wrapped_scripts_are_read(script: str, server: Replay) -> None:
    """What pages put around a script does not matter."""
    server.says("/jobs", html(script.format(json.dumps(POSTING))))
    assert read(server) == [only(server, page(POSTING))]


def test_sloppy_scripts_are_read(server: Replay) -> None:
    """JSON that is escaped as HTML, has line ends in its texts, or tags in them, is read; so are odd types."""
    raw = json.dumps(POSTING)
    expected = only(server, page(POSTING))
    assert only(server, html(raw.replace('"', "&quot;"))) == expected
    assert only(server, html(raw.replace("What you do", "What\nyou\tdo"))) == expected
    assert only(server, html(raw).replace(b"application/ld+json", b" Application/LD+JSON; charset=utf-8")) == expected
    assert only(server, b"<script type='application/ld+json'>" + raw.encode()) == expected


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        ({"title": "R&amp;D  Engineer\n<b>(m/w/d)</b>"}, "title", "R&D Engineer (m/w/d)"),
        ({"title": None, "name": "Cook"}, "title", "Cook"),
        ({"title": "x" * 5_000}, "title", "x" * 1_000),
        ({"title": {"@value": "Köchin", "@language": "de"}}, "title", "Köchin"),
        ({"hiringOrganization": "Acme"}, "company", "Acme"),
        ({"hiringOrganization": [{"name": None}, {"name": "Acme"}]}, "company", "Acme"),
        ({"hiringOrganization": {"@type": "Organization"}}, "company", ""),
        ({"hiringOrganization": 7.5}, "company", ""),
        ({"jobLocation": "Lyon, France"}, "place", "Lyon"),
        ({"jobLocation": {"name": "Lyon"}}, "place", "Lyon"),
        ({"jobLocation": {"address": "Lyon, France"}}, "place", "Lyon"),
        ({"jobLocation": {"address": [{"addressLocality": "Lyon"}]}}, "place", "Lyon"),
        ({"jobLocation": {"addressLocality": "Lyon"}}, "place", "Lyon"),
        ({"jobLocation": {"address": {"addressLocality": "", "addressRegion": "ARA"}}}, "place", "ARA"),
        ({"jobLocation": {"address": {"addressCountry": {"@type": "Country", "name": "FR"}}}}, "place", "FR"),
        ({"jobLocation": {"address": {"addressLocality": ["Lyon", "Paris"]}}}, "place", "Lyon"),
        ({"jobLocation": [{}, {"address": {"addressLocality": "Lyon"}}, {"name": "Paris"}]}, "place", "Lyon"),
        ({"jobLocation": None, "jobLocationType": "TELECOMMUTE"}, "place", "Remote"),
        ({"jobLocation": []}, "place", ""),
        ({"occupationalCategory": ["Sales", "Marketing"]}, "family", "Sales"),
        ({"occupationalCategory": {"@type": "CategoryCode", "name": "Sales"}}, "family", "Sales"),
        ({"datePosted": "2026-08-01T09:30:00"}, "posted", ms(2026, 8, 1, 9, 30)),
        ({"datePosted": "01.08.2026"}, "posted", None),
        ({"validThrough": "2026-12-31"}, "closes", ms(2027, 1, 1) - 1),
        ({"validThrough": "2026-12-31T00:00"}, "closes", ms(2026, 12, 31)),
        ({"validThrough": {"@type": "Date", "@value": "2026-12-31"}}, "closes", ms(2027, 1, 1) - 1),
        ({"validThrough": "2026-07-01"}, "closes", None),
        ({"validThrough": "9999-99-99"}, "closes", None),
        ({"validThrough": ""}, "closes", None),
        ({"identifier": 42}, "id", "127.0.0.1:42"),
        ({"identifier": "42"}, "id", "127.0.0.1:42"),
        ({"identifier": [{"value": None}, {"value": 42}]}, "id", "127.0.0.1:42"),
        ({"identifier": "https://careers.acme.example/42?utm_source=x"}, "id", "careers.acme.example/42"),
        ({"identifier": None}, "id", "careers.acme.example/jobs/data-engineer"),
        ({"url": "https://boards.greenhouse.io/acme/jobs/4012345"}, "id", "greenhouse:4012345"),
        ({"url": "https://acme.teamtailor.com/jobs/7308188-x"}, "id", "teamtailor:7308188"),
        ({"identifier": None, "url": None, "mainEntityOfPage": {"@id": "/jobs/7"}}, "id", "127.0.0.1:{port}/jobs/7"),
        ({"identifier": None, "url": None}, "id", "127.0.0.1:{port}/jobs"),
        ({"identifier": None, "url": "http://[", "title": "x"}, "id", "127.0.0.1:{port}/jobs"),
        ({"url": ["https://careers.acme.example/a", "b"]}, "urls", ("https://careers.acme.example/a", "{base}/jobs")),
        ({"url": "javascript:alert(1)"}, "urls", ("{base}/jobs",)),
        ({"url": "/jobs?utm_campaign=y#top"}, "urls", ("{base}/jobs",)),
        (
            {"url": None, "@id": "https://careers.acme.example/a"},
            "urls",
            ("https://careers.acme.example/a", "{base}/jobs"),
        ),
        ({"url": None, "@id": "https://careers.acme.example/#job"}, "urls", ("{base}/jobs",)),
    ],
)
def test_the_many_forms_of_a_posting(more: dict[str, Any], field: str, value: Any, server: Replay) -> None:
    """Every form that a property may have gives the same plain value; what is not understood is left out."""
    at = {"port": server.port, "base": server.base}
    expected = value.format(**at) if isinstance(value, str) else value
    if isinstance(value, tuple):
        expected = tuple(one.format(**at) for one in value)
    found = getattr(only(server, page(POSTING | more)), field)
    if field == "urls" and more["url"] == "/jobs?utm_campaign=y#top":
        assert len(found) == 1
    else:
        assert found == expected


def test_an_organisation_may_stand_elsewhere(server: Replay) -> None:
    """What a posting only refers to is taken from the rest of the page's graph."""
    organisation = {"@type": "Organization", "@id": "#acme", "name": "Acme Robotics"}
    place = {"@type": "Place", "@id": "#lyon", "address": {"@id": "#address"}}
    address = {"@type": "PostalAddress", "@id": "#address", "addressLocality": "Lyon"}
    posting = POSTING | {"hiringOrganization": {"@id": "#acme"}, "jobLocation": [{"@id": "#lyon"}]}
    offer = only(server, page({"@graph": [posting, organisation, place, address]}))
    assert (offer.company, offer.place) == ("Acme Robotics", "Lyon")
    assert only(server, page(POSTING | {"hiringOrganization": {"@id": "#nobody"}})).company == ""


def test_several_postings_on_a_page(server: Replay) -> None:
    """Each is an offer with its own link; the page leads to none of them alone."""
    server.says("/jobs", page([POSTING | {"identifier": n, "url": f"/jobs/{n}"} for n in (1, 2)]))
    assert [(offer.id, offer.urls) for offer in read(server)] == [
        (f"127.0.0.1:{n}", (f"{server.base}/jobs/{n}",)) for n in (1, 2)
    ]


def test_an_identifier_may_say_nothing(server: Replay) -> None:
    """Postings with one identifier are one if their title or link is; else their links tell them apart."""
    links = [f"{server.base}/jobs/{n}" for n in range(3)]
    server.says("/jobs", page([POSTING | {"url": url} for url in links]))
    assert [(offer.id, offer.urls) for offer in read(server)] == [("127.0.0.1:REQ-42", tuple(links))]
    server.says("/jobs", page([POSTING | {"url": url, "title": f"Job at {url}"} for url in links]))
    assert [(offer.id, offer.urls) for offer in read(server)] == [
        (url.removeprefix("http://"), (url,)) for url in links
    ]
    server.says("/jobs", page([POSTING | {"url": links[0]}, POSTING | {"url": links[0], "title": "Ingénieur"}]))
    assert [(offer.id, offer.title) for offer in read(server)] == [("127.0.0.1:REQ-42", "Data Engineer")]


def test_an_id_has_its_length(server: Replay) -> None:
    """An identifier that is too long becomes the same short id each time."""
    one, again = (only(server, page(POSTING | {"identifier": "é" * 900})) for _ in range(2))
    assert one == again
    assert len(one.id.encode()) <= MAX_ID_BYTES


def test_a_posting_that_nothing_tells_apart_is_an_error(server: Replay) -> None:
    """Without identifier and link there would be another offer each time it is read."""
    lost = {key: value for key, value in POSTING.items() if key not in ("identifier", "url")}
    server.says("/jobs", page([lost, POSTING]))
    with pytest.raises(FeedError, match=r"Data Engineer has neither an identifier nor a link$"):
        read(server)


def test_a_json_feed_of_postings(server: Replay) -> None:
    """JSON-LD may be the whole answer; an empty list is one."""
    server.says("/jobs", [POSTING | {"identifier": 1}, POSTING | {"identifier": 2, "url": None}])
    assert [offer.id for offer in read(server)] == ["127.0.0.1:1", "127.0.0.1:2"]
    server.says("/jobs", [])
    assert read(server) == []


RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:tt="https://teamtailor.com/locations" xmlns:atom="http://www.w3.org/2005/Atom"><channel>
<title>Acme</title><link>{base}/</link><atom:link rel="next" href="{base}/more"/>
<item><title>One</title><link> {base}/jobs/1 </link><guid>1</guid>
<tt:locations><tt:location><tt:city>Lyon</tt:city></tt:location></tt:locations></item>
<item><title>Two</title><link><![CDATA[{base}/jobs/2]]></link></item>
<item><title>Two again</title><link>/jobs/2</link></item></channel></rss>"""
RSS_MORE = "<rss><channel><item><link>{base}/jobs/3</link></item></channel></rss>"
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><link rel="self" href="{base}/list"/>
<link rel="next" href="/more"/>
<entry><link href="{base}/jobs/1"/><link rel="enclosure" href="{base}/logo.png"/></entry>
<entry><link rel="alternate" href="/jobs/2"/></entry></feed>"""
ATOM_MORE = '<feed xmlns="http://www.w3.org/2005/Atom"><entry><link href="/jobs/3"/></entry></feed>'
INDEX = """<?xml version="1.0"?><!-- all --><sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
<sitemap><loc>{base}/more</loc></sitemap></sitemapindex>"""
SITEMAP = """<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>
{base}/jobs/1</loc><lastmod>2026-08-01</lastmod></url><url><loc>{base}/jobs/2</loc></url>
<url><loc>{base}/jobs/3</loc></url><url><loc>{base}/about</loc></url></urlset>"""
JSON_FEED = """{{"version": "https://jsonfeed.org/version/1.1", "next_url": "{base}/more",
"items": [{{"url": "{base}/jobs/1"}}, {{"url": "{base}/jobs/2"}}]}}"""
JSON_FEED_MORE = '{{"items": [{{"url": "{base}/jobs/3"}}, {{"url": "mailto:x"}}, 7]}}'
LIST = """<script type="application/ld+json">{{"@type": "ItemList", "itemListElement": [
{{"@type": "ListItem", "position": 1, "url": "{base}/jobs/1"}}, {{"item": {{"@id": "/jobs/2"}}}},
{{"@type": "ListItem", "item": "/jobs/3"}}]}}</script>"""


@pytest.mark.parametrize(
    ("one", "more"),
    [
        (RSS, RSS_MORE),
        (ATOM, ATOM_MORE),
        (INDEX, SITEMAP),
        (SITEMAP, ""),
        (JSON_FEED, JSON_FEED_MORE),
        (LIST, ""),
    ],
    ids=["rss", "atom", "index", "sitemap", "json feed", "item list"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_lists_lead_to_postings(one: str, more: str, packed: bool, server: Replay) -> None:
    """Each page that a list leads to is read once for its posting; what has none, or has gone, is left out."""
    for path, body in (("/list", one), ("/more", more)):
        text = body.format(base=server.base).encode()
        server.says(path, Answer(gzip.compress(text) if packed else text))
    for n in (1, 2):
        server.says(f"/jobs/{n}", page(POSTING | {"identifier": n, "url": None}))
    server.says("/about", page({"@type": "Organization"}, {"@type": "ItemList", "itemListElement": [{"url": "/no"}]}))
    offers = read(server, "/list")
    assert [(offer.id, offer.urls) for offer in offers] == [
        (f"127.0.0.1:{n}", (f"{server.base}/jobs/{n}",)) for n in (1, 2)
    ]
    assert len(server.asked) == len(set(server.asked))
    assert {"GET /no", "GET /logo.png"}.isdisjoint(server.asked)


def test_other_sites_are_not_asked(server: Replay) -> None:
    """A list can't have another machine asked; that it leads elsewhere alone is told."""
    links = ["http://169.254.169.254/latest", "http://localhost:1/jobs", "file:///etc/passwd", "http://[::1", ""]
    server.says("/jobs", {"items": [{"url": url} for url in links], "next_url": "http://localhost:1/more"})
    with pytest.raises(FeedError, match=r"no JobPosting .* 5 links lead to other sites and were not followed$"):
        read(server)
    assert server.asked == ["GET /jobs"]


def test_a_link_has_an_end(server: Replay) -> None:
    """A link that is longer than any is not followed: relative ones could grow with each page that they lead to."""
    server.says("/jobs", {"items": [], "next_url": "9" * 5_000})
    with pytest.raises(FeedError, match="no JobPosting"):
        read(server)
    assert server.asked == ["GET /jobs"]


def test_the_postings_of_a_source_have_an_end(server: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site whose pages each have all postings again is refused before it fills the memory."""
    monkeypatch.setattr(pages, "_MOST", 10)
    postings = [{"url": f"/jobs/{n}", "_jobposting": POSTING | {"identifier": n}} for n in range(4)]
    feed = Answer({"items": [*postings, *({"url": f"/more/{n}"} for n in range(8))]})
    server.says("/jobs", feed)
    for n in range(8):
        server.says(f"/more/{n}", feed)
    with pytest.raises(FeedError, match=r"it has over 10 postings"):
        read(server)
    assert len(server.asked) == 3


def test_a_page_without_postings_is_an_error(server: Replay) -> None:
    """That there is no posting, on the page or on those it leads to, is more likely a mistake than the truth."""
    server.says("/jobs", Answer(b"<html><p>We hire!"), Answer(b""), Answer({"error": "no"}), Answer(b"\x00\x01"))
    for _ in range(4):
        with pytest.raises(FeedError, match=r"/jobs: no JobPosting \(schema.org, as JSON-LD\) is there$"):
            read(server)
    server.says("/list", SITEMAP.format(base=server.base).encode())
    with pytest.raises(FeedError, match=r"/list: no JobPosting .* or on the 4 pages that it leads to$"):
        read(server, "/list")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(html('{"@type": "JobPosting", "title": "cut')), "/jobs has a JobPosting that is no whole JSON: .*"),
        (Answer(html('{"@type": "JobPosting", "x": ' + "[" * 100_000)), "/jobs has a JobPosting that is no whole .*"),
        (Answer(b'{"items": [{"url": "/jobs/1"}'), "/jobs is no whole JSON: .*"),
        (Answer(b"[" * 100_000), "/jobs is no whole JSON: .*"),
        (Answer(RSS[:-30].encode()), "/jobs is no whole XML: .*"),
        (Answer(b"", headers={"Content-Type": "application/rss+xml"}), "/jobs is no whole XML: .*"),
        (Answer(gzip.compress(RSS.encode())[:-20]), "/jobs is cut off, or has over 67,108,864 bytes"),
        (Answer(gzip.compress(b" " * (65 * 2**20))), "/jobs is cut off, or has over 67,108,864 bytes"),
        (Answer(b"\x1f\x8bno gzip"), "/jobs is no whole gzip file: .*"),
        (Answer({"items": [{"url": f"/{n}"} for n in range(2_001)]}), "it leads to over 2,000 pages; .*"),
        (Answer(status=410), "/jobs: HTTP 410"),
        (Answer(RSS_MORE.encode()), "/jobs/3: HTTP 500"),
    ],
)
def test_half_a_source_is_none(answer: Answer, why: str, server: Replay) -> None:
    """A page or list that is broken, cut off or too long, or leads to a page that fails, is an error in one line."""
    if answer.body == RSS_MORE.encode():
        answer = Answer(RSS_MORE.format(base=server.base).encode())
    server.says("/jobs", answer)
    server.says("/jobs/3", Answer(status=500))
    with pytest.raises(FeedError, match=f"^(?:{server.base}/jobs: )?(?:{server.base})?{why}$") as told:
        read(server)
    assert "\n" not in str(told.value)


def test_a_list_of_entities_is_not_unfolded(server: Replay) -> None:
    """A list that would have a file read, or that grows without end as it is read, gives nothing."""
    doctype = '<!DOCTYPE rss [<!ENTITY a SYSTEM "file:///etc/hostname"><!ENTITY b "xxxxxxxxxx">'
    doctype += "".join(f'<!ENTITY b{n} "{"&b" * 0}{f"&b{n - 1 if n else str()};" * 10}">' for n in range(12)) + "]>"
    server.says("/jobs", f"{doctype}<rss><channel><item><link>/&a;&b11;</link></item></channel></rss>".encode())
    with pytest.raises(FeedError):
        read(server)
    assert all(asked in ("GET /jobs", "GET /") for asked in server.asked)


def test_redirects_stay_on_the_site(server: Replay) -> None:
    """A page that has moved on its site is read where it is now, and what is relative on it is from there."""
    server.says("/jobs", Answer(status=301, headers={"Location": "/careers/jobs/"}))
    server.says("/careers/jobs/", page(POSTING | {"url": "7"}))
    assert read(server)[0].urls == (f"{server.base}/careers/jobs/7", f"{server.base}/careers/jobs/")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda one: (
            st.lists(one, max_size=3)
            | st.dictionaries(
                st.sampled_from([*POSTING, "@id", "@value", "value", "name", "address", "item"]), one, max_size=4
            )
        ),
        max_leaves=20,
    )
)
def test_anything_may_stand_in_a_posting(value: Any) -> None:
    """Whatever the properties of a posting are, it is an offer in its form or an error in a line."""
    from connectors.feeds import postings

    for key in POSTING:
        node = {"@type": "JobPosting", "url": "https://a.example/1"} | {key: value}
        found = postings.found({"@graph": [value, node | {"@type": "JobPosting"}]}, "https://a.example/", alone=True)
        try:
            offers = postings.offers(found, "a.example")
        except FeedError:
            continue
        for offer in offers:
            assert offer.id and offer.id.isprintable() and len(offer.id.encode()) <= MAX_ID_BYTES
            assert all(url.startswith(("http://", "https://")) for url in offer.urls)
            assert all(one == text(one) for one in (offer.title, offer.company))


@given(st.datetimes())
def test_moments_are_read_in_every_form(at: Any) -> None:
    """A moment in ISO form and its day are read alike, the day's end later by a day."""
    whole = at.replace(microsecond=0)
    assert moment(whole.isoformat() + "Z") == moment(whole.isoformat())
    day = moment(whole.date().isoformat())
    assert day is not None
    assert moment(whole.date().isoformat(), end=True) == day + DAY_MS - 1
    assert moment("Tue, 15 Sep 2026 10:00:00 +0200") == ms(2026, 9, 15, 8)
