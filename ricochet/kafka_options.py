"""How Kafka's clients make themselves known: the settings, and what each client is given for them.

Certificates are always checked; a secret stands in the environment or in a file, never in an argument or a log.
"""

import ssl
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, FilePath, SecretStr, model_validator

from ricochet.errors import RicochetError
from ricochet.secret import secret_in


class KafkaOptions(BaseModel):
    """The options, named as kafka-python names them. What is not given is left out; `..._file` holds a secret."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_cafile: FilePath | None = None
    ssl_certfile: FilePath | None = None
    ssl_keyfile: FilePath | None = None
    ssl_password: SecretStr | None = None
    ssl_password_file: Path | None = None
    ssl_check_hostname: bool = True
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_plain_username: str | None = None
    sasl_plain_password: SecretStr | None = None
    sasl_plain_password_file: Path | None = None

    @model_validator(mode="after")
    def _complete(self) -> "KafkaOptions":
        if self.is_sasl and not (
            self.sasl_mechanism
            and self.sasl_plain_username
            and (self.sasl_plain_password or self.sasl_plain_password_file)
        ):
            raise ValueError(
                "SASL needs sasl_mechanism, sasl_plain_username, and sasl_plain_password or sasl_plain_password_file"
            )
        return self

    def __str__(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in sorted(self.model_fields_set))

    @property
    def is_sasl(self) -> bool:
        """Whether a user name and a password are shown."""
        return self.security_protocol.startswith("SASL")

    def password(self) -> str | None:
        """The password in clear. Raises `RicochetError` where its file can't be read."""
        return secret_in("kafka_options.sasl_plain_password", self.sasl_plain_password, self.sasl_plain_password_file)

    def context(self) -> ssl.SSLContext | None:
        """What TLS goes by, None without TLS. Raises `RicochetError` where a certificate or key can't be used."""
        if not self.security_protocol.endswith("SSL"):
            return None
        context = ssl.create_default_context()
        try:
            if self.ssl_cafile is not None:
                context = ssl.create_default_context(cafile=self.ssl_cafile)
        except OSError as error:
            raise RicochetError(f"setting kafka_options.ssl_cafile: {self.ssl_cafile}: {_reason(error)}") from None
        context.check_hostname = self.ssl_check_hostname
        if self.ssl_certfile is not None:
            password = secret_in("kafka_options.ssl_password", self.ssl_password, self.ssl_password_file)
            try:
                # Without any password a key that needs one would have it asked for on the terminal.
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, password or "")
            except OSError as error:
                raise RicochetError(
                    f"setting kafka_options.ssl_certfile: {self.ssl_certfile}: {_reason(error)}"
                ) from None
        return context

    def client(self) -> dict[str, Any]:
        """What a client of kafka-python is given. Raises `RicochetError` as `password` and `context` do."""
        given: dict[str, Any] = {"security_protocol": self.security_protocol}
        if (context := self.context()) is not None:
            given["ssl_context"] = context
        if self.is_sasl:
            given |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_plain_username,
                "sasl_plain_password": self.password(),
            }
        return given


def _reason(error: OSError) -> str:
    """What is wrong, without the number that OpenSSL gives it."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it holds no certificate").replace("_", " ").lower()
    return error.strerror or str(error)
