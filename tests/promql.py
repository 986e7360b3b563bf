"""PromQL as the tests read it: what an expression asks for, against what Ricochet exposes and what rules record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import promql_parser as promql

from ricochet import connector_metrics, metrics, worker_metrics
from tests.installation import ROOT, yaml

RULES: Final = ROOT / "dashboards/prometheus"
SCRAPED: Final = frozenset({"job", "instance"})
"""Labels that Prometheus itself adds."""
FOREIGN: Final[dict[str, frozenset[str]]] = {
    "up": frozenset(),
    "process_resident_memory_bytes": frozenset(),
    "prometheus_build_info": frozenset({"version"}),
}
"""Metrics that are not Ricochet's own."""


@dataclass(frozen=True)
class Metric:
    """A series' name as it can be asked for."""

    labels: frozenset[str]
    is_counter: bool = False


@cache
def exposed() -> dict[str, Metric]:
    """Every series that a process of Ricochet exposes, by name."""
    found = {name: Metric(labels) for name, labels in FOREIGN.items()}
    for of in (metrics, connector_metrics, worker_metrics):
        gauges = getattr(of, "GAUGES", None) or of._GAUGES
        counters = getattr(of, "COUNTERS", None) or of._COUNTERS
        found |= {f"ricochet_{name}": Metric(frozenset(labels)) for name, (_, labels) in gauges.items()}
        found |= {f"ricochet_{name}_total": Metric(frozenset(labels), True) for name, (_, labels) in counters.items()}
    name, _, labels = metrics._APPLY
    found |= {f"ricochet_{name}_{part}": Metric(frozenset(labels), True) for part in ("count", "sum")}
    found[f"ricochet_{name}_bucket"] = Metric(frozenset({*labels, "le"}), True)
    return found


def rules(file: str) -> list[dict[str, Any]]:
    """Read the rules of a file."""
    return [rule for group in yaml(RULES / file)["groups"] for rule in group["rules"]]


@cache
def recorded() -> dict[str, str]:
    """What is recorded, by name its expression."""
    return {rule["record"]: rule["expr"] for rule in rules("recording.yml")}


@cache
def labels_of(name: str) -> frozenset[str]:
    """Give the labels that a series has; an unknown one is an error."""
    if name in recorded():
        return result_labels(recorded()[name])
    assert name in exposed(), f"nothing exposes {name}"
    return exposed()[name].labels | SCRAPED


def nodes(expr: Any) -> Iterator[Any]:
    """Walk over an expression."""
    yield expr
    for name in ("lhs", "rhs", "expr", "vector_selector", "param"):
        inner = getattr(expr, name, None)
        if inner is not None and type(inner).__module__ == promql.VectorSelector.__module__:
            yield from nodes(inner)
    for inner in getattr(expr, "args", ()):
        yield from nodes(inner)


def selectors(expression: str) -> list[Any]:
    """Give the selectors of an expression."""
    return [node for node in nodes(promql.parse(expression)) if isinstance(node, promql.VectorSelector)]


def names(expression: str) -> set[str]:
    """Name the series that an expression reads, recorded ones by what they are made of."""
    found: set[str] = set()
    for selector in selectors(expression):
        found |= names(recorded()[selector.name]) if selector.name in recorded() else {selector.name}
    return found


def result_labels(expression: str) -> frozenset[str]:
    """Give the labels that the result of an expression can have."""
    return _labels(promql.parse(expression))


def _labels(expr: Any) -> frozenset[str]:
    if isinstance(expr, promql.VectorSelector):
        return labels_of(expr.name)
    if isinstance(expr, promql.AggregateExpr):
        inner = _labels(expr.expr)
        if str(expr.op) in ("topk", "bottomk"):
            return inner
        asked = frozenset(expr.modifier.labels) if expr.modifier is not None else frozenset()
        assert expr.modifier is None or "By" in str(expr.modifier.type), "only by"
        assert asked <= inner, f"no such labels: {set(asked - inner)} in {expr.prettify()}"
        return asked
    if isinstance(expr, promql.BinaryExpr):
        either = _labels(expr.lhs) | _labels(expr.rhs)
        modifier = expr.modifier
        on = getattr(getattr(modifier, "matching", None), "labels", None)
        assert on is None or set(on) <= either, f"no such labels: {on}"
        return either
    return frozenset[str]().union(*map(_labels, _inside(expr)))


def _inside(expr: Any) -> list[Any]:
    if isinstance(expr, promql.Call):
        return list(expr.args)
    return [expr.expr] if hasattr(expr, "expr") else [expr.vector_selector] if hasattr(expr, "vector_selector") else []


def check(expression: str) -> None:
    """Hold that every metric and label in an expression is really exposed or recorded."""
    for selector in selectors(expression):
        known = labels_of(selector.name)
        for matcher in selector.matchers.matchers:
            assert matcher.name in known, f"{selector.name} has no label {matcher.name}"
    result_labels(expression)


def path(name: str) -> Path:
    """Find a file of rules."""
    return RULES / name
