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


def make_net(features: int, settings: Settings, seed: int) -> Net | None:
    """The network that the settings ask for; None for search without one."""
    generator = torch.Generator().manual_seed(seed)
    if settings.model == "learned":
        return ModelNet(features, width=settings.width, hidden=settings.hidden, generator=generator)
    if settings.model == "exact":
        return PolicyValueNet(features, settings.hidden, grid=settings.grid, generator=generator)
    return None


class Learner:
    """A network with its optimizer, trained on a replay.

    Args:
        net: trained in place.
        replay: what it learns from.
        settings: losses, batch and learning rate.
    """

    def __init__(self, net: Net, replay: Replay, settings: Settings) -> None:
        self.net, self.replay, self.settings = net.to(settings.device), replay, settings
        self.optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)

    def update(self, steps: int, rng: np.random.Generator) -> float:
        """Take gradient steps; returns their mean loss, NaN for none.

        Perceptrons on the processor are trained by one thread: more only wait for each other, and sums would depend on
        how many there are.
        """
        threads = torch.get_num_threads()
        if not self.settings.grid and self.settings.device == "cpu":
            torch.set_num_threads(1)
        try:
            return self._steps(steps if self.replay.size else 0, rng)
        finally:
            torch.set_num_threads(threads)

    def _steps(self, steps: int, rng: np.random.Generator) -> float:
        losses = []
        for _ in range(steps):
            draw = self.replay.sample(self.settings.batch, rng)
            self.optimizer.zero_grad()
            if isinstance(self.net, ModelNet):
                loss, errors = self._unrolled_loss(self.net, draw.at)
            else:
                loss, errors = self._loss(self.net, draw.at)
            total = (loss * self._tensor(draw.weights)).mean()
            total.backward()
            self.optimizer.step()
            self.replay.set_priorities(draw.at, errors.detach().cpu().numpy())
            losses.append(float(total.detach()))
        return float(np.mean(losses)) if losses else float("nan")

    def packed(self) -> Any:
        """The network as the searches want it."""
        if isinstance(self.net, PolicyValueNet) and self.net.eyes is not None:
            return self.net.evaluator(self.settings.device)
        return self.net.pack()

    def state_dict(self) -> dict[str, Any]:
        """Weights and the optimizer's state."""
        return {"net": _copied(self.net.state_dict()), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _loss(self, net: PolicyValueNet, at: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        arrays = self.replay.arrays
        grid = None
        if self.settings.grid:
            bits = np.unpackbits(arrays["grids"][at], axis=1)
            grid = self._tensor(bits.reshape(len(at), 64, 64))
        logits, values = net(self._tensor(arrays["features"][at]), grid)
        errors = values - self._tensor(arrays["returns"][at])
        loss = _cross_entropy(logits, self._tensor(arrays["policies"][at])) + self.settings.value_weight * errors**2
        return loss, errors

    def _unrolled_loss(self, net: ModelNet, at: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """MuZero's loss over ``unroll`` steps of the model; after the end, values and rewards are 0."""
        replay, settings = self.replay, self.settings
        arrays = replay.arrays
        hidden = net.observe(self._tensor(arrays["features"][at]))
        total = torch.zeros(len(at), device=settings.device)
        first = total
        inside = np.ones(len(at), np.bool_)
        now = at
        for step in range(settings.unroll + 1):
            share = 1.0 if step == 0 else 1.0 / settings.unroll
            logits, values = net.predict(hidden)
            alive = self._tensor(inside.astype(np.float32))
            target = self._tensor(np.where(inside, replay.bootstrapped(now, settings.bootstrap), 0.0))
            errors = values - target.to(values.dtype)
            policy = _cross_entropy(logits, self._tensor(arrays["policies"][now])) * alive
            total = total + share * (policy + settings.value_weight * errors**2)
            if step == 0:
                first = errors
            if step == settings.unroll:
                break
            actions = self._tensor(arrays["actions"][now].astype(np.int64))
            hidden, rewards = net.advance(hidden, actions)
            wanted = self._tensor(np.where(inside, arrays["rewards"][now], 0.0))
            total = total + settings.value_weight * (rewards - wanted.to(rewards.dtype)) ** 2 / settings.unroll
            halved = hidden * 0.5 + hidden.detach() * 0.5  # the gradient into the dynamics' state is scaled by 1/2
            hidden = halved
            now, reached = replay.after(at, step + 1)
            inside = reached
        return total, first

    def _tensor(self, array: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.settings.device)


def _cross_entropy(logits: Tensor, policies: Tensor) -> Tensor:
    return -(policies * nn.functional.log_softmax(logits, dim=1)).sum(1)


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
