"""Settings: from the environment (`RICOCHET_...`), then a TOML file, then defaults."""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ricochet.errors import RicochetError

PREFIX: Final = "RICOCHET_"
FILE_VARIABLE: Final = f"{PREFIX}SETTINGS"
DEFAULT_FILE: Final = Path("ricochet.toml")


class Settings(BaseSettings):
    """All settings. Every one can be set in the environment or in the file."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    state: Path = Field(Path("ricochet.state"), description="State file of `ricochet run`.")
    tail: Annotated[list[Path], NoDecode] = Field(
        [], description="Files of social events (JSON lines) that `ricochet run` follows."
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address that the web server binds to.")
    port: int = Field(8765, ge=0, le=65535, description="Port of the web server; 0 takes a free one.")
    retention_days: int = Field(
        400,
        ge=1,
        le=36_500,
        description="Days, in event time, after which participation, ids and closed offers' facts go.",
    )
    offers_shown: int = Field(
        50, ge=0, le=10_000, description="Offers with metrics of their own, the most active first."
    )
    log_format: Literal["text", "json"] = Field("text", description="How log lines look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )

    @field_validator("tail", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Read one path, or a JSON list of them."""
        if not isinstance(value, str):
            return value
        return json.loads(value) if value.lstrip().startswith("[") else [value]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line first, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, settings_file())

    @property
    def retention_ms(self) -> int:
        """The retention in ms."""
        return self.retention_days * 86_400_000


def settings_file() -> Path:
    """The file that settings are read from, whether or not it exists."""
    return Path(os.environ.get(FILE_VARIABLE, DEFAULT_FILE))


def load(**overrides: Any) -> Settings:
    """The settings in force; `overrides` (from the command line) that are None are left out.

    Raises `RicochetError` with the first thing that is wrong.
    """
    named = os.environ.get(FILE_VARIABLE)
    if named and not Path(named).is_file():
        raise RicochetError(f"{FILE_VARIABLE}: no file {named}")
    given = {name: value for name, value in overrides.items() if value not in (None, ())}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise RicochetError(f"setting {where}: {first['msg']}") from None
    except ValueError as error:
        raise RicochetError(f"{settings_file()}: {error}") from None


def origin(settings: Settings, name: str) -> str:
    """Where the value of a setting came from: environment, file or default."""
    if PREFIX + name.upper() in os.environ:
        return "environment"
    return "file" if name in settings.model_fields_set else "default"
