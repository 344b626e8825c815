"""Tasks by name: ``make("tfbind8:SIX6")``."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

from optimand.core.userfiles import split_spec
from optimand.core.validation import OptimandError, UnknownNameError, suggest

from .base import Task

# Name: module, function, and the parameter that a bare word after the colon sets.
TASKS: dict[str, tuple[str, str, str]] = {
    "synthetic": ("synthetic", "synthetic", "function"),
    "ehrlich": ("ehrlich", "ehrlich", "function"),
    "tfbind8": ("tf_bind", "tf_bind", "factor"),
    "rna": ("rna", "rna", "structure"),
    "ant-morphology": ("robots", "ant_morphology", "rows"),
    "hopper-controller": ("robots", "hopper_controller", "rows"),
}


def make(text: str) -> Task:
    """The task that ``text`` names.

    Args:
        text: a name, then perhaps a colon and the task's parameters:

            * ``tfbind8``, ``tfbind8:CRX``: six tables of :func:`~optimand.offline.tasks.tf_bind.tf_bind`;
            * ``rna``, ``rna:L=50``, ``rna:((((....))))``: :func:`~optimand.offline.tasks.rna.rna`;
            * ``ehrlich``, ``ehrlich:length=64,motifs=8``: :func:`~optimand.offline.tasks.ehrlich.ehrlich`;
            * ``ant-morphology``, ``hopper-controller``: :mod:`optimand.offline.tasks.robots`;
            * ``synthetic``, ``synthetic:rastrigin``: :func:`~optimand.offline.tasks.synthetic.synthetic`.

    Raises:
        UnknownNameError: no such task, with the nearest names.
        OptimandError: a parameter that the task does not have or that does not fit, a package or file that is missing.

    Example:
        >>> make("synthetic:function=rastrigin,dim=4").data.x.shape
        (1000, 4)
    """
    if not isinstance(text, str):
        raise TypeError(f"text must name a task, got {text!r} ({type(text).__name__})")
    head, _, rest = text.partition(":")
    if head not in TASKS:
        raise UnknownNameError(f"unknown task {head!r}; there are {', '.join(TASKS)}{suggest(head, TASKS)}")
    module, function, word = TASKS[head]
    # A bare word, or the first of several settings: tfbind8:CRX,percentile=40.
    bare, comma, others = rest.partition(",")
    params: dict[str, Any] = {}
    if bare and "=" not in bare:
        params[word] = int(bare) if re.fullmatch(r"\d+", bare) else bare
        rest = others if comma else ""
    params.update(split_spec(f"{head}:{rest}")[2])
    build = getattr(importlib.import_module(f"{__package__}.{module}"), function)
    known = list(inspect.signature(build).parameters)
    for key in params:
        if key not in known:
            raise OptimandError(
                f"task {text!r} has no parameter {key!r}; it has {', '.join(known)}{suggest(key, known)}"
            )
    try:
        task: Task = build(**params)
    except OptimandError:
        raise
    except (TypeError, ValueError) as error:
        raise OptimandError(f"task {text!r}: {error}") from error
    return task
