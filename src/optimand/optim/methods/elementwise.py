"""Methods with one element-wise rule for all parameters.

torch's own AdamW and SGD are adopted as they are, with their fused kernels switched on.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optimand.core.catalog import method
from optimand.core.space import Choice, Dimension, Float

from ..base import Params
from ..exadam import EXAdam
from ..lion import Lion
from ..lion_k.presets import SIGN_SPACE

LION_PAPER = "symbolic-discovery-lion"
EXADAM_PAPER = "exadam"

ADAM_SPACE: dict[str, Dimension] = {"lr": Float(1e-4, 1e-1, log=True), "weight_decay": Float(1e-4, 1.0, log=True)}
EXADAM_SPACE: dict[str, Dimension] = {"lr": Float(3e-5, 3e-2, log=True), "weight_decay": Float(1e-4, 1.0, log=True)}

method(
    "adamw",
    family="training",
    space=ADAM_SPACE,
    defaults={"fused": True},
    summary="Adam with decoupled weight decay, torch's own",
)(torch.optim.AdamW)

method(
    "sgd",
    family="training",
    space={
        "lr": Float(1e-3, 1.0, log=True),
        "momentum": Choice(0.0, 0.9, 0.99),
        "weight_decay": Float(1e-6, 1e-2, log=True),
    },
    defaults={"lr": 0.1, "momentum": 0.9, "fused": True},
    summary="Stochastic gradient descent with momentum, torch's own",
)(torch.optim.SGD)

method("lion", family="training", space=SIGN_SPACE, paper=LION_PAPER)(Lion)
method(
    "lion-cautious",
    family="training",
    space=SIGN_SPACE,
    paper=LION_PAPER,
    fixed={"cautious": True},
    summary="Lion that moves only coordinates whose update agrees with the gradient (arXiv 2411.16085)",
)(Lion)
method("exadam", family="training", space=EXADAM_SPACE, paper=EXADAM_PAPER)(EXAdam)
method(
    "exadam-v1",
    family="training",
    space={**EXADAM_SPACE, "lr": Float(1e-5, 1e-2, log=True)},
    paper=EXADAM_PAPER,
    fixed={"dynamic_lr": True},
    summary="EXAdam as in the paper's first version, with a growing step",
)(EXAdam)


@method(
    "signum",
    family="training",
    space={
        "lr": Float(1e-5, 1e-2, log=True),
        "momentum": Choice(0.0, 0.9, 0.99),
        "weight_decay": Float(1e-3, 10.0, log=True),
    },
)
def signum(
    params: Params,
    lr: float | Tensor = 1e-4,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    *,
    maximize: bool = False,
    foreach: bool | None = None,
    fused: bool | None = None,
    **options: Any,
) -> Lion:
    """Signum: the sign of the momentum, which is Lion with equal betas (Bernstein et al., arXiv 1802.04434).

    Args:
        params: parameters, or groups of parameters.
        lr: learning rate, at least 0.
        momentum: decay rate of the momentum, in [0, 1); 0 gives signSGD.
        weight_decay: decoupled weight decay, at least 0.
        maximize: whether to maximize the objective.
        foreach: update many tensors at once by torch operations.
        fused: update by compiled CPU code; default where it can serve.
        options: further arguments of :class:`Lion`.

    Example:
        >>> p = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
        >>> optimizer = signum([p], lr=0.25)
        >>> p.grad = torch.tensor([-3.0, 0.1])
        >>> optimizer.step()
        >>> p.data
        tensor([ 1.2500, -1.2500])
    """
    options = {"maximize": maximize, "foreach": foreach, "fused": fused, **options}
    return Lion(params, lr, (momentum, momentum), weight_decay, **options)
