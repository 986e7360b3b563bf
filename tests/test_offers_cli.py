"""`ricochet offers`: offers come in, change, close and come back; posts are matched, and corrected by persons."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from connectors.near_misses import NearMisses
from connectors.short_links import ShortLinks
from ricochet.offers import resolved
from spread.hashing import Hashing
from spread.matching import Guess, Rule
from spread.registry import JobOffer
from streams.clock import wall_clock
from tests.crew import Crew
from tests.jetstream import POST as BSKY_POST
from tests.jetstream import Jetstream, commit, offer_post
from tests.processes import Ended, address, ended, good, running, started, until
from tests.rehearsals import URL
from tests.replay import Answer, replay
from tests.test_run import POST, append, post, share

OFFERS = """
- {id: data-42, title: Data Engineer, company: Acme Robotics, urls: [https://acme.example/jobs/1]}
- {id: cook-7, title: Chef de partie, company: Bistro, tags: [bistro], accounts: [x:200]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a file of offers that were imported into its state."""
    (tmp_path / "offers.yaml").write_text(OFFERS)
    assert good("offers", "import", "offers.yaml", cwd=tmp_path).out == "offers.yaml: 2 offers; 2 new\n"
    return tmp_path


def listed(folder: Path, *options: str, env: dict[str, str] | None = None) -> dict[str, str]:
    """Ask for the offers: each with its state."""
    lines = good("offers", "list", *options, cwd=folder, env=env).out.splitlines()
    rows = [[cell.strip() for cell in line.split("│")] for line in lines if "│" in line]
    return {row[1]: row[2] for row in rows if row[1]}


def cascades(folder: Path, state: str = "ricochet.state") -> dict[tuple[str, str], int]:
    """Ask a state for its report: the nodes of each cascade by offer and root."""
    lines = [json.loads(line) for line in good("report", "--state", state, cwd=folder).out.splitlines()]
    return {(line["offer"], line["root"]): line["nodes"] for line in lines if line["type"] == "cascade"}


def test_only_what_changed_comes_in(folder: Path) -> None:
    """An import twice changes nothing; then one offer is new, one other, one closed; what comes back is re-posted."""
    assert good("offers", "import", "offers.yaml", cwd=folder).out == "offers.yaml: 2 offers; nothing changed\n"
    (folder / "offers.yaml").write_text(OFFERS.replace("data-42", "data-43").replace("Chef de", "Cheffe de"))
    again = good(
        "offers",
        "import",
        folder / "offers.yaml",
        cwd=folder.parent,
        env={"RICOCHET_STATE": f"{folder}/ricochet.state"},
    )
    assert again.out.endswith("offers.yaml: 2 offers; 1 new, 1 changed, 1 closed\n")
    assert listed(folder) == {"data-42": "closed", "data-43": "open", "cook-7": "open"}
    (folder / "offers.yaml").write_text(OFFERS)
    assert "1 changed, 1 re-posted, 1 closed" in good("offers", "import", "offers.yaml", cwd=folder).out
    assert listed(folder) == {"data-42": "re-posted", "data-43": "closed", "cook-7": "open"}


def test_offers_come_in_from_a_career_site(tmp_path: Path) -> None:
    """What a site's postings say comes in by its link; what has gone from it is closed, unless it can't be read."""
    posting = {"@type": "JobPosting", "title": "Cook", "identifier": "7", "url": "/jobs/7"}
    with replay() as site:
        source = f"{site.base}/jobs"
        site.says("/jobs", [posting, posting | {"identifier": "8"}], [posting], Answer(status=403))
        imported = good("offers", "import", source, cwd=tmp_path)
        assert imported.out == f"{source}: 2 offers; 2 new\n"
        assert good("offers", "import", source, cwd=tmp_path).out == f"{source}: 1 offer; 1 closed\n"
        assert ended("offers", "import", source, cwd=tmp_path).complaint().endswith(f": {source}: HTTP 403")
    assert listed(tmp_path) == {"127.0.0.1:7": "open", "127.0.0.1:8": "closed"}


def test_a_bad_file_changes_nothing(folder: Path) -> None:
    """The first fault is the complaint, all are told by `check`, and nothing of any source is written."""
    (folder / "good.csv").write_text("id,title\nnew,New\n")
    (folder / "bad.yaml").write_text("- id: a\n  titel: x\n- id: b\n  urls: y\n")
    complaint = ended("offers", "import", "good.csv", "bad.yaml", cwd=folder).complaint()
    assert "bad.yaml:2: unknown field 'titel'" in complaint
    assert "(and 1 more, see `ricochet offers check`)" in complaint
    checked = ended("offers", "check", "good.csv", "bad.yaml", cwd=folder)
    assert (checked.code, len(checked.out.splitlines())) == (1, 2)
    assert "bad.yaml:4: 'y' is no link" in checked.out
    assert set(listed(folder)) == {"data-42", "cook-7"}
    twice = ended("offers", "import", "offers.yaml", "copy.csv", cwd=folder)
    assert "copy.csv: No such file" in twice.complaint()
    (folder / "copy.csv").write_text("id,title\ncook-7,Chef\n")
    assert (
        "offer cook-7 is in offers.yaml too"
        in ended("offers", "import", "offers.yaml", "copy.csv", cwd=folder).complaint()
    )
    assert "neither a file of offers" in ended("offers", "import", "offers.txt", cwd=folder).complaint()


def test_check_names_links_to_several_offers(folder: Path) -> None:
    """Two offers under one link can't be told apart by it, in whatever form it stands."""
    assert good("offers", "check", "offers.yaml", cwd=folder).out == "2 offers, nothing is wrong with them\n"
    (folder / "more.csv").write_text("id,title,urls\na,A,http://www.acme.example/jobs/1/?utm_source=x\n")
    checked = ended("offers", "check", "offers.yaml", "more.csv", cwd=folder)
    assert (checked.code, checked.out) == (1, "https://acme.example/jobs/1 leads to a, data-42\n")


def test_a_source_that_is_suddenly_empty_closes_nothing_by_itself(folder: Path) -> None:
    """A source without any offer, where some were open, is refused until a person says that it is so."""
    (folder / "offers.yaml").write_text("[]")
    assert "no offer, where 2 were open" in ended("offers", "import", "offers.yaml", cwd=folder).complaint()
    assert "2 closed" in good("offers", "import", "--empty", "offers.yaml", cwd=folder).out
    assert set(listed(folder).values()) == {"closed"}


def matched(folder: Path, *args: str) -> Ended:
    """Ask which offer something belongs to."""
    return ended("offers", "match", *args, cwd=folder)


def test_a_text_or_link_is_matched_and_explained(folder: Path) -> None:
    """The answer is the offer; `--explain` says how a link is compared, why, how sure that is, and what is near."""
    found = matched(folder, "http://www.acme.example/jobs/1/?source=x")
    assert (found.code, found.out) == (0, "data-42\n")
    explained = matched(folder, "--explain", "look: http://www.acme.example/jobs/1/?source=x").out
    assert "is compared as https://acme.example/jobs/1" in explained
    assert "offer     data-42, confidence 0.95: it links to" in explained
    assert matched(folder, "join us #Bistro", "--account", "x:200").out == "cook-7\n"
    near = matched(folder, "--explain", "join us #Bistro")
    assert near.code == 1
    assert near.out.splitlines()[0] == "no offer: nothing in the post leads to an offer"
    assert "near      cook-7, confidence 0.40" in near.out
    assert (matched(folder, "hello").code, matched(folder, "hello").out) == (1, "")


def test_offers_need_a_state(tmp_path: Path) -> None:
    """Questions about a state file that does not exist are refused, and make none."""
    for args in (("list",), ("match", "x"), ("assign", "x:1", "o")):
        assert "no such state file" in ended("offers", *args, cwd=tmp_path).complaint()
    assert list(tmp_path.iterdir()) == []


def test_an_assigned_post_moves_with_all_its_shares(folder: Path) -> None:
    """A correction moves past and later shares to the other offer, and the latest correction counts."""
    (folder / "events.jsonl").write_bytes(post() + share(2) + share(3))
    good("replay", "events.jsonl", "--state", "ricochet.state", cwd=folder)
    assert cascades(folder) == {("o", "x:1"): 3}
    assert good("offers", "assign", "x:1", "data-42", cwd=folder).out == "x:1 belongs to data-42\n"
    assert cascades(folder) == {("data-42", "x:1"): 3}
    (folder / "more.jsonl").write_bytes(share(4))
    good("replay", "more.jsonl", "--state", "ricochet.state", cwd=folder)
    assert cascades(folder) == {("data-42", "x:1"): 4}
    elsewhere = good("offers", "assign", "x:1", "unknown", cwd=folder)
    assert elsewhere.err == "note: unknown is not among the offers (`ricochet offers list`)\n"
    assert cascades(folder) == {("unknown", "x:1"): 4}


def test_a_running_engine_takes_corrections_and_offers(folder: Path) -> None:
    """Beside a running engine offers are imported and posts assigned; it shows both soon, and keeps them."""
    tail, state = folder / "events.jsonl", folder / "ricochet.state"
    with running(tail, state=state) as child:
        append(tail, post() + share(2))
        child.has("o", 2)
        said = good("offers", "assign", "x:1", "data-42", cwd=folder).out
        assert said == "x:1 is going to belong to data-42, once what runs has taken it in\n"
        child.has("data-42", 2)
        assert child.offer("data-42").json()["title"] == "Data Engineer"
        (folder / "offers.yaml").write_text(OFFERS.replace("Data Engineer", "Data Wizard"))
        good("offers", "import", "offers.yaml", cwd=folder)
        until(lambda: child.offer("data-42").json()["title"] == "Data Wizard", "the new title")
        append(tail, share(3))
        child.has("data-42", 3)
        assert child.end() == 0
    assert cascades(folder) == {("data-42", "x:1"): 3}


def test_bad_assignments_are_refused(folder: Path) -> None:
    """What can be no post or no offer is refused in a line."""
    for root, offer, part in (
        ("1", "data-42", "has no network before it"),
        ("X Y:1", "data-42", "has no network before it"),
        ("x:1\n", "data-42", "is no id of a post"),
        ("x:" + "1" * 600, "data-42", "is no id of a post"),
        ("x:1", "", "is no id of an offer"),
    ):
        assert part in ended("offers", "assign", root, offer, cwd=folder).complaint()


def test_a_hashed_installation_is_corrected_by_clear_and_hashed_ids(folder: Path) -> None:
    """Where the settings hold a key, a post is named as the network or as the report has it."""
    env = {"RICOCHET_HASH_KEY": "a key of sixteen", "RICOCHET_STATE": "hashed.state"}
    hashing = Hashing(b"a key of sixteen")
    hashed = hashing.name("x:1")
    (folder / "events.jsonl").write_text(
        json.dumps(POST | {"id": hashed, "root": hashed, "actor": hashing.name("x:ana")})
    )
    good("replay", "events.jsonl", "--state", "hashed.state", cwd=folder)
    good("offers", "assign", "x:1", "data-42", cwd=folder, env=env)
    assert cascades(folder, "hashed.state") == {("data-42", hashed): 1}
    good("offers", "assign", hashed, "cook-7", cwd=folder, env=env)
    assert cascades(folder, "hashed.state") == {("cook-7", hashed): 1}


def test_clear_names_are_corrected_where_there_is_a_key(folder: Path) -> None:
    """What a followed file names in clear is found by its name, though the settings hold a key for the connectors."""
    env = {"RICOCHET_HASH_KEY": "a key of sixteen", "RICOCHET_STATE": "clear.state"}
    (folder / "events.jsonl").write_bytes(post() + share(2))
    good("replay", "events.jsonl", "--state", "clear.state", cwd=folder)
    said = good("offers", "assign", "x:1", "data-42", cwd=folder, env=env)
    assert said.out == "x:1 belongs to data-42\n"
    assert cascades(folder, "clear.state") == {("data-42", "x:1"): 2}
    with running(folder / "more.jsonl", state=folder / "clear.state", env=env) as child:
        append(folder / "more.jsonl", share(3))
        child.has("data-42", 3)
        assert child.end() == 0


def test_short_links_of_offers_are_resolved(tmp_path: Path) -> None:
    """An offer has the link that a short one leads to, once; one that leads nowhere stays, and is told."""
    offer = JobOffer(id="a", urls=("http://bit.ly/1", "http://bit.ly/2", "https://acme.example/jobs/1"))
    with replay() as shortener:
        shortener.says("/1", Answer(status=301, headers={"Location": "https://acme.example/jobs/1"}))
        links = ShortLinks({"bit.ly"}, standing_in={"bit.ly": (shortener.host, shortener.port)})
        read, notes = resolved({"s": [offer, JobOffer(id="b")]}, links)
    assert read["s"][0].urls == ("https://acme.example/jobs/1", "http://bit.ly/2")
    assert read["s"][1] == JobOffer(id="b")
    assert notes == ["offer a: where http://bit.ly/2 leads is not known, write the long link"]


def test_an_unresolved_short_link_is_a_note(folder: Path) -> None:
    """The import goes on, and says on stderr which link is of no use."""
    (folder / "short.csv").write_text("id,urls\ns,https://bit.ly:1/x\n")
    done = good("offers", "import", "short.csv", cwd=folder)
    assert done.err == "note: offer s: where https://bit.ly:1/x leads is not known, write the long link\n"
    assert done.out == "short.csv: 1 offer; 1 new\n"


def test_near_misses_are_listed_until_decided(folder: Path) -> None:
    """The queue shows each post with its offers, how sure and why; an assignment takes the post from it."""
    assert "x:9" not in good("offers", "near", cwd=folder).out
    assert not (folder / "ricochet.near").exists()
    with NearMisses(folder / "ricochet.near") as near:
        near.add("x:9", (Guess("cook-7", 0.4, Rule.TAG, "a hashtag of it"),), wall_clock())
    row = next(line for line in good("offers", "near", cwd=folder).out.splitlines() if "x:9" in line)
    assert [cell.strip() for cell in row.split("│")][2:6] == ["x:9", "cook-7", "0.40", "a hashtag of it"]
    good("offers", "assign", "x:9", "cook-7", cwd=folder)
    assert "x:9" not in good("offers", "near", cwd=folder).out
    with NearMisses(folder / "ricochet.near") as near:
        assert near.decision("x:9") == "cook-7"
    (folder / "ricochet.near").write_text("no database at all" * 100)
    assert "ricochet.near" in ended("offers", "near", cwd=folder).complaint()


def test_offers_live_on_kafka(hands: Crew) -> None:
    """On Kafka the offers are a compacted topic that workers follow; an assignment moves past shares there too."""
    (hands.folder / "offers.yaml").write_text(OFFERS)
    env = hands.env | {"RICOCHET_ENGINE": "kafka"}
    assert "2 new" in hands.command("offers", "import", "offers.yaml", "--to", "kafka").out
    assert "nothing changed" in good("offers", "import", "offers.yaml", cwd=hands.folder, env=env).out
    assert listed(hands.folder, env=env) == {"data-42": "open", "cook-7": "open"}
    assert good("offers", "match", "https://acme.example/jobs/1", cwd=hands.folder, env=env).out == "data-42\n"
    worker = hands.start()
    hands.ready(worker)
    lines = [post(), share(2), share(3)]
    hands.send(lines)
    hands.caught_up()
    assert nodes(hands, "o") == {"x:1": 3}
    good("offers", "assign", "x:1", "data-42", cwd=hands.folder, env=env)
    hands.caught_up()
    hands.send([share(4)])
    hands.caught_up()
    assert nodes(hands, "data-42", "o") == {"x:1": 4}
    assert worker.offer("data-42").json()["title"] == "Data Engineer"
    (hands.folder / "offers.yaml").write_text(OFFERS.replace("Data Engineer", "Data Wizard"))
    good("offers", "import", "offers.yaml", cwd=hands.folder, env=env)
    until(lambda: worker.offer("data-42").json()["title"] == "Data Wizard", "the new title")
    assert ended("offers", "list", "--to", "kafka", "--state", "s", cwd=hands.folder, env=env).code == 2


def nodes(hands: Crew, *offers: str) -> dict[str, Any]:
    """Ask the workers for cascades: their nodes by root."""
    lines = [json.loads(line) for line in hands.report(offers)[0].splitlines()]
    return {line["root"]: line["nodes"] for line in lines if line["type"] == "cascade"}


def test_kafka_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """Without Kafka, or without its topics, the complaint is a line."""
    env = {"RICOCHET_KAFKA": "127.0.0.1:1"}
    assert "Kafka at 127.0.0.1:1" in ended("offers", "list", "--to", "kafka", cwd=tmp_path, env=env).complaint()


def test_a_connector_follows_the_offers(tmp_path: Path) -> None:
    """A post whose link is an offer's is that offer's; what nearly matches waits until it is decided or deleted."""
    now = time.time_ns() // 1000

    def said(rkey: str, text: str, tag: str = "") -> bytes:
        facet = {"features": [{"$type": "app.bsky.richtext.facet#tag", "tag": tag}], "index": {}}
        return commit("did:plc:a", now, BSKY_POST, {"text": text, "facets": [facet] if tag else []}, rkey)

    def waiting() -> set[str]:
        with NearMisses(tmp_path / "ricochet.near") as near:
            return {one.post.rpartition("/")[2] for one in near.waiting(wall_clock())}

    (tmp_path / "offers.yaml").write_text(OFFERS.replace("https://acme.example/jobs/1", URL))
    good("offers", "import", "offers.yaml", cwd=tmp_path)
    with Jetstream() as jetstream:
        env = {
            "RICOCHET_HASH_KEY": "a key of sixteen",
            "RICOCHET_CONNECTORS__BLUESKY__JETSTREAM": jetstream.url,
            "RICOCHET_CONNECTORS__BLUESKY__APPVIEW": "http://127.0.0.1:9",
            "RICOCHET_LOG_FORMAT": "json",
        }
        with started("run", "--connect", "bluesky", "--port", "0", cwd=tmp_path, env=env) as child:
            child.base = address(child.line('"event": "running"'))
            until(lambda: child.get("/readyz").status_code == 200, f"ready: {child.said}", 0.1)
            jetstream.say(said("near", "we hire", "bistro"))
            jetstream.say(said("gone", "we hire", "bistro"))
            jetstream.say(said("no", "a data engineer"))
            jetstream.say(offer_post(now + 1))
            child.has("data-42", 1)
            assert waiting() == {"near", "gone"}
            jetstream.say(commit("did:plc:a", now + 2, BSKY_POST, None, "gone"))
            until(lambda: waiting() == {"near"}, "the deleted post gone")
            post_id = f"bluesky:at://did:plc:a/{BSKY_POST}/near"
            good("offers", "assign", post_id, "cook-7", cwd=tmp_path, env=env)
            jetstream.say(said("near", "we hire", "bistro"))
            child.has("cook-7", 1)
            assert waiting() == set()
            assert child.end() == 0
