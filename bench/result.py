"""What a measurement says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One figure, with the bound that it has to keep. Without any bound it is only told."""

    what: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def kept(self) -> bool:
        """Whether the figure is within its bounds."""
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)

    def row(self) -> tuple[str, str, str, str]:
        """What was measured, the figure, its bound, and whether it holds, as words."""
        if self.at_least is not None:
            return self.what, self._words(self.value), f">= {self._words(self.at_least)}", self._verdict()
        if self.at_most is not None:
            return self.what, self._words(self.value), f"<= {self._words(self.at_most)}", self._verdict()
        return self.what, self._words(self.value), "", ""

    def _verdict(self) -> str:
        return "ok" if self.kept else "over"

    def _words(self, value: float) -> str:
        return f"{value:.0f} {self.unit}" if self.unit else f"{value:.3f}"
