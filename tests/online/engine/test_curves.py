"""Statistics of regret curves, against brute force and by simulation."""

import csv

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats

from optimand.core.validation import UnknownNameError
from optimand.online.engine import RegretCurves

mpl.use("Agg")
TIMES = np.array([1, 10, 100, 1000])


def curves(seed=0, reps=30, **more):
    rng = np.random.default_rng(seed)
    base = rng.gamma(4.0, size=(reps, 1)) * TIMES**0.5
    return RegretCurves(TIMES, {"a": base, "b": base * 1.5 + rng.normal(size=(reps, 4)), **more}, "best-arm")


def test_means_errors_and_bands_are_those_of_scipy():
    c = curves()
    np.testing.assert_allclose(c.mean("a"), c.of("a").mean(0))
    np.testing.assert_allclose(c.sem("a"), stats.sem(c.of("a")))
    low, high = c.band("a", 0.9)
    expected = stats.t.interval(0.9, 29, loc=c.mean("a"), scale=stats.sem(c.of("a")))
    np.testing.assert_allclose((low, high), expected)
    found = stats.bootstrap((c.at("a"),), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    low, high = c.band("a", kind="bootstrap")
    width = found.high - found.low
    assert abs(low[-1] - found.low) < 0.1 * width
    assert abs(high[-1] - found.high) < 0.1 * width
    np.testing.assert_allclose(c.quantiles("a", [0.1, 0.5])[:, 2], np.quantile(c.of("a")[:, 2], [0.1, 0.5]))


def test_differences_are_paired():
    c = curves()
    found = c.difference_to("a", "b")
    expected = stats.ttest_rel(c.at("b"), c.at("a")).confidence_interval()
    np.testing.assert_allclose((found.low, found.high), (expected.low, expected.high))
    np.testing.assert_allclose(found.value, (c.at("b") - c.at("a")).mean())


def test_ratios_are_paired():
    c = curves()
    found = c.ratio_to("a", "b")
    assert found.value == pytest.approx(c.at("b").mean() / c.at("a").mean())
    # the common part cancels: the interval is far narrower than that of one mean
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.05
    itself = c.ratio_to("a", "a", time=10)
    assert itself.low == pytest.approx(1)
    assert itself.high == pytest.approx(1)


def test_slopes_are_those_of_a_line_through_logs():
    c = curves()
    found = c.slope("a", 1, 1000)
    assert found.value == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5)
    line = np.polyfit(np.log(TIMES[1:]), np.log(c.mean("b")[1:]), 1)[0]
    assert c.slope("b", 10, 1000).value == pytest.approx(line)
    with pytest.raises(ValueError, match="must hold two recording times"):
        c.slope("a", 20, 30)
    negative = RegretCurves(TIMES, {"a": -c.of("a")}, "best-arm")
    assert np.isnan(negative.slope("a", 1, 1000).value)


@pytest.mark.parametrize("kind", ["normal", "bootstrap"])
def test_bands_cover_the_mean_as_often_as_they_say(kind):
    hits, runs, reps = 0, 200, 25
    rng = np.random.default_rng(5)
    for _ in range(runs):
        c = RegretCurves(np.array([1]), {"a": rng.gamma(9.0, size=(reps, 1))}, "x")
        low, high = c.band("a", 0.9, kind)
        hits += bool(low[0] <= 9.0 <= high[0])
    assert stats.binomtest(hits, runs, 0.9 if kind == "normal" else 0.88).pvalue > 1e-3


def test_many_repetitions_are_resampled_in_parts():
    rng = np.random.default_rng(0)
    c = RegretCurves(np.array([1]), {"a": rng.normal(3, 1, (4000, 1))}, "x")
    low, high = c.band("a", kind="bootstrap")
    np.testing.assert_allclose((low, high), c.band("a"), atol=0.005)


def test_times_and_names_are_checked():
    c = curves()
    assert (c.at("a", 99) == c.of("a")[:, 1]).all()
    with pytest.raises(ValueError, match=r"time must be in \[1, 1000\]"):
        c.at("a", 0.5)
    with pytest.raises(UnknownNameError, match="no learner 'bb'; did you mean 'b'"):
        c.mean("bb")
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\)"):
        c.band("a", 1.0)
    with pytest.raises(ValueError, match="kind must be one of"):
        c.band("a", kind="exact")


def test_a_single_repetition_has_no_interval():
    c = curves(reps=1)
    assert np.isnan(c.sem("a")).all()
    assert np.isnan(c.band("a")).all()
    assert np.isnan(c.difference_to("b", "a").low)


def test_curves_are_normalised_by_a_rate():
    c = curves()
    np.testing.assert_allclose(c.normalise(lambda t: t**0.5).of("a"), c.of("a") / TIMES**0.5)


def test_histograms_count_repetitions():
    counts, edges = curves().hist("a", 100, bins=7)
    assert counts.sum() == 30
    assert len(edges) == 8


def test_tables_and_plots(tmp_path):
    import matplotlib.pyplot as plt

    c = curves()
    c.to_csv(tmp_path / "c.csv")
    with open(tmp_path / "c.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert float(rows[3]["mean"]) == pytest.approx(c.mean("a")[-1])
    assert float(rows[3]["q90"]) == pytest.approx(c.quantiles("a", 0.9)[-1])
    ax = c.plot()
    assert len(ax.lines) == 2
    assert len(ax.collections) == 2
    assert "band of the mean" in ax.get_legend().get_title().get_text()
    ax.figure.savefig(tmp_path / "c.png")
    assert c.plot(ax) is ax
    plt.close("all")
    assert "a  " in str(c)
