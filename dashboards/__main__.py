"""Writes the dashboards and alerts: `python -m dashboards`. A test holds that what is committed is current."""

from pathlib import Path
from typing import Final

from dashboards import alerts, glance, networks, offer, whole
from dashboards.frame import written

FOLDER: Final = Path(__file__).parent / "grafana" / "dashboards"
RULES: Final = Path(__file__).parent / "prometheus" / "alerts.yml"


def files() -> dict[str, str]:
    """Each dashboard by the name of its file."""
    boards = {"glance": glance, "offer": offer, "networks": networks, "data": whole}
    return {f"{name}.json": written(module.board()) for name, module in boards.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    RULES.write_text(alerts.written())
    for name, content in files().items():
        (FOLDER / name).write_text(content)
