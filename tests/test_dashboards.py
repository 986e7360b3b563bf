"""The dashboards: current, by the dashboard-linter's rules, and with data in each panel of a real run."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from dashboards.__main__ import FOLDER, files
from dashboards.panels import BLUE, GREEN, ORANGE, PINK, RED, SKY, YELLOW
from ricochet import connector_metrics, worker_metrics
from ricochet.settings import Settings
from tests import broker
from tests.monitoring import ask, monitor, native_copy, query, require
from tests.processes import HANG_S, Child, address, started, until
from tests.promql import check, exposed, names, nodes, path, recorded, result_labels, rules, selectors

Json = dict[str, Any]
BOARDS: dict[str, Json] = {name.removesuffix(".json"): json.loads(content) for name, content in files().items()}
PANELS: dict[str, Json] = {
    f"{name}: {panel['title']}": panel
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] not in ("row", "text")
}
EVERY_PANEL = pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
EVERY_BOARD = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
FIXED_RANGES = {
    "1h": "the panel says so many in an hour",
    "1d": "the panel says so many in a day",
}
"""Ranges that do not follow the zoom, with the reason."""
COUNTS = {"rate", "increase"}
LEAST_HEIGHT = {"stat": 4, "timeseries": 8, "table": 8, "bargauge": 8, "state-timeline": 8}


def expressions(panel: Json) -> list[str]:
    """Give a panel's expressions with its variables filled in."""
    return [filled(target["expr"]) for target in panel["targets"]]


def filled(expression: str, offer: str = ".+") -> str:
    """Fill the variables of an expression in."""
    for name, value in (("__rate_interval", "1m"), ("__range", "1h"), ("company", ".*"), ("network", ".+")):
        expression = expression.replace(f"${name}", value)
    return expression.replace('offer="$offer"', f'offer="{offer}"').replace("$offer", ".+")


def test_what_is_committed_is_current() -> None:
    """The JSON files are those that `python -m dashboards` makes, and no others."""
    assert {file.name: file.read_text() for file in FOLDER.iterdir()} == files(), "run `make docs`"


@EVERY_BOARD
def test_a_dashboard_can_be_found_and_not_be_changed(board: Json) -> None:
    """It can't be edited, has a stable uid, a description, the tag that links all, and a variable for its source."""
    assert board["editable"] is False
    assert re.fullmatch(r"ricochet-\w+", board["uid"])
    assert board["description"]
    assert board["tags"] == ["ricochet"]
    (link,) = board["links"]
    assert (link["type"], link["tags"]) == ("dashboards", ["ricochet"])
    assert link["includeVars"] and link["keepTime"]
    source, *others = board["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert {one["name"] for one in others} <= {"company", "network", "offer"}
    for one in others:
        assert one["datasource"]["uid"] == "${datasource}"
        assert one["label"]
        assert one["description"]
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", one["query"]["query"])
        assert asked
        check(filled(asked[1]))
        assert asked[2] in result_labels(filled(asked[1]))


@EVERY_BOARD
def test_panels_lie_beside_one_another(board: Json) -> None:
    """No two panels share a place or an id, none is wider than the screen, and each is as high as its kind needs."""
    taken: set[tuple[int, int]] = set()
    ids = [panel.get("id") for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert at["h"] >= LEAST_HEIGHT.get(panel["type"], 1), panel["title"]


@EVERY_BOARD
def test_the_variables_of_queries_are_there(board: Json) -> None:
    """Every variable that an expression or a link names is one of the dashboard or of Grafana, and each is used."""
    there = {one["name"] for one in board["templating"]["list"]}
    texts = [json.dumps(panel) for panel in board["panels"]]
    used = {name for text in texts for name in re.findall(r"\$\{?(\w+)", text) if name[:2] != "__"}
    used |= {name for name in re.findall(r"\$\{?(\w+)", json.dumps(board["templating"])) if name[:2] != "__"}
    assert used == there


@EVERY_PANEL
def test_a_panel_says_what_it_shows(panel: Json) -> None:
    """Title, description, unit and a text for no data; its data comes from the variable."""
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["title"]
    assert panel["description"].endswith((".", ")."))
    assert defaults["unit"]
    assert defaults["noValue"]
    assert panel["targets"]
    for holder in (panel, *panel["targets"]):
        assert holder["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)


@EVERY_PANEL
def test_colours_are_told_apart(panel: Json) -> None:
    """Only colours that the colour-blind can tell apart; calm is never red, whatever the unit's size."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert steps[0]["value"] is None
    assert steps[0]["color"] in (BLUE, ORANGE)
    named = set(re.findall(r'"(?:color|fixedColor)": "([^"]+)"', json.dumps(panel)))
    assert named <= {BLUE, ORANGE, GREEN, PINK, RED, SKY, YELLOW}
    mode = panel["fieldConfig"]["defaults"].get("color", {}).get("mode", "thresholds")
    assert mode in ("thresholds", "continuous-blues")


@EVERY_PANEL
def test_tables_show_no_column_of_time(panel: Json) -> None:
    """A table asks for now alone, and leaves the time out."""
    if panel["type"] == "table":
        assert all(target["instant"] and target["format"] == "table" for target in panel["targets"])
        organize = panel["transformations"][-1]
        assert organize["id"] == "organize"
        assert organize["options"]["excludeByName"]["Time"] is True
    else:
        assert all(target["range"] for target in panel["targets"])


@EVERY_PANEL
def test_expressions_ask_for_what_there_is(panel: Json) -> None:
    """Every metric and label is exposed or recorded; counters are asked for by their rate, over the zoom's interval."""
    for target, expression in zip(panel["targets"], expressions(panel), strict=True):
        check(expression)
        wrapped: set[str] = set()
        for node in nodes(promql.parse(expression)):
            if isinstance(node, promql.Call) and node.func.name in COUNTS:
                wrapped |= {str(one.name) for one in nodes(node) if isinstance(one, promql.VectorSelector)}
        for name in names(expression) if not set(recorded()) & selected(expression) else ():
            assert not exposed()[name].is_counter or name in wrapped, f"{name} is a counter"
        ranges = set(re.findall(r"\[([^\]:]+)\]", target["expr"]))
        assert ranges <= {"$__rate_interval", "$__range", *FIXED_RANGES}


def selected(expression: str) -> set[str]:
    """Name the series as the expression does."""
    return {str(selector.name) for selector in selectors(expression)}


def test_annotations_ask_for_what_there_is() -> None:
    """The marks on one offer are the conditions that were told of it."""
    (annotation,) = [one for one in BOARDS["offer"]["annotations"]["list"] if one.get("expr")]
    check(filled(annotation["expr"]))
    assert annotation["titleFormat"] == "{{condition}}"
    assert annotation["datasource"]["uid"] == "${datasource}"


def test_recording_rules_ask_for_what_there_is() -> None:
    """Every recording rule reads what is exposed, is used, and is named by its labels, its metric and its operation."""
    used = {name for panel in PANELS.values() for expression in expressions(panel) for name in selected(expression)}
    used |= {name for expression in recorded().values() for name in selected(expression)}
    used |= {name for rule in rules("alerts.yml") for name in recorded() if name in json.dumps(rule)}
    used |= set(re.findall(r"label_values\(([\w:]+)", json.dumps(BOARDS)))
    for name, expression in recorded().items():
        check(expression)
        level, metric, operation = name.split(":")
        assert level and operation
        assert metric.startswith("ricochet_")
        assert name in used, f"{name} is used nowhere"


@pytest.mark.parametrize("file", ["recording.yml", "alerts.yml"])
def test_rules_are_valid(file: str) -> None:
    """Prometheus's own tool finds nothing wrong."""
    require()
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", path(file)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# A real run


@contextmanager
def watching(seen: Child, folder: Path) -> Iterator[Child]:
    """Run a Prometheus that reads a process once a second."""
    (port,) = broker.free_ports(1)
    config = native_copy(folder / "prometheus.yml", {"worker:8780": seen.base.removeprefix("http://")}, "1s")
    with monitor("prometheus", "prometheus", config, port, folder) as found:
        until(lambda: is_ready(found), "Prometheus", every_s=0.2)
        yield found


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """Give a Prometheus that has seen the demo's day go by."""
    require()
    folder = tmp_path_factory.mktemp("prometheus")
    with started("demo", "--speed", "3000", cwd=folder) as demo:
        demo.base = address(demo.line("/metrics"))
        with watching(demo, folder) as found:
            told = 'sum(max_over_time(offer_condition:ricochet_offer_condition:max{condition="viral"}[5m]))'
            until(lambda: query(found, told) > 0, "something viral", every_s=0.5)
            hires = 'sum(ricochet_offer_outcomes{kind="application"})'
            until(lambda: query(found, hires) > 0, "applications", every_s=0.5)
            usual = "count(offer:ricochet_offer_shares_per_minute:avg1d)"
            until(lambda: query(found, usual) > 0, "what is usual", every_s=0.5)
            yield found


def is_ready(prometheus: Child) -> bool:
    """Whether Prometheus answers."""
    try:
        return prometheus.get("/-/ready").status_code == 200
    except OSError:
        return False
    except Exception as error:
        if type(error).__module__.startswith("httpx"):
            return False
        raise


def of_others(panel: Json) -> bool:
    """Whether a panel is about workers or connectors alone, of which the demo has none."""
    elsewhere = {
        f"ricochet_{name}{suffix}"
        for of in (worker_metrics, connector_metrics)
        for names_, suffix in ((of.GAUGES, ""), (of.COUNTERS, "_total"))
        for name in names_
    }
    return all(names(expression) <= elsewhere for expression in expressions(panel))


def empty_of_others(prometheus: Child) -> set[str]:
    """Name the panels about workers and connectors that have no data."""
    end = time.time()
    asked = {"start": end - 60, "end": end, "step": 1}
    return {
        panel["title"]
        for panel in PANELS.values()
        if of_others(panel)
        and panel["title"] not in ("Credentials end in", "Last gap")  # Bluesky asks for none, and it saw all
        and not any(ask(prometheus, "query_range", query=one, **asked) for one in expressions(panel))
    }


MOSTLY_EMPTY = {
    "Rejected": "the demo sends nothing that is wrong",
    "Told now": "at the end of the day nothing may hold any more",
}
"""Panels that may be empty, with the reason."""


@EVERY_PANEL
def test_a_panel_has_data_in_the_demo(prometheus: Child, panel: Json) -> None:
    """Each panel has data of the demo, but those about workers and connectors; no query gives hundreds of series."""
    end = time.time()
    asked = {"start": end - 120, "end": end, "step": 1}
    viral = ask(prometheus, "query", query="topk(1, max_over_time(offer:ricochet_offer_nodes:sum[5m]))")[0]["metric"][
        "offer"
    ]
    found = 0
    for target in panel["targets"]:
        expression = filled(target["expr"], viral)
        series = ask(prometheus, "query_range", query=expression, **asked)
        assert len(series) <= 200, expression
        found += len(series)
    if not of_others(panel) and panel["title"] not in MOSTLY_EMPTY:
        assert found, "no data"


OFFERS_SHOWN = Settings.model_fields["offers_shown"].default
FEW = 300


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Child]:
    """Give a Prometheus that sees as many offers as a process shows, each on two networks, and there are more."""
    require()
    now = time.time_ns() // 1_000_000
    (tmp_path / "events.jsonl").write_text("".join(many_offers(OFFERS_SHOWN + 10, now)))
    with started("run", "--tail", "events.jsonl", "--port", "0", cwd=tmp_path) as run:
        run.base = address(run.line("running"))
        with watching(run, tmp_path) as found:
            shown = "count(offer:ricochet_offer_shares_per_minute:max)"
            until(lambda: query(found, shown) == OFFERS_SHOWN, "all that is shown", every_s=0.5)
            yield found


def many_offers(n: int, now: int) -> Iterator[str]:
    """Make offers of two posts, on two networks, with a few shares each."""
    for number in range(n):
        for network in ("x", "bluesky"):
            root = f"{network}:{number}"
            for k in range(4):
                kind, id = ("share", f"{root}/{k}") if k else ("post", root)
                event = {"v": 1, "id": id, "kind": kind, "network": network, "at": now - 60_000 + k, "root": root}
                yield json.dumps(event | {"offer": f"o{number}", "actor": f"{network}:{k}", "followers": 9}) + "\n"


def test_no_panel_reads_more_than_a_few_hundred_series(crowded: Child) -> None:
    """However many offers there are, what a panel's query reads is bounded."""
    read = {
        (title, selector.prettify()): query(crowded, f"count({selector.prettify()})")
        for title, panel in PANELS.items()
        for expression in expressions(panel)
        for selector in selectors(re.sub(r" offset \w+| @ end\(\)", "", expression))
    }
    assert max(read.values()) >= OFFERS_SHOWN
    assert not {what: series for what, series in read.items() if series > FEW}
