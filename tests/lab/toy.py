"""A family of quadratic problems in pure NumPy, as a user's file: fast, with failures on demand."""

import math
import os
import pickle
import time

from optimand.core.catalog import Method
from optimand.core.recorder import Diverged
from optimand.core.space import Float


class Quadratic:
    """Minimize 0.5 * sum(a * x**2) with noisy gradients; the state can be checkpointed at each step."""

    name = "quadratic"
    family = "toy"
    summary = "noisy quadratic in 5 dimensions"
    unit = "steps"
    metric = "loss"
    direction = "min"
    target = 0.5

    def __init__(self, budget=40, pause=0.0):
        self.budget = budget
        self.pause = pause

    def run(self, method, hyper, *, seed, budget, recorder):
        noise = seed.child("noise").numpy()
        scales = seed.child("scales").numpy().uniform(0.5, 2.0, 5)
        x, first = seed.child("start").numpy().normal(size=5), 0
        saved = recorder.restore()
        if saved is not None:
            first, x, noise = pickle.loads(saved)
        step = method.build(**hyper)
        for t in range(first, budget):
            if recorder.checkpoint_due():
                recorder.save(pickle.dumps((t, x, noise)))
            with recorder.timed():
                x = step(x, scales * x + 0.1 * noise.normal(size=5), t)
                time.sleep(self.pause)
            loss = 0.5 * float((scales * x**2).sum())
            if not math.isfinite(loss):
                raise Diverged(t + 1, f"loss is {loss}")
            if (t + 1) % 5 == 0 or t + 1 == budget:
                recorder.record(t + 1, "valid", loss=loss)
            recorder.progress(t + 1)
        recorder.record(budget, "test", loss=loss)
        recorder.cost(state_bytes=0.0, seconds_per_unit=recorder.seconds / budget)


def problem(budget=40, pause=0.0):
    return Quadratic(budget, pause)


quadratic = Quadratic()


def backwards():
    problem = Quadratic()
    problem.direction = "down"
    return problem


class Unreadable(Quadratic):
    @property
    def summary(self):
        raise RuntimeError("the data is gone")


def unreadable():
    return Unreadable()


def gradient_descent(lr):
    return lambda x, g, t: x - lr * g


def sign_descent(lr):
    return lambda x, g, t: x - lr * (g > 0) + lr * (g < 0)


def explode(lr):
    return lambda x, g, t: x * (1e200 if t > 7 else 1.0)


def crash(lr):
    def step(x, g, t):
        raise RuntimeError("this method is broken")

    return step


def die(lr):
    def step(x, g, t):
        os._exit(9)

    return step


def _method(name, build):
    return Method(name, "toy", build, defaults={"lr": 0.1}, space={"lr": Float(1e-3, 1.0, log=True)})


gd = _method("gd", gradient_descent)
sign = _method("sign", sign_descent)
exploding = _method("exploding", explode)
crashing = _method("crashing", crash)
dying = _method("dying", die)
