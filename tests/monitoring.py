"""Prometheus and Alertmanager (Debian's) with the config files and flags of the compose file, on loopback."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from ruamel.yaml import YAML

from tests.installation import ROOT, services, yaml
from tests.processes import HANG_S, Child, environment

PROMETHEUS: Final = ROOT / "dashboards/prometheus/prometheus.yml"
ALERTMANAGER: Final = ROOT / "dashboards/alertmanager/alertmanager.yml"
_PROGRAMS: Final = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")


def require() -> None:
    """Hold up a test that needs Prometheus and Alertmanager where they are missing: skipped, in CI it fails."""
    absent = [name for name in _PROGRAMS if not shutil.which(name)]
    if absent:
        how = "apt-get install --no-install-recommends prometheus prometheus-alertmanager"
        lacking = f"{', '.join(absent)} missing: {how}"
        if os.environ.get("CI") == "true":
            pytest.fail(lacking, pytrace=False)
        pytest.skip(lacking)


def native_copy(path: Path, places: Mapping[str, str], every: str | None = None) -> Path:
    """Write Prometheus's config again with addresses and files of this machine, all else as it is.

    The token that it shows is in the file `web-token` beside it, empty unless it is there. With `every`, it scrapes and
    evaluates so often, to be done sooner.
    """
    config = yaml(PROMETHEUS)
    config["rule_files"] = [str(PROMETHEUS.parent / name) for name in config["rule_files"]]
    for job in config["scrape_configs"]:
        for lookup in job.pop("dns_sd_configs", []):
            targets = [f"{name}:{lookup['port']}" for name in lookup["names"]]
            job.setdefault("static_configs", []).append({"targets": targets})
        if "authorization" in job:
            (token := path.with_name("web-token")).touch()
            job["authorization"]["credentials_file"] = str(token)
    for holder in (*config["scrape_configs"], *config["alerting"]["alertmanagers"]):
        for group in holder["static_configs"]:
            group["targets"] = [one for target in group["targets"] for one in places.get(target, "").split()]
    if every is not None:
        config["global"] |= {"scrape_interval": every, "evaluation_interval": every}
    write(path, config)
    return path


def write(path: Path, content: Any) -> None:
    """Write a YAML file."""
    with open(path, "w") as file:
        YAML(typ="safe", pure=True).dump(content, file)


@contextmanager
def monitor(
    name: str, program: str, config: Path, port: int, folder: Path, *more: str, env: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """Start a service of the compose file by its own flags, and more of them."""
    flags = [
        flag for flag in services()[name]["command"] if not re.match(r"--(config\.file|storage\.(tsdb\.)?path)=", flag)
    ]
    storage = "--storage.tsdb.path" if name == "prometheus" else "--storage.path"
    own = [f"--config.file={config}", f"{storage}={folder / name}", f"--web.listen-address=127.0.0.1:{port}"]
    with Child([program, *flags, *own, *more], folder, environment(env)) as child:
        child.base = f"http://127.0.0.1:{port}"
        yield child


def query(prometheus: Child, expression: str) -> float:
    """Ask Prometheus for one number; 0 while there is none."""
    found = ask(prometheus, "query", query=expression)
    return float(found[0]["value"][1]) if found else 0.0


def ask(prometheus: Child, what: str, **parameters: str | float) -> list[Any]:
    """Ask Prometheus; the series that it finds."""
    answer = httpx.get(f"{prometheus.base}/api/v1/{what}", params=parameters, timeout=HANG_S).json()
    assert answer["status"] == "success", (parameters, answer)
    found: list[Any] = answer["data"]["result"]
    return found
