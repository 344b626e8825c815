"""AlphaOPT: a library of modelling lessons that improves itself, for a language model whose weights stay fixed.

AlphaOPT (arXiv 2510.18428): tasks are attempted, failures are studied, and what is learnt is kept as an insight only if
the solver then reaches the known optimum; later rounds find out which insights mislead or are missed and rewrite when
they apply. Ours differs where the released program departs from its own aims; ``docs/alphaopt.md`` lists where and why,
and ``official`` brings back its choices, all or by name.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from optimand.core.validation import check_int
from optimand.language.llm.base import ChatError, ChatModel, Usage

from .asking import Asker
from .context import LearningContext, Record, Settings, TaskOutcome
from .evolution import Diagnostician, attempt_and_learn
from .extraction import Extractor
from .indexes import Embed
from .insights import Distribution
from .library import ExperienceLibrary
from .merging import Merger, apply_marks, count_retrievals
from .progress import Progress, Round, check_state, digest_of, read_state, restored, state_of, write_state
from .refinement import Refinement, Refiner
from .review import Proposal
from .running import Runner, sandbox_runner
from .tasks import Task, as_task, as_tasks

if TYPE_CHECKING:
    from ..execution import Attempt


class AlphaOPT:
    """Learns a library of insights from tasks with known optimal values, and solves tasks with it.

    Args:
        base_chat: formulates, programs, retrieves and refines.
        advanced_chat: extracts and diagnoses; ``base_chat`` when None.
        library: is changed in place; an empty one when None.
        sandbox: where programs run, a ``SandboxedPython``; when None one is made here, and closed by :meth:`close`.
        solver: what programs are written for: ``scip`` or ``highs`` (linear models only).
        tolerance: of a value, relative to the truth.
        batch_size: tasks studied on one state of the library.
        attempts: at each task while learning; it counts as solved if all are right.
        verify_attempts: times that insights are extracted from one failure until some verify.
        variants: conditions proposed when one is refined.
        iterations: most rounds of evolution; they end when nothing changes any more.
        workers: tasks studied at once. The result does not depend on it.
        seed: of the order of tasks and of the seeds sent with calls.
        explore_rounds: most programs written to find a right one for a task without.
        combinations: most combinations of insights tried that were not retrieved.
        replay: solved tasks that a new insight must not spoil.
        repairs, final_repairs: rounds of self-debugging while learning and in :meth:`solve`.
        rewrite: fit insights to the task in a call of its own.
        malformed: what the full check does with a batch without a readable reply, ``drop`` or ``keep``; None for
            ``drop`` unless ``official`` says otherwise.
        use_taxonomy: quick match by labels before the full check; off is the ablation.
        approve: ``auto``, or ``ask`` to keep merges and refinements as proposals for ``library.review()``.
        official: the authors' choices where ours differ: True for all, or names from
            :data:`~optimand.language.modeling.alphaopt.deviations.DEVIATIONS`.
        either_sign: accept the negative of a truth too.
        runner: runs and judges programs, instead of a sandbox; then ``tolerance``, ``either_sign`` and the official
            tolerance are its own.
        embed: texts to vectors, for the nearest insights where a batch cannot be checked; TF-IDF when None.

    Example:
        >>> from optimand.language.llm import Scripted
        >>> learner = AlphaOPT(Scripted([]), runner=Runner(print))
        >>> len(learner.library), learner.settings.batch_size
        (0, 12)
    """

    name = "alphaopt"

    def __init__(
        self,
        base_chat: ChatModel,
        advanced_chat: ChatModel | None = None,
        library: ExperienceLibrary | None = None,
        *,
        sandbox: Any = None,
        solver: str = "scip",
        tolerance: float = 1e-4,
        batch_size: int = 12,
        attempts: int = 3,
        verify_attempts: int = 3,
        variants: int = 5,
        iterations: int = 4,
        workers: int = 2,
        seed: int = 0,
        either_sign: bool = False,
        max_tokens: int = 2048,
        runner: Runner | None = None,
        embed: Embed | None = None,
        **more: Any,
    ) -> None:
        unknown = set(more) - set(Settings.__dataclass_fields__)
        if unknown:
            raise TypeError(
                f"AlphaOPT has no argument {sorted(unknown)[0]!r}; it has {', '.join(Settings.__dataclass_fields__)}"
            )
        self.settings = Settings(
            solver, tolerance, batch_size, attempts, verify_attempts, variants, iterations, seed=seed, **more
        )
        self.workers = check_int("workers", workers, low=1)
        self.library = library if library is not None else ExperienceLibrary()
        self.asker = Asker(base_chat, advanced_chat, seed=seed, max_tokens=max_tokens)
        self._sandbox = None
        if runner is None:
            options = {
                "tolerance": tolerance,
                "official": self.settings.as_authors("tolerance"),
                "either_sign": either_sign,
            }
            runner, self._sandbox = sandbox_runner(sandbox, solver=solver, workers=self.workers, **options)
        self.runner = runner
        self.context = LearningContext(self.asker, runner, self.settings, embed)
        self.extractor = Extractor(self.context)
        self.diagnostician = Diagnostician(self.context, self.extractor)
        self.tasks: dict[str, Task] = {}
        self.records: dict[str, Record] = {}
        self.progress = Progress(done=True)

    def close(self) -> None:
        """End the sandbox, if it was made here."""
        if self._sandbox is not None:
            self._sandbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # learning

    def learn(self, tasks: Iterable[Any]) -> list[Round]:
        """Learn from tasks with known values, once through; see :meth:`fit`.

        Args:
            tasks: see :func:`~optimand.language.modeling.alphaopt.tasks.as_task`.

        Returns:
            What was done.

        Raises:
            OptimandError: a task without a known value, or two with one id.
        """
        return self._run(as_tasks(tasks, answered=True), 0, 0, None)

    def evolve(self, tasks: Iterable[Any]) -> list[Round]:
        """Diagnose tasks and sharpen the conditions of insights, ``iterations`` times or until nothing changes."""
        return self._run(as_tasks(tasks, answered=True), 1, self.settings.iterations, None)

    def fit(self, tasks: Iterable[Any], resume: str | Path | None = None) -> list[Round]:
        """Learn, then evolve.

        Args:
            tasks: with known values.
            resume: a folder that keeps the state after each minibatch; a fit that ended in it goes on from there, with
                the same result as one that was never interrupted.

        Returns:
            What each iteration did.

        Raises:
            OptimandError: a task without a known value, or the folder's state is of other tasks or settings.
            ChatError: a model does not answer, or its budget is used up; what is done was written to the folder first.
        """
        return self._run(as_tasks(tasks, answered=True), 0, self.settings.iterations, resume)

    def _run(self, tasks: list[Task], first: int, last: int, resume: str | Path | None) -> list[Round]:
        folder = Path(resume) if resume is not None else None
        self.tasks.update({task.id: task for task in tasks})
        self.progress = Progress(first, last, round=Round(first), done=first > last)
        state = read_state(folder) if folder is not None else None
        if state is not None:
            check_state(state, self.settings, tasks)
            self.load_state_dict(state)
        with ThreadPoolExecutor(self.workers, thread_name_prefix="alphaopt") as pool:
            self.context.pool = pool if self.workers > 1 else None
            try:
                while not self.progress.done:
                    self._iteration(tasks, folder)
            except ChatError:
                self._checkpoint(folder, tasks)
                raise
            finally:
                self.context.pool = None
        return self.progress.rounds

    def _iteration(self, tasks: list[Task], folder: Path | None) -> None:
        progress, number = self.progress, self.progress.iteration
        order = sorted(tasks, key=lambda task: task.id)
        random.Random(f"{self.settings.seed}/{number}").shuffle(order)
        size = self.settings.batch_size
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        fresh = number and not progress.batch and not progress.partial
        if fresh and not self.settings.as_authors("distributions"):
            for insight in self.library:
                self.library.replace(replace(insight, distribution=Distribution()))
        while progress.batch < len(batches):
            self._minibatch(batches[progress.batch], number)
            progress.batch += 1
            self._checkpoint(folder, tasks)
        if number:
            self._refine(number)
        progress.round.size = len(self.library)
        progress.rounds.append(progress.round)
        done = progress.round
        still = number > 0 and not (done.added or done.refined)
        progress.done = number >= progress.last or still
        progress.iteration, progress.batch = number + 1, 0
        progress.round = Round(number + 1)
        self._checkpoint(folder, tasks)

    def _minibatch(self, batch: Sequence[Task], iteration: int) -> None:
        """Study tasks on one state of the library, then take in what they gave, in the order of their ids."""
        progress = self.progress
        known = {outcome.task: outcome for outcome in progress.partial}
        todo = [task for task in batch if task.id not in known]
        snapshot = self.library.copy()
        stopped: list[ChatError] = []

        def study(task: Task) -> TaskOutcome | None:
            if stopped:
                return None
            try:
                return self._study(task, snapshot, iteration)
            except ChatError as error:
                stopped.append(error)
                return None

        progress.partial += [outcome for outcome in self.context.map(study, todo) if outcome is not None]
        if stopped:
            raise stopped[0]
        outcomes = sorted(progress.partial, key=lambda outcome: outcome.task)
        records = {**self.records, **{outcome.task: outcome.record for outcome in outcomes}}
        library = self.library.copy()
        for outcome in outcomes:
            count_retrievals(library, outcome.record.retrieved)
        apply_marks(library, [(number, state, o.task) for o in outcomes for number, state in o.marks])
        merger = Merger(self.context, self.extractor, self.tasks, records)
        extracted = [new for outcome in outcomes for new in outcome.extracted]
        intake = merger.take_in(library, extracted, (iteration, progress.batch), iteration)
        # Only here, after the last call of a model, does anything change that a checkpoint keeps.
        self.library.become(library)
        self.records = records
        progress.partial = []
        done = progress.round
        done.count(outcomes)
        if intake.refused:
            done.refused["spoiled solved tasks"] = done.refused.get("spoiled solved tasks", 0) + intake.refused
        done.added += len(intake.added)
        done.deleted += len(intake.deleted)
        done.merges += intake.merges
        done.failed_merges += intake.failed_merges

    def _study(self, task: Task, library: ExperienceLibrary, iteration: int) -> TaskOutcome:
        record = self.records.get(task.id, Record())
        if iteration:
            return self.diagnostician.diagnose(task, library, record, ("evolve", iteration), iteration)
        return attempt_and_learn(self.context, self.diagnostician, self.extractor, task, library, record)

    def _refine(self, iteration: int) -> None:
        refiner = Refiner(self.context, self.tasks, self.library.taxonomy, ("evolve", iteration))
        found: list[Refinement] = []
        for insight in self.library:
            refinement = refiner.refine(insight, ("refine", iteration))
            if refinement is not None and refinement.insight is not None:
                found.append(refinement)
        for refinement in found:
            assert refinement.insight is not None
            if self.settings.approve == "ask":
                best = max(refinement.scores)
                reason = (
                    f"it scores {best:.3f} on the diagnosed tasks, the condition as it is {refinement.baseline:.3f}"
                )
                made = Proposal("refine", (refinement.insight_id,), reason, (refinement.insight,))
                others = (old for old in self.library.pending if (old.kind, old.ids) != (made.kind, made.ids))
                self.library.pending = [*others, made]
            else:
                self.library.replace(refinement.insight)
                self.progress.round.refined += 1

    # solving

    def solve(self, problem: Any, *, sample: int = 0) -> Attempt:
        """Solve a task with the library; its true values, if it has any, are not looked at.

        Args:
            problem: a :class:`Task`, a modeling problem or a text.
            sample: 0 at temperature 0; others are drawn at the training temperature.

        Returns:
            Program, printed values, status and what it cost; ``notes`` has the formulation and the insights used.
        """
        from .solving import attempt

        task = Task("question", problem) if isinstance(problem, str) else as_task(problem)
        return attempt(self, task, sample)

    # state

    def usage(self) -> dict[str, Usage]:
        """What each role spent, those of the state that was resumed among them."""
        return dict(sorted(self.asker.by_role.items()))

    def state_dict(self) -> dict[str, Any]:
        """All that learning needs to go on, as plain data without secrets."""
        models = [self.asker.base.name, self.asker.advanced.name]
        return state_of(
            self.settings, models, self.library, self.records, self.progress, self.usage(), self.tasks.values()
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`.

        Raises:
            OptimandError: it was made with other settings.
        """
        check_state(state, self.settings, None)
        library, self.records, self.progress, usage = restored(state)
        self.library.become(library)
        self.asker.by_role = usage

    def _checkpoint(self, folder: Path | None, tasks: list[Task]) -> None:
        if folder is not None:
            state = {**self.state_dict(), "tasks": digest_of(tasks)}
            write_state(folder, state, self.library)
