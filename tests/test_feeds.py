"""Offers from applicant tracking systems, replayed in their documented shapes by a server that also misbehaves."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import feeds
from connectors.feeds import FeedError, Hosts
from spread.registry import JobOffer
from tests.replay import Answer, Replay, replay

LEVER_ID = "5ac21346-8e0c-4494-8e7a-3eb92ff77902"


@pytest.fixture
def server() -> Iterator[Replay]:
    """Give a server that plays all systems."""
    with replay() as told:
        yield told


def read(server: Replay, source: str, sleep: Callable[[float], None] = lambda seconds: None) -> list[JobOffer]:
    """Read a source with the server in the place of all systems."""
    names = [field.name for field in dataclasses.fields(Hosts)]
    return feeds.read(source, hosts=Hosts(**dict.fromkeys(names, server.base)), sleep=sleep)


def ms(*moment: int) -> int:
    """Give a moment of UTC in ms."""
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]


def greenhouse_job(**more: Any) -> dict[str, Any]:
    """Give a job as Greenhouse's Job Board API lists it with its content."""
    return {
        "id": 4012345,
        "internal_job_id": 144381,
        "title": "Data Engineer (m/w/d) | R&amp;D",
        "updated_at": "2026-08-14T10:55:28-05:00",
        "first_published": "2026-08-01T09:00:00+02:00",
        "application_deadline": "2026-12-31",
        "requisition_id": "50",
        "location": {"name": "Lyon, France"},
        "absolute_url": "https://acme.example/jobs?gh_jid=4012345",
        "company_name": "Acme Robotics",
        "metadata": None,
        "content": "&lt;p&gt;What you do&lt;/p&gt;",
        "departments": [{"id": 13583, "name": "Engineering", "parent_id": None, "child_ids": []}],
        "offices": [{"id": 8304, "name": "Lyon", "location": "Lyon, France", "parent_id": None, "child_ids": []}],
    } | more


def board(*jobs: dict[str, Any], total: int | None = None) -> dict[str, Any]:
    """Give the answer of a Greenhouse board."""
    return {"jobs": list(jobs), "meta": {"total": len(jobs) if total is None else total}}


GREENHOUSE = "/v1/boards/acme/jobs?content=true"


def test_greenhouse(server: Replay) -> None:
    """A board's jobs come with all that an offer has."""
    server.says(GREENHOUSE, board(greenhouse_job(), greenhouse_job(id=7)))
    offer, other = read(server, "greenhouse:acme")
    assert other.id == "greenhouse:7"
    assert offer == JobOffer(
        id="greenhouse:4012345",
        title="Data Engineer (m/w/d) | R&D",
        company="Acme Robotics",
        place="Lyon",
        family="Engineering",
        urls=("https://acme.example/jobs?gh_jid=4012345",),
        posted=ms(2026, 8, 1, 7),
        closes=ms(2027, 1, 1) - 1,
    )


def test_what_is_missing_is_left_out(server: Replay) -> None:
    """A posting with its id alone is an offer, so are those with nulls and with values that say nothing."""
    said_nothing: dict[str, Any] = {
        "location": None,
        "departments": [],
        "absolute_url": "javascript:alert(1)",
        "first_published": "soon",
    }
    server.says(GREENHOUSE, {"jobs": [{"id": 1}, {"id": 2, "title": None, **said_nothing}], "new": {}})
    assert read(server, "greenhouse:acme") == [JobOffer(id=f"greenhouse:{number}", company="acme") for number in (1, 2)]


def lever_posting(id: str = LEVER_ID, **more: Any) -> dict[str, Any]:
    """Give a posting as Lever's Postings API lists it."""
    return {
        "id": id,
        "text": "Chef de partie H/F",
        "categories": {"location": "Paris", "team": "Kitchen", "department": "Service", "commitment": "CDI"},
        "country": "FR",
        "createdAt": 1_785_000_000_000,
        "descriptionPlain": "What you do",
        "lists": [],
        "hostedUrl": f"https://jobs.lever.co/acme/{id}",
        "applyUrl": f"https://jobs.lever.co/acme/{id}/apply",
        "workplaceType": "on-site",
    } | more


@pytest.mark.parametrize("name", ["lever", "lever-eu"])
def test_lever(name: str, server: Replay) -> None:
    """A site is read page by page until one has nothing, on either instance."""
    ids = [f"{number:08x}-8e0c-4494-8e7a-3eb92ff77902" for number in range(150)]
    pages = [[lever_posting(id) for id in ids[:100]], [lever_posting(id) for id in ids[100:]], []]
    for skip, page in zip((0, 100, 150), pages, strict=True):
        server.says(f"/v0/postings/acme?mode=json&skip={skip}&limit=100", page)
    offers = read(server, f"{name}:acme")
    assert [offer.id for offer in offers] == [f"lever:{id}" for id in ids]
    assert offers[0] == JobOffer(
        id=f"lever:{ids[0]}",
        title="Chef de partie H/F",
        company="acme",
        place="Paris",
        family="Service",
        urls=(f"https://jobs.lever.co/acme/{ids[0]}",),
        posted=1_785_000_000_000,
    )


def test_the_instances_of_lever_are_apart() -> None:
    """Every system is asked at its own host."""
    hosts = dataclasses.astuple(Hosts())
    assert len(set(hosts)) == len(hosts)
    assert all(host.startswith("https://") for host in hosts)


def test_a_list_without_end_is_left(server: Replay) -> None:
    """A site that gives the same page whatever is asked for is an error and no endless reading."""
    for skip in (0, 1):
        server.says(f"/v0/postings/acme?mode=json&skip={skip}&limit=100", [lever_posting()])
    with pytest.raises(FeedError, match=r"^lever:acme: its list does not end, after 2 postings$"):
        read(server, "lever:acme")


def smartrecruiters_posting(number: int, **more: Any) -> dict[str, Any]:
    """Give a posting as SmartRecruiters' Posting API lists it."""
    return {
        "id": f"{744000077603000 + number}",
        "uuid": "34225731-e7cf-4584-b0b7-78098fe1a66b",
        "name": "Director, Customer Engagement",
        "refNumber": "REF12345",
        "company": {"identifier": "AcmeInc", "name": "Acme Inc"},
        "releasedDate": "2026-02-19T19:36:42.346Z",
        "location": {"city": "San Francisco", "region": "CA", "country": "us", "remote": True},
        "industry": {"id": "internet", "label": "Internet"},
        "department": {"id": "18554", "label": "Marketing"},
        "function": {"id": "marketing", "label": "Market"},
        "customField": [],
        "ref": "https://api.smartrecruiters.com/api-v1/companies/acme/postings/1",
    } | more


def smartrecruiters_page(numbers: range, total: int) -> dict[str, Any]:
    """Give a page of SmartRecruiters' list."""
    content = [smartrecruiters_posting(number) for number in numbers]
    return {"offset": numbers.start, "limit": 100, "totalFound": total, "content": content}


def test_smartrecruiters(server: Replay) -> None:
    """A company's postings are read page by page; each has the link under which it is shown."""
    for first, last in ((0, 100), (100, 200), (200, 230)):
        path = f"/v1/companies/AcmeInc/postings?limit=100&offset={first}"
        server.says(path, smartrecruiters_page(range(first, last), 230))
    offers = read(server, "smartrecruiters:AcmeInc")
    assert len(offers) == 230
    assert offers[229] == JobOffer(
        id="smartrecruiters:744000077603229",
        title="Director, Customer Engagement",
        company="Acme Inc",
        place="San Francisco",
        family="Marketing",
        urls=(f"{server.base}/AcmeInc/744000077603229",),
        posted=ms(2026, 2, 19, 19, 36, 42) + 346,
    )
    assert len(server.asked) == 3


def test_a_list_that_moves_while_it_is_read_is_no_shorter_one(server: Replay) -> None:
    """Where pages overlap, as something closed meanwhile, what slipped through is not taken for closed."""
    server.says("/v1/companies/a/postings?limit=100&offset=0", smartrecruiters_page(range(100), 150))
    server.says("/v1/companies/a/postings?limit=100&offset=100", smartrecruiters_page(range(99, 149), 150))
    with pytest.raises(FeedError, match=r"^smartrecruiters:a: it says that it has 150 postings and gives 149$"):
        read(server, "smartrecruiters:a")


def test_fewer_than_it_says_is_an_error(server: Replay) -> None:
    """A board or list that gives fewer postings than it counts is not taken for the whole."""
    server.says(GREENHOUSE, board(greenhouse_job(), total=2))
    with pytest.raises(FeedError, match="it says that it has 2 postings and gives 1"):
        read(server, "greenhouse:acme")
    server.says("/v1/companies/a/postings?limit=100&offset=0", smartrecruiters_page(range(0), 9))
    with pytest.raises(FeedError, match="it says that it has 9 postings and gives 0"):
        read(server, "smartrecruiters:a")


def test_an_employer_may_have_no_offers(server: Replay) -> None:
    """An empty list is a list."""
    server.says(GREENHOUSE, board())
    server.says("/v0/postings/acme?mode=json&skip=0&limit=100", [])
    server.says("/v1/companies/acme/postings?limit=100&offset=0", smartrecruiters_page(range(0), 0))
    server.says("/jobs.json", {"version": "https://jsonfeed.org/version/1.1", "title": "Acme", "items": []})
    for system in feeds.NAMES:
        assert read(server, f"{system}:acme") == [], system


def teamtailor_item(number: int, **more: Any) -> dict[str, Any]:
    """Give an item of the JSON Feed of a career site on Teamtailor."""
    return {
        "id": f"679cc864-7629-4b8f-a5d4-{number:012d}",
        "title": f"Account Manager {number}",
        "url": f"https://careers.acme.example/jobs/{number}-account-manager",
        "date_published": "2026-09-20T09:00:00+02:00",
        "content_html": "<p>What you do</p>",
        "_jobposting": {
            "@context": "http://schema.org/",
            "@type": "JobPosting",
            "title": f"Account Manager {number}",
            "identifier": {"@type": "PropertyValue", "name": "Acme", "value": number},
            "datePosted": "2026-09-20T09:00:00+02:00",
            "validThrough": "2026-10-31",
            "hiringOrganization": {"@type": "Organization", "name": "Acme AB"},
            "jobLocation": [
                {
                    "@type": "Place",
                    "address": {"@type": "PostalAddress", "addressLocality": "Malmö", "addressCountry": "SE"},
                }
            ],
        },
    } | more


@pytest.mark.parametrize("name", ["acme", "{base}", "{base}/", "{base}/jobs", "{base}/jobs.json"])
def test_teamtailor(name: str, server: Replay) -> None:
    """A career site's feed is read page by page, by the site's name or by its link."""
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": "Acme"}
    server.says("/jobs.json", feed | {"items": [teamtailor_item(1)], "next_url": f"{server.base}/jobs.json?page=2"})
    server.says("/jobs.json?page=2", feed | {"items": [teamtailor_item(2, _jobposting={"identifier": 2})]})
    offers = read(server, f"teamtailor:{name.format(base=server.base)}")
    assert offers == [
        JobOffer(
            id="127.0.0.1:1",
            title="Account Manager 1",
            company="Acme AB",
            place="Malmö",
            urls=("https://careers.acme.example/jobs/1-account-manager",),
            posted=ms(2026, 9, 20, 7),
            closes=ms(2026, 11, 1) - 1,
        ),
        JobOffer(
            id="127.0.0.1:2",
            title="Account Manager 2",
            company="Acme",
            urls=("https://careers.acme.example/jobs/2-account-manager",),
            posted=ms(2026, 9, 20, 7),
        ),
    ]


def test_a_limit_is_waited_for(server: Replay) -> None:
    """Of 429 and 503 the time that they ask for is waited, in seconds or until a date; then it is read."""
    slept: list[float] = []
    soon = datetime.fromtimestamp(datetime.now(UTC).timestamp() + 100, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    server.says(
        GREENHOUSE,
        Answer(status=429, headers={"Retry-After": "7"}),
        Answer(status=503, headers={"Retry-After": soon}),
        Answer(status=429),
        board(greenhouse_job()),
    )
    assert len(read(server, "greenhouse:acme", slept.append)) == 1
    assert slept[0] == 7
    assert 80 < slept[1] <= 100
    assert 0 <= slept[2] <= 4


@pytest.mark.parametrize(
    ("answer", "tries", "why"),
    [
        (Answer(status=404), 1, "HTTP 404"),
        (Answer(status=401), 1, "HTTP 401"),
        (Answer(status=400), 1, "HTTP 400"),
        (Answer(status=500), 5, "HTTP 500"),
        (Answer(status=429), 5, "HTTP 429"),
        (Answer(status=429, headers={"Retry-After": "86400"}), 1, "HTTP 429, and again only in 86,400 s"),
        (Answer(board(greenhouse_job()), cut=9), 5, "can't be read: .*"),
        (Answer(raw=lambda send: None), 5, "can't be read: .*"),
        (Answer(raw=lambda send: send(b"\x00\xff\r\n\r\n")), 5, "can't be read: .*"),
        (Answer(b"<!doctype html><p>Sorry"), 1, "is not what is expected there: .*"),
        (Answer(b""), 1, "is not what is expected there: .*"),
        (Answer(b"\xff\xfe{"), 1, "is not what is expected there: .*"),
        (Answer(b"[" * 100_000), 1, "is not what is expected there: .*"),
        (Answer([]), 1, "is not what is expected there: .*"),
        (Answer({"jobs": None}), 1, "is not what is expected there: .*"),
        (Answer({"jobs": [{"title": "no id"}]}), 1, r"is not what is expected there: .* `\$\.jobs\[0\]`"),
        (Answer(board(greenhouse_job(title=7))), 1, r"is not what is expected there: .* `\$\.jobs\[0\]\.title`"),
        (Answer(b"no gzip", headers={"Content-Encoding": "gzip"}), 1, "is not encoded as it says"),
        (
            Answer(gzip.compress(b" " * (65 * 2**20)), headers={"Content-Encoding": "gzip"}),
            1,
            "has over 67,108,864 bytes",
        ),
        (Answer(status=302, headers={"Location": "/elsewhere"}), 1, "HTTP 404"),
        (Answer(status=302, headers={"Location": GREENHOUSE}), 6, "leads on and on"),
        (
            Answer(status=302, headers={"Location": "http://169.254.169.254/x"}),
            1,
            "leads to .*: name that, if it is meant",
        ),
        (Answer(status=302, headers={"Location": "file:///etc/passwd"}), 1, "leads to .*: name that, if it is meant"),
        (Answer(status=302, headers={"Location": "http://[::1"}), 5, "can't be read: .*"),
    ],
)
def test_what_fails_is_told_in_a_line(answer: Answer, tries: int, why: str, server: Replay) -> None:
    """What can't be read is tried again where that may help, and told in one line with the source; half is nothing."""
    server.says(GREENHOUSE, answer)
    with pytest.raises(FeedError, match=f"^greenhouse:acme: .*{why}$") as told:
        read(server, "greenhouse:acme")
    assert "\n" not in str(told.value)
    assert server.asked.count(f"GET {GREENHOUSE}") == tries


def test_a_page_that_fails_fails_the_whole(server: Replay) -> None:
    """Where the second page can't be read there is no shorter list."""
    server.says("/v0/postings/acme?mode=json&skip=0&limit=100", [lever_posting()])
    server.says("/v0/postings/acme?mode=json&skip=1&limit=100", Answer(status=500))
    with pytest.raises(FeedError, match=r"^lever:acme: .*HTTP 500$"):
        read(server, "lever:acme")


@pytest.mark.parametrize("source", ["greenhouse:", "greenhouse:a/../b", "lever:acme?key=1", "acme", "monster:acme", ""])
def test_what_is_no_source_is_told(source: str, server: Replay) -> None:
    """A name that can't be an employer's, or of no system, is refused before anything is asked."""
    with pytest.raises(FeedError):
        read(server, source)
    assert server.asked == []


@pytest.mark.parametrize("status", [404, 500])
@pytest.mark.parametrize(
    "link", ["http://me:hush@{at}/jobs?key=hush#hush", "teamtailor:http://me:hu/sh@{at}/jobs.json?key=hush"]
)
def test_secrets_are_not_told(link: str, status: int, server: Replay) -> None:
    """Credentials and the query of a link are not in what is told of it."""
    source = link.format(at=server.base.removeprefix("http://"))
    path = "/jobs.json?key=hush" if "teamtailor" in link else "/jobs?key=hush"
    server.says(path, Answer(status=status))
    with pytest.raises(FeedError) as told:
        read(server, source)
    assert "hush" not in str(told.value)
    assert "hu/sh" not in str(told.value)


def test_sources_are_told_from_files() -> None:
    """A link and a short name are feeds, a file is none."""
    assert all(map(feeds.is_feed, ["https://acme.example/jobs", "HTTP://acme.example", "lever-eu:acme"]))
    assert not any(map(feeds.is_feed, ["offers.yaml", "greenhouse", "greenhouse:", "c:/offers.csv", "./lever"]))
