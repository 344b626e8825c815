"""One run: what is to be run, and its execution inside a worker process."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._version import __version__
from ..core import catalog
from ..core.recorder import Diverged, Recorder
from ..core.seeds import SeedTree
from ..core.userfiles import file_digest, short_spec, split_spec
from ..core.validation import OptimandError
from .store import Outcome, Store

PROGRESS_EVERY = 0.5  # seconds between two writes of a run's progress


@dataclass(frozen=True)
class RunSpec:
    """One method on one problem with one seed.

    Attributes:
        problem, method: as typed; the worker resolves them again.
        fingerprint: digests of user files and versions that the result depends on.
        phase: ``tune`` or ``final``.
        trial: number of the tuning trial; -1 in the final phase.
        seed: number of the seed within the phase.
        root_seed: the study's seed.
        budget: in the problem's unit.
        hyper: hyperparameters that differ from the method's defaults.
        threads: threads that the run may use.
    """

    problem: str
    method: str
    fingerprint: str
    phase: str
    trial: int
    seed: int
    root_seed: int
    budget: int
    hyper: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1

    @property
    def run(self) -> str:
        """The run's id: readable, and unique by a digest of everything its result depends on."""
        content = json.dumps(
            [
                self.problem, self.method, self.fingerprint, self.phase, self.trial, self.seed, self.root_seed,
                self.budget, sorted(self.hyper.items()), self.threads,
            ],
            default=str,
        )  # fmt: skip
        digest = hashlib.sha256(content.encode()).hexdigest()[:10]
        place = f"tune{self.trial}" if self.phase == "tune" else f"seed{self.seed}"
        names = [slug(short_spec(text)) for text in (self.problem, self.method)]
        return f"{names[0]}.{names[1]}.{place}.{digest}"

    def outcome(self, **result: Any) -> Outcome:
        """What came of the run, with its names and numbers."""
        asked = ("run", "problem", "method", "phase", "trial", "seed", "budget")
        return Outcome(**{name: getattr(self, name) for name in asked}, **result)


def slug(text: str) -> str:
    """``text`` as a part of a file name, at most 40 characters."""
    return re.sub(r"[^A-Za-z0-9_=-]+", "-", text).strip("-")[:40]


def fingerprint(text: str) -> str:
    """What stands behind a problem or method as typed: this version, and the digests of the files that it names."""
    head, attr, params = split_spec(text)
    files = [] if attr is None else [head]
    files += [value for _, value in sorted(params.items()) if isinstance(value, str) and Path(value).is_file()]
    return "+".join([__version__, *map(file_digest, files)])


def execute(spec: RunSpec, folder: str, checkpoint_every: float = 30.0) -> Outcome:
    """Make the run and write it to the store in ``folder``.

    Whatever the method's or the problem's code raises becomes an outcome ``failed`` with the message, so
    that one broken method never takes a study down.

    Raises:
        OptimandError: a user's file is no longer the one that the study was planned with.
        OSError: the store cannot be written.
    """
    if spec.fingerprint != f"{fingerprint(spec.problem)}/{fingerprint(spec.method)}":
        raise OptimandError(
            f"a file that the study uses was edited while it runs ({short_spec(spec.problem)}, "
            f"{short_spec(spec.method)}); give the command again to study the new version"
        )
    store = Store(folder)
    checkpoint = store.scratch / f"{spec.run}.checkpoint"
    progress = store.scratch / f"{spec.run}.progress"
    writer = _progress_writer(progress)
    recorder = Recorder(spec.budget, checkpoint=checkpoint, checkpoint_every=checkpoint_every, progress=writer)
    result: dict[str, Any] = {"status": "ok"}
    hyper: dict[str, Any] = dict(spec.hyper)
    try:
        problem = catalog.get_problem(spec.problem)
        method, _ = catalog.get_method(spec.method, family=problem.family)
        hyper = method.hyper(spec.hyper)
        seed = SeedTree(spec.root_seed).child(spec.phase, spec.seed)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("once")
            try:
                problem.run(method, hyper, seed=seed, budget=spec.budget, recorder=recorder)
            finally:
                if caught:
                    recorder.note(warnings="; ".join(_first_warnings(caught)))
        result |= {split: _final(recorder, split, problem.metric) for split in ("valid", "test")}
    except Diverged as error:
        result = {"status": "diverged", "message": error.reason, "diverged_at": error.at}
    except (Exception, SystemExit) as error:
        result = {"status": "failed", "message": describe_error(error)}
    outcome = spec.outcome(
        seconds=recorder.seconds, hyper=hyper, costs=recorder.costs, notes=recorder.notes, pictures=recorder.pictures,
        **result,
    )  # fmt: skip
    store.write_run(outcome, recorder.records)
    recorder.clear_checkpoint()
    progress.unlink(missing_ok=True)
    return outcome


def _final(recorder: Recorder, split: str, metric: str) -> float:
    recorded = {r.metric for r in recorder.records if r.split == split}
    if metric not in recorded:
        raise OptimandError(
            f"the problem recorded no {metric!r} on {split}; it recorded {', '.join(sorted(recorded)) or 'nothing'}"
        )
    value = recorder.last(split, metric)
    if not math.isfinite(value):
        raise Diverged(recorder.budget, f"final {metric} on {split} is {value}")
    return value


def _first_warnings(caught: list[warnings.WarningMessage], most: int = 5) -> list[str]:
    texts = dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught)
    return list(texts)[:most]


def describe_error(error: BaseException) -> str:
    """``Type: message (file line N)`` of the innermost frame, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name} line {frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}{where}"


def _progress_writer(path: Path) -> Any:
    written = 0.0

    def write(share: float) -> None:
        nonlocal written
        now = time.monotonic()
        if now - written >= PROGRESS_EVERY:
            written = now
            path.write_text(f"{share:.4f}")

    return write


def read_progress(store: Store, run: str) -> float:
    """Share of the budget that an unfinished run has used, as far as it has told."""
    try:
        return float((store.scratch / f"{run}.progress").read_text())
    except (OSError, ValueError):
        return 0.0
