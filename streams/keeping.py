"""How long the stages keep what, and under which key they remember whom they erased."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Keeping:
    """The retention of each network, in ms of event time; None keeps everything, and for good.

    `logs_ms` is how long a message may lie in a log before it is read again; `suppression_key` is a secret.
    """

    retention_ms: int | None = None
    networks: Mapping[str, int] = field(default_factory=dict)
    """Where a network's is shorter."""
    logs_ms: int = 0
    suppression_key: bytes = b""

    def of(self, network: str) -> int | None:
        """The retention of a network."""
        if self.retention_ms is None:
            return None
        return min(self.retention_ms, self.networks.get(network, self.retention_ms))

    def horizon(self, network: str, now: int) -> int:
        """Before this moment (ms) nothing of a network is kept, as seen at `now`."""
        retention = self.of(network)
        return 0 if retention is None else now - retention

    def horizons(self, now: int) -> "Horizons":
        """The same for many networks at one moment."""
        return Horizons(self, now)

    @property
    def suppression_ms(self) -> int | None:
        """How long an erased account is remembered: until whatever it did before is refused for its age."""
        if self.retention_ms is None:
            return None
        return max(self.retention_ms, self.logs_ms)


class Horizons(dict[str, int]):
    """The horizon of each network at one moment, worked out once."""

    def __init__(self, keeping: Keeping, now: int) -> None:
        super().__init__()
        self._keeping, self._now = keeping, now

    def __missing__(self, network: str) -> int:
        horizon = self[network] = self._keeping.horizon(network, self._now)
        return horizon


FOREVER: Final = Keeping()
