"""`ricochet digest`: what a week held, as text and as HTML, and one line where nobody answers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ricochet import digest
from ricochet.digest import Digest, Line
from tests.processes import address, ended, good, started, until
from tests.worlds import NOON

LINE = Line("a", "Cook <b>", "Korrigan & Cie", "open", 12, 40, 1_000, 2_500, "x 30, bluesky 10", ("was viral",))
WEEK = Digest(NOON - 7 * 86_400_000, NOON, 3, 15, (LINE,), ())


def test_the_demo_s_day_is_summed_up(tmp_path: Path) -> None:
    """After the demo's day the digest tells of its viral offer first, and what was told of it, in both forms."""
    with started("demo", "--speed", "20000", cwd=tmp_path) as demo:
        demo.base = address(demo.line("/metrics"))

        def shares() -> int:
            return max((offer["nodes"] for offer in demo.get("/offers").json()), default=0)

        until(lambda: shares() > 100 and len(demo.get("/alerts").json()) > 2, "the day to pass", every_s=0.2)
        offers = {offer["offer"]: offer["title"] for offer in demo.get("/offers").json()}
        text = good("digest", "--at", demo.base, cwd=tmp_path).out
        good("digest", "--at", demo.base, "--html", "--out", "week.html", cwd=tmp_path)
        most = max(demo.get("/offers").json(), key=lambda offer: offer["nodes"])["offer"]
    first = text.splitlines()[2]
    assert first.startswith(offers[most])
    assert re.search(r"^  [\d,]+ shares this week, [\d,]+ posts and shares in all \(", text, flags=re.MULTILINE)
    assert re.search(r"^  it .*took off", text, flags=re.MULTILINE)
    assert offers[most] in (tmp_path / "week.html").read_text()


def test_what_a_digest_says() -> None:
    """Both forms say the same words; HTML shows what people wrote as it is, and loads nothing from elsewhere."""
    seen: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            seen.append(data.strip())

    page = digest.html(WEEK)
    Reader().feed(page)
    words = (
        "Your offers, 07 November to 14 November 2023: 15 shares of 3 offers",
        "Cook <b> (Korrigan & Cie)",
        "12 shares this week, 40 posts and shares in all (x 30, bluesky 10)",
        "at least 1,000 accounts reached, at most 2,500",
        "it was viral",
    )
    for line in words:
        assert line in digest.text(WEEK)
        assert line in seen
    assert not re.search(r"(?i)<script|src=|href=|https?:", page)


def test_a_week_without_anything() -> None:
    """Where nothing was shared it says so."""
    empty = Digest(WEEK.since, WEEK.until, 0, 0, (), ())
    assert "Nothing was shared." in digest.text(empty)
    assert "Nothing was shared." in digest.html(empty)


def test_what_was_before_does_not_count() -> None:
    """Only shares of the days asked for are the week's, and what people were told in them or still believe."""
    curve = {"start": NOON - 10 * 86_400_000, "width": 86_400_000, "counts": [5, 0, 0, 0, 0, 0, 0, 0, 0, 2]}
    detail = {
        **{"offer": "a", "title": "", "company": "", "state": "open", "nodes": 8, "networks": {"x": {"nodes": 8}}},
        **{"reach": {"low": 1, "high": None}, "curve": curve},
        "told": {
            "second_wave": {"since": NOON - 8 * 86_400_000, "is_over": True},
            "takes_off": {"since": NOON - 86_400_000, "is_over": True},
            "viral": {"since": NOON - 9 * 86_400_000, "is_over": False},
        },
    }
    line = digest._line(detail, NOON - 7 * 86_400_000, NOON)
    assert (line.title, line.gained, line.high) == ("a", 2, None)
    assert line.told == ("took off", "was viral")


@pytest.mark.parametrize("args", [["--at", "http://127.0.0.1:9"], ["--at", "nowhere"]])
def test_nobody_answers(tmp_path: Path, args: list[str]) -> None:
    """Where nobody answers, one line says where, and the code is 2."""
    assert args[1] in ended("digest", *args, cwd=tmp_path).complaint()


def test_alertmanager_is_asked_to_send_it(tmp_path: Path) -> None:
    """Where Alertmanager does not answer, one line says so."""
    with started("demo", "--speed", "20000", cwd=tmp_path) as demo:
        base = address(demo.line("/metrics"))
        said = ended("digest", "--at", base, "--send", "http://127.0.0.1:9", cwd=tmp_path).complaint()
    assert "http://127.0.0.1:9: the digest was not taken" in said
