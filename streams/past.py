"""What is usual of each company, learnt from the past offers of all stages of a process."""

from spread.usual import Totals, Usual, usual


class Past:
    """Past offers by company. What was learnt stays, also of an offer that another process has now."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[str, Totals]] = {}
        self._usual: dict[str, Usual | None] = {}

    def __contains__(self, offer: str) -> bool:
        return offer in self._of

    def learn(self, offer: str, company: str, shares: Totals) -> None:
        """Take in what a past offer did by each of `spread.usual.AGES`."""
        self._of[offer] = company, shares

    def compare(self) -> None:
        """Find what is usual now."""
        of: dict[str, list[Totals]] = {}
        for company, shares in self._of.values():
            of.setdefault(company, []).append(shares)
        self._usual = {company: usual(pasts) for company, pasts in of.items()}

    def usual(self, company: str) -> Usual | None:
        """What is usual of a company, None where too few of its offers are past."""
        return self._usual.get(company)
