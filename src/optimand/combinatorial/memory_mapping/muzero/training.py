"""Training of mallocMuZero (arXiv:2305.07440): rounds of self-play with search, then gradient steps on the replay.

The agent's own configuration: the paper's body could not be checked in a source, so networks, schedules and the
division of labour with heuristics are a design of our own. The exact game is the default model of the search because
it is known, deterministic and cheap; the learned model follows arXiv 1911.08265 with five unrolled steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .network import ModelNet, PolicyValueNet
from .replay import Replay
from .settings import Settings

Net = PolicyValueNet | ModelNet


def make_net(features: int, settings: Settings, seed: int) -> Net:
    """The network that the settings ask for."""
    generator = torch.Generator().manual_seed(seed)
    if settings.model == "learned":
        return ModelNet(features, width=settings.width, hidden=settings.hidden, generator=generator)
    return PolicyValueNet(features, settings.hidden, generator=generator)


class Learner:
    """A network with its optimizer, trained on a replay.

    Args:
        net: trained in place.
        replay: what it learns from.
        settings: losses, batch and learning rate.
    """

    def __init__(self, net: Net, replay: Replay, settings: Settings) -> None:
        self.net, self.replay, self.settings = net, replay, settings
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)

    def update(self, steps: int, rng: np.random.Generator) -> float:
        """Take gradient steps; returns their mean loss, NaN for none.

        One thread trains: more only wait for each other, and sums would depend on how many there are.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self._steps(steps if self.replay.size else 0, rng)
        finally:
            torch.set_num_threads(threads)

    def _steps(self, steps: int, rng: np.random.Generator) -> float:
        losses = []
        for _ in range(steps):
            at = self.replay.sample(self.settings.batch, rng)
            self.optimizer.zero_grad()
            net = self.net
            total = (self._unrolled_loss(net, at) if isinstance(net, ModelNet) else self._loss(net, at)).mean()
            total.backward()
            self.optimizer.step()
            losses.append(float(total.detach()))
        return float(np.mean(losses)) if losses else float("nan")

    def packed(self) -> Any:
        """The network as the searches want it."""
        return self.net.pack()

    def state_dict(self) -> dict[str, Any]:
        """Weights and the optimizer's state."""
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _loss(self, net: PolicyValueNet, at: NDArray[np.int64]) -> Tensor:
        arrays = self.replay.arrays
        logits, values = net(_tensor(arrays["features"][at]))
        errors = values - _tensor(arrays["returns"][at])
        return _cross_entropy(logits, _tensor(arrays["policies"][at])) + self.settings.value_weight * errors**2

    def _unrolled_loss(self, net: ModelNet, at: NDArray[np.int64]) -> Tensor:
        """MuZero's loss over ``unroll`` steps of the model; after the end, values and rewards are 0."""
        replay, settings = self.replay, self.settings
        arrays = replay.arrays
        hidden = net.observe(_tensor(arrays["features"][at]))
        total = torch.zeros(len(at))
        inside = np.ones(len(at), np.bool_)
        now = at
        for step in range(settings.unroll + 1):
            share = 1.0 if step == 0 else 1.0 / settings.unroll
            logits, values = net.predict(hidden)
            alive = _tensor(inside.astype(np.float32))
            errors = values - _tensor(np.where(inside, arrays["returns"][now], 0.0)).to(values.dtype)
            policy = _cross_entropy(logits, _tensor(arrays["policies"][now])) * alive
            total = total + share * (policy + settings.value_weight * errors**2)
            if step == settings.unroll:
                break
            hidden, rewards = net.advance(hidden, _tensor(arrays["actions"][now].astype(np.int64)))
            wanted = _tensor(np.where(inside, arrays["rewards"][now], 0.0))
            total = total + settings.value_weight * (rewards - wanted.to(rewards.dtype)) ** 2 / settings.unroll
            hidden = hidden * 0.5 + hidden.detach() * 0.5  # the gradient into the dynamics' state is scaled by 1/2
            now, inside = replay.after(at, step + 1)
        return total


def _tensor(array: NDArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _cross_entropy(logits: Tensor, policies: Tensor) -> Tensor:
    return -(policies * nn.functional.log_softmax(logits, dim=1)).sum(1)
