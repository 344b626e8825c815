"""The catalog's entry ``alphaopt``: learns a library on the problem's training split, then solves with it.

With the embedded model nothing is learnt: one extraction takes it half a minute to a minute and fills no form rightly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optimand.core.catalog import method
from optimand.core.space import Choice, Int

if TYPE_CHECKING:
    from ..execution import Attempt, ModelingProblem
    from ..loop import Tools
    from .learner import AlphaOPT

PAPER = "alphaopt"


class LearningModeler:
    """A learner as the family's run loop wants it.

    Args:
        learner: with an empty library, or one to begin with.
        train: problems of the training split to learn from; 0 for none.
    """

    name = "alphaopt"

    def __init__(self, learner: AlphaOPT, train: int) -> None:
        self.learner, self.train = learner, train

    def learn(self, problems: Sequence[ModelingProblem]) -> None:
        """Learn from the first ``train`` problems and their answers."""
        if self.train:
            self.learner.fit(list(problems)[: self.train])

    def solve(self, problem: ModelingProblem, *, sample: int = 0) -> Attempt:
        """Solve a problem with what was learnt."""
        return self.learner.solve(problem, sample=sample)


@method(
    "alphaopt",
    family="modeling",
    paper=PAPER,
    space={"attempts": Int(1, 3), "iterations": Int(0, 4), "rewrite": Choice(False, True)},
)
def alphaopt(
    tools: Tools,
    *,
    chat: str = "",
    advanced: str = "",
    library: str = "",
    train: int = 12,
    attempts: int = 1,
    iterations: int = 1,
    rewrite: bool = False,
    workers: int = 2,
) -> Any:
    """A language model with a library of verified lessons, learnt from training problems and their answers."""
    from ..answers.answering import is_weak
    from .learner import AlphaOPT
    from .library import ExperienceLibrary

    model = tools.model(chat)
    weak = is_weak(model)
    learner = AlphaOPT(
        model,
        tools.model(advanced) if advanced else None,
        ExperienceLibrary.load(library) if library else None,
        sandbox=tools.sandbox,
        attempts=attempts,
        iterations=iterations,
        rewrite=rewrite,
        workers=workers,
        seed=tools.seed,
        max_tokens=512 if weak else 2048,
    )
    return LearningModeler(learner, 0 if weak else train)
