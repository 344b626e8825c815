"""Small multi-layer perceptrons evaluated inside compiled searches.

At 64 to 128 units a call into a tensor library costs more than the arithmetic, so a search that stays in compiled code
evaluates its leaves there. Weights of all layers lie in one float32 vector: per layer a matrix (inputs, outputs), or
(outputs, inputs) where the outputs are fewer than ``NARROW``, so that the inner loop is long; then its biases. ReLU
between layers, none after the last.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimand.core.compiled import compiled

NARROW = 12


class Mlp(NamedTuple):
    """Layers as one vector of weights and the sizes (inputs, hidden …, outputs)."""

    weights: NDArray[np.float32]
    sizes: NDArray[np.int64]


def pack_mlp(layers: list[tuple[NDArray, NDArray]]) -> Mlp:
    """An ``Mlp`` from (weight, bias) pairs, weights of shape (outputs, inputs) as in torch."""
    sizes = [layers[0][0].shape[1]] + [weight.shape[0] for weight, _ in layers]
    parts = []
    for weight, bias in layers:
        matrix = weight if weight.shape[0] < NARROW else weight.T
        parts += [np.ascontiguousarray(matrix).ravel(), bias.ravel()]
    return Mlp(np.concatenate(parts).astype(np.float32), np.array(sizes, np.int64))


@compiled(error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def run_mlp(net: Mlp, x: NDArray, work: NDArray, out: NDArray) -> None:
    """Evaluate the net on one input.

    Args:
        net: the layers.
        x: (inputs,), float32.
        work: (2, widest layer), float32, overwritten.
        out: (outputs,), float32, written.
    """
    layers = net.sizes.shape[0] - 1
    at = 0
    for layer in range(layers):
        fan_in, fan_out = net.sizes[layer], net.sizes[layer + 1]
        source = x if layer == 0 else work[(layer + 1) % 2]
        target = out if layer == layers - 1 else work[layer % 2]
        bias = net.weights[at + fan_in * fan_out : at + (fan_in + 1) * fan_out]
        if fan_out < NARROW:
            for j in range(fan_out):
                row = net.weights[at + j * fan_in : at + (j + 1) * fan_in]
                total = np.float32(0.0)
                for i in range(fan_in):
                    total += source[i] * row[i]
                target[j] = total + bias[j]
        else:
            for j in range(fan_out):
                target[j] = bias[j]
            for i in range(fan_in):
                value = source[i]
                if value != 0.0:  # half of the hidden units are, after a ReLU
                    row = net.weights[at + i * fan_out : at + (i + 1) * fan_out]
                    for j in range(fan_out):
                        target[j] += value * row[j]
        at += (fan_in + 1) * fan_out
        if layer < layers - 1:
            for j in range(fan_out):
                target[j] = max(target[j], np.float32(0.0))


def mlp_width(*nets: Mlp) -> int:
    """The widest layer of the nets, which ``work`` needs."""
    return max(int(net.sizes.max()) for net in nets)
