"""Which job offer a post belongs to, with the reason in words.

The border:

    match(mention: Mention, registry: Registry) -> Match

    Mention(id, account, text="", urls=(), tags=(), rule_tags=())    a post as it was written
    Match(offer, also, confidence, reason, near)                     `offer` None where it belongs to none
    Guess(offer, confidence, rule, reason)                           an entry of `near`, the near misses

Ids and accounts are `network:native`, tags come without `#` (one with it is understood), `rule_tags` are what a network
says of the rule that a post was found by, and `urls` the links, short ones resolved; those in the text are seen too.

The rules, the strongest first; the first that finds an offer decides, and weaker ones only choose among its finds:

    named    1.00   the network's rule carries the offer's id
    listed   1.00   the offer lists the post
    link     0.95   a link of the post is one of the offer's, in whatever form
    tag      0.80   a hashtag of the offer, from one of its accounts
    title    0.60+  the offer's title is in the text, and the account or the company's name says whose it is

A share has no text of its own: what is matched is the post that it shares. What points to an offer and does not reach
is a near miss, for a person to decide. Where two offers are found alike and nothing tells them apart, links and what
outranks them give the first and name the others in `also`; the weaker rules give none, and all of them as near misses.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final

import msgspec
from rapidfuzz import fuzz

from spread.registry import JobOffer
from spread.urls import canonical, links

NEAR_MOST: Final = 5
"""Near misses that a match names, the likeliest first."""
_SAME: Final = 90.0
"""Similarity (of 100) from which a title counts as being in a text: a letter or an ending may differ."""
_ALIKE: Final = 78.0
"""Similarity from which it is worth a person's look."""
_SHORTEST: Final = 8
"""Letters of a title; a shorter one is in too many texts."""
_SURE: Final = 0.6
"""Confidence from which a post belongs to an offer without anybody's look."""
_FAMILIAR: Final = 0.05
"""What a title gains where its place is named too, and where the account is the employer's own."""
_MARKS: Final = re.compile(r"\(?\b(?:[fhmwdxi]|all genders?)(?:\s*/\s*(?:[fhmwdxi]|divers|all))+\b\)?", re.IGNORECASE)
"""What follows a title to say that anybody may apply: (m/w/d), H/F."""
_WORD: Final = re.compile(r"[^\W_]+(?:[+#]+)?")


class Rule(StrEnum):
    """How an offer was found."""

    NAMED = "named"
    LISTED = "listed"
    LINK = "link"
    TAG = "tag"
    TITLE = "title"


class Mention(msgspec.Struct, frozen=True, kw_only=True):
    """A post as it was written, before anybody knows which offer it is about."""

    id: str
    account: str
    text: str = ""
    urls: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    rule_tags: tuple[str, ...] = ()


class Guess(msgspec.Struct, frozen=True):
    """An offer that a post may belong to. `confidence` from 0 to 1, `reason` in words."""

    offer: str
    confidence: float
    rule: Rule
    reason: str


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: an offer or None, others that the post names as clearly, and the near misses."""

    offer: str | None = None
    also: tuple[str, ...] = ()
    confidence: float = 0.0
    reason: str
    near: tuple[Guess, ...] = ()


class Registry(Mapping[str, JobOffer]):
    """Offers by id, and by all that points to them; for one thread at a time."""

    def __init__(self, offers: Iterable[JobOffer] = ()) -> None:
        self._offers: dict[str, JobOffer] = {}
        self._links = _Index()
        self._tags = _Index()
        self._posts = _Index()
        self._words = _Index()
        self._titles: dict[str, tuple[str, ...]] = {}
        for offer in offers:
            self.put(offer)

    def __getitem__(self, id: str) -> JobOffer:
        return self._offers[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._offers)

    def __len__(self) -> int:
        return len(self._offers)

    def put(self, offer: JobOffer) -> None:
        """Take an offer in, in place of what was known of it."""
        self._index(self._offers.get(offer.id), offer)
        self._offers[offer.id] = offer
        self._titles[offer.id] = tuple(_words(offer.title))

    def drop(self, id: str) -> None:
        """Let go of an offer, known or not."""
        self._index(self._offers.pop(id, None), None)
        self._titles.pop(id, None)

    def linked(self, url: str) -> tuple[str, ...]:
        """The offers that a link leads to."""
        return self._links.get(canonical(url), ())

    def tagged(self, tag: str) -> tuple[str, ...]:
        """The offers with a hashtag."""
        return self._tags.get(_tag(tag), ())

    def listing(self, post: str) -> tuple[str, ...]:
        """The offers that list a post."""
        return self._posts.get(post, ())

    def worded(self, words: Iterable[str]) -> list[tuple[str, str]]:
        """The offers of whose title at least half the words are among these, each with the words of its title."""
        found = Counter(id for word in set(words) for id in self._words.get(word, ()))
        titles = self._titles
        return [(id, " ".join(titles[id])) for id, n in found.items() if 2 * n >= len(titles[id])]

    def _index(self, old: JobOffer | None, new: JobOffer | None) -> None:
        for index, keys_of in (
            (self._links, _links_of),
            (self._tags, _tags_of),
            (self._posts, _posts_of),
            (self._words, _words_of),
        ):
            before, after = (set() if offer is None else keys_of(offer) for offer in (old, new))
            id = (new or old or _NONE).id
            for key in before - after:
                index.remove(key, id)
            for key in after - before:
                index.add(key, id)


class _Index(dict[str, tuple[str, ...]]):
    """Ids by key, sorted; a key without any is not kept."""

    def add(self, key: str, id: str) -> None:
        self[key] = tuple(sorted({*self.get(key, ()), id}))

    def remove(self, key: str, id: str) -> None:
        left = tuple(one for one in self.get(key, ()) if one != id)
        if left:
            self[key] = left
        else:
            self.pop(key, None)


_NONE: Final = JobOffer(id="")


def match(mention: Mention, registry: Registry) -> Match:
    """The offer that a post belongs to, and why."""
    for way in (_named, _listed, _linked):
        if found := way(mention, registry):
            first, *others = found
            also = tuple(dict.fromkeys(one.offer for one in others if one.offer != first.offer))
            return Match(offer=first.offer, also=also, confidence=first.confidence, reason=first.reason)
    tagged, titled = _tagged(mention, registry), _titled(mention, registry)
    guesses = _best(tagged + titled)
    sure = [one for one in guesses if one.confidence >= _SURE]
    top = [one for one in sure if one.rule is sure[0].rule]
    if len(top) > 1:
        top = _told_apart(top, titled, registry)
    if len(top) != 1:
        reason = f"{len(top)} offers are as likely: {top[0].reason}" if top else "nothing in the post leads to an offer"
        return Match(reason=reason, near=tuple(guesses[:NEAR_MOST]))
    (won,) = top
    near = tuple(one for one in guesses if one.offer != won.offer)[:NEAR_MOST]
    return Match(offer=won.offer, confidence=won.confidence, reason=won.reason, near=near)


def _named(mention: Mention, registry: Registry) -> list[Guess]:
    return [
        Guess(tag, 1.0, Rule.NAMED, f"the network's own rule is for {tag}")
        for tag in mention.rule_tags
        if tag in registry
    ]


def _listed(mention: Mention, registry: Registry) -> list[Guess]:
    return [Guess(id, 1.0, Rule.LISTED, f"{id} lists the post {mention.id}") for id in registry.listing(mention.id)]


def _linked(mention: Mention, registry: Registry) -> list[Guess]:
    return [
        Guess(id, 0.95, Rule.LINK, f"it links to {canonical(url)}, which is {id}")
        for url in dict.fromkeys((*mention.urls, *links(mention.text)))
        for id in registry.linked(url)
    ]


def _tagged(mention: Mention, registry: Registry) -> list[Guess]:
    guesses = []
    for tag in dict.fromkeys(map(_tag, mention.tags)):
        for id in registry.tagged(tag):
            if mention.account in registry[id].accounts:
                guesses.append(Guess(id, 0.8, Rule.TAG, f"#{tag} from {mention.account}, which speaks for {id}"))
            else:
                guesses.append(Guess(id, 0.4, Rule.TAG, f"#{tag} is a hashtag of {id}, its accounts are others"))
    return guesses


def _titled(mention: Mention, registry: Registry) -> list[Guess]:
    words = _words(mention.text)
    text = " ".join(words)
    guesses = []
    for id, title in registry.worded(words):
        if len(title) >= _SHORTEST and (score := _similarity(title, text)) >= _ALIKE:
            guesses.append(_title_guess(registry[id], mention, text, score))
    return guesses


def _title_guess(offer: JobOffer, mention: Mention, text: str, score: float) -> Guess:
    whose, is_own = _whose(offer, mention, text)
    place = " ".join(_words(offer.place))
    is_near = bool(place) and f" {place} " in f" {text} "
    if score >= _SAME:
        confidence = (_SURE if whose else 0.35) + _FAMILIAR * is_near + _FAMILIAR * is_own
    else:
        confidence = (0.45 if whose else 0.25) + _FAMILIAR * is_near
    reason = f"“{offer.title}” is in the text ({score:.0f} % alike), {whose or 'but nothing says whose it is'}"
    return Guess(offer.id, round(confidence, 2), Rule.TITLE, f"{reason}, in {offer.place}" if is_near else reason)


def _whose(offer: JobOffer, mention: Mention, text: str) -> tuple[str, bool]:
    """What says that a post is about this employer, or nothing; and whether it is the employer's own."""
    if mention.account in offer.accounts:
        return f"from {mention.account}, which speaks for it", True
    company = " ".join(_words(offer.company))
    if company and (f" {company} " in f" {text} " or company.replace(" ", "") in map(_plain, mention.tags)):
        return f"beside the name of {offer.company}", False
    return "", False


def _told_apart(top: list[Guess], titled: list[Guess], registry: Registry) -> list[Guess]:
    """Of offers that one rule found alike, the one whose title fits best; of titles within each other the longest."""
    fits = {one.offer: one for one in titled}

    def rank(guess: Guess) -> tuple[float, int]:
        fit = fits.get(guess.offer)
        return (0.0, 0) if fit is None else (fit.confidence, len(registry[guess.offer].title))

    best = max(map(rank, top))
    return [one for one in top if rank(one) == best]


def _best(guesses: list[Guess]) -> list[Guess]:
    """For each offer its likeliest guess, the likeliest offer first."""
    best: dict[str, Guess] = {}
    for guess in sorted(guesses, key=lambda one: (-one.confidence, one.offer, one.rule)):
        best.setdefault(guess.offer, guess)
    return list(best.values())


def _similarity(title: str, text: str) -> float:
    if f" {title} " in f" {text} ":
        return 100.0
    alike = fuzz.partial_ratio if len(text) > len(title) else fuzz.ratio
    return alike(title, text, score_cutoff=_ALIKE)


def _plain(text: str) -> str:
    """A text without case, accents and differences of writing that mean nothing."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(sign))


def _words(text: str) -> list[str]:
    return _WORD.findall(_plain(_MARKS.sub(" ", text)))


def _tag(tag: str) -> str:
    return _plain(tag.strip().removeprefix("#"))


def _links_of(offer: JobOffer) -> set[str]:
    return set(map(canonical, offer.urls))


def _tags_of(offer: JobOffer) -> set[str]:
    return set(map(_tag, offer.tags)) - {""}


def _posts_of(offer: JobOffer) -> set[str]:
    return set(offer.posts)


def _words_of(offer: JobOffer) -> set[str]:
    return set(_words(offer.title))
