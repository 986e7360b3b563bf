"""Pages with postings, and the lists that lead to them: sitemaps, RSS, Atom and JSON feeds, JSON-LD lists.

A list is followed on its own site alone, so no feed can have another machine asked, and only to pages: those that have
no posting are left out, as a sitemap names everything. A list that is cut off is an error.
"""

import re
import zlib
from collections import deque
from typing import Any, Final

import msgspec
from lxml import etree

from connectors.feeds import postings
from connectors.feeds.offers import joined, text
from connectors.feeds.postings import Posting
from connectors.feeds.web import FeedError, Gone, Page, Web, shown, site
from spread.registry import JobOffer

_PAGES: Final = 2_000
"""Of one source."""
_BYTES: Final = 64 * 2**20
_MOST: Final = 20_000
"""Postings of one source."""
_MOST_BYTES: Final = 512 * 2**20
"""Of all pages of one source that have postings, which are held until the last of them is read."""
_FEED: Final = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?[^>]*\?>\s*|<!--.*?-->\s*)*<(?:\w+:)?(?:rss|feed|urlset|sitemapindex|RDF)\b",
    re.DOTALL,
)


class _Found(msgspec.Struct):
    """What a page has: postings, links to pages with more, and lists that go on with it."""

    postings: list[Posting] = []
    links: list[str] = []
    lists: list[str] = []
    is_list: bool = False


def read(web: Web, url: str) -> list[JobOffer]:
    """The offers on a page, or on the pages that a list leads to. Raises `FeedError`."""
    waiting, seen, elsewhere, nbytes = deque([(url, True)]), {url}, 0, 0
    own, found, first = None, list[Posting](), _Found()
    while waiting:
        at, follow = waiting.popleft()
        try:
            page = web.get(at)
        except Gone:
            if own is None:
                raise
            continue
        has = _found(page)
        if own is None:
            own, first = site(page.url), has
        found += has.postings
        nbytes += len(page.body) if has.postings else 0
        if len(found) > _MOST or nbytes > _MOST_BYTES:
            raise FeedError(f"it has over {_MOST:,} postings, or {_MOST_BYTES:,} bytes of them; name a part of it")
        if not follow or (has.postings and not has.is_list):
            continue
        for link_, is_list in [*((one, True) for one in has.lists), *((one, False) for one in has.links)]:
            to = joined(page.url, link_)
            if site(to) != own:
                elsewhere += 1
            elif to not in seen:
                seen.add(to)
                waiting.append((to, is_list))
        if len(seen) > _PAGES:
            raise FeedError(f"it leads to over {_PAGES:,} pages; name the list of its job offers alone")
    offers = postings.offers(found, own[0] if own else "")
    if not offers and (not first.is_list or len(seen) > 1 or elsewhere):
        raise FeedError(_nothing(len(seen) - 1, elsewhere))
    return offers


def _nothing(followed: int, elsewhere: int) -> str:
    why = "no JobPosting (schema.org, as JSON-LD) is there"
    if followed:
        why += f" or on the {followed:,} pages that it leads to"
    return why + (f"; {elsewhere:,} links lead to other sites and were not followed" if elsewhere else "")


def _found(page: Page) -> _Found:
    body = _unpacked(page)
    start = body[:200].removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start in (b"{", b"["):
        return _in_json(page, body)
    if _FEED.match(body[:10_000]) or (page.kind.endswith("xml") and "xhtml" not in page.kind):
        return _in_xml(page, body)
    return _in_html(page, body)


def _in_json(page: Page, body: bytes) -> _Found:
    try:
        root = postings.decoded(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise FeedError(f"{shown(page.url)} is no whole JSON: {error}") from None
    items = root.get("items") if isinstance(root, dict) else None
    if isinstance(root, dict) and isinstance(items, list):
        return _in_json_feed(page, root, [item for item in items if isinstance(item, dict)])
    return _Found(postings.found(root, page.url, alone=False), postings.listed(root), is_list=root == [])


def _in_json_feed(page: Page, root: dict[str, Any], items: list[dict[str, Any]]) -> _Found:
    """JSON Feed (jsonfeed.org/version/1.1); Teamtailor adds the posting of each item."""
    has = _Found(is_list=True)
    for item in items:
        node = item.get("_jobposting")
        if isinstance(node, dict):
            also = {"title": item.get("title"), "datePosted": item.get("date_published")}
            also |= {"hiringOrganization": root.get("title")}
            whole = also | {key: value for key, value in node.items() if value} | {"url": item.get("url")}
            has.postings.append(Posting(whole, page.url, False, {}))
        elif text(item.get("url")):
            has.links.append(item["url"])
    if text(root.get("next_url")):
        has.lists.append(root["next_url"])
    return has


def _in_xml(page: Page, body: bytes) -> _Found:
    try:
        root = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except (etree.LxmlError, ValueError) as error:
        raise FeedError(f"{shown(page.url)} is no whole XML: {' '.join(str(error).split())}") from None
    atom = "*[local-name()='link' and (not(@rel) or @rel='alternate')]/@href"
    paths = (
        "/*[local-name()='urlset']/*[local-name()='url']/*[local-name()='loc']/text()",
        "//*[local-name()='item']/*[local-name()='link' and not(@href)]/text()",
        f"/*[local-name()='feed']/*[local-name()='entry']/{atom}",
    )
    more = (
        "/*[local-name()='sitemapindex']/*[local-name()='sitemap']/*[local-name()='loc']/text()",
        "/*[local-name()='feed']/*[local-name()='link' and @rel='next']/@href",
        "/*/*[local-name()='channel']/*[local-name()='link' and @rel='next']/@href",
    )
    links, lists = ([str(one).strip() for path in some for one in root.xpath(path)] for some in (paths, more))
    return _Found(links=[one for one in links if one], lists=[one for one in lists if one], is_list=True)


def _in_html(page: Page, body: bytes) -> _Found:
    try:
        body.decode()
        parser = etree.HTMLParser(encoding="utf-8")
    except UnicodeDecodeError:
        parser = etree.HTMLParser()
    try:
        root = etree.fromstring(body, parser)
    except (etree.LxmlError, ValueError):
        root = None
    documents = []
    for script in () if root is None else root.iter("script"):
        if script.get("type", "").strip().lower().startswith("application/ld+json"):
            content = "".join(script.itertext())
            try:
                documents.append(postings.decoded(content))
            except (ValueError, RecursionError) as error:
                if "JobPosting" in content:
                    raise FeedError(f"{shown(page.url)} has a JobPosting that is no whole JSON: {error}") from None
    return _Found(postings.found(documents, page.url, alone=True), postings.listed(documents))


def _unpacked(page: Page) -> bytes:
    """The body, also of a sitemap that is a gzip file."""
    if not page.body.startswith(b"\x1f\x8b"):
        return page.body
    unpacking = zlib.decompressobj(wbits=31)
    try:
        body = unpacking.decompress(page.body, _BYTES)
    except zlib.error as error:
        raise FeedError(f"{shown(page.url)} is no whole gzip file: {error}") from None
    if not unpacking.eof:
        raise FeedError(f"{shown(page.url)} is cut off, or has over {_BYTES:,} bytes")
    return body
