"""Places for the nodes of a drawing: layers by distance from the roots, few crossings, straight edges.

Sugiyama's scheme: nodes go to layers by their longest way from a root, roots next to where they are used; an edge over
several layers gets a point in each; barycenters order the layers; places within a layer minimize the squared
distances from the middle of the neighbours, with room kept between boxes, by pooling adjacent violators.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise

Item = Hashable
SWEEPS = 8


class Layout:
    """Where nodes and the bends of edges go.

    Args:
        order: the nodes, each after its parents.
        parents: of each node, those that are drawn.
        width: of a node, in the direction along its layer.
        gap: room between two nodes of a layer.

    Attributes:
        layers: the nodes, and the bends as triples ``(parent, child, layer)``, in their order.
        place: the middle of each, from 0.
        layer: of each node.
    """

    def __init__(self, order: Sequence[Item], parents: Mapping[Item, Iterable[Item]], width: float, gap: float) -> None:
        self.parents = {item: list(dict.fromkeys(parents.get(item, ()))) for item in order}
        self.layer = self._assign(order)
        self.ways: dict[tuple[Item, Item], list[Item]] = {}
        self.layers, self._before, self._after = self._with_bends(order)
        for sweep in range(SWEEPS):
            self._reorder(down=sweep % 2 == 0)
        self.place = self._places(width, gap)

    def _assign(self, order: Sequence[Item]) -> dict[Item, int]:
        layer: dict[Item, int] = {}
        for item in order:
            layer[item] = 1 + max((layer[parent] for parent in self.parents[item]), default=-1)
        children: dict[Item, list[Item]] = {item: [] for item in order}
        for item in order:
            for parent in self.parents[item]:
                children[parent].append(item)
        for item in order:
            if not self.parents[item] and children[item]:
                layer[item] = min(layer[child] for child in children[item]) - 1
        return layer

    def _with_bends(
        self, order: Sequence[Item]
    ) -> tuple[list[list[Item]], dict[Item, list[Item]], dict[Item, list[Item]]]:
        layers: list[list[Item]] = [[] for _ in range(1 + max(self.layer.values(), default=-1))]
        before: dict[Item, list[Item]] = {}
        after: dict[Item, list[Item]] = {}
        for item in order:
            layers[self.layer[item]].append(item)
        for item in order:
            for parent in self.parents[item]:
                way: list[Item] = [parent]
                for at in range(self.layer[parent] + 1, self.layer[item]):
                    bend = (parent, item, at)
                    layers[at].append(bend)
                    way.append(bend)
                way.append(item)
                self.ways[parent, item] = way
                for a, b in pairwise(way):
                    after.setdefault(a, []).append(b)
                    before.setdefault(b, []).append(a)
        return layers, before, after

    def _reorder(self, *, down: bool) -> None:
        neighbours = self._before if down else self._after
        for layer in self.layers[1:] if down else self.layers[-2::-1]:
            at = {item: i for row in self.layers for i, item in enumerate(row)}
            middle = {
                item: sum(at[other] for other in neighbours[item]) / len(neighbours[item])
                if neighbours.get(item)
                else float(at[item])
                for item in layer
            }
            layer.sort(key=lambda item: middle[item])

    def _places(self, width: float, gap: float) -> dict[Item, float]:
        place = {item: i * (width + gap) for layer in self.layers for i, item in enumerate(layer)}
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            for layer in self.layers if down else self.layers[::-1]:
                wanted = []
                for item in layer:
                    near = self._before.get(item, []) + self._after.get(item, [])
                    wanted.append(sum(place[other] for other in near) / len(near) if near else place[item])
                room = [(self._size(a, width) + self._size(b, width)) / 2 + gap for a, b in pairwise(layer)]
                place.update(zip(layer, spaced(wanted, room), strict=True))
        left = min((place[item] - self._size(item, width) / 2 for item in place), default=0.0)
        return {item: value - left for item, value in place.items()}

    def _size(self, item: Item, width: float) -> float:
        return width if item in self.layer else 0.0


def spaced(wanted: Sequence[float], room: Sequence[float]) -> list[float]:
    """Places in this order, with at least this room between neighbours, nearest to the wanted ones in least squares.

    Example:
        >>> spaced([0.0, 0.0, 10.0], [4.0, 4.0])
        [-2.0, 2.0, 10.0]
    """
    shift = [0.0]
    for step in room:
        shift.append(shift[-1] + step)
    blocks: list[tuple[float, int]] = []
    for want, off in zip(wanted, shift, strict=False):
        mean, count = want - off, 1
        while blocks and blocks[-1][0] > mean:
            last, size = blocks.pop()
            mean, count = (last * size + mean * count) / (size + count), size + count
        blocks.append((mean, count))
    flat = [mean for mean, count in blocks for _ in range(count)]
    return [value + off for value, off in zip(flat, shift, strict=False)]
