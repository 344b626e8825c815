"""Catalog entry of the family ``training``: optimistic mirror descent as an optimizer of networks.

``D`` takes the place of a learning rate: the step size follows from it and from the gradients. With the longest
gradient so far for ``G`` and ``delta = G^2``, no first step is longer than ``2 D / sqrt(5)``.

The default of ``D`` is the best of 0.3, 1, 3, 10 and 30 by validation accuracy on mnist10k-mlp (0.928, next 0.909) and
notmnist10k-mlp (0.883, equal to 10), 300 steps each, and near the best on mnist1d-cnn and byte-lm.
"""

from __future__ import annotations

from optimand.core.catalog import method
from optimand.core.space import Float

from .optimistic_sgd import OptimisticSGD

method(
    "optimistic-sgd",
    family="training",
    space={"D": Float(0.1, 100.0, log=True)},
    defaults={"D": 3.0},
    paper="optimistic-omd-sea",
    summary="Optimistic gradient descent whose step size follows from the errors of guessed gradients",
)(OptimisticSGD)
