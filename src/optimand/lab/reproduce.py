"""Reproduction: a paper's claims, each with the paper's number, ours and a verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ..core.claims import Claim, Verdict
from ..core.recorder import write_atomically
from ..core.validation import OptimandError
from ..papers import claims as claims_of
from ..papers import get_paper
from .runs import describe_error
from .scheduler import Observer
from .store import Results, Store
from .study import Study

if TYPE_CHECKING:
    import polars as pl

# Beside the papers' folders, because claims of several papers may rest on the same study.
STUDIES = "../studies"


@dataclass(frozen=True)
class Reproduced:
    """A claim with what was found.

    Attributes:
        paper_value: the paper's own number.
        value: ours.
        reference: an independent implementation's; empty where there is none.
        study: the study it rests on, if any, relative to the paper's folder.
    """

    name: str
    sentence: str
    paper_value: str
    value: str
    verdict: Verdict
    detail: str
    study: str | None = None
    reference: str = ""


@dataclass(frozen=True)
class Reproduction:
    """A paper's claims with what was found; ``studies`` are those that they rest on, with titles."""

    paper: str
    small: bool
    claims: list[Reproduced]
    studies: list[tuple[str, Results]]


class StudyOutcomes:
    """Answers what claims ask of a finished study (:class:`optimand.core.claims.Outcomes`).

    Args:
        results: of the study.
        instead: of problems that a claim asks for, those that the study ran instead.
    """

    def __init__(self, results: Results, instead: Mapping[str, str] | None = None) -> None:
        self._results, self._instead = results, instead or {}

    def _runs(self, problem: str, method: str) -> list[Any]:
        runs = self._results.select(self._instead.get(problem, problem), method)
        if not runs:
            raise OptimandError(f"the study has no runs of {method!r} on {problem!r}")
        return runs

    def _curves(self, problem: str, method: str, metric: str, split: str) -> list[pl.DataFrame]:
        """A seed's records each, none of a run that diverged or failed."""
        import polars as pl

        wanted = (pl.col("split") == split) & (pl.col("metric") == metric)
        runs = [o.run if o.status == "ok" else "" for o in self._runs(problem, method)]
        return [self._results.curves.filter(wanted & (pl.col("run") == run)) for run in runs]

    def values(self, problem: str, method: str, *, metric: str | None = None, split: str = "test") -> list[float]:
        """Final values, one a seed in the order of the seeds; a diverged run's value is NaN."""
        metric = metric or self._results.info["problems"][self._instead.get(problem, problem)]["metric"]
        curves = self._curves(problem, method, metric, split)
        return [float(rows["value"][-1]) if len(rows) else math.nan for rows in curves]

    def mean(self, problem: str, method: str, *, metric: str | None = None, split: str = "test") -> float:
        """The mean of :meth:`values`; NaN if a seed diverged."""
        values = self.values(problem, method, metric=metric, split=split)
        return sum(values) / len(values)

    def curve(self, problem: str, method: str, *, metric: str, split: str) -> tuple[list[float], list[list[float]]]:
        """Positions in the budget's unit, and for each position the values of all seeds; NaN for diverged runs."""
        found = self._curves(problem, method, metric, split)
        curves: list[dict[float, float]] = [dict(rows.select("spent", "value").iter_rows()) for rows in found]
        positions = sorted({at for curve in curves for at in curve})
        return positions, [[curve.get(at, math.nan) for curve in curves] for at in positions]

    def cost(self, problem: str, method: str, name: str) -> float:
        """Median over the seeds of a measured cost."""
        values = [o.costs[name] for o in self._runs(problem, method) if name in o.costs]
        return median(values) if values else math.nan

    def best_hyper(self, problem: str, method: str) -> Mapping[str, Any]:
        """The hyperparameters of the final runs."""
        return dict(self._runs(problem, method)[0].hyper)


def reproduce(
    paper: str,
    *,
    small: bool = False,
    folder: Path = Path("runs"),
    jobs: int | None = None,
    command: str = "",
    observe: Callable[[str], AbstractContextManager[Observer | None]] | None = None,
) -> Path:
    """Check every claim of a paper.

    Args:
        paper: slug or alias in the catalogue of papers.
        small: use each claim's small study, where it has one.
        folder: where studies are kept.
        jobs: runs at a time.
        command: the command line to show on the page.
        observe: gives, for a study's title, a context manager with the observer of its progress.

    Returns:
        The folder that holds ``claims.json``, for :func:`read_claims`, and the studies that the claims rest on.

    Raises:
        OptimandError: unknown paper, or none of its claims is implemented.
    """
    entry = get_paper(paper)
    claims = claims_of(entry.slug)
    if not claims:
        raise OptimandError(f"{entry.title!r} is not implemented yet ({entry.status}): it has no claims to check")
    place = folder / f"reproduce-{entry.slug}{'-small' if small else ''}"
    studies: dict[str, Results] = {}
    found = []
    for claim in claims:
        spec = (claim.small or claim.study) if small else claim.study
        results = None
        name = None
        if spec is not None and claim.check is not None:
            study = Study(spec, jobs=jobs, command=command)
            name = f"{STUDIES}/{study.name}"
            study.store = Store(place / name)
            if name not in studies:
                title = study_title(spec.problems, spec.seeds, spec.tune)
                with nullcontext() if observe is None else observe(title) as observer:
                    studies[name] = study.run(observer)
            results = studies[name]
        found.append(check_claim(claim, results, name, small))
    write_claims(place, entry.slug, small, found)
    return place


def check_claim(claim: Claim, results: Results | None, study: str | None, small: bool = False) -> Reproduced:
    """Check one claim on the results of its study; where the check raises, it is ``not checked``."""
    verdict: Verdict = "not testable here"
    value, detail = "–", claim.untestable
    if claim.check is not None:
        try:
            if claim.study is None:
                finding = claim.check()
            else:
                ran = (claim.small or claim.study) if small else claim.study
                instead = dict(zip(claim.study.problems, ran.problems, strict=True))
                finding = claim.check(StudyOutcomes(_present(results), instead))
        except Exception as error:
            verdict, detail = "not checked", f"the check could not be made: {describe_error(error)}"
        else:
            value, detail = finding.value, finding.detail
            verdict = "holds" if finding.holds else "falls short"
            if small and study is not None:
                verdict = "not judged"  # the small form of a study shows that the check runs, no more
    named = (claim.name, claim.sentence, claim.paper_value)
    return Reproduced(*named, value, verdict, detail, None if claim.check is None else study, claim.reference)


def _present(results: Results | None) -> Results:
    if results is None:
        raise OptimandError("the claim's study was not run")
    return results


def write_claims(place: Path, paper: str, small: bool, claims: Sequence[Reproduced]) -> None:
    """Write ``claims.json``, from which the page can be built again."""
    place.mkdir(parents=True, exist_ok=True)
    content = {"paper": paper, "small": small, "claims": [asdict(c) for c in claims]}
    write_atomically(place / "claims.json", (json.dumps(content, indent=2) + "\n").encode())


def read_claims(place: Path) -> Reproduction:
    """What :func:`write_claims` wrote, with the results of the studies that the claims rest on.

    Raises:
        OptimandError: ``claims.json`` is missing or damaged.
    """
    path = place / "claims.json"
    try:
        content = json.loads(path.read_text())
        claims = [Reproduced(**c) for c in content["claims"]]
        slug, small = content["paper"], content["small"]
    except FileNotFoundError as error:
        raise OptimandError(f"{str(place)!r} holds no claims (no claims.json)") from error
    except (ValueError, KeyError, TypeError) as error:
        raise OptimandError(f"{str(path)!r} is damaged: {error}") from error
    names = dict.fromkeys(c.study for c in claims if c.study)
    studies = [(results_title(r), r) for r in (Store(place / name).load() for name in names)]
    return Reproduction(slug, small, claims, studies)


def results_title(results: Results) -> str:
    """Problems, seeds and trials of a study, in a line."""
    spec = results.info["spec"]
    return study_title(spec["problems"], spec["seeds"], spec["tune"])


def study_title(problems: Sequence[str], seeds: int, tune: int) -> str:
    """Problems, seeds and trials of a study, in a line."""
    return f"{' + '.join(problems)}: {seeds} seeds" + (f", {tune} trials" if tune else ", defaults")
