"""Problems of the family ``modeling``: OptiBench, NL4OPT-E, and worded problems from templates.

The budget counts worded problems; the metric is the share solved, every query of a problem right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from optimand.core.catalog import Method, problem
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_choice, check_int

from .benchmarks.grading import GRADINGS, Grading
from .execution import TYPES, ModelingProblem
from .loop import run

if TYPE_CHECKING:
    import numpy as np

Splits = Mapping[str, Sequence[ModelingProblem]]
KINDS = {
    "all": TYPES,
    "linear": tuple(kind for kind in TYPES if kind.startswith("linear")),
    "nonlinear": tuple(kind for kind in TYPES if kind.startswith("nonlinear")),
    **{kind: (kind,) for kind in TYPES},
}
PLACE = "$OPTIMAND_DATA/optibench-resocratic"


@dataclass(frozen=True, kw_only=True)
class ModelingTask:
    """Worded problems to solve.

    Attributes:
        name: what users type.
        make: gives the splits ``train``, ``valid`` and ``test``, which share no problem, from a generator of random
            numbers and the budget.
        summary: one line.
        needs: raises OptimandError where the problem's files are missing.
        grading: of :mod:`~optimand.language.modeling.benchmarks.grading`.
        budget: problems by default, of ``valid`` and ``test`` together.
        target: accuracy that counts for time-to-target, or None.
    """

    name: str
    make: Callable[[Any, int], Splits]
    summary: str
    needs: Callable[[], object] | None = None
    grading: Grading = "robust"
    budget: int = 8
    target: float | None = None

    family: ClassVar[str] = "modeling"
    unit: ClassVar[str] = "problems"
    metric: ClassVar[str] = "accuracy"
    direction: ClassVar[Literal["min", "max"]] = "max"

    def __post_init__(self) -> None:
        check_int("budget", self.budget, low=2)
        check_choice("grading", self.grading, GRADINGS)

    @property
    def solved(self) -> None:
        """No accuracy counts as solved. A study reads this when it is planned: missing files are said then, once.

        Raises:
            OptimandError: the problem's files are missing.
        """
        if self.needs is not None:
            self.needs()

    def splits(self, rng: np.random.Generator, budget: int) -> Splits:
        """The splits of a run that tries ``budget`` problems."""
        return self.make(rng, budget)

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Run ``method`` on ``budget`` problems; see :func:`optimand.language.modeling.loop.run`."""
        run(self, method, hyper, seed=seed, budget=budget, recorder=recorder)


def _shuffled(problems: Sequence[ModelingProblem], rng: np.random.Generator) -> list[ModelingProblem]:
    return [problems[int(place)] for place in rng.permutation(len(problems))]


@problem("optibench", family="modeling", needs=PLACE)
def optibench(types: str = "all", grading: str = "robust", budget: int = 40) -> ModelingTask:
    """OptiBench (arXiv 2407.09887): 605 worded problems with numeric answers, of the user's files.

    Args:
        types: ``all``, ``linear``, ``nonlinear`` or one of the four types.
        grading: ``robust`` or ``official``.
        budget: problems.
    """
    from .benchmarks.optibench import find_data, load_optibench

    check_choice("types", types, KINDS)
    check_choice("grading", grading, GRADINGS)

    def make(rng: np.random.Generator, budget: int) -> Splits:
        return {split: _shuffled(load_optibench(split, KINDS[types]), rng) for split in ("train", "valid", "test")}

    return ModelingTask(
        name=f"optibench:types={types},grading={grading}", make=make, budget=budget, grading=grading,  # type: ignore[arg-type]
        summary=f"OptiBench, {types} problems, {grading} grading", needs=find_data,
    )  # fmt: skip


@problem("nl4opt-e", family="modeling", needs=PLACE)
def nl4opt_e(grading: str = "robust", budget: int = 40) -> ModelingTask:
    """NL4OPT-E: 289 linear worded problems with numeric answers, of the user's files.

    Args:
        grading: ``robust`` or ``official``.
        budget: problems.
    """
    from .benchmarks.optibench import find_data, load_nl4opt_e

    check_choice("grading", grading, GRADINGS)

    def make(rng: np.random.Generator, budget: int) -> Splits:
        return {split: _shuffled(load_nl4opt_e(split), rng) for split in ("train", "valid", "test")}

    return ModelingTask(
        name=f"nl4opt-e:grading={grading}", make=make, budget=budget, grading=grading,  # type: ignore[arg-type]
        summary=f"NL4OPT-E, {grading} grading", needs=find_data,
    )  # fmt: skip


@problem("worded-templates", family="modeling")
def worded_templates(types: str = "all", train: int = 80, instance: int | None = None, budget: int = 4) -> ModelingTask:
    """Worded problems from templates with random data and names; answers verified, no files needed.

    Args:
        types: ``all``, ``linear``, ``nonlinear`` or one of the four types.
        train: problems, with formal lines, that a method may learn from.
        instance: seed of fixed problems; None to draw them from the run's seed.
        budget: problems; few, because the embedded model takes seconds for each: 40 or more tell modelers apart.
    """
    check_choice("types", types, KINDS)
    check_int("train", train, low=0, high=5000)
    kinds = KINDS[types]
    pinned = "" if instance is None else f",instance={check_int('instance', instance, low=0)}"

    def make(rng: np.random.Generator, budget: int) -> Splits:
        from .resocratic.templates import TemplateGenerator

        generator = TemplateGenerator(int(rng.integers(2**31)) if instance is None else instance)

        def items(first: int, count: int) -> list[ModelingProblem]:
            # Types take turns; each index gives another problem, so the splits cannot share one.
            return [generator.item(first + i // len(kinds), kinds[i % len(kinds)]).problem for i in range(count)]

        return {"train": items(0, train), "valid": items(10_000, -(-budget // 4)), "test": items(20_000, budget)}

    return ModelingTask(
        name=f"worded-templates:types={types},train={train}{pinned}", make=make, budget=budget,
        summary=f"{types} problems from templates, {train} to learn from",
    )  # fmt: skip
