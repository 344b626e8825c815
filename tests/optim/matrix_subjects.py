"""Subspace methods as subjects of the conformance suite: small densities and ranks, so that matrices are divided."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from tests.optim import conformance_interface as _interface  # noqa: F401 -- registers its checks
from tests.optim import conformance_numerics as _numerics  # noqa: F401
from tests.optim.conformance import CHECKS, Subject

from optimand.core.contracts import Method
from optimand.core.space import Float
from optimand.optim.badam import BAdam
from optimand.optim.fira import Fira
from optimand.optim.frugal import FRUGAL
from optimand.optim.galore import GaLore

FRUGAL_SUBJECTS: dict[str, dict[str, Any]] = {
    "columns": {"density": 0.5},
    "columns, carried": {"density": 0.5, "on_change": "project"},
    "rows, lion": {"density": 0.5, "subspace": "rows", "state_full": "lion"},
    "randk, sgdm": {"density": 0.3, "subspace": "randk", "state_full": "sgdm", "on_change": "project"},
    "block": {"density": 0.5, "subspace": "block"},
    "svd": {"density": 0.4, "subspace": "svd"},
    "random": {"density": 0.4, "subspace": "random", "on_change": "project"},
    "columns, 8 bits": {"density": 0.5, "state_dtype": torch.uint8},
    "state-free": {"density": 0.0},
}
LOW_RANK_SUBJECTS: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "galore": (GaLore, {"rank": 2, "oversize": "clamp"}),
    "galore, random": (GaLore, {"rank": 3, "oversize": "clamp", "proj": "random", "scale": 1.0}),
    "galore, 8 bits": (GaLore, {"rank": 2, "oversize": "clamp", "state_dtype": torch.uint8}),
    "fira": (Fira, {"rank": 2, "oversize": "clamp"}),
}


def subject(name: str, build: Callable[..., torch.optim.Optimizer], **options: Any) -> Subject:
    """A subject whose defaults are the constructor's but for ``options``."""
    made = one_block if build is BAdam else build
    parameters = list(inspect.signature(build).parameters.values())[1:]
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    method = Method(
        name=name,
        family="training",
        build=made,
        defaults={**defaults, **options},
        space={"lr": Float(1e-4, 1e-1, log=True)},
        origin="optimand",
    )
    return Subject(method)


def one_block(params: Any, **options: Any) -> BAdam:
    """BAdam with all of its first parameters in one block, so that each of them moves in every step."""
    given = list(params)
    groups = [g if isinstance(g, dict) else {"params": [g]} for g in given] or given
    return BAdam([{**g, "block": "all"} for g in groups], **options)


_DRAWS = {"dtypes_may_mix_in_a_group": "draws depend on a parameter's place among all"}
_PRODUCTS = {"results_do_not_depend_on_the_number_of_threads": "matrix products may sum in another order"}
_TRACES = dict.fromkeys(
    ["a_compiled_training_step_gives_the_same_parameters"], "steps of matrices are no part of a trace: one subject does"
)
# What a method does not do, and why.
EXCEPTIONS: dict[str, dict[str, str]] = {
    "frugal": _DRAWS,
    **{f"frugal: {name}": _TRACES for name in FRUGAL_SUBJECTS if name != "columns"},
    "frugal: svd": _PRODUCTS | _TRACES,
    "frugal: random": _PRODUCTS | _TRACES,
    **dict.fromkeys(LOW_RANK_SUBJECTS, _PRODUCTS | _TRACES),
    "galore": _PRODUCTS,
    "galore, random": _DRAWS | _PRODUCTS | _TRACES,
    "badam": {"a_group_can_be_added_between_steps": "the new group is another block, which waits for its turn"},
}


def exception(subject: Subject, check: str) -> str:
    """Why a check does not hold for a subject; empty where it does."""
    names = (subject.name, subject.name.partition(":")[0])
    return next((EXCEPTIONS[n][check] for n in names if check in EXCEPTIONS.get(n, {})), "")


def frugal_subjects() -> list[Subject]:
    """FRUGAL in its forms, with a refresh every third step."""
    return [subject(f"frugal: {name}", FRUGAL, update_gap=3, **o) for name, o in FRUGAL_SUBJECTS.items()]


def low_rank_subjects() -> list[Subject]:
    """GaLore, Fira and BAdam, with a change of subspace or turn every third step."""
    found = [subject(name, build, update_proj_gap=3, **o) for name, (build, o) in LOW_RANK_SUBJECTS.items()]
    return [*found, subject("badam", BAdam, switch_every=3, lr=1e-3)]


__all__ = ["CHECKS", "exception", "frugal_subjects", "low_rank_subjects"]
