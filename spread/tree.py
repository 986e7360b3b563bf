"""Rooted trees that grow, move and lose weight, with their shape kept up to date.

Nodes are dense integers. Each carries weight 1 (living) or 0 (a joint: it holds its children but counts nowhere).
Every attached node but a head has a parent; a head is the root of one tree and has a `Shape`.

The sum of distances over ordered pairs of living nodes is the weighted Wiener index: an edge above a node with s of n
living nodes below it lies on 2 s (n - s) ordered paths. So two sums over the edges, of s and of s squared, give the
structural virality at any moment (Goel, Anderson, Hofman & Watts 2015, eq. 1), and appending a node changes only the
edges on its way to the root.

Costs: `attach` and `set_weight` O(depth); `move` O(depth + subtree); all iterative.
"""

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

NOBODY = -1


class Shape:
    """The shape of one tree: living nodes by depth, and the sums behind its Wiener index."""

    __slots__ = ("breadths", "living", "size_squares", "size_sum")

    def __init__(self) -> None:
        self.living = 0
        self.breadths = [0]
        self.size_sum = 0
        self.size_squares = 0

    @property
    def depth(self) -> int:
        """Edges from the root to the deepest living node."""
        return max((level for level, n in enumerate(self.breadths) if n), default=0)

    @property
    def max_breadth(self) -> int:
        """The most living nodes at one depth, the root's level counted."""
        return max(self.breadths)

    @property
    def structural_virality(self) -> float:
        """Mean distance over ordered pairs of living nodes; 0 for fewer than two."""
        n = self.living
        return 2 * (n * self.size_sum - self.size_squares) / (n * (n - 1)) if n > 1 else 0.0

    def _at_depth(self, depth: int, change: int) -> None:
        while depth >= len(self.breadths):
            self.breadths.append(0)
        self.breadths[depth] += change


class Forest:
    """Trees over dense integers. `extend` makes room for a node; it is in no tree until `plant` or `attach`."""

    __slots__ = ("_after", "_before", "_child", "depth", "parent", "shapes", "size", "weight")

    def __init__(self, room: int = 0) -> None:
        self.parent = array("i", (NOBODY,)) * room
        self.depth, self._child, self._after, self._before = (self.parent[:] for _ in range(4))
        self.size = array("I", (0,)) * room
        """Living nodes in the subtree, the node itself included."""
        self.weight = array("b", (0,)) * room
        self.shapes: dict[int, Shape] = {}

    def extend(self, more: int = 1) -> None:
        """Make room for more nodes."""
        nobody = array("i", (NOBODY,)) * more
        for links in (self.parent, self.depth, self._child, self._after, self._before):
            links.extend(nobody)
        self.size.extend(array("I", (0,)) * more)
        self.weight.extend(array("b", (0,)) * more)

    def plant(self, head: int) -> None:
        """Start a tree at `head`, as yet of no weight."""
        self.depth[head] = 0
        self.shapes[head] = Shape()

    def attach(self, node: int, parent: int, head: int) -> None:
        """Hang a single new node, of no weight yet, below `parent` in the tree of `head`."""
        self._link(node, parent)
        self.depth[node] = self.depth[parent] + 1

    def set_weight(self, node: int, weight: int, head: int) -> None:
        """Let a node of the tree of `head` live (1), or make it a joint (0)."""
        change = weight - self.weight[node]
        if not change:
            return
        self.weight[node] = weight
        shape = self.shapes[head]
        shape.living += change
        shape._at_depth(self.depth[node], change)
        self._add_up(node, change, head)

    def move(self, node: int, parent: int, head: int) -> None:
        """Hang a node with its subtree below another `parent` of the same tree, not one of its own descendants."""
        weight = self.size[node]
        self._add_up(self.parent[node], -weight, head)
        self._unlink(node)
        self._link(node, parent)
        self._add_up(parent, weight, head)
        fall = self.depth[parent] + 1 - self.depth[node]
        if fall:
            shape = self.shapes[head]
            for below in self.subtree(node):
                depth = self.depth[below]
                self.depth[below] = depth + fall
                if self.weight[below]:
                    shape._at_depth(depth, -1)
                    shape._at_depth(depth + fall, 1)

    def build(self, heads: Iterable[int], nodes: Sequence[int], parents: Sequence[int], weights: Sequence[int]) -> None:
        """Make all trees at once where there are none yet, in time linear in the nodes.

        `nodes`, `parents` and `weights` run in parallel and leave the heads out; the weights of heads are set after.
        """
        for head in heads:
            self.plant(head)
        above, size, child, after, before = self.parent, self.size, self._child, self._after, self._before
        for node, parent, weight in zip(nodes, parents, weights, strict=True):
            first = child[parent]
            above[node], after[node], child[parent] = parent, first, node
            if first != NOBODY:
                before[first] = node
            self.weight[node] = size[node] = weight
        for head, shape in self.shapes.items():
            order = self._count_depths(head, shape)
            total = squares = 0
            for node in reversed(order):
                below = size[node]
                size[above[node]] += below
                total += below
                squares += below * below
            shape.living, shape.size_sum, shape.size_squares = size[head], total, squares

    def fetch(self, nodes: NDArray[np.int32]) -> None:
        """Bring what a change at some nodes touches into the processor's caches.

        On the way up from a node of a large tree each step waits for memory; here many wait at once.
        """
        size, parent = np.asarray(self.size), np.asarray(self.parent)
        np.asarray(self.depth).take(nodes)
        np.asarray(self._before).take(np.asarray(self._child).take(nodes))
        for _ in range(8):  # further up the same nodes are met again and again
            size.take(nodes)
            nodes = parent.take(nodes)
            nodes = nodes[nodes >= 0]

    def subtree(self, node: int) -> Iterable[int]:
        """A node and all below it, parents before their children."""
        child, after = self._child, self._after
        stack = [node]
        while stack:
            node = stack.pop()
            yield node
            below = child[node]
            while below != NOBODY:
                stack.append(below)
                below = after[below]

    def children(self, node: int) -> Iterable[int]:
        """The nodes right below a node."""
        below = self._child[node]
        while below != NOBODY:
            yield below
            below = self._after[below]

    def has_children(self, node: int) -> bool:
        """Whether anything hangs below a node."""
        return self._child[node] != NOBODY

    def is_below(self, node: int, other: int) -> bool:
        """Whether `node` is `other` or in its subtree."""
        while node != NOBODY:
            if node == other:
                return True
            node = self.parent[node]
        return False

    def nbytes(self) -> int:
        """Bytes of memory held."""
        return 25 * len(self.parent)

    def _count_depths(self, head: int, shape: Shape) -> list[int]:
        """Set the depth of all nodes below a head; returns them, parents before their children."""
        child, after, depth, size = self._child, self._after, self.depth, self.size
        order: list[int] = []
        level, deep = [head], 0
        while True:
            lower = []
            for node in level:
                below = child[node]
                while below != NOBODY:
                    lower.append(below)
                    below = after[below]
            if not lower:
                return order
            deep += 1
            for node in lower:
                depth[node] = deep
            shape.breadths.append(sum(map(size.__getitem__, lower)))  # as yet each has its own weight for a size
            order += lower
            level = lower

    def _link(self, node: int, parent: int) -> None:
        first = self._child[parent]
        self.parent[node], self._after[node], self._before[node] = parent, first, NOBODY
        if first != NOBODY:
            self._before[first] = node
        self._child[parent] = node

    def _unlink(self, node: int) -> None:
        before, after = self._before[node], self._after[node]
        if before == NOBODY:
            self._child[self.parent[node]] = after
        else:
            self._after[before] = after
        if after != NOBODY:
            self._before[after] = before

    def _add_up(self, node: int, change: int, head: int) -> None:
        """Add living nodes to a node and all above it; the edges above them carry them too."""
        size, parent = self.size, self.parent
        total, levels = 0, self.depth[node]
        while node != head:
            old = size[node]
            size[node] = old + change
            total += old
            node = parent[node]
        size[head] += change
        shape = self.shapes[head]
        shape.size_sum += change * levels
        shape.size_squares += change * (2 * total + change * levels)
