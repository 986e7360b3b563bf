"""Applicant tracking systems: their public lists of postings, none of which asks for a key."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from connectors.feeds import pages
from connectors.feeds.offers import moment, offer
from connectors.feeds.web import FeedError, Web
from spread.registry import JobOffer

_SITE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
_PAGE: Final = 100
_MOST: Final = 20_000
"""Postings of one source."""


@dataclass(frozen=True)
class Hosts:
    """Where the systems answer."""

    greenhouse: str = "https://boards-api.greenhouse.io"
    lever: str = "https://api.lever.co"
    lever_eu: str = "https://api.eu.lever.co"
    smartrecruiters: str = "https://api.smartrecruiters.com"
    smartrecruiters_jobs: str = "https://jobs.smartrecruiters.com"
    """Where SmartRecruiters shows a posting; its lists do not say it."""
    teamtailor: str = "https://{site}.teamtailor.com"


HOSTS: Final = Hosts()


class _Named(msgspec.Struct):
    name: str | None = None


class _GreenhouseJob(msgspec.Struct):
    id: int
    title: str | None = None
    absolute_url: str | None = None
    company_name: str | None = None
    location: _Named | None = None
    departments: list[_Named] | None = None
    first_published: str | None = None
    application_deadline: str | None = None


class _Total(msgspec.Struct):
    total: int | None = None


class _GreenhouseBoard(msgspec.Struct):
    jobs: list[_GreenhouseJob]
    meta: _Total | None = None


def greenhouse(web: Web, hosts: Hosts, board: str) -> list[JobOffer]:
    """The offers of a Greenhouse job board, by its token.

    Source: Job Board API, `GET /v1/boards/{board_token}/jobs?content=true`; without the content it has no departments.
    """
    found = web.json(f"{hosts.greenhouse}/v1/boards/{_site(board)}/jobs", _GreenhouseBoard, content="true")
    _whole((job.id for job in found.jobs), found.meta.total if found.meta else None)
    return [
        offer(
            id=f"greenhouse:{job.id}",
            title=job.title,
            company=job.company_name or board,
            place=_name(job.location),
            family=next(map(_name, job.departments or ()), None),
            urls=[job.absolute_url],
            posted=moment(job.first_published),
            closes=moment(job.application_deadline, end=True),
        )
        for job in found.jobs
    ]


class _Categories(msgspec.Struct):
    location: str | None = None
    department: str | None = None
    team: str | None = None


class _LeverPosting(msgspec.Struct, rename="camel"):
    id: str
    text: str | None = None
    categories: _Categories | None = None
    hosted_url: str | None = None
    created_at: int | None = None


def lever(web: Web, hosts: Hosts, site: str) -> list[JobOffer]:
    """The offers of a Lever site. Source: Postings API, `GET /v0/postings/{site}?mode=json&skip=&limit=`."""
    return _lever(web, hosts.lever, site)


def lever_eu(web: Web, hosts: Hosts, site: str) -> list[JobOffer]:
    """The offers of a site on Lever's instance in the EU."""
    return _lever(web, hosts.lever_eu, site)


def _lever(web: Web, host: str, site: str) -> list[JobOffer]:
    postings: dict[str, _LeverPosting] = {}
    url, read = f"{host}/v0/postings/{_site(site)}", 0
    while page := web.json(url, list[_LeverPosting], mode="json", skip=read, limit=_PAGE):
        read += len(page)
        known = len(postings)
        postings |= {posting.id: posting for posting in page}
        if len(postings) == known or read > _MOST:
            raise FeedError(f"its list does not end, after {read:,} postings")
    categories = {id: posting.categories or _Categories() for id, posting in postings.items()}
    return [
        offer(
            id=f"lever:{id.lower()}",
            title=posting.text,
            company=site,
            place=categories[id].location,
            family=categories[id].department or categories[id].team,
            urls=[posting.hosted_url],
            posted=moment(posting.created_at),
        )
        for id, posting in postings.items()
    ]


class _Company(msgspec.Struct):
    identifier: str | None = None
    name: str | None = None


class _Place(msgspec.Struct):
    city: str | None = None
    region: str | None = None
    country: str | None = None


class _Labelled(msgspec.Struct):
    label: str | None = None


class _SmartRecruitersPosting(msgspec.Struct, rename="camel"):
    id: str
    name: str | None = None
    company: _Company | None = None
    location: _Place | None = None
    department: _Labelled | None = None
    function: _Labelled | None = None
    released_date: str | None = None


class _SmartRecruitersPage(msgspec.Struct, rename="camel"):
    content: list[_SmartRecruitersPosting]
    total_found: int


def smartrecruiters(web: Web, hosts: Hosts, company: str) -> list[JobOffer]:
    """The offers of a company on SmartRecruiters, by its identifier; capitals count.

    Source: Posting API, `GET /v1/companies/{identifier}/postings?limit=&offset=`, at most 100 at a time.
    """
    postings: dict[str, _SmartRecruitersPosting] = {}
    url, read, total = f"{hosts.smartrecruiters}/v1/companies/{_site(company)}/postings", 0, 1
    while read < total:
        page = web.json(url, _SmartRecruitersPage, limit=_PAGE, offset=read)
        read, total = read + len(page.content), page.total_found
        postings |= {posting.id: posting for posting in page.content}
        if not page.content or read > _MOST:
            break
    _whole(postings, total)
    return [_smartrecruiters_offer(hosts, company, posting) for posting in postings.values()]


def _smartrecruiters_offer(hosts: Hosts, company: str, posting: _SmartRecruitersPosting) -> JobOffer:
    at, place = posting.company or _Company(), posting.location or _Place()
    families = (labelled.label for labelled in (posting.department, posting.function) if labelled)
    return offer(
        id=f"smartrecruiters:{posting.id}",
        title=posting.name,
        company=at.name or company,
        place=place.city or place.region or place.country,
        family=next(filter(None, families), None),
        urls=[f"{hosts.smartrecruiters_jobs}/{at.identifier or company}/{posting.id}"],
        posted=moment(posting.released_date),
    )


def teamtailor(web: Web, hosts: Hosts, site: str) -> list[JobOffer]:
    """The offers of a career site on Teamtailor, by its name there or its link. Source: its JSON Feed, `/jobs.json`."""
    if not site.lower().startswith(("http://", "https://")):
        return pages.read(web, f"{hosts.teamtailor.format(site=_site(site))}/jobs.json")
    parts = urlsplit(site)
    path = parts.path.rstrip("/")
    if not path.endswith((".json", ".rss")):
        path = path.removesuffix("/jobs") + "/jobs.json"
    return pages.read(web, urlunsplit(parts._replace(path=path)))


def _site(name: str) -> str:
    if not _SITE.match(name):
        raise FeedError("after the colon stands the name of the employer there, of letters, digits, - and _")
    return name


def _name(named: Any) -> str | None:
    return named.name if isinstance(named, _Named) else None


def _whole(ids: Iterable[object], total: int | None) -> None:
    """Raise `FeedError` where fewer were given than the system says it has."""
    n = len(set(ids))
    if total is not None and n < total:
        raise FeedError(f"it says that it has {total:,} postings and gives {n:,}")
