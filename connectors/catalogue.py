"""The connectors there are: a line each. Everything that lists them follows from here.

A connector's module is imported when it is asked for: its network's library may take a second.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from pydantic import SecretStr

from connectors.connector import Connector, Option, Options, Value

CATALOGUE: Final[dict[str, str]] = {
    "bluesky": "connectors.bluesky:Bluesky",
    "mastodon": "connectors.mastodon:MastodonConnector",
    "outcomes": "connectors.outcomes:Outcomes",
    "viadeo": "connectors.viadeo:Viadeo",
    "x": "connectors.x:X",
    "linkedin": "connectors.linkedin:LinkedIn",
    "facebook": "connectors.facebook:Facebook",
    "threads": "connectors.threads:Threads",
}
"""By name, where the class is: `module:Class`."""


class OptionError(Exception):
    """A connector can't be had as it is asked for. One line, without values."""


def connector(name: str) -> type[Connector]:
    """The class of a connector. Raises `OptionError` for a name that there is not."""
    if name not in CATALOGUE:
        raise OptionError(f"no connector {name}: there are {', '.join(CATALOGUE)}")
    module, _, kind = CATALOGUE[name].partition(":")
    return cast(type[Connector], getattr(import_module(module), kind))


def connectors() -> Iterator[type[Connector]]:
    """All of them, in the order of the catalogue."""
    return map(connector, CATALOGUE)


def options(name: str, given: Mapping[str, Any]) -> Options:
    """The options of a connector in force: what is given, checked, and the defaults of the rest.

    Texts stand for any type, as the environment has it. Raises `OptionError`, naming the option and never its value.
    """
    declared = {option.name: option for option in connector(name).declared.options}
    files = {f"{option.name}_file": option for option in declared.values() if option.secret}
    values: dict[str, Value] = {
        option.name: [*option.default] if isinstance(option.default, list) else option.default
        for option in declared.values()
    }
    for key, value in given.items():
        if key in files:
            values[files[key].name] = _read(f"{name}.{key}", str(value))
        elif key in declared:
            values[key] = _value(name, declared[key], value)
        else:
            known = ", ".join([*declared, *files])
            raise OptionError(f"connector {name} has no option {key}: there are {known or 'none'}")
    for option in declared.values():
        if option.required and not values[option.name]:
            raise OptionError(f"connector {name} needs its option {option.name}: {option.help}")
    return Options(values)


def shown(name: str, given: Mapping[str, Any]) -> dict[str, str]:
    """Options as they may be shown: secrets, and whatever is not declared, as stars."""
    try:
        clear = {option.name for option in connector(name).declared.options if not option.secret}
        clear |= {f"{option.name}_file" for option in connector(name).declared.options if option.secret}
    except OptionError:
        clear = set()
    return {key: str(value) if key in clear else "**********" for key, value in given.items()}


def _value(connector_name: str, option: Option, value: Any) -> Value:
    """A value in the type of its option."""
    kind = str if option.default is None else type(option.default)
    try:
        if kind is list:
            items = value.split(",") if isinstance(value, str) else value
            return [str(item).strip() for item in items if str(item).strip()]
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
        if isinstance(value, list | dict):
            raise ValueError
        converted: Value = kind(value)
    except (ValueError, TypeError, KeyError):
        raise OptionError(f"option {option.name} of connector {connector_name} is no {kind.__name__}") from None
    return SecretStr(str(value)) if option.secret else converted


def _read(option: str, path: str) -> SecretStr:
    try:
        return SecretStr(Path(path).read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise OptionError(f"option {option}: {path}: {why}") from None
