"""The oracle on cascades small enough to compute by hand, and the properties it must have to be one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.oracle import Answer, answer
from tests.worlds import Event, redelivered, worlds


def event(kind: str, number: str, at: int, account: str | None = None, **fields: Any) -> Event:
    network = (account or "x:").partition(":")[0]
    line: Event = {"v": 1, "id": f"x:{number}", "kind": kind, "network": network, "at": at}
    return line | ({} if account is None else {"actor": account}) | fields


def post(number: str, at: int, account: str, **fields: Any) -> Event:
    return event("post", number, at, account, **{"offer": "o", "root": f"x:{number}"} | fields)


def share(number: str, at: int, account: str, via: str | None = None, **fields: Any) -> Event:
    came = {} if via is None else {"via": f"x:{via}"}
    return event("share", number, at, account, **{"offer": "o", "root": "x:r"} | came | fields)


def reply(number: str, at: int, account: str, via: str) -> Event:
    return share(number, at, account, via) | {"kind": "reply"}


def ties(number: str, at: int, account: str, **fields: Any) -> Event:
    return event("ties", number, at, account, **fields)


def delete(number: str, account: str, target: str) -> Event:
    return event("delete", number, 9, account, target=f"x:{target}")


def parents(found: Answer) -> dict[str, tuple[str, str]]:
    """Map each child to its parent and basis, by native ids."""
    return {e["child"][2:]: (e["parent"][2:], e["basis"]) for e in found.edges}


def test_a_star_is_one_deep() -> None:
    """Shares without via or ties hang on the root, assumed."""
    #      r
    #    / | \
    #   a  b  c      distances: 3 of 1, 3 of 2; mean 9/6
    found = answer([post("r", 0, "x:ana"), *(share(n, 1, f"x:{n}") for n in "abc")])
    assert found.cascades == [
        {
            "type": "cascade",
            "offer": "o",
            "root": "x:r",
            "root_seen": True,
            "network": "x",
            "nodes": 4,
            "participants": 4,
            "depth": 1,
            "max_breadth": 3,
            "structural_virality": 1.5,
            "edges": {"declared": 0, "inferred": 0, "assumed": 3},
            "exposure": {"root": 0, "others": 0, "none": 3},
            "reach": {"known": 0, "low": 0, "estimate": None, "high": None, "beyond": None},
            "first_at": 0,
            "last_at": 1,
            "anomalies": 0,
        }
    ]
    assert found.offers == [
        {
            "type": "offer",
            "offer": "o",
            "cascades": 1,
            "nodes": 4,
            "participants": 4,
            "replies": 0,
            "depth": 1,
            "max_breadth": 3,
            "reach": {"known": 0, "low": 0, "estimate": None, "high": None, "beyond": None},
            "networks": {"x": {"nodes": 4, "participants": 4}},
        }
    ]
    assert found.edges[0] == {"root": "x:r", "child": "x:a", "parent": "x:r", "basis": "assumed", "probability": None}


def test_a_chain_is_as_deep_as_it_is_long() -> None:
    """Declared parents are believed even where the clocks disagree."""
    #   r - a - b - c      distances: 3 of 1, 2 of 2, 1 of 3; mean 10/6
    lines = [post("r", 5, "x:ana"), share("a", 4, "x:bob", "r"), share("b", 3, "x:cyd", "a")]
    found = answer([*lines, share("c", 2, "x:dan", "b")])
    (cascade,) = found.cascades
    assert (cascade["depth"], cascade["max_breadth"], cascade["structural_virality"]) == (3, 1, 1.666666667)
    assert cascade["edges"] == {"declared": 3, "inferred": 0, "assumed": 0}
    assert found.edges[0] == {"root": "x:r", "child": "x:a", "parent": "x:r", "basis": "declared", "probability": 1}


def test_a_deleted_node_with_a_living_declared_child_is_a_joint() -> None:
    """Depth and distances run over joints, breadth and nodes count the living, a deleted leaf is gone."""
    #        r
    #      /   \
    #    (d)   (e)      d and e deleted; distances r-a 2, r-b 2, a-b 2
    #    / \
    #   a   b
    lines = [post("r", 0, "x:ana"), share("d", 1, "x:bob", "r"), share("e", 1, "x:cyd", "r")]
    lines += [share("a", 2, "x:dan", "d"), share("b", 2, "x:eve", "d")]
    found = answer([delete("1", "x:bob", "d"), delete("2", "x:cyd", "e"), *lines])
    (cascade,) = found.cascades
    assert (cascade["nodes"], cascade["depth"], cascade["max_breadth"]) == (3, 2, 2)
    assert cascade["structural_virality"] == 2.0
    assert parents(found) == {"a": ("d", "declared"), "b": ("d", "declared")}
    assert found.joints == {("o", "x:r"): 1}


def test_a_mixed_loop_is_broken_at_its_first_inferred_edge() -> None:
    """The node of the smallest (at, id) among those inferred hangs on the root, assumed, and it is an anomaly."""
    #   b = c ~ d = a ~ b      = declared, ~ inferred; times b1 d2 a3 c4
    #   r - a = d ~ c = b      once a hangs on the root
    lines = [post("r", 0, "x:ana"), share("b", 1, "x:bob", "c"), share("d", 2, "x:dan", "a")]
    lines += [share("a", 3, "x:abe"), share("c", 4, "x:cyd")]
    found = answer([*lines, ties("1", 0, "x:abe", follows=["x:bob"]), ties("2", 0, "x:cyd", follows=["x:dan"])])
    assert parents(found) == {
        "a": ("r", "assumed"),
        "b": ("c", "declared"),
        "c": ("d", "inferred"),
        "d": ("a", "declared"),
    }
    (cascade,) = found.cascades
    assert (cascade["depth"], cascade["anomalies"]) == (4, 1)
    assert cascade["exposure"] == {"root": 0, "others": 2, "none": 0}


def test_a_declared_loop_without_anything_living_is_no_anomaly() -> None:
    """A loop counts once something lives in it or hangs below it."""
    #   a = b = a, then c below: b is broken off (the smallest (at, id)), r - b - a - c over joints b and a
    lines = [post("r", 0, "x:ana"), share("a", 3, "x:bob", "b"), share("b", 2, "x:bob", "a")]
    lines += [delete("1", "x:bob", "a"), delete("2", "x:bob", "b")]
    assert answer(lines).cascades[0]["anomalies"] == 0
    found = answer([*lines, share("c", 4, "x:cyd", "a")])
    assert (found.cascades[0]["anomalies"], found.cascades[0]["depth"]) == (1, 3)
    assert found.joints == {("o", "x:r"): 2}


def test_a_via_leads_through_replies_to_a_node() -> None:
    """A via to a reply is followed to the reply's own, a deleted reply leads on, a missing one makes it assumed."""
    #   r - n - s      s via reply q (deleted) via reply p via n
    #    \
    #     t            t via reply u that has not arrived, though t's account follows n's
    lines = [post("r", 0, "x:ana"), share("n", 1, "x:bob", "r"), reply("p", 2, "x:cyd", "n")]
    lines += [reply("q", 3, "x:dan", "p"), delete("1", "x:dan", "q"), share("s", 4, "x:eve", "q")]
    lines += [share("t", 5, "x:fay", "u"), ties("2", 0, "x:fay", follows=["x:bob"])]
    found = answer(lines)
    assert parents(found) == {"n": ("r", "declared"), "s": ("n", "declared"), "t": ("r", "assumed")}
    assert found.cascades[0]["exposure"] == {"root": 0, "others": 1, "none": 0}
    assert found.offers[0]["replies"] == 1
    arrived = answer([*lines, reply("u", 4, "x:gus", "s")])
    assert parents(arrived)["t"] == ("s", "declared")


def test_the_latest_assertion_of_a_pair_holds() -> None:
    """An unfollow ends an older follow and not a newer one; the followed with the greatest (at, id) is the parent."""
    #   r        a follows both b and c, c is the later; once c is unfollowed it is b
    #   | \
    #   b  c
    lines = [post("r", 0, "x:ana"), share("b", 1, "x:bob"), share("c", 2, "x:cyd"), share("a", 3, "x:abe")]
    lines += [ties("5", 5, "x:abe", follows=["x:bob", "x:cyd"])]
    assert parents(answer(lines))["a"] == ("c", "inferred")
    assert parents(answer([*lines, ties("4", 5, "x:abe", unfollows=["x:cyd"])]))["a"] == ("c", "inferred")
    assert parents(answer([*lines, ties("6", 5, "x:abe", unfollows=["x:cyd"])]))["a"] == ("b", "inferred")
    assert parents(answer([*lines, ties("6", 5, "x:cyd", followed_by=[], complete=True)]))["a"] == ("b", "inferred")
    assert parents(answer([*lines, ties("6", 0, "x:abe", follows=["x:ana"])]))["a"] == ("r", "inferred")


def test_a_list_in_pages_is_whole_once_all_have_come() -> None:
    """Until the last page has come a page asserts only what it names, then the list ends what it does not name."""
    #   r        a followed ana, the author of r; the new list names cyd and dan only
    #   |
    #   c
    lines = [post("r", 0, "x:ana"), share("c", 1, "x:cyd"), share("a", 3, "x:abe")]
    lines += [ties("1", 1, "x:abe", follows=["x:ana"])]
    pages = [
        ties(str(part), 2, "x:abe", follows=[f"x:{name}"], complete=True, part=part - 1, of=2, list="l")
        for part, name in ((2, "cyd"), (3, "dan"))
    ]
    assert parents(answer([*lines, pages[0]]))["a"] == ("r", "inferred")
    assert parents(answer([*lines, *pages]))["a"] == ("c", "inferred")
    assert parents(answer([*lines, *pages, ties("4", 2, "x:abe", follows=["x:ana"])]))["a"] == ("r", "inferred")


def test_reach_lies_between_what_is_known_and_what_is_counted() -> None:
    """Followers shared by participants count once, and beyond are those who follow no author of a root."""
    #   r - b      ana: u v, 10 counted; bob: v w y, 10 counted
    #   known 4, S = 20, K = 5: (20 * 4 + 2) // 5 = 16
    lines = [post("r", 0, "x:ana", followers=10), share("b", 1, "x:bob", "r")]
    lines += [ties("1", 0, "x:ana", followed_by=["x:u", "x:v"])]
    lines += [ties("2", 0, "x:bob", followed_by=["x:v", "x:w", "x:y"])]
    counted = event("profile", "3", 2, "x:bob", followers=10)
    known = {"known": 4, "low": 10, "estimate": 16, "high": 20, "beyond": 2}
    assert answer([*lines, counted]).cascades[0]["reach"] == known
    # A count is not needed where followers are known: 13 counted, (13 * 4 + 2) // 5 = 10.
    assert answer(lines).offers[0]["reach"] == known | {"estimate": 10, "high": 13}
    # Of an account without either, nothing bounds the reach from above.
    unbounded = known | {"estimate": None, "high": None}
    assert answer([*lines, share("c", 2, "x:cyd", "r")]).offers[0]["reach"] == unbounded


def test_reach_is_summed_over_networks() -> None:
    """Accounts of two networks are different accounts, so their bounds add up."""
    lines = [post("r", 0, "x:ana", followers=10), share("b", 1, "bluesky:bob", followers=5)]
    found = answer(lines)
    assert found.offers[0]["reach"] == {"known": 0, "low": 15, "estimate": 15, "high": 15, "beyond": None}
    one = {"nodes": 1, "participants": 1}
    assert found.offers[0]["networks"] == {"bluesky": one, "x": one}


def test_an_assignment_moves_a_root_with_all_its_acts() -> None:
    """The assignment with the greatest (at, id) decides the offer, and an offer left empty keeps its row."""
    lines = [post("r", 0, "x:ana"), share("a", 1, "x:bob", "r"), reply("p", 2, "x:cyd", "a")]
    lines += [event("assign", number, 5, offer=offer, root="x:r") for number, offer in (("8", "o2"), ("7", "o3"))]
    found = answer(lines)
    assert [(row["offer"], row["nodes"], row["replies"]) for row in found.offers] == [
        ("o", 0, 0),
        ("o2", 2, 1),
        ("o3", 0, 0),
    ]
    assert [(row["offer"], row["root"]) for row in found.cascades] == [("o2", "x:r")]
    empty = {"known": 0, "low": 0, "estimate": 0, "high": 0, "beyond": None}
    assert found.offers[0]["reach"] == empty


def test_a_forgotten_account_leaves_nothing_but_joints() -> None:
    """Its nodes are as deleted, its ties and those of others to it vanish, whenever it was forgotten."""
    #   (r)       ana, forgotten, wrote r; bob's a stays below the head
    #    |
    #    a        bob follows ana; ana and u follow bob
    lines = [post("r", 1, "x:ana", followers=7), share("a", 2, "x:bob")]
    lines += [ties("1", 3, "x:bob", follows=["x:ana"], followed_by=["x:ana", "x:u"])]
    assert answer(lines).cascades[0]["edges"]["inferred"] == 1
    found = answer([*lines, event("forget", "2", 0, "x:ana")])
    (cascade,) = found.cascades
    assert (cascade["root_seen"], cascade["nodes"], cascade["depth"], cascade["max_breadth"]) == (True, 1, 1, 1)
    assert parents(found) == {"a": ("r", "assumed")}
    assert cascade["reach"] == {"known": 1, "low": 1, "estimate": 1, "high": 1, "beyond": None}
    assert answer([*lines, event("forget", "2", 0, "x:bob"), event("forget", "3", 0, "x:ana")]).cascades == []


def test_a_root_that_never_arrived_is_the_head() -> None:
    """It is named and not counted, and it is no parent that one could have declared."""
    found = answer([share("a", 1, "bluesky:bob", "r"), share("b", 2, "x:cyd", "a")])
    (cascade,) = found.cascades
    assert (cascade["root_seen"], cascade["network"], cascade["nodes"], cascade["depth"]) == (False, "bluesky", 2, 2)
    assert parents(found) == {"a": ("r", "assumed"), "b": ("a", "declared")}


def test_a_delete_by_another_account_is_an_anomaly() -> None:
    """It is ignored, and counted in the cascade of its target if the deleter acts in the offer."""
    lines = [post("r", 0, "x:ana"), share("a", 1, "x:bob", "r")]
    assert answer([*lines, delete("1", "x:bob", "r")]).cascades[0] == answer(lines).cascades[0] | {"anomalies": 1}
    assert answer([*lines, delete("1", "x:cyd", "r")]) == answer(lines)


def test_deliveries_of_one_id_merge_field_by_field() -> None:
    """Present beats absent, and of two values the smaller in canonical JSON holds, so 10 before 9."""
    lines = [post("r", 3, "x:ana", followers=9), post("r", 20, "x:ana", followers=10, offer="p")]
    (cascade,) = answer([*lines, post("r", 4, "x:ana", followers=None)]).cascades
    assert (cascade["offer"], cascade["first_at"], cascade["reach"]["high"]) == ("o", 20, 10)
    assert [row["offer"] for row in answer(lines).offers] == ["o", "p"]


@given(worlds())
def test_worlds_are_valid(world: list[Event]) -> None:
    """Ids are unique, a post names itself, quotes and replies have a via, and a report can be made."""
    assert len({e["id"] for e in world}) == len(world)
    assert all(e["root"] == e["id"] for e in world if e["kind"] == "post")
    assert all("via" in e for e in world if e["kind"] in ("quote", "reply"))
    found = answer(world)
    for cascade in found.cascades:
        assert sum(cascade["exposure"].values()) == cascade["edges"]["inferred"] + cascade["edges"]["assumed"]
        assert cascade["nodes"] - sum(cascade["edges"].values()) in (0, 1)
    assert sum(row["nodes"] for row in found.offers) == sum(row["nodes"] for row in found.cascades)


@given(st.data())
def test_order_and_repetition_change_nothing(data: st.DataObject) -> None:
    """The answer is a function of the set of lines alone."""
    lines = data.draw(worlds().flatmap(redelivered))
    assert answer(data.draw(st.permutations([*lines, *lines[:5]]))) == answer(lines)
