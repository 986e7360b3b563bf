"""Trees as offers grow them: a few nodes with very many children, most with none, and chains in between."""

from array import array
from hashlib import blake2b
from random import Random
from typing import Final

from spread.facts import POST, SHARE, ActFact

DEEPEST: Final = 59
_LATEST: Final = 8
START_MS: Final = 1_700_000_000_000


def name(number: int, of: str) -> str:
    """An id of 24 characters that tells nothing of its number."""
    return blake2b(b"%d" % number, digest_size=12, person=of.encode()).hexdigest()


class Tree:
    """A random recursive tree with room for `size` nodes, grown one by one.

    A third of the nodes hang below one of the latest, a third below any, and a third below the parent of any, which
    makes the number of children heavy-tailed.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._random = Random(seed)
        self._parents, self._depths = array("i", bytes(4 * size)), array("b", bytes(size))
        self.nodes = 0

    def grow(self) -> int:
        """Add a node; the number of its parent, the root's being its own."""
        node, self.nodes = self.nodes, self.nodes + 1
        if not node:
            return 0
        how = self._random.random() * 3
        if how < 1:
            parent = max(0, node - 1 - int(how * _LATEST))
        else:
            parent = int(self._random.random() * node)
            if how < 2:
                parent = self._parents[parent]
        if self._depths[parent] == DEEPEST:
            parent = self._parents[parent]
        self._parents[node] = parent
        self._depths[node] = self._depths[parent] + 1
        return parent

    @property
    def depth(self) -> int:
        """Of the deepest node."""
        return max(self._depths)


class Cascade:
    """The facts of one cascade, made one by one and not kept: every node is another account's, and says its parent."""

    def __init__(self, offer: str, size: int, seed: int) -> None:
        self._offer, self._person = offer, f"{seed:x}"
        self.tree = Tree(size, seed)

    def next(self) -> ActFact:
        """The next post or share."""
        node = self.tree.nodes
        parent = self.tree.grow()
        return ActFact(
            name(node, self._person),
            SHARE if node else POST,
            "bluesky",
            START_MS + 1_000 * node,
            name(node, "who" + self._person),
            self._offer,
            name(0, self._person),
            name(parent, self._person) if node else None,
            node % 5_000,
        )
