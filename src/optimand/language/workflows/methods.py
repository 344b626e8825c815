"""Catalog entries of the family ``workflows``: ``build(parameters, *, seed, **hyper)`` gives an optimizer.

Methods that ask a language model take ``chat``, which names it as
:func:`open_chat <optimand.language.llm.open_chat>` reads it; empty for the configured endpoint, or the embedded model.
"""

from __future__ import annotations

from typing import Any

from optimand.core.catalog import method
from optimand.core.space import Float, Int

PAPER = "trace-opto"
# The sections of OptoPrime's prompt that the masked variant does not get: all that the graph tells.
MASKED = ("Code", "Documentation", "Inputs", "Others")

# The run gives the seed; it is no hyperparameter.
SEED = {"seed": 0}


@method("heuristic", family="workflows", fixed=SEED, space={"step": Float(0.02, 0.5, log=True)})
def heuristic(parameters: Any, *, seed: int = 0, step: float = 0.25) -> Any:
    """Bisection with signs read from the graph, adaptive perturbation of scores, trial of options; no model."""
    from .heuristic.proposer import HeuristicProposer

    return HeuristicProposer(parameters, seed=seed, step=step)


@method("heuristic-masked", family="workflows", fixed=SEED, space={"step": Float(0.02, 0.5, log=True)})
def heuristic_masked(parameters: Any, *, seed: int = 0, step: float = 0.25) -> Any:
    """The same without the graph and the output: signs have to be found by trial."""
    from .heuristic.proposer import HeuristicProposer

    return HeuristicProposer(parameters, seed=seed, step=step, mask=True)


@method("random-values", family="workflows", fixed=SEED)
def random_values(parameters: Any, *, seed: int = 0) -> Any:
    """Values drawn uniformly from ranges and choices."""
    from .peers import RandomValues

    return RandomValues(parameters, seed=seed)


@method("nelder-mead", family="workflows", fixed=SEED, space={"size": Float(0.05, 0.5, log=True)})
def nelder_mead(parameters: Any, *, seed: int = 0, size: float = 0.25) -> Any:
    """SciPy's simplex on the scores in the feedback."""
    from .peers import NelderMead

    return NelderMead(parameters, seed=seed, size=size)


@method("tpe", family="workflows", fixed=SEED, space={"startup": Int(3, 20)})
def tpe(parameters: Any, *, seed: int = 0, startup: int = 10) -> Any:
    """Optuna's tree-structured Parzen estimator on the scores in the feedback."""
    from .peers import TPE

    return TPE(parameters, seed=seed, startup=startup)


@method(
    "saturation-rule",
    family="workflows",
    fixed=SEED,
    space={"wanted": Float(0.7, 0.97), "most": Float(0.02, 0.3, log=True)},
)
def saturation_rule(parameters: Any, *, seed: int = 0, wanted: float = 0.9, most: float = 0.1) -> Any:
    """A rule for traffic lights in the manner of SCATS."""
    from .peers import SaturationRule

    return SaturationRule(parameters, seed=seed, wanted=wanted, most=most)


@method("optoprime", family="workflows", fixed=SEED, paper=PAPER)
def optoprime(parameters: Any, *, seed: int = 0, chat: str = "", memory: int = 10, temperature: float = 0.0) -> Any:
    """OptoPrime: the graph as a program, one call of a language model a step."""
    from .optimizers.optoprime import OptoPrime

    model = _open(chat)
    return OptoPrime(
        parameters, model, seed=seed, memory_size=memory, temperature=temperature, **_short(model, reasoning=True)
    )


@method("optoprime-masked", family="workflows", fixed=SEED, paper=PAPER)
def optoprime_masked(
    parameters: Any, *, seed: int = 0, chat: str = "", memory: int = 10, temperature: float = 0.0
) -> Any:
    """OptoPrime without what the graph tells: only variables, outputs and feedback."""
    from .optimizers.optoprime import OptoPrime

    model = _open(chat)
    return OptoPrime(
        parameters, model, seed=seed, memory_size=memory, temperature=temperature, mask=MASKED,
        **_short(model, reasoning=True),
    )  # fmt: skip


@method("opro", family="workflows", fixed=SEED)
def opro(parameters: Any, *, seed: int = 0, chat: str = "", temperature: float = 0.0) -> Any:
    """OPRO: a language model and the history of values and feedback, no graph."""
    from .optimizers.opro import OPRO

    model = _open(chat)
    return OPRO(parameters, model, seed=seed, temperature=temperature, **_short(model))


@method("textgrad", family="workflows", fixed=SEED)
def textgrad(parameters: Any, *, seed: int = 0, chat: str = "", temperature: float = 0.0) -> Any:
    """TextGrad: a critique of each node by a language model, from the output back to the parameters."""
    from .optimizers.textgrad import TextGrad

    model = _open(chat)
    return TextGrad(parameters, model, seed=seed, temperature=temperature, **_short(model))


@method("optoprime-multi", family="workflows", fixed=SEED)
def optoprime_multi(parameters: Any, *, seed: int = 0, chat: str = "", memory: int = 10, responses: int = 3) -> Any:
    """OptoPrime with several candidates a step, of which the model chooses."""
    from .optimizers.multi import OptoPrimeMulti

    model = _open(chat)
    return OptoPrimeMulti(
        parameters, model, seed=seed, memory_size=memory, responses=responses, **_short(model, reasoning=True)
    )


def _open(chat: str) -> Any:
    from optimand.language.llm import open_chat

    return open_chat(chat or None)


def _short(model: Any, *, reasoning: bool = False) -> dict[str, Any]:
    """Limits of the embedded model's replies, which may otherwise not come to an end."""
    from optimand.language.llm.embedded import EmbeddedModel

    if not isinstance(model, EmbeddedModel):
        return {}
    return {"max_tokens": 512, **({"reasoning_length": 80} if reasoning else {})}
