"""Links as they are compared: every form in which one job is linked becomes the same canonical text.

- What a link gains on its way (who sent the visitor, through which campaign) is dropped; what tells one job from
  another stays. Where a parameter may be either, as `ref` may, it stays: a missed match can be corrected by a person,
  two jobs taken for one can't.
- Applicant tracking systems show one job at many addresses, also on the employer's own site. Where its id is in the
  link, the canonical form is that id: `greenhouse:4012345`.
- Canonical forms are for comparing and not for opening. The canonical form of one is itself.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

_TRACKING: Final = re.compile(
    r"(?:utm|mtm|matomo|piwik|rx|dcr|hsa)_.*"
    r"|fbclid|d?gclid|dclid|gclsrc|[gw]braid|msclkid|twclid|ttclid|li_fat_id|yclid|igsh(?:id)?|mkt_tok|vero_id|_g[al]"
    r"|_hs(?:enc|mi)|__hs(?:tc|sc|fp)|mc_[ce]id|s_cid|s_kwcid|xtor|wt[_.]mc(?:_id|_ev)?"
    r"|at_(?:medium|campaign|format|creation|custom[0-9]*)|pk_(?:campaign|kwd|source|medium|content|cid)"
    r"|trk(?:info)?|trackingid|refid|ref_(?:src|url)|lipi|source|src|gh_src|trid|jobboardsource|iisn?"
    r"|lever-(?:source|origin|via)(?:\[\])?",
    re.IGNORECASE,
)

_WRAPPERS: Final = {
    ("l.facebook.com", "/l.php"): "u",
    ("lm.facebook.com", "/l.php"): "u",
    ("l.instagram.com", "/"): "u",
    ("l.threads.net", "/"): "u",
    ("l.threads.com", "/"): "u",
    ("linkedin.com", "/redir/redirect"): "url",
    ("linkedin.com", "/safety/go"): "url",
    ("google.com", "/url"): "q",
}
"""Pages that lead on to a link in one of their parameters."""

_LONGEST: Final = 4_096
"""Characters; a longer link is compared as it stands."""
_SEGMENT: Final = "!$&'()*+,;=:@"
_WWW: Final = re.compile(r"^(?:www\.)+")
_DIGITS: Final = re.compile(r"[0-9]{1,20}\Z")
_GREENHOUSE: Final = re.compile(r"/(?:v1/boards/)?[^/]+/jobs/([0-9]{1,20})(?:/.*)?\Z")
_LEVER: Final = re.compile(r"/(?:v0/postings/)?[^/]+/([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?:/.*)?\Z")
_SMARTRECRUITERS: Final = re.compile(r"/(?:v1/companies/[^/]+/postings|[^/]+)/([0-9]{6,20})(?:[-/].*)?\Z")
_WORKDAY: Final = re.compile(r"/(?:job|details)/(?:[^/]+/)?[^/_]*_([^/]+)(?:/apply(?:/.*)?)?\Z")
_WORKDAY_HOST: Final = re.compile(r"([^.]+)(?:\.wd[0-9]+)?\.myworkdayjobs(?:-impl)?\.com\Z")
_WORKDAY_SITE: Final = re.compile(r"(?:/[a-z]{2}(?:-[A-Z]{2})?)?/recruiting/([^/]+)/")
_NUMBERED: Final = re.compile(r"(?:/[a-z]{2}(?:-[A-Za-z]{2})?)?/jobs/([0-9]{4,12})-[^/]+(?:/applications/new)?\Z")
_OPENING: Final = {")": "(", "]": "["}
_LINK: Final = re.compile(r"https?://[^\s<>\"'`\\^{}|«»“”]+", re.IGNORECASE)


@lru_cache(maxsize=16_384)
def canonical(url: str) -> str:
    """The form in which a link is compared. What is no http link stays as it is, without space around it."""
    url = url.strip()
    if len(url) > _LONGEST:
        return url
    try:
        parts = urlsplit(url)
        host, port = _host(parts), parts.port
    except ValueError:
        return url
    if parts.scheme not in ("http", "https") or not host:
        return url
    path, query = _path(parts.path), parse_qsl(parts.query, keep_blank_values=True)
    inner = dict(query).get(_WRAPPERS.get((host, path), ""), "")
    if inner.lower().startswith(("http://", "https://")) and len(inner) < len(url):
        return canonical(inner)
    for job in _SYSTEMS:
        if (found := job(host, path, query)) is not None:
            return found
    numbered = _NUMBERED.match(path)
    if numbered is not None:  # as Teamtailor has it, on the employer's own site too: the number says which job it is
        path, query = f"/jobs/{numbered[1]}", []
    kept = urlencode(
        sorted(pair for pair in query if not _TRACKING.fullmatch(pair[0])), quote_via=quote, errors="replace"
    )
    at = "" if port in (None, 80, 443) else f":{port}"
    # A page that draws itself has its place behind #; anything else there is a place within the page.
    place = quote(unquote(parts.fragment), safe="/" + _SEGMENT, errors="replace")
    kept = f"?{kept}" if kept else ""
    return f"https://{host}{at}{path}{kept}" + (f"#{place}" if place.startswith(("/", "!/")) else "")


def links(text: str) -> list[str]:
    """The http links in a text, in their order, without the punctuation behind them."""
    return [_trimmed(found[0]) for found in _LINK.finditer(text)]


def _trimmed(link: str) -> str:
    while link[-1] in ".,;:!?*_~…" or (link[-1] in _OPENING and link.count(link[-1]) > link.count(_OPENING[link[-1]])):
        link = link[:-1]
    return link


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not host.isascii():
        host = host.encode("idna").decode()
    return f"[{host}]" if ":" in host else _WWW.sub("", host.rstrip("."))


def _path(path: str) -> str:
    """The path with its dots resolved, one way of quoting, and no slash at its end."""
    kept: list[str] = []
    for segment in map(unquote, path.split("/")):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(quote(segment, safe=_SEGMENT, errors="replace"))
    return "/" + "/".join(kept)


def _under(host: str, domain: str) -> bool:
    return host == domain or host.endswith("." + domain)


_Query = list[tuple[str, str]]


def _greenhouse(host: str, path: str, query: _Query) -> str | None:
    parameters = dict(query)
    id = parameters.get("gh_jid", "")
    if _under(host, "greenhouse.io"):
        on_board = _GREENHOUSE.match(path)
        id = on_board[1] if on_board else id or (parameters.get("token", "") if path.startswith("/embed/") else "")
    return f"greenhouse:{id}" if _DIGITS.match(id) else None


def _lever(host: str, path: str, query: _Query) -> str | None:
    found = _LEVER.match(path) if _under(host, "lever.co") else None
    return f"lever:{found[1].lower()}" if found else None


def _smartrecruiters(host: str, path: str, query: _Query) -> str | None:
    found = _SMARTRECRUITERS.match(path) if _under(host, "smartrecruiters.com") else None
    return f"smartrecruiters:{found[1]}" if found else None


def _workday(host: str, path: str, query: _Query) -> str | None:
    tenant = _WORKDAY_HOST.match(host) or (_WORKDAY_SITE.match(path) if _under(host, "myworkdaysite.com") else None)
    found = _WORKDAY.search(path) if tenant else None
    return f"workday:{tenant[1].lower()}/{found[1]}" if tenant and found else None


def _teamtailor(host: str, path: str, query: _Query) -> str | None:
    found = _NUMBERED.match(path) if _under(host, "teamtailor.com") else None
    return f"teamtailor:{found[1]}" if found else None


_SYSTEMS: Final[tuple[Callable[[str, str, _Query], str | None], ...]] = (
    _greenhouse,
    _lever,
    _smartrecruiters,
    _workday,
    _teamtailor,
)
"""Those that show one job at many addresses; each gives the job's own id, or None."""
