"""Settings: from the environment (`RICOCHET_...`), then a TOML file, then defaults."""

import json
import os
from collections.abc import Container
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import (
    Field,
    RootModel,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from connectors import catalogue
from connectors.connector import Options
from ricochet.errors import RicochetError
from ricochet.kafka_options import KafkaOptions
from ricochet.secret import secret_in
from spread.events import DAY_MS
from spread.hashing import Hashing
from spread.thresholds import Thresholds
from streams.keeping import Keeping
from streams.topics import Layout

PREFIX: Final = "RICOCHET_"
FILE_VARIABLE: Final = f"{PREFIX}SETTINGS"
DEFAULT_FILE: Final = Path("ricochet.toml")
_SECRET_LENGTH: Final = 16
_NETWORK_DAYS: Final = {"linkedin": 30, "facebook": 90, "threads": 90}
"""Networks whose terms ask for less than others (docs/privacy.md)."""


class Connections(RootModel[dict[str, dict[str, str | bool | int | float | list[str]]]]):
    """The options of each connector, by its name; checked when the connector is made. The text shows no secret."""

    def of(self, name: str) -> Options:
        """The options of a connector in force."""
        try:
            return catalogue.options(name, self.root.get(name, {}))
        except catalogue.OptionError as error:
            raise RicochetError(str(error)) from None

    def __str__(self) -> str:
        given = {name: catalogue.shown(name, options) for name, options in self.root.items()}
        return ", ".join(f"{name}.{key}={text}" for name, texts in given.items() for key, text in texts.items())

    __repr__ = __str__


class Limits(RootModel[dict[str, int | float]]):
    """Thresholds of the conditions that differ from the defaults, by name."""

    @model_validator(mode="after")
    def _known(self) -> "Limits":
        self.thresholds()
        return self

    def __str__(self) -> str:
        return ", ".join(f"{name}={value:g}" for name, value in self.root.items())

    def thresholds(self) -> Thresholds:
        """All thresholds."""
        try:
            thresholds: Thresholds = msgspec.convert(self.root, Thresholds)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None
        return thresholds


class Days(RootModel[dict[str, Annotated[int, Field(ge=1, le=36_500)]]]):
    """Days by network. A network that is not named has those of the defaults."""

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, given: Any) -> Any:
        return _NETWORK_DAYS | given if isinstance(given, dict) else given

    def __str__(self) -> str:
        return ", ".join(f"{network}={days}" for network, days in self.root.items())


class Settings(BaseSettings):
    """All settings. Every one can be set in the environment or in the file."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    state: Path = Field(Path("ricochet.state"), description="State file of `ricochet run`.")
    engine: Literal["embedded", "kafka"] = Field(
        "embedded", description="Which engine the installation has: with it `ricochet offers` keeps the job offers."
    )
    near_misses: Path = Field(
        Path("ricochet.near"), description="File of the posts that nearly match an offer, and of what was decided."
    )
    ambassadors: Path | None = Field(
        None, description="File of the accounts that agreed to be named, CSV or YAML: account, name, consented."
    )
    tail: Annotated[list[Path], NoDecode] = Field(
        [], description="Files of social events (JSON lines) that `ricochet run` follows."
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address that the web server binds to.")
    web_token: SecretStr | None = Field(
        None, min_length=_SECRET_LENGTH, description="Secret that whoever asks a web server has to show; else all may."
    )
    web_token_file: Path | None = Field(None, description="File that holds the web token, instead.")
    port: int = Field(8765, ge=0, le=65535, description="Port of the web server; 0 takes a free one.")
    retention_days: int = Field(
        400,
        ge=1,
        le=36_500,
        description="Days, in event time, after which participation, ids and closed offers' facts go.",
    )
    network_retention_days: Days = Field(
        Days({}), description="The same for single networks, where it is less (see docs/privacy.md)."
    )
    offers_shown: int = Field(
        50, ge=0, le=10_000, description="Offers with metrics of their own, the most active first."
    )
    kafka: str = Field(
        "127.0.0.1:9092",
        pattern=r"^\S+:\d{1,5}(,\S+:\d{1,5})*$",
        description="Kafka's bootstrap servers: host:port, several with commas.",
    )
    kafka_options: KafkaOptions = Field(
        KafkaOptions(), description="Security of the connection to Kafka: security_protocol, ssl_..., sasl_..."
    )
    topic_prefix: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9._-]{0,100}$",
        description="Begins the name of each topic and group, so that installations can share a cluster.",
    )
    social_partitions: int = Field(
        8, ge=1, le=10_000, description="Partitions of `social-events`; fixed once the topics are made."
    )
    offer_partitions: int = Field(
        8, ge=1, le=10_000, description="Partitions of `offer-events`; fixed once the topics are made."
    )
    replication: int = Field(1, ge=1, le=100, description="Brokers that keep a copy of each topic.")
    event_retention_days: int = Field(
        7, ge=1, le=36_500, description="Days that Kafka keeps events on their way, and rejected ones."
    )
    alert_retention_days: int = Field(90, ge=1, le=36_500, description="Days that Kafka keeps alerts.")
    erasure_hours: float = Field(
        84, gt=0, le=10_000, description="Hours after which no changelog and no worker's disk holds what was erased."
    )
    data: Path = Field(Path("ricochet-data"), description="Folder of the workers' tables, with a place for each.")
    worker_port: int = Field(
        8780, ge=0, le=65535, description="Port of the worker in the first place; the next ones follow. 0: free ones."
    )
    advertise: str | None = Field(
        None,
        pattern=r"^https?://[^/@]+$",
        description="Address at which other workers reach this one's web server, if it is not the one it binds to.",
    )
    tables: Literal["rocksdb", "memory"] = Field(
        "rocksdb", description="Where a worker keeps its tables: on disk, or in memory and read anew at each start."
    )
    memory_mb: int = Field(
        768,
        ge=16,
        description="Megabytes of objects that a worker keeps at hand, about; RocksDB takes a third more.",
    )
    stalled_seconds: int = Field(
        60, ge=1, description="Seconds without any progress after which a worker's /readyz says that it is stalled."
    )
    hash_key: SecretStr | None = Field(
        None,
        min_length=_SECRET_LENGTH,
        description="Secret key that accounts and other people's posts are hashed with on their way to Kafka.",
    )
    hash_key_file: Path | None = Field(None, description="File that holds the hash key, instead.")
    suppression_key: SecretStr | None = Field(
        None,
        min_length=_SECRET_LENGTH,
        description="Secret key that erased accounts are remembered under; not hash_key.",
    )
    suppression_key_file: Path | None = Field(None, description="File that holds the suppression key, instead.")
    own: Annotated[list[str], NoDecode] = Field(
        [], description="The employer's accounts and posts (network:id), which stay readable."
    )
    private_hosts: Annotated[list[str], NoDecode] = Field(
        [], description="Hosts of a private network that offers may be read from; of others only what is public."
    )
    thresholds: Limits = Field(
        Limits({}), description="Thresholds of the conditions that differ from the defaults (see docs/conditions.md)."
    )
    connectors: Connections = Field(
        Connections({}), description="Options of each connector, by its name (see `ricochet connect --list`)."
    )
    journals: Path = Field(
        Path("ricochet-journals"), description="Folder of the connectors' journals: how far each has read."
    )
    receiver_host: str = Field("127.0.0.1", min_length=1, description="Address that the receiver of webhooks binds to.")
    receiver_port: int = Field(
        8766, ge=0, le=65535, description="Port of the receiver of webhooks; 0 takes a free one."
    )
    log_format: Literal["text", "json"] = Field("text", description="How log lines look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )

    @field_validator("tail", "own", "private_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Read one entry, or a JSON list of them."""
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
    def keeping(self) -> Keeping:
        """How long the stages keep what."""
        networks = {network: days * DAY_MS for network, days in self.network_retention_days.root.items()}
        return Keeping(self.retention_days * DAY_MS, networks, self.layout.logs_ms, self.suppression_key_bytes)

    def retention_ms(self, network: str) -> int:
        """The retention of one network, for whoever has no need of the key."""
        return min(self.retention_days, self.network_retention_days.root.get(network, self.retention_days)) * DAY_MS

    @property
    def keeping_all(self) -> Keeping:
        """The same for what is not to expire: a file that is replayed, a report."""
        return Keeping(suppression_key=self.suppression_key_bytes)

    @property
    def suppression_key_bytes(self) -> bytes:
        """The key of the list of erased accounts; where none is set, one that follows from the hash key, if any."""
        own = secret_in("suppression_key", self.suppression_key, self.suppression_key_file, _SECRET_LENGTH)
        if own:
            return own.encode()
        key = secret_in("hash_key", self.hash_key, self.hash_key_file, _SECRET_LENGTH)
        return b"suppression " + key.encode() if key else b""

    @property
    def token(self) -> str | None:
        """What whoever asks a web server has to show, None if nothing."""
        return secret_in("web_token", self.web_token, self.web_token_file, _SECRET_LENGTH)

    @property
    def hashing(self) -> Hashing | None:
        """How names are hashed at the door, None where they are not."""
        return self.hashing_with(frozenset(self.own))

    def hashing_with(self, own: Container[str]) -> Hashing | None:
        """The same, where what stays in clear is known better."""
        key = secret_in("hash_key", self.hash_key, self.hash_key_file, _SECRET_LENGTH)
        return Hashing(key.encode(), own) if key else None

    @property
    def layout(self) -> Layout:
        """How the topics are to be."""
        return Layout(
            self.topic_prefix,
            self.social_partitions,
            self.offer_partitions,
            self.replication,
            self.event_retention_days * DAY_MS,
            self.alert_retention_days * DAY_MS,
            int(self.erasure_hours * DAY_MS / 24),
        )


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
    variable = (PREFIX + name).lower()
    if any(one.lower() == variable or one.lower().startswith(variable + "__") for one in os.environ):
        return "environment"
    return "file" if name in settings.model_fields_set else "default"
