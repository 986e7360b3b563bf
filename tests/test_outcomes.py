"""Outcomes: which offer they are of, who may push them, and that nothing about a candidate ever passes."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.columns import Columns
from connectors.completion import Completion
from connectors.connector import Connector, KnowsNothing, Refused
from connectors.exports import Row
from connectors.journal import Journal
from connectors.outcomes import FIELDS, MOST, PATH, Outcomes, normalise
from connectors.sightings import Resulted
from ricochet.followed import Followed
from ricochet.receiver import application
from spread.events import AnyEvent, Outcome, Rejected
from spread.registry import JobOffer
from tests.connecting import Shelf, made, running
from tests.exports import SECRET
from tests.processes import address, good, started, until
from tests.rehearsals import OFFER, URL
from tests.test_receiver import Sender

AT = "2026-09-01T10:00:00Z"
CANDIDATE = {"name": "Jane Doe", "e-mail": "jane@mail.example", "candidate": {"phone": "555-0199"}, "cv": ["Doe"]}


def row(**fields: str) -> Row:
    """Give a row, by default of an application at a moment."""
    return Row(
        "outcomes", "o.csv", 7, {"at": AT, "stage": "application"} | fields, Columns(kinds={"bewerbung": "hire"})
    )


def said(**fields: str) -> Resulted:
    """Give what a row says."""
    (found,) = normalise(row(**fields))
    assert isinstance(found, Resulted), found
    return found


@pytest.fixture
def completion(tmp_path: Path) -> Iterator[Completion]:
    """Give the completion of an installation with one offer."""
    followed = Followed(tmp_path / "near")
    followed.registry.put(JobOffer(id=OFFER, urls=(URL,)))
    with Journal(tmp_path / "journal") as journal:
        yield Completion(journal, followed.match, "outcomes")
    followed.close()


def events(completion: Completion, *rows: Row) -> list[AnyEvent]:
    """Complete what rows say."""
    return [event for one in rows for seen in normalise(one) for event in completion.events(seen, "import")]


@pytest.mark.parametrize(
    ("fields", "network"),
    [
        ({"offer": OFFER}, "outcomes"),
        ({"utm_content": OFFER, "utm_source": "LinkedIn"}, "linkedin"),
        ({"utm_campaign": OFFER, "utm_content": "blue-button", "utm_source": "jane@mail.example"}, "outcomes"),
        ({"url": f"{URL}?utm_source=twitter&utm_medium=social"}, "x"),
        ({"url": f"https://apply.example/?utm_content={OFFER}"}, "outcomes"),
        ({"url": "http://www.jobs.example/42/", "utm_content": "unknown"}, "outcomes"),
    ],
)
def test_an_outcome_finds_its_offer(completion: Completion, fields: dict[str, str], network: str) -> None:
    """By the offer's id, in a field of its own or in the campaign, or by its link in any form; the source is kept."""
    (event,) = events(completion, row(n="3", **fields))
    assert isinstance(event, Outcome)
    assert (event.offer, event.stage, event.n, event.network) == (OFFER, "application", 3, network)
    assert event.id.startswith("outcomes:row-")


def test_an_outcome_of_no_offer_is_dropped(completion: Completion) -> None:
    """What names another offer, or in another case, concerns none."""
    others = [row(offer="unknown"), row(utm_content=OFFER.upper()), row(url="https://jobs.example/43"), row(url="[")]
    assert events(completion, *others) == []


def test_an_outcome_keeps_its_offer(completion: Completion) -> None:
    """Told again after its offer has another link, it is the same event and not one of another offer."""
    (first,) = events(completion, row(offer=OFFER, id="a1"))
    (again,) = events(completion, row(offer="another", id="a1"))
    assert first == again


def test_ids_are_stable(completion: Completion) -> None:
    """The same row has the same id, with an id of its own whatever else changes, without one if nothing does."""
    assert said(id="a1", offer="o").id == said(id="a1", url=URL, n="2").id != said(id="a2", offer="o").id
    assert said(offer="o").id == said(offer="o", n="2").id != said(offer="o", at="2026-09-02").id
    assert (said(offer="o").n, said(stage="Bewerbung", offer="o").stage) == (1, "hire")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"id": "jane@mail.example", "offer": "o"}, "id: may be a name or an address"),
        ({"id": "Jane Doe", "offer": "o"}, "id: may be a name or an address"),
        ({"id": "jane.doe", "offer": "o"}, "id: may be a name or an address"),
        ({}, "offer: is empty, and so is what else may name one"),
        ({"offer": "o", "stage": "Jane"}, "stage: none of click, application, hire"),
        ({"offer": "o", "n": "-1"}, "n: no whole number"),
        ({"offer": "o", "at": "soon"}, "at: no time such as"),
    ],
)
def test_a_bad_row_is_refused(fields: dict[str, str], told: str) -> None:
    """With file, row, column and reason, and nothing of what stands there; an id that may name somebody too."""
    (found,) = normalise(row(**fields))
    assert isinstance(found, Rejected)
    assert found.detail.startswith(f"o.csv:7: {told}")
    assert "ane" not in found.detail.replace("another", "")


PERSONAL = st.text(st.sampled_from("JDäö@ß"), min_size=4, max_size=12)
MAYBE = st.sampled_from(["id", "offer", "utm_content", "utm_campaign", "utm_source", "url", "stage", "n"])


@given(st.dictionaries(MAYBE, PERSONAL), st.dictionaries(st.text(min_size=1), PERSONAL), st.booleans())
def test_no_text_of_a_row_passes(fields: dict[str, str], others: dict[str, str], has_link: bool) -> None:
    """Whatever stands in which field, an event has a stage, numbers, hashes and the id of a known offer, no text."""
    given = {"at": AT, "stage": "hire", "n": "1"} | fields | ({"url": URL} if has_link else {"offer": OFFER})
    told = Row("outcomes", "f", 1, given, Columns())
    for seen in normalise(told):
        if isinstance(seen, Rejected):
            wrote = seen.detail + repr(seen.raw)
        else:
            assert isinstance(seen, Resulted)
            event = Outcome(v=1, id=seen.id, network=seen.network, at=seen.at, offer=OFFER, stage=seen.stage, n=seen.n)
            wrote = msgspec.json.encode(event).decode()
        assert not [text for text in (*fields.values(), *others.values()) if text in wrote]


# The webhook


@pytest.fixture
def connector() -> Connector:
    """Give a connector that is pushed to alone."""
    return made("outcomes", {"secret": SECRET})


def signature(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """Sign a body."""
    return {"X-Ricochet-Signature": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}


def push(sender: Sender, told: Any, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Deliver something, give the status and the text of the answer."""
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    answer = sender.ask("POST", PATH, content=body, headers=signature(body) if headers is None else headers)
    return answer.status_code, answer.text


def test_what_is_pushed_is_safe_when_it_is_answered(connector: Connector, tmp_path: Path) -> None:
    """An object and an array of them become events, without what nobody asked for, and twice is the same."""
    shelf = Shelf()
    sender = Sender(application(connector.hooks))
    with running(connector, tmp_path / "journal", lambda: shelf):
        one = {"id": 17, "at": AT, "stage": "click", "n": 3, "url": URL} | CANDIDATE
        assert push(sender, one) == (200, "")
        assert push(sender, [one, {"at": AT, "stage": "hire", "url": URL}]) == (200, "")
        assert [(event.stage, event.n) for event in shelf.events if isinstance(event, Outcome)] == [
            ("click", 3),
            ("click", 3),
            ("hire", 1),
        ]
        assert shelf.events[0] == shelf.events[1]
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir()) + repr(shelf.events).encode()
    assert b"outcomes:row-" in kept, "the journal is read"
    assert not [text for text in ("Jane", "Doe", "mail.example", "555") if text.encode() in kept]


def test_what_is_not_signed_or_wrong_is_refused_whole(connector: Connector, tmp_path: Path) -> None:
    """A wrong signature, no JSON, and a delivery with one bad row: nothing is taken, and the sender hears why."""
    shelf = Shelf()
    sender = Sender(application(connector.hooks))
    fine = {"at": AT, "stage": "click", "url": URL}
    assert push(sender, fine) == (503, "")  # it is not connected yet
    with running(connector, tmp_path / "journal", lambda: shelf):
        for headers in ({}, signature(b"other"), signature(json.dumps(fine).encode(), "another")):
            assert push(sender, fine, headers)[0] == 401
        assert sender.ask("GET", PATH).status_code == 405
        assert push(sender, b"{") == (400, "not JSON\n")
        assert push(sender, [[]]) == (400, "row 1 is no object\n")
        assert push(sender, [fine] * (MOST + 1)) == (400, "501 rows, at most 500\n")
        wrong = [fine, fine | {"stage": "Jane"}, fine | {"id": {"e-mail": "jane@mail.example"}}]
        assert push(sender, wrong) == (
            422,
            "webhook:2: stage: none of click, application, hire\nwebhook:3: id: neither a text nor a number\n",
        )
        assert push(sender, fine)[0] == 200
    assert len(shelf.events) == 1


def test_without_files_or_a_secret_there_is_nothing_to_do() -> None:
    """It says so, and has no route where it has no secret."""
    assert made("outcomes", {"files": "o.csv"}).hooks == ()
    idle = Outcomes(made("outcomes", {}).options, KnowsNothing())
    with pytest.raises(Refused, match="neither files nor a secret"):
        idle.connect(None)


# As processes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with an offer."""
    (tmp_path / "offers.yaml").write_text(f"- {{id: {OFFER}, title: A job, urls: ['{URL}']}}\n")
    good("offers", "import", "offers.yaml", cwd=tmp_path)
    return tmp_path


KEY = {"RICOCHET_HASH_KEY": "0123456789abcdef", "RICOCHET_LOG_FORMAT": "json"}


def kept(folder: Path) -> bytes:
    """Read all that the installation keeps."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".csv", ".yaml")]
    return b"".join(path.read_bytes() for path in paths)


def test_a_file_of_outcomes_comes_in(folder: Path) -> None:
    """`ricochet import --network outcomes` needs no mapping where columns are named like fields; nobody is kept."""
    (folder / "o.csv").write_text(
        "at,stage,n,utm_content,candidate,e-mail\n"
        f"2026-09-01,click,120,{OFFER},,\n"
        f"2026-09-01,application,,{OFFER},Jane Doe,jane@mail.example\n"
        "2026-09-01,application,,other,John Doe,john@mail.example\n"
    )
    done = good("import", "o.csv", "--network", "outcomes", cwd=folder, env=KEY)
    assert done.out == "outcomes: 3 rows, 0 bad, 1 about no offer; events: 2 outcome; 1 offers\n"
    with started("run", "--connect", "outcomes", "--port", "0", cwd=folder, env=KEY | push_env()) as child:
        child.base = address(child.line('"event": "running"'))
        until(lambda: child.offer(OFFER).status_code == 200, "the offer")
        assert child.offer(OFFER).json()["funnel"] == {"click": 120, "application": 1}
        assert child.end() == 0
    assert not [text for text in (b"Jane", b"John", b"Doe", b"mail.example") if text in kept(folder)]


def push_env(port: str = "0") -> dict[str, str]:
    """Give the settings of an installation that is pushed to."""
    return {"RICOCHET_CONNECTORS__OUTCOMES__SECRET": SECRET, "RICOCHET_RECEIVER_PORT": port}


def test_outcomes_are_pushed_to_a_running_engine(folder: Path) -> None:
    """Through the one receiver, with a signature; the answer comes when the engine has them, and nobody is kept."""
    import httpx

    with started("run", "--connect", "outcomes", "--port", "0", cwd=folder, env=KEY | push_env()) as child:
        receiver = address(child.line('"event": "receiving"'))
        child.base = address(child.line('"event": "running"'))
        until(lambda: child.get("/readyz").status_code == 200, "ready", 0.1)
        body = json.dumps({"at": AT, "stage": "hire", "n": 2, "offer": OFFER} | CANDIDATE).encode()
        with httpx.Client(trust_env=False, timeout=60) as http:
            assert http.post(receiver + PATH, content=body, headers=signature(body)).status_code == 200
            assert http.post(receiver + PATH, content=body, headers=signature(b"")).status_code == 401
        assert child.offer(OFFER).json()["funnel"] == {"hire": 2}
        assert child.end() == 0
    assert not [text for text in (b"Jane", b"Doe", b"mail.example", SECRET.encode()) if text in kept(folder)]
    assert not [line for line in child.said if "Jane" in line or SECRET in line]


def test_every_field_is_documented() -> None:
    """Each field that is taken stands on the page, and so does the path."""
    page = (Path(__file__).parents[1] / "docs/imports.md").read_text()
    page = page[page.index("## Outcomes") :]
    assert [field for field in (*FIELDS, PATH) if f"`{field}`" not in page] == []
