"""Simulating learners: blocks of repetitions, one process or several, resumed where a kill left them."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import inspect
import io
import pickle
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optimand._version import __version__
from optimand.core.recorder import write_atomically
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, check_choice, check_int

from .contracts import Array, Environment, Learner
from .curves import RegretCurves
from .grid import recording_grid
from .rollout import default_comparators, start

BACKENDS = ("auto", "numpy", "numba", "loop")
# Repetitions that are simulated together; results do not depend on it.
BLOCK = 500
SAVE_EVERY = 30.0  # seconds

Found = tuple[Array, dict[str, Array]]


def simulate(
    learners: Mapping[str, Any] | Sequence[Any],
    env: Environment,
    horizon: int,
    *,
    reps: int = 100,
    seed: int = 0,
    comparator: str | None = None,
    points: int = 200,
    backend: str = "auto",
    n_jobs: int = 1,
    block: int | None = None,
    progress: bool = False,
    callback: Callable[[str, int, Array], None] | None = None,
    checkpoint: str | Path | None = None,
) -> RegretCurves:
    """Let learners play in repetitions of an environment that are the same for all of them.

    Args:
        learners: by name, or a sequence, named after their classes. Each is copied before it is used.
        env: the environment; copied too.
        horizon: rounds (pulls) of a repetition, at least 1.
        reps: repetitions.
        seed: root of all random numbers; one seed gives the same curves whatever ``n_jobs`` and ``block`` are.
        comparator: what regret is measured against; the environment's first one by default.
        points: at most so many recording times, evenly spaced on a log scale.
        backend: ``auto`` uses a loop compiled for the pair where there is one; ``numba`` insists on it; ``numpy``
            steps all repetitions of a block at once; ``loop`` one repetition after another, to compare with.
        n_jobs: processes.
        block: repetitions simulated together.
        progress: whether to show a bar on standard error.
        callback: called with a learner's name, the time and its regrets ``(R,)`` of the block at every recording
            time; with one process.
        checkpoint: folder for what is done so far: a call with the same arguments goes on from it. What belongs to
            other arguments, to another version of the package or to classes whose text has changed is left alone.

    Raises:
        OptimandError: a learner does not fit the environment, or cannot be pickled for a checkpoint.
        ValueError: an argument is out of its range.

    Example:
        >>> from optimand.online.bandits import UCB1, BernoulliBandit
        >>> curves = simulate([UCB1()], BernoulliBandit([0.2, 0.8]), 1000, reps=20)
        >>> bool(0 < curves.mean("UCB1")[-1] < 60)
        True
    """
    named = name_learners(learners)
    check_int("horizon", horizon, low=1)
    check_int("reps", reps, low=1)
    check_int("n_jobs", n_jobs, low=1)
    check_choice("backend", backend, BACKENDS)
    if callback is not None and n_jobs > 1:
        raise ValueError(f"callback needs n_jobs=1, got n_jobs={n_jobs}")
    if isinstance(env, type):
        raise OptimandError(f"env is the class {env.__name__}: make an object of it")
    (usual,) = default_comparators(env)
    comparator = usual if comparator is None else check_choice("comparator", comparator, env.comparators)
    size = 1 if backend == "loop" else BLOCK if block is None else check_int("block", block, low=1)
    if n_jobs > 1:
        size = min(size, -(-reps // n_jobs))
    grid = recording_grid(horizon, points)
    tasks = [
        _Task(
            name, learner, env, horizon, np.arange(first, min(first + size, reps)), seed, grid, comparator, backend,
            None if checkpoint is None else Path(checkpoint),
        )
        for name, learner in named.items()
        for first in range(0, reps, size)
    ]  # fmt: skip
    found = _run(tasks, n_jobs, progress, callback)
    parts: dict[str, list[Found]] = {name: [] for name in named}
    for task, result in zip(tasks, found, strict=True):
        parts[task.name].append(result)
    return RegretCurves(
        grid,
        {name: np.concatenate([curve for curve, _ in blocks]) for name, blocks in parts.items()},
        comparator,
        {
            name: {key: np.concatenate([extras[key] for _, extras in blocks]) for key in blocks[0][1]}
            for name, blocks in parts.items()
        },
        seed,
    )


def name_learners(learners: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Learners by name; those of a sequence are named after their classes, with a number where a name is taken.

    Raises:
        OptimandError: none is given, or something without ``reset``, ``act`` and ``update`` is.
    """
    if isinstance(learners, Mapping):
        named = {str(name): learner for name, learner in learners.items()}
    else:
        named = {}
        for learner in learners if isinstance(learners, Sequence) else [learners]:
            base = type(learner).__name__
            name, number = base, 2
            while name in named:
                name, number = f"{base}-{number}", number + 1
            named[name] = learner
    if not named:
        raise OptimandError("learners must hold at least one learner, got none")
    for name, learner in named.items():
        if isinstance(learner, type):
            raise OptimandError(f"learner {name!r} is the class {learner.__name__}: make an object of it")
    return named


class _Task:
    """One learner on one block of repetitions."""

    def __init__(
        self, name: str, learner: Learner, env: Environment, horizon: int, reps: Array, seed: int, grid: Array,
        comparator: str, backend: str, folder: Path | None,
    ) -> None:  # fmt: skip
        self.name, self.learner, self.env, self.horizon, self.reps = name, learner, env, horizon, reps
        self.seed, self.grid, self.comparator, self.backend = seed, grid, comparator, backend
        # Where its state is kept, named after all that its result depends on; before a worker gets the objects, whose
        # classes it may know by another way.
        self.file: Path | None = None
        if folder is not None:
            compiled = backend in ("auto", "numba")
            self.file = (
                folder / f"{_digest((name, learner, env, horizon, reps, seed, grid, comparator, compiled))}.pickle"
            )

    def run(self, tell: Callable[[int, Array], None] | None = None) -> Found:
        file = self.file
        saved = _load(file)
        if "done" in saved:
            found: Found = saved["done"]
            return found
        learner, env = copy.deepcopy(self.learner), copy.deepcopy(self.env)
        rollout = start(
            learner, env, horizon=self.horizon, reps=self.reps, seed=SeedTree(self.seed), grid=self.grid,
            comparators=(self.comparator,), name=self.name, compiled=self.backend in ("auto", "numba"),
        )  # fmt: skip
        if self.backend == "numba" and not rollout.compiled:
            raise OptimandError(f"backend='numba': no loop is compiled for {self.name!r} in {type(env).__name__}")
        if saved:
            rollout.load_state_dict(saved)
        saved_at = time.monotonic()
        while rollout.position < len(self.grid):
            rollout.advance()
            if tell is not None:
                tell(int(self.grid[rollout.position - 1]), rollout.curves[self.comparator][:, rollout.position - 1])
            if file is not None and time.monotonic() - saved_at > SAVE_EVERY:
                _save(file, rollout.state_dict())
                saved_at = time.monotonic()
        found = rollout.curves[self.comparator], dict(rollout.extras())
        if file is not None:
            _save(file, {"done": found})
        return found


def _digest(chosen: Any) -> str:
    """Names what a result depends on: the objects, the text of their classes, the package's version."""
    try:
        content = pickle.dumps(chosen)
    except Exception as error:  # whatever an object raises that cannot be pickled
        raise OptimandError(f"checkpoint needs learners and environments that can be pickled: {error}") from error
    texts: dict[str, str] = {}

    class Looking(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found = super().find_class(module, name)
            for part in found.__mro__ if isinstance(found, type) else (found,):
                if not part.__module__.startswith(("builtins", "numpy", "optimand.")):
                    with contextlib.suppress(OSError, TypeError):  # no source
                        texts[f"{part.__module__}.{part.__qualname__}"] = inspect.getsource(part)
            return found

    Looking(io.BytesIO(content)).load()
    return hashlib.sha256(pickle.dumps((content, sorted(texts.items()), __version__))).hexdigest()[:16]


def _save(file: Path, content: Any) -> None:
    # A state may hold objects of classes that only the main script knows.
    import cloudpickle  # type: ignore[import-untyped]

    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, cloudpickle.dumps(content))


def _load(file: Path | None) -> dict[str, Any]:
    if file is None or not file.exists():
        return {}
    try:
        return dict(pickle.loads(file.read_bytes()))
    except Exception:  # whatever a damaged pickle raises: starting afresh gives the same result, only later
        return {}


def _run(
    tasks: Sequence[_Task], n_jobs: int, progress: bool, callback: Callable[[str, int, Array], None] | None
) -> list[Found]:
    if n_jobs > 1:
        from joblib import Parallel, delayed

        done: list[Found] = Parallel(n_jobs=n_jobs, verbose=5 if progress else 0)(delayed(t.run)() for t in tasks)
        return done
    waiting: Iterable[_Task] = tasks
    if progress:
        from rich.console import Console
        from rich.progress import track

        waiting = track(tasks, "simulating", console=Console(stderr=True))
    return [task.run(None if callback is None else functools.partial(callback, task.name)) for task in waiting]
