"""What claims of IGNITE's paper conclude from given runs."""

import numpy as np
import pytest

from optimand.core.validation import OptimandError
from optimand.papers.ignite_offline import claims
from optimand.papers.ignite_offline.claims import CLAIMS, Pair, closed_form, paired_test


def test_the_paired_test_is_students():
    from scipy import stats

    d = np.random.default_rng(0).normal(0.3, 1, 12)
    _, low, high, p = paired_test(d)
    assert p == pytest.approx(stats.ttest_1samp(d, 0, alternative="greater").pvalue)
    interval = stats.ttest_1samp(d, 0).confidence_interval()
    assert (low, high) == pytest.approx((interval.low, interval.high))
    assert paired_test([0.0, 0.0])[3] == 1.0


def test_claims_are_distinct_and_the_exact_one_holds():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    assert CLAIMS[0].name == "improvement"
    assert closed_form().holds


@pytest.mark.parametrize("spec", [claims.STUDY, claims.SMALL])
@pytest.mark.parametrize(("gain", "holds"), [(0.1, True), (-0.1, False)])
def test_the_study_of_other_tasks_is_judged_by_its_paired_differences(spec, gain, holds):
    class Outcomes:
        def values(self, problem, method, **_):
            if problem not in spec.problems or method not in spec.methods:
                raise OptimandError(f"the study has no runs of {method!r} on {problem!r}")
            noise = np.random.default_rng(len(problem)).normal(0, 0.01, spec.seeds)
            return (0.5 + (gain + noise if method.split(":")[0] == "ga-ignite" else 0 * noise)).tolist()

        def mean(self, problem, method, **_):
            return float(np.mean(self.values(problem, method)))

    found = claims.elsewhere(Outcomes())
    assert found.holds == holds
    assert "synthetic-design: best-of-data 0.500" in found.value


def test_claims_of_paired_runs_follow_the_differences(monkeypatch):
    def runs(gain, sharper):
        found = []
        for table in ("a,x=1", "a,x=2", "b"):
            for seed in range(2):
                for kind in claims.KINDS:
                    more = 0 if kind is None else gain + 0.001 * seed
                    norm = 2.0 * sharper if kind else 2.0
                    scores = {50: 0.5 + more, 100: 0.9 + more}
                    found.append(Pair(table, seed, kind, scores, norm, 0.9, 2.0 if kind else 1.0))
        return lambda: tuple(found)

    monkeypatch.setattr(claims, "paired_runs", runs(0.05, 0.5))
    assert claims.improvement().holds
    assert "3 tasks (a,x=1 …) x 2 seeds" in claims.improvement().detail
    assert claims.sharpness_falls().holds
    assert claims.fit_is_kept().holds
    assert claims.cost_of_a_step().value == "2.00 times"
    monkeypatch.setattr(claims, "paired_runs", runs(-0.05, 1.5))
    assert not claims.improvement().holds
    assert not claims.sharpness_falls().holds
