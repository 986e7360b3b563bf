"""Which rules X's filtered stream is to have, from the open offers and their posts: decisions, without any call.

- A rule's tag names the offer. `ricochet:offer/ID` is for what says the offer itself, so what matches belongs to it (an
  address of the job; a hashtag, from accounts of the offer alone). `ricochet:post/ID` is for what leads to one of its
  posts: retweets, quotes, replies; which post that is, the message says.
- Rules with other tags are somebody else's, and stay.
- X takes a number of rules, each of some length: what finds no place is told. Offers come first, then their posts, the
  newest first.
- After a gap the same terms are searched for, with what answers the posts in place of what shares them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from connectors.connector import Root
from spread.registry import JobOffer
from spread.urls import canonical

MOST: Final = 1_000
LONGEST: Final = 1_024
LONGEST_QUERY: Final = 512
"""What X takes of who pays as he goes: so many rules, of so many characters, and queries of so many."""

_OFFER: Final = "ricochet:offer/"
_POST: Final = "ricochet:post/"
_OR: Final = " OR "
_NO_RETWEETS: Final = "({}) -is:retweet"


class Rule(NamedTuple):
    """A rule as it is to be."""

    value: str
    tag: str


class Present(NamedTuple):
    """A rule that X has, under its own id."""

    id: str
    value: str
    tag: str


class Wanted(NamedTuple):
    """The rules that are wanted, and how many terms found no place in them."""

    rules: tuple[Rule, ...]
    left_out: int


def offer_of(tag: str) -> str | None:
    """The offer that a post belongs to by the tag of a rule that it matches."""
    return tag.removeprefix(_OFFER) if tag.startswith(_OFFER) else None


def is_ours(tag: str) -> bool:
    """Whether a rule is one of these."""
    return tag.startswith((_OFFER, _POST))


def wanted(offers: Iterable[JobOffer], roots: Sequence[Root], most: int = MOST, longest: int = LONGEST) -> Wanted:
    """The rules for some offers and for what was posted of them, newest first; posts of other offers are left alone."""
    offers = sorted(offers, key=lambda offer: offer.id)
    tagged: list[tuple[str, list[str]]] = [(f"{_OFFER}{offer.id}", [*_terms(offer)]) for offer in offers]
    posts: defaultdict[str, list[str]] = defaultdict(list)
    known = {offer.id for offer in offers}
    for offer in offers:
        posts[offer.id] += [id.removeprefix("x:") for id in offer.posts if id.startswith("x:")]
    # The oldest first, so that a new one changes the last rule alone; and offers by their newest.
    for root in sorted(roots, key=lambda root: (root.at, root.id)):
        if root.offer in known:
            posts[root.offer].append(root.id.removeprefix("x:"))
    newest = {root.offer: root.at for root in reversed(roots)}
    for id in sorted(posts, key=lambda id: (-newest.get(id, 0), id)):
        tagged.append((f"{_POST}{id}", [term for post in dict.fromkeys(posts[id]) for term in _leading_to(post)]))
    rules = [Rule(value, tag) for tag, terms in tagged for value in _packed(terms, longest)]
    too_long = sum(len(term) > longest for _, terms in tagged for term in {*terms})
    cut = sum(rule.value.count(_OR) + 1 for rule in rules[most:])
    return Wanted(tuple(rules[:most]), too_long + cut)


def changes(present: Iterable[Present], rules: Iterable[Rule]) -> tuple[list[Rule], list[str]]:
    """What is to be added, and the ids of what is to be removed."""
    rest = list(dict.fromkeys(rules))
    removed = []
    for one in present:
        rule = Rule(one.value, one.tag)
        if rule in rest:
            rest.remove(rule)
        elif is_ours(one.tag):
            removed.append(one.id)
    return rest, removed


def queries(offers: Iterable[JobOffer], roots: Iterable[Root], longest: int = LONGEST_QUERY) -> list[str]:
    """Searches for new posts of some offers, and for what answers those there are."""
    terms = [term for offer in sorted(offers, key=lambda offer: offer.id) for term in _terms(offer)]
    terms += [f"conversation_id:{root.id.removeprefix('x:')}" for root in roots]
    return [_NO_RETWEETS.format(value) for value in _packed(terms, longest - len(_NO_RETWEETS.format("")))]


def _terms(offer: JobOffer) -> Iterator[str]:
    """What says an offer itself."""
    for url in offer.urls:
        if (address := _address(url)) is not None:
            yield f'url:"{address}"'
    accounts = [account.removeprefix("x:") for account in offer.accounts if account.startswith("x:")]
    for tag in offer.tags:
        for account in accounts:
            if re.fullmatch(r"\w+", tag) and re.fullmatch(r"\w+", account):
                yield f"(#{tag} from:{account})"


def _leading_to(id: str) -> tuple[str, ...]:
    """What shares, quotes or answers a post. A quote is known by the link to what it quotes."""
    return (f"retweets_of_tweet_id:{id}", f'url:"status/{id}"', f"conversation_id:{id}") if id.isdigit() else ()


def _address(url: str) -> str | None:
    """The part of a link that X is to find in the links of posts."""
    plain = canonical(url)
    parts = urlsplit(plain if plain.startswith("https://") else url)
    host = re.sub(r"^(?:www\.)+", "", parts.netloc.rpartition("@")[2].lower())
    address = f"{host}{parts.path.rstrip('/')}" + (f"?{parts.query}" if parts.query else "")
    return address if host and not re.search(r'["\s\\]', address) else None


def _packed(terms: Iterable[str], longest: int) -> Iterator[str]:
    """Terms in as few alternatives as they fit in; a term that is too long by itself is left out."""
    value = ""
    for term in dict.fromkeys(terms):
        if len(term) > longest:
            continue
        if value and len(value) + len(_OR) + len(term) > longest:
            yield value
            value = ""
        value = f"{value}{_OR}{term}" if value else term
    if value:
        yield value
