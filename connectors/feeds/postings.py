"""schema.org's `JobPosting` in JSON-LD, in the many forms in which it is found.

Sources: https://schema.org/JobPosting, and what Google asks of it for its job search. What is not understood is left
out; a posting that can't be told from others is an error.
"""

import html
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from connectors.feeds.offers import joined, link, moment, offer, short, text
from connectors.feeds.web import FeedError, shown
from spread.registry import JobOffer
from spread.urls import canonical

Node = dict[str, Any]

_WRAPPING: Final = re.compile(
    r"\A\s*(?:<!--|//\s*<!\[CDATA\[|/\*\s*<!\[CDATA\[\s*\*/|<!\[CDATA\[)"
    r"|(?:-->|//\s*\]\]>|/\*\s*\]\]>\s*\*/|\]\]>)\s*\Z|;\s*\Z"
)
"""What old pages put around a script, so that older browsers do not show it."""


class Posting(msgspec.Struct, frozen=True):
    """A posting as it was found on a page. `named` has by `@id` what the page says elsewhere."""

    node: Node
    page: str
    alone: bool
    """Whether the page is about this one, so that a link to the page leads to it."""
    named: Mapping[str, Node]


def decoded(script: str) -> Any:
    """The JSON of a script, also where it is wrapped or escaped as HTML. Raises `ValueError`."""
    while (bare := _WRAPPING.sub("", script)) != script:
        script = bare
    try:
        return json.loads(script, strict=False)
    except ValueError:
        if "&quot;" not in script and "&#34;" not in script:
            raise
        return json.loads(html.unescape(script), strict=False)


def found(root: Any, page: str, alone: bool) -> list[Posting]:
    """The postings anywhere in a JSON-LD document; `alone`, if there is one, it is what the page is about."""
    nodes = list(_nodes(root))
    named = {node["@id"]: node for node in nodes if isinstance(node.get("@id"), str) and len(node) > 1}
    postings = [node for node in nodes if "JobPosting" in _types(node)]
    return [Posting(node, page, alone and len(postings) == 1, named) for node in postings]


def listed(root: Any) -> list[str]:
    """The links of the lists (`ItemList`) in a JSON-LD document."""
    items = [item for node in _nodes(root) if "ItemList" in _types(node) for item in _all(node.get("itemListElement"))]
    inner = (item if _link_of(item) or not isinstance(item, dict) else item.get("item") for item in items)
    links = (_link_of(one) or (one.get("@id") if isinstance(one, dict) else None) for one in inner)
    return [url for url in links if isinstance(url, str)]


def offers(postings: Iterable[Posting], site: str) -> list[JobOffer]:
    """The offers of the postings of a site (its host).

    Those that have one identifier and one title, or one link, are one offer. An identifier that stands for different
    ones says nothing: their links tell them apart.
    """
    alike: defaultdict[str, list[JobOffer]] = defaultdict(list)
    for posting in postings:
        one = _offer(posting, site)
        alike[one.id].append(one)
    return [one for same in alike.values() for one in _told_apart(same)]


def _told_apart(same: list[JobOffer]) -> list[JobOffer]:
    """Offers with one id: one by one where neither title nor link says that they are the same."""
    apart: defaultdict[str, list[JobOffer]] = defaultdict(list)
    for one in same:
        apart[short(_of_link(one.urls[0])) if one.urls else one.id].append(one)
    if len(apart) == 1 or len({one.title for one in same}) == 1:
        apart = defaultdict(list, {same[0].id: same})
    return [msgspec.structs.replace(some[0], id=id, urls=_links(some)) for id, some in apart.items()]


def _links(some: list[JobOffer]) -> tuple[str, ...]:
    return tuple({canonical(url): url for one in some for url in one.urls}.values())


def _offer(posting: Posting, site: str) -> JobOffer:
    node = posting.node
    own = _link_of(node)
    urls = [link(joined(posting.page, own)) if own else "", posting.page if posting.alone else ""]
    urls = [url for url in urls if url]
    title = _said(node.get("title")) or _said(node.get("name"))
    return offer(
        id=_id(node.get("identifier"), urls, site) or _lost(title, posting.page),
        title=title,
        company=_said([_resolved(one, posting.named) for one in _all(node.get("hiringOrganization"))]),
        place=_place(node, posting.named),
        family=_said(node.get("occupationalCategory")),
        urls=urls,
        posted=moment(_value(node.get("datePosted"))),
        closes=moment(_value(node.get("validThrough")), end=True),
    )


def _lost(title: str, page: str) -> str:
    raise FeedError(f"{shown(page)}: {title or 'a posting'} has neither an identifier nor a link")


def _id(identifier: Any, urls: list[str], site: str) -> str:
    """The id of an offer: that of a system that is known, else the employer's own, else its link."""
    by_link = [_of_link(url) for url in urls]
    known = next((id for id, url in zip(by_link, urls, strict=True) if not canonical(url).startswith("http")), "")
    own = _said(identifier)
    if link(own):
        own, by_link = "", [_of_link(own), *by_link]
    return known or (f"{site}:{own}" if own else next(iter(by_link), ""))


def _of_link(url: str) -> str:
    return re.sub(r"\Ahttps?://", "", canonical(url))


def _said(value: Any) -> str:
    """The first of several values that says anything."""
    return next(filter(None, (text(_value(one)) for one in _all(value))), "")


def _place(node: Node, named: Mapping[str, Node]) -> str:
    for value in _all(node.get("jobLocation")):
        at = _resolved(value, named)
        if isinstance(at, dict):
            for address in [_resolved(one, named) for one in _all(at.get("address"))] or [at]:
                if isinstance(address, dict):
                    parts = [_value(address.get(f"address{part}")) for part in ("Locality", "Region", "Country")]
                    at = next((part for part in parts if text(part)), at)
                elif text(address):
                    at = address
        if place := text(_value(at)):
            return place
    return "Remote" if _value(node.get("jobLocationType")) == "TELECOMMUTE" else ""


def _nodes(root: Any) -> Iterator[Node]:
    """All objects in a document, in their order."""
    waiting = [root]
    while waiting:
        at = waiting.pop()
        if isinstance(at, dict):
            yield at
            waiting += reversed(at.values())
        elif isinstance(at, list):
            waiting += reversed(at)


def _types(node: Node) -> set[str]:
    return {re.split(r"[/#:]", one)[-1] for one in _all(node.get("@type")) if isinstance(one, str)}


def _all(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _resolved(value: Any, named: Mapping[str, Node]) -> Any:
    """What the page says of a thing that is only named here."""
    if isinstance(value, dict) and isinstance(value.get("@id"), str) and len(value.keys() - {"@id", "@type"}) == 0:
        return named.get(value["@id"], value)
    return value


def _value(value: Any) -> Any:
    """A plain value, out of the lists and objects that it may stand in."""
    for _ in range(4):
        if isinstance(value, list):
            value = next((one for one in value if one not in (None, "")), None)
        elif isinstance(value, dict):
            value = next((value[key] for key in ("@value", "value", "name") if value.get(key)), None)
    return value


def _link_of(value: Any) -> str | None:
    """The link of an object: of its page, if it has none itself."""
    if isinstance(value, dict):
        pages = (value.get("url"), value.get("mainEntityOfPage"))
        value = next((one for page in pages for one in _all(page) if one), None) or (
            value.get("@id") if link(value.get("@id")) and "#" not in value["@id"] else None
        )
        if isinstance(value, dict):
            value = value.get("@id") or value.get("url")
    return value.strip() if isinstance(value, str) and value.strip() else None
