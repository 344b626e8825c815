"""What trainers share: the loop over steps, evaluations, best values, checkpoints and resumption.

A trainer changes an optimizer's parameters by what a guide says about a workflow's answers on a data set (arXiv
2406.16218, Section 5, and the trainers of the maintained fork). All that a step depends on is in a snapshot, which JSON
can hold: the parameters' values, the optimizer's state, and the trainer's. Random choices hang on the seed and the
step's number. So a run that was broken off anywhere and is resumed gives what an unbroken one gives.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, check_int
from optimand.language.llm.base import BudgetExceeded
from optimand.language.llm.secrets import redact

from ..tracing.tape import Tape
from .candidates import decode_values, encode_values, key_of, names_in
from .checkpoints import read_checkpoint, write_checkpoint
from .guides import Guide, check_guide
from .results import TrainingResult
from .rollouts import Agent, Rollout, batchify, check_traced, mean_score, roll_out
from .samples import Batches, Sample, drawn, read_dataset

if TYPE_CHECKING:
    from ..optimizers.optimizer import Optimizer

Progress = Callable[[int, int, Mapping[str, Any]], Any]
_CONTRACT = ("zero_feedback", "backward", "propose", "update", "state_dict", "load_state_dict")


@dataclass
class Run:
    """One call of ``train``: its arguments, and what is counted."""

    guide: Guide
    batches: Batches
    validation: tuple[Sample, ...] | None
    steps: int
    num_threads: int
    min_score: float | None
    step: int = 0
    evaluations: int = 0
    best: dict[str, Any] = field(default_factory=dict)
    best_score: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def held(self) -> tuple[Sample, ...]:
        """The samples that candidates are compared on: the validation set, else the data set."""
        return self.batches.samples if self.validation is None else self.validation


class Trainer:
    """Base of the trainers.

    Args:
        agent: the workflow: a module, or a function on nodes, called with a query; also a coroutine function.
        optimizer: of the parameters that are to change; its ``observe(values, score)``, if it has that method, is told
            the mean scores of compared values, which are given by parameter.
        batch_size: samples of a step, >= 1.
        shuffle: each epoch has an order of its own.
        show_score: the feedback that the optimizer gets says the scores.
        seed: of all random choices, >= 0.

    Attributes:
        names: of the parameters, by their ``id``, as results have them: those of the agent's ``state_dict`` where it is
            a module, else without the index that nodes of one name get, where that tells them apart.

    Raises:
        TypeError: the agent cannot be called, or the optimizer lacks a method.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("batch_size", "shuffle", "show_score", "seed")

    def __init__(
        self,
        agent: Agent,
        optimizer: Optimizer,
        *,
        batch_size: int = 1,
        shuffle: bool = True,
        show_score: bool = True,
        seed: int = 0,
    ) -> None:
        if not callable(agent):
            raise TypeError(f"agent must be a module or a function, got {agent!r:.60} ({type(agent).__name__})")
        missing = [verb for verb in _CONTRACT if not callable(getattr(optimizer, verb, None))]
        if missing or not hasattr(optimizer, "parameters"):
            lacks = ", ".join(missing) or "parameters"
            raise TypeError(f"optimizer must be an Optimizer, got {type(optimizer).__name__}, which lacks {lacks}")
        self.agent, self.optimizer = agent, optimizer
        self.names = names_in(agent, optimizer)
        self.batch_size = check_int("batch_size", batch_size, low=1)
        self.shuffle, self.show_score = bool(shuffle), bool(show_score)
        self.seed = check_int("seed", seed, low=0)
        self.objectives: tuple[str, ...] = ()
        self._tree = SeedTree(self.seed)

    def train(
        self,
        guide: Guide,
        dataset: Any,
        *,
        validation: Any = None,
        epochs: int = 1,
        steps: int | None = None,
        num_threads: int = 1,
        min_score: float | None = 0.0,
        folder: str | os.PathLike[str] | None = None,
        resume: bool = True,
        progress: Progress | None = None,
    ) -> TrainingResult:
        """Improve the parameters; at the end they have the best values.

        Args:
            guide: ``guide(query, response, info) -> (score, feedback)``; larger scores are better.
            dataset: a sequence of ``(query, info)`` or of ``{"query": ..., "info": ...}``.
            validation: the same, to compare values on; the data set where None.
            epochs: times through the data set, >= 1.
            steps: how many steps, >= 0; instead of epochs.
            num_threads: rollouts at the same time, >= 1.
            min_score: score of a failure; a guide must give no less. None leaves failures out of the means.
            folder: for a checkpoint after each step; None for none.
            resume: go on from the folder's checkpoint if there is one; with False it is replaced.
            progress: called after each step with its number, the number of steps, and its row of the history.

        Raises:
            OptimandError: an empty data set; a checkpoint of other settings.
            GuideError: the guide raised, or returned what is no score and feedback.
            SampleError: the workflow raised what is no ExecutionError.

        A spent budget of a model is no error: the last step is undone, the checkpoint is written, and
        ``result.stopped`` says what happened.
        """
        check_guide(guide)
        samples = read_dataset("dataset", dataset)
        batches = Batches(samples, self.batch_size, seed=self.seed, shuffle=self.shuffle)
        held = None if validation is None else read_dataset("validation", validation)
        check_int("epochs", epochs, low=1)
        total = self._steps(batches, epochs) if steps is None else check_int("steps", steps, low=0)
        check_int("num_threads", num_threads, low=1)
        run = Run(guide, batches, held, total, num_threads, min_score, best=self._present())
        place = None if folder is None else Path(folder)
        made_by = self._made_by(run)
        saved = read_checkpoint(place, made_by) if place is not None and resume else None
        if saved is not None:
            self._restore(run, saved)
        begun = saved is not None and saved["trainer"] is not None
        snapshot = self._text(run, begun=begun)
        try:
            if not begun:
                with Tape():
                    self._begin(run)
                snapshot = self._kept(run, place, made_by)
            while run.step < total:
                self._once(run)
                snapshot = self._kept(run, place, made_by)
                if progress is not None:
                    progress(run.step, total, run.history[-1])
            best, score = self._concluded(run, saved, snapshot, place, made_by)
        except BudgetExceeded as error:
            # The step is undone, so that whoever goes on with a larger budget gets what an unbroken run gives.
            self._restore(run, json.loads(snapshot))
            reason = f"{redact(str(error))}; after step {run.step} of {total}"
            if place is not None:
                write_checkpoint(place, made_by, snapshot, reason)
                reason += f", to be resumed from {os.fspath(place)!r}"
            self._set(run.best)
            return self._result(run, run.best, run.best_score, reason)
        except BaseException:
            self._restore(run, json.loads(snapshot))
            raise
        self._set(best)
        return self._result(run, best, score, "")

    def _concluded(
        self, run: Run, saved: Mapping[str, Any] | None, snapshot: str, place: Path | None, made_by: Mapping[str, Any]
    ) -> tuple[dict[str, Any], float | None]:
        """The best values after the last step; a finished run that is only read is not evaluated again."""
        final = (saved or {}).get("final")
        if saved is not None and final is not None and saved["step"] == run.step:
            run.evaluations = final["evaluations"]
            return decode_values(final["best"]), final["score"]
        with Tape():
            best, score = self._finish(run)
        if place is not None:
            # The rest of the state is that after the last step, so that more steps can go on from it.
            final = {"best": encode_values(best), "score": score, "evaluations": run.evaluations}
            write_checkpoint(place, made_by, json.dumps({**json.loads(snapshot), "final": final}, ensure_ascii=False))
        return best, score

    def _once(self, run: Run) -> None:
        with Tape():  # names begin anew in each step, so that a resumed run has the same
            row = self._step(run)
        run.step += 1
        if run.best_score is not None:
            row["best_score"] = run.best_score
        run.history.append(
            {"step": run.step, **row, "evaluations": run.evaluations, "values": encode_values(self._present())}
        )

    # What a trainer adds.

    def _steps(self, batches: Batches, epochs: int) -> int:
        return batches.per_epoch * epochs

    def _begin(self, run: Run) -> None:
        """Before the first step."""

    def _step(self, run: Run) -> dict[str, Any]:
        """One step; its row of the history."""
        raise NotImplementedError

    def _finish(self, run: Run) -> tuple[dict[str, Any], float | None]:
        """After the last step: the best values and their score."""
        return run.best, run.best_score

    def _front(self) -> tuple[Mapping[str, Any], ...]:
        return ()

    def _state(self) -> dict[str, Any]:
        """All that later steps depend on, besides parameters, optimizer and run."""
        return {}

    def _load(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`_state`."""

    # What trainers use.

    def _present(self) -> dict[str, Any]:
        return {self.names[id(parameter)]: parameter.data for parameter in self.optimizer.parameters}

    def _named_values(self, proposal: Mapping[Any, Any]) -> dict[str, Any]:
        return {self.names[id(parameter)]: value for parameter, value in proposal.items()}

    def _set(self, values: Mapping[str, Any]) -> None:
        for parameter in self.optimizer.parameters:
            if parameter.trainable:
                parameter.data = values[self.names[id(parameter)]]

    def _evaluate(self, run: Run, samples: Sequence[Sample], values: Mapping[str, Any] | None = None) -> list[Rollout]:
        """Rollouts at the present values, or at others, which the parameters then keep."""
        if values is not None:
            self._set(values)
        found = roll_out(
            self.agent,
            run.guide,
            samples,
            num_threads=run.num_threads,
            min_score=run.min_score,
            objectives=self.objectives,
        )
        run.evaluations += len(samples)
        return found

    def _proposals(self, rollouts: Sequence[Rollout], count: int = 1, extra: str = "") -> list[dict[str, Any]]:
        """Ask the optimizer ``count`` times for values at the present ones; those that differ, from these and each."""
        check_traced(rollouts)
        target, told = batchify(rollouts, show_score=self.show_score, extra=extra)
        self.optimizer.zero_feedback()
        self.optimizer.backward(target, told)
        present = self._present()
        found = {key_of(present): present}
        for _ in range(count):
            values = {**present, **self._named_values(self.optimizer.propose())}
            found.setdefault(key_of(values), values)
        self.optimizer.zero_feedback()
        return list(found.values())[1:]

    def _tell(self, values: Mapping[str, Any], rollouts: Sequence[Rollout]) -> None:
        """Tell an optimizer that has ``observe(values by parameter, mean score)`` what a comparison has shown."""
        observe, score = getattr(self.optimizer, "observe", None), mean_score(rollouts)
        if callable(observe) and score is not None:
            observe({p: values[self.names[id(p)]] for p in self.optimizer.parameters}, score)

    def _held(self, run: Run, size: int | None) -> list[Sample]:
        """The samples that this step compares values on."""
        return drawn(run.held, size, self._tree.child("validation", run.step))

    def _consider(self, run: Run, values: Mapping[str, Any], score: float | None) -> None:
        """Take values over as the best if their score is better than that of the best so far."""
        if score is not None and (run.best_score is None or score > run.best_score):
            run.best, run.best_score = dict(values), score

    # Snapshots.

    def _made_by(self, run: Run) -> dict[str, Any]:
        return {
            "trainer": type(self).__name__,
            "optimizer": type(self.optimizer).__name__,
            "parameters": list(self._present()),
            "samples": len(run.batches.samples),
            "validation": None if run.validation is None else len(run.validation),
            "min_score": run.min_score,
            **{name: getattr(self, name) for name in self.SETTINGS},
        }

    def _snapshot(self, run: Run, *, begun: bool = True) -> dict[str, Any]:
        return {
            "step": run.step,
            "evaluations": run.evaluations,
            "values": encode_values(self._present()),
            "optimizer": self.optimizer.state_dict(),
            "trainer": self._state() if begun else None,
            "best": encode_values(run.best),
            "best_score": run.best_score,
            "history": run.history,
        }

    def _text(self, run: Run, *, begun: bool = True) -> str:
        try:
            return json.dumps(self._snapshot(run, begun=begun), ensure_ascii=False)
        except TypeError as error:
            kind = type(self.optimizer).__name__
            raise OptimandError(f"state_dict() of {kind} holds what JSON cannot: {error}") from None

    def _kept(self, run: Run, place: Path | None, made_by: Mapping[str, Any]) -> str:
        snapshot = self._text(run)
        if place is not None:
            write_checkpoint(place, made_by, snapshot)
        return snapshot

    def _restore(self, run: Run, snapshot: Mapping[str, Any]) -> None:
        self._set(decode_values(snapshot["values"]))
        self.optimizer.zero_feedback()
        self.optimizer.load_state_dict(snapshot["optimizer"])
        if snapshot["trainer"] is not None:
            self._load(snapshot["trainer"])
        run.step, run.evaluations = snapshot["step"], snapshot["evaluations"]
        run.best, run.best_score = decode_values(snapshot["best"]), snapshot["best_score"]
        run.history = list(snapshot["history"])

    def _result(self, run: Run, best: Mapping[str, Any], score: float | None, stopped: str) -> TrainingResult:
        return TrainingResult(
            best=dict(best),
            best_score=score,
            history=tuple(run.history),
            steps=run.step,
            evaluations=run.evaluations,
            stopped=stopped,
            front=self._front(),
        )
