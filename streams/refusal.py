"""Why a connection to Kafka fails: kafka-python says it in its log alone, and raises that it took too long."""

import logging
import math
import re
import time
from typing import Final

from kafka.errors import KafkaError, KafkaTimeoutError, SaslAuthenticationFailedError, UnsupportedSaslMechanismError

_CLIENT: Final = logging.getLogger("kafka")
_NOISE: Final = re.compile(r"^\w+Error: |^Handshake failed: |\[SSL: \w+\] | \(_ssl\.c:\d+\)")
_SPEAKS: Final = "it does not speak this security_protocol"
_CERTIFICATE: Final = "it does not take this certificate, or asks for one"
_WORDS: Final = {
    SaslAuthenticationFailedError.__name__: "it refuses this user or password",
    UnsupportedSaslMechanismError.__name__: "it does not take this sasl_mechanism",
    "Invalid frame length": _SPEAKS,
    "UNEXPECTED_EOF": _SPEAKS,
    "WRONG_VERSION_NUMBER": _SPEAKS,
    "BAD_CERTIFICATE": _CERTIFICATE,
    "CERTIFICATE_REQUIRED": _CERTIFICATE,
    "CERTIFICATE_VERIFY_FAILED": "",
}
"""What tells what is wrong, by the name of the error or a part of its text; empty where it says it well itself."""
_CLOSED: Final = "socket disconnected"


class _Heard(logging.Filter):
    """Keeps the last failure, and lets through what the client's own level lets through.

    One that tells what is wrong comes first, whatever follows it: a broker that refuses is slow to close.
    """

    def __init__(self) -> None:
        super().__init__()
        self._failures: dict[bool, tuple[float, str]] = {}
        """The last one that tells what is wrong, and the last other one: when, and what it said."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Look at a record."""
        args = record.args if isinstance(record.args, tuple) else ()
        error = next((one for one in args if isinstance(one, KafkaError)), None)
        if error is not None and not isinstance(error, KafkaTimeoutError):
            self._failures[_sign(error) is not None] = time.monotonic(), said(error)
        return record.levelno >= _CLIENT.getEffectiveLevel()

    def since(self, moment: float) -> str | None:
        """What the last failure since a moment of the steady clock said, None if there was none."""
        for is_telling in (True, False):
            at, what = self._failures.get(is_telling, (-math.inf, ""))
            if at >= moment:
                return what
        return None


def said(error: Exception) -> str:
    """What went wrong in words, without the numbers that Kafka and OpenSSL give it."""
    if words := _WORDS.get(_sign(error) or ""):
        return words
    text = _text(error)
    if text == _CLOSED:  # which is also how some brokers refuse a password
        return "it closes the connection; security_protocol, user and password may be wrong"
    return _NOISE.sub("", _NOISE.sub("", text)).strip()


def _sign(error: Exception) -> str | None:
    told = f"{type(error).__name__} {_text(error)}"
    return next((sign for sign in _WORDS if sign in told), None)


def _text(error: Exception) -> str:
    return " ".join(map(str, error.args)) or type(error).__name__


HEARD: Final = _Heard()
_MANAGER: Final = logging.getLogger("kafka.net.manager")
_MANAGER.setLevel(logging.WARNING)  # of its own, so that it is heard where the client is to be silent
_MANAGER.addFilter(HEARD)
