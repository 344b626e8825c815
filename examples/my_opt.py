"""An optimizer of one's own, written from scratch: RMSprop with momentum and decoupled weight decay.

    optimand compare digits-mlp --methods adamw,examples/my_opt.py:MyOpt

Its hyperparameters and their defaults are read from its signature; nothing has to be registered.
"""

from __future__ import annotations

import torch


class MyOpt(torch.optim.Optimizer):
    """RMSprop with momentum and decoupled weight decay."""

    def __init__(self, params, lr=3e-3, momentum=0.9, rho=0.99, eps=1e-8, weight_decay=0.01):
        super().__init__(params, {"lr": lr, "momentum": momentum, "rho": rho, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        """Take one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["square"] = torch.zeros_like(p)
                    state["velocity"] = torch.zeros_like(p)
                square, velocity = state["square"], state["velocity"]
                square.mul_(group["rho"]).addcmul_(p.grad, p.grad, value=1 - group["rho"])
                velocity.mul_(group["momentum"]).addcdiv_(p.grad, square.sqrt().add_(group["eps"]))
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(velocity, alpha=-group["lr"])
        return loss
