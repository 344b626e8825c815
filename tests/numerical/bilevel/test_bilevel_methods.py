"""The two algorithms: momentum, state, errors, step sizes and baselines."""

import itertools
import math

import numpy as np
import pytest

from optimand.core.projections import Box
from optimand.numerical.bilevel import (
    Annealing,
    Constant,
    DoubleLoop,
    Level,
    LevelOracle,
    PairedBatch,
    PenaltyWarning,
    SingleLoop,
    bilevel_minimize,
    check_gradients,
    hypergradient,
    implicit_hypergradient,
    limit_hypergradient,
    penalty_value,
    unrolled_hypergradient,
)
from optimand.numerical.bilevel.implicit import conjugate_gradients
from optimand.numerical.bilevel.penalty import solve_lower
from optimand.numerical.bilevel.schedules import Curvature, LowerStep, UpperStep
from optimand.papers.bilevel_penalty.noisy import ManySolutions, noise_sampler, noisy_runs

F = Level(lambda x, y: 0.5 * (y - 1) ** 2 + x**2 / 4, lambda x, y: x / 2, lambda x, y: y - 1)
G = Level(lambda x, y: 0.5 * (y - 2 * x) ** 2, lambda x, y: -2 * (y - 2 * x), lambda x, y: y - 2 * x)


def oracle():
    return LevelOracle(F, G, (), ())


# ------------------------------------------------------------ Algorithm 2


def test_single_loop_without_noise_reaches_the_solution():
    final, _ = noisy_runs(True, "none", runs=1, steps=8000)
    assert final[0] <= 5e-5


@pytest.mark.parametrize(("noise", "bar"), [("independent", 0.12), ("paired", 0.02)])
def test_momentum_reduces_the_error_of_the_gradient_estimate(noise, bar):
    (final, storm), (_, plain) = (noisy_runs(momentum, noise, steps=8000, last=1000) for momentum in (True, False))
    assert storm.mean() <= 0.2 * plain.mean()
    assert final.mean() <= bar


class Recorded(ManySolutions):
    """Remembers where, with which penalty and samples it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def joint(self, x, y, z, sigma, batch=None):
        self.asked.append((x.copy(), y.copy(), z.copy(), sigma, batch))
        return super().joint(x, y, z, sigma, batch)


def test_old_points_are_evaluated_with_the_same_samples_and_the_current_penalty():
    asked = Recorded()
    solver = SingleLoop(
        asked, [3.0], [[0.0, 0.0]], sigma=lambda k: 1 / k, alpha=0.1, gamma=0.2, eta=0.5,
        sample=noise_sampler(1, False), rng=0,
    )  # fmt: skip
    points = []
    for _ in range(3):
        points.append((solver.x.copy(), solver.y.copy(), solver.z.copy()))
        solver.step()
    assert len(asked.asked) == 1 + 2 + 2
    for k, (new, old) in enumerate(((1, 2), (3, 4)), start=2):
        for i in range(3):
            np.testing.assert_array_equal(asked.asked[new][i], points[k - 1][i])
            np.testing.assert_array_equal(asked.asked[old][i], points[k - 2][i])
        assert asked.asked[new][3] == asked.asked[old][3] == 1 / k
        assert asked.asked[new][4] is asked.asked[old][4]


def test_a_momentum_step_is_the_formula():
    o = ManySolutions()
    draws = [noise_sampler(1, False)(np.random.default_rng(i)) for i in range(2)]
    queue = itertools.chain(draws)
    solver = SingleLoop(
        o, [3.0], [[0.0, 0.0]], Box(-4, 2.99), sigma=0.5, alpha=0.1, gamma=0.2, eta=0.3, sample=lambda rng: next(queue)
    )
    w0 = (solver.x, solver.y, solver.z)
    first = o.joint(*w0, 0.5, draws[0])
    solver.step()
    w1 = (np.minimum(w0[0] - 0.1 * first[2], 2.99), w0[1] - 0.2 * first[0], w0[2] - 0.2 * first[1])
    for mine, theirs in zip((solver.x, solver.y, solver.z), w1, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-15)
    solver.step()
    new, old = o.joint(*w1, 0.5, draws[1]), o.joint(*w0, 0.5, draws[1])
    expected = [n + 0.7 * (e - p) for n, e, p in zip(new, first, old, strict=True)]
    np.testing.assert_allclose(solver.gradient, expected[2], atol=1e-14)
    np.testing.assert_allclose(solver.y, w1[1] - 0.2 * expected[0], atol=1e-14)


def test_double_loop_takes_the_gradient_at_the_new_lower_points():
    solver = DoubleLoop(oracle(), 1.0, 0.0, sigma=0.5, alpha=0.1, gamma=0.5, inner_steps=1)
    solver.step()
    y, z = -0.5 * (0.5 * (0 - 1) + (0 - 2)), 0.5 * 2
    gradient = 0.5 + (-2 * (y - 2) + 2 * (z - 2)) / 0.5
    assert solver.y == pytest.approx(y)
    assert solver.z == pytest.approx(z)
    assert solver.x == pytest.approx(1 - 0.1 * gradient)


def test_batches_serve_y_and_z_alike():
    seen = []

    def level(kind):
        def asked(part):
            def gradient(x, y, samples):
                seen.append((kind, part, samples))
                return np.zeros(())

            return gradient

        return Level(asked("fun"), asked("x"), asked("y"))

    counter = itertools.count()
    solver = DoubleLoop(
        LevelOracle(level("f"), level("g"), (), (), stochastic=True), 0.0, 0.0, gamma=0.1, inner_steps=2,
        sample=lambda rng: PairedBatch(f"upper {next(counter)}", f"lower {next(counter)}"),
    )  # fmt: skip
    solver.step()
    lower = [samples for kind, _, samples in seen if kind == "g"]
    assert lower == ["lower 1"] * 2 + ["lower 3"] * 2 + ["lower 5"] * 2
    assert [samples for kind, _, samples in seen if kind == "f"] == ["upper 0", "upper 2", "upper 4"]


@pytest.mark.parametrize("kind", ["double", "storm"])
def test_resuming_is_exact(kind):
    def make():
        common = {"sigma": Annealing(1.0, 0.1, 20), "sample": noise_sampler(2, True), "rng": 3, "gamma": "auto"}
        if kind == "double":
            return DoubleLoop(ManySolutions(), [3.0, 2.0], np.zeros((2, 2)), alpha=0.1, inner_steps=3, **common)
        return SingleLoop(ManySolutions(), [3.0, 2.0], np.zeros((2, 2)), alpha=0.1, eta=0.3, **common)

    whole, first, second = make(), make(), make()
    for _ in range(20):
        whole.step()
    for _ in range(9):
        first.step()
    second.load_state_dict(first.state_dict())
    for _ in range(11):
        second.step()
    for name in ("x", "y", "z", "gradient"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(second, name))
    assert second.k == 20


def test_automatic_upper_steps_resume_exactly():
    whole, first, second = (DoubleLoop(oracle(), 1.0, 0.0, alpha="auto", inner_steps=3) for _ in range(3))
    for _ in range(12):
        whole.step()
    for _ in range(5):
        first.step()
    second.load_state_dict(first.state_dict())
    for _ in range(7):
        second.step()
    assert whole.x == second.x


def test_same_seed_same_result():
    runs = [noisy_runs(True, "paired", runs=2, steps=50, last=10, seed=s) for s in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    assert (runs[0][0] != runs[2][0]).all()


# ------------------------------------------------------------ step sizes and schedules


def test_smoothness_by_differences():
    matrix = np.diag([5.0, 1.0, 0.1])
    assert Curvature(20).look(lambda points: [matrix @ points[0]], [np.ones(3)]) == pytest.approx(5.0, rel=1e-3)
    assert Curvature().look(lambda points: [np.ones(3)], [np.ones(3)]) == 0


def test_lower_step_shrinks_with_the_penalized_curvature():
    steep = LevelOracle(Level(F.fun, F.grad_x, lambda x, y: 10 * y), G, (), ())
    for sigma, expected in ((1.0, 0.8 / 11), (0.1, 0.8 / 2)):
        step = LowerStep("auto").update(1, steep, np.float64(1), np.float64(0), np.float64(0), sigma, lambda: None)
        assert step == pytest.approx(expected, rel=1e-6)
    prox = LowerStep("auto", rho=0.5).update(1, steep, np.float64(1), np.float64(0), np.float64(0), 0.1, lambda: None)
    assert prox == pytest.approx(0.8 / 4, rel=1e-6)


def test_lower_step_where_g_is_flat():
    curvature = np.full(100, 0.01)
    curvature[0] = 1.0
    f = Level(lambda x, y: 0.5 * (curvature * y**2).sum(), lambda x, y: 0 * x, lambda x, y: curvature * y)
    flat = Level(lambda x, y: 0.0, lambda x, y: 0 * x, lambda x, y: 0 * y)
    point = np.zeros(1), np.zeros(100), np.zeros(100)
    step, o = LowerStep("auto"), LevelOracle(f, flat, (1,), (100,))
    assert step.update(1, o, *point, 1.0, lambda: None) == pytest.approx(0.8, rel=1e-6)
    # What is flat at first may be curved later.
    step = LowerStep("auto")
    assert step.update(1, LevelOracle(flat, flat, (1,), (100,)), *point, 1.0, lambda: None) == 1.0
    for k in range(10, 300, 10):
        step.update(k, o, *point, 1.0, lambda: None)
    assert step.value == pytest.approx(0.8, rel=1e-6)


def test_automatic_upper_steps_wait_for_a_gradient():
    step = UpperStep("auto")
    assert step.update(1, np.ones(1), np.zeros(1)) == 1.0
    assert step.update(2, np.ones(1), np.full(1, 2.0)) == pytest.approx(0.01)


def test_schedules():
    assert Annealing(1.0, 0.01, 1)(1) == 0.01
    assert Constant(2.0)(5) == 2.0
    solver = SingleLoop(oracle(), 1.0, 0.0, eta=lambda k: 2.0)
    with pytest.raises(ValueError, match="eta at step 1"):
        solver.step()
    with pytest.raises(ValueError, match="sigma at step 2 must be in"):
        bilevel_minimize(F, G, 1.0, 0.0, sigma=lambda k: 2.0 - k)


# ------------------------------------------------------------ errors and ends


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"sigma": 0.0}, ValueError, "sigma"),
        ({"sigma": -1.0}, ValueError, "sigma"),
        ({"sigma": math.inf}, ValueError, "sigma"),
        ({"sigma": "big"}, TypeError, "sigma"),
        ({"gamma": 0.0}, ValueError, "gamma"),
        ({"gamma": "automatic"}, ValueError, "gamma"),
        ({"alpha": "automatic"}, ValueError, "alpha"),
        ({"inner_steps": 0}, ValueError, "inner_steps"),
        ({"beta": 1.5}, ValueError, "beta"),
        ({"rho": 0.0}, ValueError, "rho"),
        ({"method": "storm", "rho": 1.0}, ValueError, "rho and beta belong to the double loop"),
        ({"method": "storm", "beta": 0.5}, ValueError, "rho and beta belong to the double loop"),
        ({"method": "penalty"}, ValueError, "method"),
        ({"tol": -1.0}, ValueError, "tol"),
        ({"maxiter": 0}, ValueError, "maxiter"),
        ({"autodiff": "jax"}, ValueError, "autodiff"),
        ({"x0": math.nan}, ValueError, "x0"),
        ({"y0": "origin"}, TypeError, "y0"),
        ({"f": 3.0}, TypeError, "f must be a Level"),
        ({"f": lambda x, y: 0.0}, TypeError, "f must return a value and its gradients"),
        ({"g": (F.fun, F.grad_x, 3)}, TypeError, "grad_y"),
        ({"project_x": 3.0}, TypeError, "project_x"),
        ({"project_x": lambda x: np.zeros(2)}, ValueError, "project_x must return an array of shape"),
        ({"project_y": lambda x: np.zeros(2)}, ValueError, "project_y must return an array of shape"),
        ({"sample": 5}, TypeError, "sample"),
        ({"sample": lambda rng: None}, ValueError, "alpha must be a number"),
        ({"f": Level(lambda x, y: np.ones(2), F.grad_x, F.grad_y)}, ValueError, r"f\.fun must return a number"),
        ({"f": Level(F.fun, lambda x, y: np.zeros(3), F.grad_y)}, ValueError, r"f\.grad_x must return an array"),
        ({"g": Level(G.fun, G.grad_x, lambda x, y: np.zeros(3))}, ValueError, r"g\.grad_y must return an array"),
    ],
)
def test_bad_arguments_are_named(changes, error, text):
    arguments = {"f": F, "g": G, "x0": 1.0, "y0": 0.0, **changes}
    if changes.get("sample") == 5:
        arguments["alpha"] = 0.1
    with pytest.raises(error, match=text):
        bilevel_minimize(**arguments)


@pytest.mark.parametrize("sigma", [0.0, -0.1, math.nan])
def test_the_functional_core_refuses_a_penalty_that_is_not_positive(sigma):
    for call in (
        lambda: penalty_value(1.0, 1.0, 1.0, sigma),
        lambda: hypergradient(oracle(), 1.0, sigma, 0.0),
    ):
        with pytest.raises(ValueError, match="sigma"):
            call()


def test_an_upper_variable_without_influence_is_told():
    idle = Level(lambda x, y: 0.5 * y**2, lambda x, y: 0 * x, lambda x, y: y)
    with pytest.warns(PenaltyWarning, match="neither f nor g depends on the upper variable"):
        found = bilevel_minimize(idle, idle, 1.0, 1.0, alpha=0.1)
    assert not found.success
    assert found.warnings


def test_an_upper_variable_that_starts_or_ends_at_its_best_is_no_missing_influence():
    f = Level(lambda x, y: 0.5 * (x - 1) ** 2 + 0.5 * y**2, lambda x, y: x - 1, lambda x, y: y)
    g = Level(lambda x, y: 0.5 * (y - 3) ** 2, lambda x, y: 0 * x, lambda x, y: y - 3)
    found = bilevel_minimize(f, g, 0.0, 0.0, alpha=1.0)
    assert found.x == 1.0
    assert found.success, found.message


def test_functions_may_write_all_gradients_into_one_array():
    shared = np.zeros(2)

    def written(value):
        shared[:] = value
        return shared

    f = Level(lambda x, y: 0.0, lambda x, y: written(x / 2), lambda x, y: written(y - 1))
    g = Level(lambda x, y: 0.0, lambda x, y: written(-2 * (y - 2 * x)), lambda x, y: written(y - 2 * x))
    found = bilevel_minimize(f, g, np.ones(2), np.zeros(2), sigma=0.1)
    assert found.x == pytest.approx((2 / 1.1) / (0.5 + 4 / 1.1) * np.ones(2), abs=1e-5)


def test_long_steps_in_a_box_do_not_look_stationary():
    f = Level(lambda x, y: 0.5 * (x - 0.3) ** 2, lambda x, y: x - 0.3, lambda x, y: 0 * y)
    g = Level(lambda x, y: 0.5 * y**2, lambda x, y: 0 * x, lambda x, y: y)
    found = bilevel_minimize(f, g, 0.9, 0.0, Box(0, 1), alpha=1e8, maxiter=20)
    assert not found.success
    assert found.hypergrad_norm >= 0.3


def test_calls_are_capped_and_counted_with_those_of_the_last_checks():
    asked = []

    def counted(function):
        return lambda x, y: (asked.append(1), function(x, y))[1]

    f, g = (Level(level.fun, counted(level.grad_x), counted(level.grad_y)) for level in (F, G))
    for cap in (100, 1900, None):
        asked.clear()
        found = bilevel_minimize(f, g, 1.0, 0.0, max_calls=cap)
        assert len(asked) == found.n_grad_f + found.n_grad_g
        assert (found.status == 3) == (cap == 100)
        assert cap is None or len(asked) <= cap + 100  # the last step and look


def test_lower_levels_too_hard_to_solve_give_no_false_alarm():
    hessian = np.diag(np.geomspace(1e-6, 1.0, 10))
    f = Level(lambda x, y: 0.5 * ((y - 1) ** 2).sum() + 0.5 * x @ x, lambda x, y: x, lambda x, y: y - 1)
    g = Level(
        lambda x, y: 0.5 * y @ hessian @ y - y @ hessian @ np.ones(10) * x.sum(),
        lambda x, y: -(hessian @ y).sum() * np.ones(2), lambda x, y: hessian @ (y - x.sum()),
    )  # fmt: skip
    found = bilevel_minimize(f, g, np.ones(2), np.zeros(10), maxiter=30)
    assert math.isnan(found.growth)
    assert found.warnings == []


def test_wrong_gradients_are_found():
    errors = check_gradients(F, G, 0.7, -0.2)
    assert max(errors.values()) < 1e-6
    assert set(errors) == {"f.grad_x", "f.grad_y", "g.grad_x", "g.grad_y"}
    wrong = Level(G.fun, lambda x, y: 2 * (y - 2 * x), G.grad_y)
    assert [name for name, e in check_gradients(F, wrong, 0.7, -0.2).items() if e > 1e-4] == ["g.grad_x"]
    with pytest.raises(TypeError, match="oracle of both levels"):
        check_gradients(ManySolutions(), None, 0.0, 0.0)


def test_both_starts_of_the_lower_problems_are_used():
    seen = []
    level = Level(F.fun, F.grad_x, lambda x, y: (seen.append(float(y)), y - 1)[1])
    hypergradient(LevelOracle(level, level, (), ()), 1.0, 0.5, 3.0, 7.0, maxiter=1)
    assert seen[:3] == [3.0, 3.0, 7.0]


def test_lower_problems_are_restarted_where_the_momentum_points_uphill():
    curvature = np.geomspace(1e-4, 1.0, 10)
    flat = Level(lambda x, y: 0.0, lambda x, y: 0 * x, lambda x, y: 0 * y)
    bowl = Level(lambda x, y: 0.5 * (curvature * y**2).sum(), lambda x, y: 0 * x, lambda x, y: curvature * y)
    start = np.ones(10)
    found = solve_lower(LevelOracle(flat, bowl, (1,), (10,)), np.zeros(1), start, start, 1.0, lambda y: y, step=1.0)
    assert found.success
    assert found.nit < 2500  # 20 000 do not suffice without restarts, nor with one in every step downhill


def test_values_that_are_not_finite_end_with_a_status_and_the_last_point():
    broken = Level(F.fun, lambda x, y: x / 2 if x > 0.8 else np.float64(np.nan), F.grad_y)
    found = bilevel_minimize(broken, G, 1.0, 0.0, alpha=0.05, gamma=0.5)
    assert found.status == 5
    assert not found.success
    assert "not finite" in found.message
    assert np.isfinite(found.x)
    assert np.isfinite(found.z)


def test_an_unbounded_lower_level_ends():
    falling = Level(lambda x, y: -(y**2) + x * y, lambda x, y: y, lambda x, y: -2 * y + x)
    found = bilevel_minimize(F, falling, 1.0, 1.0, alpha=0.1, gamma=10.0, maxiter=2000)
    assert found.status == 5
    assert np.isfinite(found.z)


@pytest.mark.parametrize(("limits", "status"), [({"maxiter": 3}, 1), ({"max_seconds": 0.0}, 2), ({"max_calls": 50}, 3)])
def test_caps_end_a_run(limits, status):
    found = bilevel_minimize(F, G, 1.0, 0.0, alpha=1e-4, tol=0.0, check_growth=False, **limits)
    assert found.status == status
    assert not found.success


@pytest.mark.parametrize("how", ["true", "raise"])
def test_the_callback_stops(how):
    def callback(solver):
        if solver.k == 4:
            if how == "raise":
                raise StopIteration
            return True
        return False

    found = bilevel_minimize(F, G, 1.0, 0.0, callback=callback)
    assert (found.status, found.nit) == (8, 4)


def test_functions_that_return_three_values_and_tensors_agree():
    torch = pytest.importorskip("torch")
    options = {"sigma": 0.1, "maxiter": 30, "tol": 0.0, "check_growth": False}
    separate = bilevel_minimize(
        (lambda x, y: F.fun(x, y).sum(), F.grad_x, F.grad_y), (lambda x, y: G.fun(x, y).sum(), G.grad_x, G.grad_y),
        [1.0, 2.0], [0.0, 0.5], **options,
    )  # fmt: skip
    together = bilevel_minimize(
        lambda x, y: (F.fun(x, y).sum(), F.grad_x(x, y), F.grad_y(x, y)),
        lambda x, y: (G.fun(x, y).sum(), G.grad_x(x, y), G.grad_y(x, y)),
        [1.0, 2.0], [0.0, 0.5], **options,
    )  # fmt: skip
    tensors = bilevel_minimize(
        lambda x, y: F.fun(x, y).sum(), lambda x, y: G.fun(x, y).sum(),
        torch.tensor([1.0, 2.0], dtype=torch.float64), [0.0, 0.5], **options,
    )  # fmt: skip
    np.testing.assert_allclose(together.x, tensors.x, atol=1e-12)
    np.testing.assert_array_equal(separate.x, together.x)
    assert separate.n_grad_f == together.n_grad_f
    with pytest.raises(TypeError, match="g must return a scalar tensor"):
        bilevel_minimize(lambda x, y: (x * y).sum(), lambda x, y: x * y, [1.0, 1.0], [1.0, 1.0], autodiff="torch")


# ------------------------------------------------------------ baselines


def quadratic(seed=0, n=3, m=6):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(m, m))
    return a @ a.T / m + 0.5 * np.eye(m), rng.normal(size=(m, n)), rng.normal(size=m), rng.normal(size=n)


def test_implicit_differentiation_equals_the_limit_formula():
    hessian, mixing, target, x = quadratic()
    y = np.linalg.solve(hessian, mixing @ x)
    found, v = implicit_hypergradient(0 * x, y - target, lambda v: hessian @ v, lambda v: -mixing.T @ v)
    np.testing.assert_allclose(found, limit_hypergradient(0 * x, y - target, hessian, -mixing.T), atol=1e-9)
    again, _ = implicit_hypergradient(0 * x, y - target, lambda v: hessian @ v, lambda v: -mixing.T @ v, start=v)
    np.testing.assert_allclose(found, again, atol=1e-9)


def test_unrolling_equals_finite_differences_and_converges_to_the_implicit_gradient():
    hessian, mixing, target, x = quadratic(1)
    gamma = 0.9 / np.linalg.eigvalsh(hessian).max()

    def run(x, steps):
        path = [np.zeros(6)]
        for _ in range(steps):
            path.append(path[-1] - gamma * (hessian @ path[-1] - mixing @ x))
        return path

    def second(y):
        return (lambda v: hessian @ v), (lambda v: -mixing.T @ v)

    def slope(steps):
        path = run(x, steps)
        return unrolled_hypergradient(0 * x, path[-1] - target, path[:-1], gamma, second)

    def value(x):
        return 0.5 * ((run(x, 5)[-1] - target) ** 2).sum()

    numeric = [(value(x + 1e-6 * e) - value(x - 1e-6 * e)) / 2e-6 for e in np.eye(3)]
    np.testing.assert_allclose(slope(5), numeric, atol=1e-7)
    y = np.linalg.solve(hessian, mixing @ x)
    exact = limit_hypergradient(0 * x, y - target, hessian, -mixing.T)
    np.testing.assert_allclose(slope(400), exact, atol=1e-8)


def test_conjugate_gradients_on_a_singular_matrix_gives_the_least_norm_solution():
    matrix = np.diag([2.0, 1.0, 0.0])
    v, residual, used = conjugate_gradients(lambda v: matrix @ v, np.array([2.0, 3.0, 0.0]))
    np.testing.assert_allclose(v, [1.0, 3.0, 0.0], atol=1e-12)
    assert residual < 1e-10
    assert used <= 3
    assert conjugate_gradients(lambda v: v, np.zeros(2))[1] == 0.0


def test_limit_formula_checks_shapes():
    with pytest.raises(ValueError, match="hessian and mixed"):
        limit_hypergradient([0.0], [1.0], np.eye(2), np.ones((1, 1)))
    with pytest.raises(ValueError, match="active"):
        limit_hypergradient([0.0], [1.0], [[1.0]], [[1.0]], active=[1.0])
