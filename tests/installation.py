"""docker-compose.yml and the Dockerfile as the tests read them: variables filled in, steps taken apart."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

ROOT: Final = Path(__file__).parents[1]
_VARIABLE: Final = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


def yaml(path: Path) -> Any:
    """Read a YAML file."""
    return YAML(typ="safe", pure=True).load(path.read_text())


def compose(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Give the whole file with its variables filled in; a required one that is missing is an error."""
    given = variables or {}

    def fill(found: re.Match[str]) -> str:
        name, operator, text = found.groups()
        if name is None:
            return "$"
        if given.get(name):
            return given[name]
        if operator == "?":
            raise KeyError(f"{name}: {text}")
        return text or ""

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [filled(one) for one in value]
        return _VARIABLE.sub(fill, value) if isinstance(value, str) else value

    result: dict[str, Any] = filled(yaml(ROOT / "docker-compose.yml"))
    return result


def services(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Give the services, with some password for Grafana, and their commands word by word."""
    found: dict[str, Any] = compose({"GRAFANA_ADMIN_PASSWORD": "some", **(variables or {})})["services"]
    for service in found.values():
        if isinstance(service.get("command"), str):
            service["command"] = shlex.split(service["command"])
    return found


def env_file(path: Path) -> dict[str, str]:
    """Read NAME=value lines."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def ricochets() -> dict[str, Any]:
    """Give the services that run Ricochet itself."""
    return {name: service for name, service in services().items() if "build" in service}


def steps() -> list[tuple[str, str]]:
    """Take the Dockerfile apart: instruction and argument, in order."""
    text = "\n".join(
        line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")
    )
    lines = text.replace("\\\n", " ").splitlines()
    return [(name, rest.strip()) for line in lines if line for name, _, rest in [line.partition(" ")]]


def stages() -> list[list[tuple[str, str]]]:
    """Give the steps of each stage, its FROM first."""
    result: list[list[tuple[str, str]]] = []
    for step in steps():
        if step[0] == "FROM":
            result.append([])
        result[-1].append(step)
    return result


def image_environment() -> dict[str, str]:
    """Give what the image sets in the environment."""
    pairs = [word for name, rest in stages()[-1] if name == "ENV" for word in shlex.split(rest)]
    return dict(pair.split("=", 1) for pair in pairs)
