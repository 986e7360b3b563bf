"""Panels as all dashboards have them: one look, colours that the colour-blind can tell apart, a text for no data.

The colours are those of Okabe & Ito (2008). Where colour means something, words say it too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as queries
from grafana_foundation_sdk.models import text as texts

SOURCE: Final = shapes.DataSourceRef(type_val="prometheus", uid="${datasource}")

BLUE, ORANGE, GREEN, PINK, SKY, RED, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442",
)  # fmt: skip
REFS: Final = "ABCDEFGH"
_HEIGHT: Final = {"stat": 4, "table": 9, "bargauge": 8, "timeseries": 8, "state-timeline": 8, "text": 10}

_B = TypeVar("_B", bound=Any)


def query(place: int, expr: str, legend: str = "", *, instant: bool = False) -> prometheus.Dataquery:
    """The query of a panel at a place; `legend` names its series. An instant one is for a table."""
    asked = prometheus.Dataquery().ref_id(REFS[place]).expr(expr).legend_format(legend).datasource(SOURCE)
    return asked.instant().format(queries.PromQueryFormat.TABLE) if instant else asked.range()


def steps(*above: tuple[float, str], calm: str = BLUE) -> dashboard.ThresholdsConfig:
    """Thresholds: calm below the first, then a colour from each value on."""
    made = [models.Threshold(None, calm), *(models.Threshold(value, colour) for value, colour in above)]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def _dressed(panel: _B, title: str, says: str, *, unit: str, empty: str, limits: dashboard.ThresholdsConfig) -> _B:
    panel.title(title).description(says).datasource(SOURCE)
    panel.unit(unit).no_value(empty).thresholds(limits)
    return panel


def number(
    title: str,
    says: str,
    unit: str,
    expr: str,
    *,
    empty: str,
    above: Sequence[tuple[float, str]] = (),
    legend: str = "",
) -> stat.Panel:
    """One number, large, with its course behind it."""
    panel = _dressed(stat.Panel(), title, says, unit=unit, empty=empty, limits=steps(*above)).with_target(
        query(0, expr, legend)
    )
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.graph_mode(shapes.BigValueGraphMode.AREA).color_mode(shapes.BigValueColorMode.VALUE)
    panel.text_mode(shapes.BigValueTextMode.NAME if legend else shapes.BigValueTextMode.VALUE)
    return panel.span(4).height(_HEIGHT["stat"])


def course(
    title: str,
    says: str,
    unit: str,
    asked: Mapping[str, str],
    *,
    empty: str,
    colours: Mapping[str, str] | None = None,
    stacked: bool = False,
    above: Sequence[tuple[float, str]] = (),
    wide: int = 12,
) -> timeseries.Panel:
    """What changes over time: expressions with the names of their series.

    Series that `colours` does not name have a shade of one colour, the lighter the less.
    """
    panel = _dressed(timeseries.Panel(), title, says, unit=unit, empty=empty, limits=steps(*above))
    for place, (expr, legend) in enumerate(asked.items()):
        panel.with_target(query(place, expr, legend))
    panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.CONTINUOUS_BLUES))
    panel.min(0).line_width(2).fill_opacity(30 if stacked else 0).show_points(shapes.VisibilityMode.NEVER)
    if stacked:
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL))
    if above:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED))
    legend_ = common.VizLegendOptions().show_legend(True).placement(shapes.LegendPlacement.BOTTOM)
    panel.legend(legend_.display_mode(shapes.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"]))
    panel.tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING))
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    return panel.span(wide).height(_HEIGHT["timeseries"])


def rows(
    title: str,
    says: str,
    asked: Mapping[str, str],
    columns: Mapping[str, str],
    *,
    empty: str,
    sort: str | None = None,
    tall: int = 0,
    wide: int = 24,
) -> table.Panel:
    """A table of offers: for each column an expression, joined by the offer, and the unit of the column."""
    panel = _dressed(table.Panel(), title, says, unit="short", empty=empty, limits=steps())
    for place, expr in enumerate(asked.values()):
        panel.with_target(query(place, expr, instant=True))
    names = [f"Value #{ref}" for ref in REFS[: len(asked)]] if len(asked) > 1 else ["Value"]
    hidden = dict.fromkeys(("Time", *(f"Time {place}" for place in range(1, len(asked) + 1))), True)
    if len(asked) > 1:
        panel.with_transformation(
            models.DataTransformerConfig(id_val="joinByField", options={"byField": "offer", "mode": "outer"})
        )
    panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": hidden,
                "renameByName": dict(zip(names, asked, strict=True)),
                "indexByName": {},
            },
        )
    )
    for name, unit in columns.items():
        panel.override_by_name(name, [models.DynamicConfigValue("unit", unit)])
    link = {
        "title": "Open this offer",
        "url": "/d/ricochet-offer?${datasource:queryparam}&var-offer=${__data.fields.offer}&${__url_time_range}",
    }
    panel.override_by_name("offer", [models.DynamicConfigValue("links", [link])])
    if sort:
        panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    return panel.span(wide).height(tall or _HEIGHT["table"])


def bars(title: str, says: str, unit: str, asked: Mapping[str, str], *, empty: str, wide: int = 8) -> bargauge.Panel:
    """A bar for each series, as of now."""
    panel = _dressed(bargauge.Panel(), title, says, unit=unit, empty=empty, limits=steps())
    for place, (expr, legend) in enumerate(asked.items()):
        panel.with_target(query(place, expr, legend))
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).min(0)
    panel.orientation(shapes.VizOrientation.HORIZONTAL).display_mode(shapes.BarGaugeDisplayMode.BASIC)
    return panel.span(wide).height(_HEIGHT["bargauge"])


def states(
    title: str, says: str, asked: Mapping[str, str], words: tuple[str, str], *, empty: str, bad: int, wide: int = 12
) -> statetimeline.Panel:
    """What holds when: `words` for 0 and 1, of which `bad` is the one to look at."""
    colours = {bad: ORANGE, 1 - bad: BLUE}
    limits = steps((1, colours[1]), calm=colours[0])
    panel = _dressed(statetimeline.Panel(), title, says, unit="bool", empty=empty, limits=limits)
    for place, (expr, legend) in enumerate(asked.items()):
        panel.with_target(query(place, expr, legend))
    mapped = {str(value): models.ValueMappingResult(words[value], colours[value], None, value) for value in (0, 1)}
    panel.mappings([models.ValueMap(mapped)]).show_value(shapes.VisibilityMode.AUTO).merge_values(True)
    return panel.span(wide).height(_HEIGHT["state-timeline"])


def words(title: str, says: str, markdown: str, *, tall: int = 0) -> text.Panel:
    """Text that needs no data."""
    panel = text.Panel().title(title).description(says).mode(texts.TextMode.MARKDOWN).content(markdown)
    return panel.span(24).height(tall or _HEIGHT["text"])
