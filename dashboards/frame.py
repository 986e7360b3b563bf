"""What all dashboards share: their variables, their links to one another, and how they are written."""

import json
from collections.abc import Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards.panels import ORANGE, SOURCE

TAG: Final = "ricochet"
COMPANY: Final = "label_values(offer:ricochet_offer_info:max, company)"
OFFER: Final = 'label_values(offer:ricochet_offer_info:max{company=~"$company"}, offer)'
NETWORK: Final = "label_values(offer_network:ricochet_offer_nodes:max, network)"


def choice(name: str, label: str, says: str, query: str, *, several: bool = True) -> dashboard.QueryVariable:
    """A variable whose values Prometheus knows."""
    made = dashboard.QueryVariable(name).label(label).description(says).datasource(SOURCE)
    made.query({"query": query, "refId": name}).refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    made.sort(models.VariableSort.ALPHABETICAL_ASC).multi(several).include_all(several)
    return made.current(models.VariableOption(text="All", value="$__all")) if several else made


def company() -> dashboard.QueryVariable:
    """Which companies."""
    return choice("company", "Company", "Whose offers are shown.", COMPANY)


def offers() -> dashboard.QueryVariable:
    """Which offers of these companies."""
    return choice("offer", "Offer", "Which offers are shown: those of the chosen companies.", OFFER)


def offer() -> dashboard.QueryVariable:
    """Which offer."""
    return choice("offer", "Offer", "The offer that is shown.", OFFER, several=False)


def network() -> dashboard.QueryVariable:
    """Which networks."""
    return choice("network", "Network", "Which networks are shown.", NETWORK)


def board(
    uid: str, title: str, says: str, choices: Sequence[dashboard.QueryVariable], span: str = "now-24h"
) -> dashboard.Dashboard:
    """A dashboard without panels yet."""
    made = dashboard.Dashboard(title).uid(uid).description(says).tags([TAG]).readonly()
    made.time(span, "now").refresh("30s").timezone("browser").tooltip(models.DashboardCursorSync.CROSSHAIR)
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    made.with_variable(source.description("The Prometheus that is asked."))
    for one in choices:
        made.with_variable(one)
    links = dashboard.DashboardLink("Ricochet").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    return made.link(links.include_vars(True).keep_time(True).tooltip("The other dashboards of Ricochet"))


def told(expr: str) -> dashboard.AnnotationQuery:
    """Marks at the times at which people were told something."""
    made = dashboard.AnnotationQuery().name("What people were told").datasource(SOURCE).enable(True)
    return made.icon_color(ORANGE).expr(expr)


def written(made: dashboard.Dashboard) -> str:
    """A dashboard as Grafana reads it."""
    content: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(made.build()))
    for annotation in content.get("annotations", {}).get("list", ()):
        # What the builders have no word for.
        annotation.update({"titleFormat": "{{condition}}", "step": "60s", "useValueForTime": False})
    for number, panel in enumerate(content["panels"], 1):
        panel["id"] = number
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
