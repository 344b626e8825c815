"""Conservative objective models: a surrogate that is pushed down where gradient ascent on it would go.

At each step of the fit the batch is moved by gradient ascent on the surrogate, and what the surrogate gains there is
penalized: ``MSE + alpha (E g(x_adv) - E g(x))``. The multiplier alpha follows, by dual ascent on its logarithm, the
constraint that the gain be at most ``limit``. The fitted surrogate is then ascended from the best offline designs with
the same steps. IGNITE's term is that of the clean rows, not of the moved ones.

The published runs move the whole batch by 50 steps within each step of the fit; the small preset moves a quarter of it
by 10.
"""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from optimand.core.validation import OptimandError

from ..surrogates.fitting import GRADIENT_ROWS, KERAS_EPS, gradient_norm, multiplier, report_of
from ..surrogates.mlp import GaussianMLP
from .parts.fitting import VALIDATION, Predictor, new_model, regularizer
from .parts.search import Job, Proposal, search
from .parts.settings import SURROGATE, Table, real, whole

COMS: Table = {
    **{name: value for name, value in SURROGATE.items() if name != "members"},
    "width": whole(256, 2048),
    "epochs": whole(4, 2),
    "lr": real(3e-4, 3e-4, low_open=True),
    "alpha": real(0.1, 0.1, low_open=True),
    "alpha_lr": real(0.01, 0.01),
    # None: 2 for discrete designs, 0.5 for continuous ones.
    "limit": real(None, None),
    "particle_lr": real(None, None, low_open=True),
    "particle_steps": whole(10, 50),
    # Rows of a batch that are moved; never more than the batch has.
    "particles": whole(32, 128),
    "steps": whole(50, 50, low=0),
}


@search("coms", COMS)
def coms(job: Job) -> Proposal:
    """Ascend a conservative surrogate from the best offline designs.

    Reference:
        Trabucco et al., Conservative Objective Models for Effective Offline Model-Based Optimization, ICML 2021,
        arXiv 2107.06882.
    """
    space, s = job.space, job.s
    limit = s.limit if s.limit is not None else (2.0 if space.is_discrete else 0.5)
    rate = s.particle_lr if s.particle_lr is not None else (2.0 if space.is_discrete else 0.05)
    step = rate * math.sqrt(space.dim)
    predictor = Predictor(space, [new_model(job, 0, activation="relu")])
    _fit(job, predictor, limit, step)
    x = space.starts(job.q, job.numpy("starts"))
    for done in range(s.steps + 1):
        value, slope = predictor.value_and_slope(x)
        job.watch(done, s.steps, space.raw(value))
        if done < s.steps:
            x = space.project(x.add(slope, alpha=step))
    return job.propose(space.decode(x), predictor.score)


def _fit(job: Job, predictor: Predictor, limit: float, step: float) -> None:
    """Fit the surrogate with dual ascent on alpha."""
    space, s, model = job.space, job.s, predictor.models[0]
    generator = job.torch("fit", 0)
    penalty = regularizer(job, model)
    optimizer = torch.optim.Adam(model.parameters(), lr=s.lr, eps=KERAS_EPS)
    log_alpha = torch.tensor(math.log(s.alpha), requires_grad=True)
    dual = torch.optim.Adam([log_alpha], lr=s.alpha_lr, eps=KERAS_EPS)
    order = torch.randperm(len(space.x), generator=generator)
    held = min(VALIDATION, len(order) // 5)
    valid, rows = order[:held], order[held:]
    history: list[dict[str, float]] = []
    begin = time.perf_counter()
    for epoch in range(s.epochs):
        errors, gains = [], []
        for batch in rows[torch.randperm(len(rows), generator=generator)].split(s.batch):
            x, y = space.x[batch], space.y[batch]
            inputs = x + s.noise * torch.randn(x.shape, generator=generator) if s.noise else x
            moved = inputs[: s.particles]
            # Along the surrogate as it is: the fit does not differentiate through the ascent.
            for _ in range(s.particle_steps):
                moved = space.project(moved.add(predictor.value_and_slope(moved)[1], alpha=step))
            loss = _ConservativeLoss(model, y, moved, math.exp(log_alpha.item()))
            optimizer.zero_grad(set_to_none=True)
            if penalty is None:
                loss(model(inputs)).backward()
            else:
                penalty.backward(x, loss, None if inputs is x else inputs)
            optimizer.step()
            if not math.isfinite(loss.error + loss.gain):
                raise OptimandError("coms: the fit diverged: use a smaller lr or particle_lr")
            dual.zero_grad()
            (log_alpha.exp() * (limit - loss.gain)).backward()
            dual.step()
            errors.append(loss.error)
            gains.append(loss.gain)
        with torch.no_grad():
            rmse = (predictor(space.x[valid]) - space.y[valid]).square().mean().sqrt() if held else math.nan
        measured = {
            "train_loss": sum(errors) / len(errors),
            "gain": sum(gains) / len(gains),
            "alpha": math.exp(log_alpha.item()),
            "val_rmse": float(rmse),
            **multiplier(penalty),
        }
        history.append({"epoch": epoch + 1, **measured})
        job.log("fit", epoch + 1, s.epochs, **measured)
    seconds = time.perf_counter() - begin
    norm = gradient_norm(model, space.x[rows][:GRADIENT_ROWS], model.mean)
    job.reports.append(report_of(history, norm, s.epochs * -(-len(rows) // s.batch), seconds))
    model.requires_grad_(False)


class _ConservativeLoss:
    """``MSE + alpha (E g(moved) - E g(inputs))`` of the output at the inputs; keeps its two parts as numbers.

    The second part is of the first inputs, those that were moved. A regularizer may ask for the loss a second time, at
    other parameters; the numbers are those of the first.
    """

    def __init__(self, model: GaussianMLP, y: Tensor, moved: Tensor, alpha: float) -> None:
        self.model, self.y, self.moved, self.alpha = model, y, moved, alpha
        self.error = self.gain = math.nan
        self.asked = False

    def __call__(self, output: tuple[Tensor, Tensor]) -> Tensor:
        error = (output[0] - self.y).square().mean()
        gain = self.model.mean(self.moved).mean() - output[0][: len(self.moved)].mean()
        if not self.asked:
            self.error, self.gain, self.asked = float(error.detach()), float(gain.detach()), True
        return error + self.alpha * gain
