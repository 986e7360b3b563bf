"""Ricochet's services of docker-compose.yml as processes of this machine: their commands, environments and files.

Hosts are on loopback, and what a container has mounted lies in a folder: volumes by their names, files of this
repository's folder by theirs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.broker import free_ports
from tests.installation import compose, image_environment, services, stages
from tests.processes import HANG_S, Child, Ended, command, ended, environment

PORT: Final = "8780"
"""Where a container of Ricochet's answers."""


class Containers:
    """The services with some variables set, their Kafka at `servers`, their files in `folder`."""

    def __init__(self, variables: Mapping[str, str], servers: str, folder: Path) -> None:
        self.folder = folder
        self._variables, self._servers = variables, servers
        self._secrets = compose({"GRAFANA_ADMIN_PASSWORD": "some", **variables})["secrets"]
        self._services = services(variables)
        for volume in ("workers", "connectors"):
            (folder / volume).mkdir()

    def run(self, name: str, *instead: str) -> Ended:
        """Run a service's command to its end, or another one in its place."""
        service = self._services[name]
        words = [*instead] or service["command"]
        return ended(*words, cwd=self._place(service, service["working_dir"]), env=self._environment(service))

    def started(self, name: str) -> Child:
        """Start a service, to be ended with its block; `base` is where it answers."""
        service, (port,) = self._services[name], free_ports(1)
        assert service["command"].count(PORT) == 1
        words = [str(port) if word == PORT else word for word in service["command"]]
        cwd = self._place(service, service["working_dir"])
        child = Child(command(*words), cwd, environment(self._environment(service)))
        child.base = f"http://127.0.0.1:{port}"
        return child

    def _environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        """Give what the image and the service set; a name without a value is passed on if it is set."""
        given = {
            name: self._variables.get(name) if is_ is None else is_ for name, is_ in service["environment"].items()
        }
        found = image_environment() | {name: value for name, value in given.items() if value is not None}
        del found["PATH"]
        return {name: self._here(service, str(value)) for name, value in found.items()}

    def _here(self, service: Mapping[str, Any], value: str) -> str:
        """Give a value with this machine's paths and hosts."""
        if value.startswith("/"):
            return str(self._place(service, value))
        return self._servers if re.match(r"kafka:\d", value) else value.replace("0.0.0.0", "127.0.0.1")

    def _place(self, service: Mapping[str, Any], path: str) -> Path:
        """Find what a container has at a path."""
        mounts = {f"/run/secrets/{name}": self._secrets[name]["file"] for name in service.get("secrets", ())}
        mounts |= {target: source for source, target, *_ in (one.split(":") for one in service.get("volumes", ()))}
        for target, source in mounts.items():
            if (path + "/").startswith(target + "/"):
                return Path(self.folder, source, path[len(target) :].lstrip("/"))
        return self.folder / "not mounted" / path.lstrip("/")


def is_healthy(base: str) -> bool:
    """Ask the image's health check."""
    check = json.loads(dict(stages()[-1])["HEALTHCHECK"].partition("CMD ")[2])
    words = [sys.executable, *(word.replace(PORT, base.rsplit(":", 1)[1]) for word in check[1:])]
    done = subprocess.run(words, env=environment(), capture_output=True, timeout=HANG_S, check=False)
    return done.returncode == 0
