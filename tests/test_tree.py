"""Trees: what is kept up to date step by step is what a walk over the whole tree finds."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from math import isclose

from hypothesis import given
from hypothesis import strategies as st

from spread.tree import NOBODY, Forest, Shape

STEPS = st.lists(
    st.tuples(st.sampled_from(["plant", "attach", "attach", "move", "weigh", "weigh"]), st.integers(0), st.integers(0)),
    max_size=40,
)
Steps = list[tuple[str, int, int]]


@dataclass
class Plain:
    """The same trees as plain lists, with every answer found by walking."""

    parent: list[int] = field(default_factory=list)
    weight: list[int] = field(default_factory=list)

    def above(self, node: int) -> list[int]:
        path = [node]
        while self.parent[path[-1]] != NOBODY:
            path.append(self.parent[path[-1]])
        return path

    def head(self, node: int) -> int:
        return self.above(node)[-1]

    def heads(self) -> list[int]:
        return [node for node, parent in enumerate(self.parent) if parent == NOBODY]

    def children(self, node: int) -> set[int]:
        return {child for child, parent in enumerate(self.parent) if parent == node}

    def living(self, head: int) -> list[int]:
        return [node for node, weight in enumerate(self.weight) if weight and self.head(node) == head]

    def breadths(self, head: int) -> Counter[int]:
        return Counter(len(self.above(node)) - 1 for node in self.living(head))

    def mean_distance(self, head: int) -> float:
        living = set(self.living(head))
        if len(living) < 2:
            return 0.0
        total = 0
        for start in living:
            far = {start: 0}
            queue = deque([start])
            while queue:
                node = queue.popleft()
                for other in {self.parent[node], *self.children(node)} - {NOBODY} - far.keys():
                    far[other] = far[node] + 1
                    queue.append(other)
            total += sum(far[node] for node in living)
        return total / (len(living) * (len(living) - 1))


def grown(steps: Steps) -> tuple[Forest, Plain]:
    """Take the same steps with a forest and with plain lists."""
    forest, plain = Forest(), Plain()
    for what, one, other in steps:
        n = len(plain.parent)
        if what == "plant" or not n:
            forest.extend()
            forest.plant(n)
            plain.parent.append(NOBODY)
            plain.weight.append(0)
            continue
        node = one % n
        head = plain.head(node)
        if what == "attach":
            forest.extend()
            forest.attach(n, node, head)
            plain.parent.append(node)
            plain.weight.append(0)
        elif what == "weigh":
            forest.set_weight(node, other % 2, head)
            plain.weight[node] = other % 2
        elif node != head:
            places = [p for p in range(n) if plain.head(p) == head and node not in plain.above(p)]
            parent = places[other % len(places)]
            forest.move(node, parent, head)
            plain.parent[node] = parent
    return forest, plain


def breadths(shape: Shape) -> Counter[int]:
    """Living nodes by depth, without the depths that have none."""
    return +Counter(dict(enumerate(shape.breadths)))


@given(STEPS)
def test_a_forest_is_what_walking_it_finds(steps: Steps) -> None:
    """After any planting, attaching, moving and weighing, every number equals the one that a walk finds."""
    forest, plain = grown(steps)
    nodes = range(len(plain.parent))
    assert list(forest.parent) == plain.parent
    assert list(forest.weight) == plain.weight
    assert list(forest.depth) == [len(plain.above(node)) - 1 for node in nodes]
    for node in nodes:
        below = {other for other in nodes if node in plain.above(other)}
        order = list(forest.subtree(node))
        assert set(order) == below
        assert len(order) == len(below)
        assert all(order.index(plain.parent[other]) < order.index(other) for other in order[1:])
        assert forest.size[node] == sum(plain.weight[other] for other in below)
        assert sorted(forest.children(node)) == sorted(plain.children(node))
        assert forest.has_children(node) == bool(plain.children(node))
        assert {other for other in nodes if forest.is_below(other, node)} == below
    assert sorted(forest.shapes) == plain.heads()
    for head, shape in forest.shapes.items():
        at = plain.breadths(head)
        assert shape.living == len(plain.living(head))
        assert breadths(shape) == at
        assert shape.depth == max(at, default=0)
        assert shape.max_breadth == max(at.values(), default=0)
        assert isclose(shape.structural_virality, plain.mean_distance(head), rel_tol=1e-12)


@given(STEPS, st.randoms(use_true_random=False))
def test_built_at_once_is_grown_step_by_step(steps: Steps, rng: object) -> None:
    """Trees made at once, their nodes in any order, have the shapes of trees that grew."""
    forest, plain = grown(steps)
    heads = plain.heads()
    nodes = [node for node in range(len(plain.parent)) if node not in heads]
    rng.shuffle(nodes)  # type: ignore[attr-defined]
    built = Forest()
    for _ in plain.parent:
        built.extend()
    built.build(heads, nodes, [plain.parent[node] for node in nodes], [plain.weight[node] for node in nodes])
    for head in heads:
        built.set_weight(head, plain.weight[head], head)
    assert (built.parent, built.depth, built.size, built.weight) == (
        forest.parent,
        forest.depth,
        forest.size,
        forest.weight,
    )
    for head, shape in forest.shapes.items():
        same = built.shapes[head]
        assert (same.living, same.size_sum, same.size_squares) == (shape.living, shape.size_sum, shape.size_squares)
        assert breadths(same) == breadths(shape)


#      0
#     / \
#    1   2
#    |
#    3
def test_a_tree_counted_by_hand() -> None:
    """A small tree has the depth, breadth and mean distance counted by hand, also with a joint and after a move."""
    forest = Forest()
    for _ in range(4):
        forest.extend()
    forest.plant(0)
    for node, parent in ((1, 0), (2, 0), (3, 1)):
        forest.attach(node, parent, 0)
    for node in range(4):
        forest.set_weight(node, 1, 0)
    shape = forest.shapes[0]
    # 0-1 1, 0-2 1, 0-3 2, 1-2 2, 1-3 1, 2-3 3: 10 over 6 pairs
    assert (shape.living, shape.breadths, shape.depth, shape.max_breadth) == (4, [1, 2, 1], 2, 2)
    assert isclose(shape.structural_virality, 10 / 6)

    forest.set_weight(1, 0, 0)
    # 1 is a joint: 0-2 1, 0-3 2, 2-3 3: 6 over 3 pairs
    assert (shape.living, shape.breadths, shape.depth, shape.max_breadth) == (3, [1, 1, 1], 2, 1)
    assert isclose(shape.structural_virality, 2.0)

    forest.move(3, 0, 0)
    # 0-2 1, 0-3 1, 2-3 2: 4 over 3 pairs
    assert (shape.living, shape.breadths, shape.depth, shape.max_breadth) == (3, [1, 2, 0], 1, 2)
    assert isclose(shape.structural_virality, 4 / 3)


def test_fewer_than_two_living_nodes_have_no_distance() -> None:
    """An empty tree and a single living node have structural virality 0."""
    forest = Forest()
    forest.extend()
    forest.plant(0)
    assert forest.shapes[0].structural_virality == 0
    forest.set_weight(0, 1, 0)
    assert (forest.shapes[0].structural_virality, forest.shapes[0].max_breadth) == (0, 1)
