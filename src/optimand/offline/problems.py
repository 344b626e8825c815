"""Problems of the family ``offline``: tasks with an exact oracle that asks for no download.

The budget counts designs. Methods are ranked by the median score of the whole batch, because the best of 128 is noisy:
on TF-Bind-8 that of 128 random sequences is above 0.9 five times in six. Scores are scaled by the full data, so 1 is
the best that was known when the poorer part was cut off.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from optimand.core.catalog import Method, problem
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, check_int, check_number

from .loop import run
from .tasks.base import Task
from .tasks.registry import make


@functools.lru_cache(maxsize=8)
def _made(text: str) -> Task:
    return make(text)


@dataclass(frozen=True, kw_only=True)
class OfflineProblem:
    """A task of which a method sees the data alone.

    Attributes:
        name: what users type.
        source: the task: its name for :func:`optimand.offline.make`, a :class:`~optimand.offline.Task`, or a function
            that makes one. It is made when it is first needed.
        summary: one line.
        budget: designs by default.
        target: median score that counts for time-to-target, or None.
        methods: compared by default; empty for the family's.

    Example:
        >>> from optimand.core.recorder import Recorder
        >>> from optimand.offline.family import adopt
        >>> method = adopt("top", lambda data, q, seed: data.x[data.best(q)])
        >>> recorder = Recorder(16)
        >>> problem = OfflineProblem(name="own", source="synthetic:dim=3")
        >>> problem.run(method, {}, seed=SeedTree(0), budget=16, recorder=recorder)
        >>> 0 < recorder.last("test", "median") < recorder.last("test", "best") < 1
        True
    """

    name: str
    source: str | Task | Callable[[], Task]
    summary: str = ""
    budget: int = 128
    target: float | None = None
    methods: tuple[str, ...] = field(default=())

    family: ClassVar[str] = "offline"
    unit: ClassVar[str] = "designs"
    metric: ClassVar[str] = "median"
    direction: ClassVar[Literal["min", "max"]] = "max"

    def __post_init__(self) -> None:
        check_int("budget", self.budget, low=1)
        if self.target is not None:
            check_number("target", self.target)
        if not isinstance(self.source, str | Task) and not callable(self.source):
            raise TypeError(f"source must be a Task, a task's name or a function, got {self.source!r:.60}")

    @functools.cached_property
    def task(self) -> Task:
        """The task."""
        source = self.source
        found: Any = source if isinstance(source, Task) else _made(source) if isinstance(source, str) else source()
        if not isinstance(found, Task):
            raise OptimandError(f"problem {self.name!r}: source must give a Task, got a {type(found).__name__}")
        return found

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Run ``method`` once; see :func:`optimand.offline.loop.run`."""
        run(self, method, hyper, seed=seed, budget=budget, recorder=recorder)


@problem("ehrlich", family="offline")
def ehrlich(
    num_classes: int = 4, length: int = 32, motifs: int = 4, rows: int = 6000, function: int = 0, budget: int = 128
) -> OfflineProblem:
    """Sequences with motifs at given gaps and banned neighbours (Ehrlich functions), in closed form; needs nothing.

    Args:
        num_classes: of each position, at least 4.
        length: positions, at least four times ``motifs``.
        motifs: of 4 elements each.
        rows: sequences that an evolution evaluated, the best 30 % of them hidden.
        function: its number.
        budget: designs.
    """
    check_int("num_classes", num_classes, low=4)
    check_int("motifs", motifs, low=1)
    check_int("length", length, low=4 * motifs)
    check_int("rows", rows, low=4)
    check_int("function", function, low=0)
    text = f"num_classes={num_classes},length={length},motifs={motifs},function={function}"
    return OfflineProblem(
        name=f"ehrlich:{text},rows={rows}", source=f"ehrlich:{text},rows={rows}", budget=budget,
        summary=f"Ehrlich function {function}: {motifs} motifs in {length} positions of {num_classes} classes",
    )  # fmt: skip


@problem("synthetic-design", family="offline")
def synthetic_design(
    function: str = "styblinski-tang", dim: int = 8, rows: int = 4000, budget: int = 128
) -> OfflineProblem:
    """A closed-form function of real vectors, known on the poorer half of random points; needs nothing.

    Args:
        function: ``styblinski-tang``, ``rastrigin`` or ``rosenbrock``.
        dim: coordinates.
        rows: random points, the poorer half of them offline.
        budget: designs.
    """
    text = f"synthetic:function={function},dim={dim},rows={rows}"
    make(text)  # instant, and says what is wrong with the arguments
    return OfflineProblem(
        name=text.replace("synthetic", "synthetic-design", 1), source=text, budget=budget,
        summary=f"{function} in {dim} dimensions from the poorer half of {rows} random points",
    )  # fmt: skip


@problem("tf-bind", family="offline", needs="$OPTIMAND_DATA/ignite-offline/<factor>_REF_R1.csv.gz")
def tf_bind(factor: str = "SIX6", budget: int = 128) -> OfflineProblem:
    """DNA 8-mers that a transcription factor binds, from complete tables (TF-Bind-8 of Design-Bench is SIX6).

    Args:
        factor: ``SIX6``, ``CRX``, ``PAX4``, ``GFI1``, ``KLF1`` or ``VSX1``.
        budget: designs.
    """
    return OfflineProblem(
        name=f"tf-bind:factor={factor}", source=f"tfbind8:{factor}", budget=budget,
        summary=f"DNA of 8 bases that {factor} binds; sequences up to the median are offline",
    )  # fmt: skip


@problem("rna-design", family="offline", needs="python -m pip install ViennaRNA")
def rna_design(L: int = 14, structure: str = "", rows: int = 20_000, budget: int = 128) -> OfflineProblem:
    """RNA that folds as stably as possible, or into a wanted structure, judged by ViennaRNA.

    Args:
        L: length, where no structure is given.
        structure: in dots and brackets; empty for stability.
        rows: random sequences, the worst half of them offline.
        budget: designs.
    """
    what = f"structure={structure}" if structure else f"L={L}"
    return OfflineProblem(
        name=f"rna-design:{what}", source=f"rna:{what},rows={rows}", budget=budget,
        summary=f"RNA folding into {structure}" if structure else f"{L} bases of RNA with a stable fold",
    )  # fmt: skip


@problem("ant-morphology", family="offline", needs="python -m pip install mujoco")
def ant_morphology(rows: int = 1000, budget: int = 128) -> OfflineProblem:
    """Legs of MuJoCo's ant for a fixed gait: the distance that it walks.

    Args:
        rows: random bodies simulated, the worse half of them offline.
        budget: designs.
    """
    return OfflineProblem(
        name=f"ant-morphology:rows={check_int('rows', rows, low=4)}", source=f"ant-morphology:rows={rows}",
        budget=budget, summary="10 measures of the ant's legs, metres walked in 5 s by a fixed gait",
    )  # fmt: skip


@problem("hopper-controller", family="offline", needs="python -m pip install mujoco")
def hopper_controller(rows: int = 2000, budget: int = 128) -> OfflineProblem:
    """Weights of a network that moves MuJoCo's hopper: the return over 200 steps.

    Args:
        rows: controllers simulated, the best fifth of them hidden.
        budget: designs.
    """
    return OfflineProblem(
        name=f"hopper-controller:rows={check_int('rows', rows, low=64)}", source=f"hopper-controller:rows={rows}",
        budget=budget, summary="123 weights of the hopper's controller, return of 200 steps",
    )  # fmt: skip
