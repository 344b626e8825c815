"""The loop does what a hand-written torch loop does, records it, and disturbs nothing else."""

from __future__ import annotations

import functools

import pytest
import torch
from torch.nn.functional import cross_entropy

from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, UnknownNameError
from optimand.training import Settings, TensorData, regression, train

from .conftest import blobs, method, network, numbers, problem, run

ADAMW = method(torch.optim.AdamW, lr=1e-2)
SGD = method(torch.optim.SGD, lr=0.1, momentum=0.9)


def by_hand(build, *, seed, budget, batch_size, settings=None, micro=1, clip=None, dropout=0.1):
    """The plain loop: batches without replacement, reshuffled each epoch."""
    settings = settings or Settings()
    tree = SeedTree(seed)
    data, order = blobs(), tree.child("data").torch()
    torch.manual_seed(tree.child("model").integer())
    model = network(dropout)
    optimizer = build(model.parameters())
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: settings.factor(step, budget))
    torch.manual_seed(tree.child("noise").integer())
    x, y = data.train
    batches = iter(())
    for _ in range(budget):
        rows = next(batches, None)
        if rows is None or len(rows) < batch_size:
            batches = iter(torch.randperm(len(x), generator=order).split(batch_size))
            rows = next(batches)
        optimizer.zero_grad()
        for part in rows.chunk(micro):
            loss = cross_entropy(model(x[part]), y[part])
            (loss if micro == 1 else loss * (len(part) / batch_size)).backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
    return model


def trained(problem, method, *, seed, budget):
    return train(problem, method, {}, seed=SeedTree(seed), budget=budget, recorder=Recorder(budget))


def assert_same_weights(model, other):
    for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q), name


@pytest.mark.parametrize(
    ("chosen", "build"),
    [
        (ADAMW, lambda p: torch.optim.AdamW(p, lr=1e-2)),
        (SGD, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    ],
    ids=["adamw", "sgd"],
)
def test_loop_equals_a_hand_written_torch_loop_exactly(chosen, build):
    with torch.random.fork_rng():
        expected = by_hand(build, seed=3, budget=47, batch_size=16)
    assert_same_weights(trained(problem(), chosen, seed=3, budget=47), expected)


def test_clipping_and_micro_batches_equal_the_hand_written_loop():
    settings = {"schedule": "linear", "warmup": 0.2, "floor": 0.1, "clip": 0.5, "accumulate": 4}
    with torch.random.fork_rng():
        expected = by_hand(
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
            seed=1, budget=40, batch_size=16, micro=4, clip=0.5,
            settings=Settings(schedule="linear", warmup=0.2, floor=0.1),
        )  # fmt: skip
    assert_same_weights(trained(problem(settings=settings), SGD, seed=1, budget=40), expected)


def test_micro_batches_sum_to_the_gradient_of_the_whole_batch():
    plain = problem(model=lambda: network(0.0), settings={"batch_size": 15})
    split = problem(model=lambda: network(0.0), settings={"batch_size": 15, "accumulate": 4})  # 4 + 4 + 4 + 3
    one, many = (trained(p, SGD, seed=0, budget=20) for p in (plain, split))
    for p, q in zip(one.parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)


def test_same_seed_same_numbers_and_other_seed_other_numbers():
    assert numbers(run(problem(), ADAMW)) == numbers(run(problem(), ADAMW))
    assert numbers(run(problem(), ADAMW)) != numbers(run(problem(), ADAMW, seed=1))


def test_methods_meet_the_same_weights_and_the_same_batches_in_the_same_order():
    seen = {}

    def spying(name, build):
        def factory(params, lr):
            seen[name] = torch.cat([p.detach().flatten() for p in params])
            return build(params, lr=lr)

        return method(factory, lr=0.0)  # at a rate of 0 the losses depend on weights and batches alone

    first = run(problem(), spying("a", torch.optim.AdamW))
    second = run(problem(), spying("b", torch.optim.SGD))
    assert torch.equal(seen["a"], seen["b"])
    assert numbers(first) == numbers(second)


def test_callers_random_state_is_left_as_it_was():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(problem(), ADAMW)
    assert torch.equal(torch.get_rng_state(), before)


def test_records_hold_a_thinned_training_curve_and_regular_validation():
    recorder = run(problem(settings={"evaluations": 10}), ADAMW, budget=500)
    batches = [r.at for r in recorder.records if (r.split, r.metric) == ("train", "loss")]
    assert batches == [*range(3, 500, 3), 500]
    assert [r.at for r in recorder.records if (r.split, r.metric) == ("valid", "accuracy")] == list(range(50, 501, 50))
    assert [r.at for r in recorder.records if r.split == "test"] == [500, 500]
    seconds = [r.seconds for r in recorder.records]
    assert seconds == sorted(seconds)


def test_final_values_are_those_of_the_trained_model():
    data, recorder = blobs(), Recorder(60)
    model = train(problem(), ADAMW, {}, seed=SeedTree(0), budget=60, recorder=recorder).eval()
    for split in ("train", "valid", "test"):
        x, y = getattr(data, split)
        with torch.no_grad():
            scores = model(x)
        assert recorder.last(split, "loss") == pytest.approx(cross_entropy(scores, y).item(), rel=1e-6)
        assert recorder.last(split, "accuracy") == pytest.approx((scores.argmax(1) == y).float().mean().item())
    assert recorder.last("test", "accuracy") > 0.9


def test_evaluation_weights_the_last_incomplete_chunk_by_its_length():
    whole = blobs()
    pieces = TensorData(whole.train, whole.valid, whole.test, chunk=7)
    one, many = run(problem(), ADAMW), run(problem(data=lambda: pieces), ADAMW)
    assert many.last("valid", "loss") == pytest.approx(one.last("valid", "loss"), rel=1e-5)


def test_costs_and_notes_are_recorded():
    recorder = run(problem(), ADAMW)
    parameters = 6 * 16 + 16 + 16 * 3 + 3
    assert recorder.costs["parameter_bytes"] == 4 * parameters
    assert recorder.costs["state_bytes"] == 2 * 4 * parameters + 4 * 4  # two moments, and a step count a tensor
    assert recorder.costs["peak_memory_bytes"] > 4 * 4 * parameters  # weights, gradients and state at least
    assert 0 < recorder.costs["optimizer_seconds_per_unit"] < recorder.costs["seconds_per_unit"]
    assert recorder.notes["device"] == "cpu"
    assert recorder.notes["threads"] == "1"
    assert recorder.notes["dtype"] == "float32"


def test_progress_reaches_one():
    shares = []
    recorder = Recorder(60, progress=shares.append)
    run(problem(), ADAMW, recorder=recorder)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) >= 6


def test_optimizer_that_needs_a_closure_gets_one():
    lbfgs = method(torch.optim.LBFGS, closure=True, lr=0.5, max_iter=4)
    plain = problem(model=lambda: network(0.0), settings={"batch_size": 160, "schedule": "constant", "warmup": 0.0})
    recorder = run(plain, lbfgs, budget=10)
    assert recorder.last("test", "accuracy") > 0.95
    assert recorder.costs["gradients_per_unit"] > 1


def test_closure_of_a_first_order_method_changes_nothing():
    with_closure = method(torch.optim.AdamW, closure=True, lr=1e-2)
    assert numbers(run(problem(), with_closure)) == numbers(run(problem(), ADAMW))


def test_schedule_reaches_every_group_and_keeps_their_ratio():
    rates = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            rates.append([group["lr"] for group in self.param_groups])
            return super().step(closure)

    def two_groups(params, lr):
        return Watched([{"params": params[:2]}, {"params": params[2:], "lr": lr / 10}], lr=lr)

    run(problem(settings={"schedule": "linear", "warmup": 0.0}), method(two_groups, lr=0.1), budget=20)
    rates = rates[-20:]
    assert [r[0] for r in rates] == pytest.approx([0.1 * (1 - k / 20) for k in range(20)])
    assert [r[1] for r in rates] == pytest.approx([0.01 * (1 - k / 20) for k in range(20)])


def test_learning_rate_kept_in_a_tensor_is_scheduled_too():
    tensor = method(lambda params, lr: torch.optim.AdamW(params, lr=torch.tensor(lr), foreach=False), lr=1e-2)
    plain = method(torch.optim.AdamW, lr=1e-2)
    one, two = run(problem(), tensor), run(problem(), plain)
    assert one.last("test", "loss") == pytest.approx(two.last("test", "loss"), rel=1e-3)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")
def test_compiled_model_gives_the_same_numbers(monkeypatch):
    # the backend "eager" traces the model and compiles nothing, which takes no minute
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    plain, compiled = problem(), problem(settings={"compile": True})
    assert numbers(run(compiled, ADAMW)) == numbers(run(plain, ADAMW))


def test_bf16_autocast_trains():
    recorder = run(problem(settings={"amp": "bf16"}), ADAMW)
    assert recorder.last("test", "accuracy") > 0.9
    assert recorder.notes["amp"] == "bf16"


def test_fp16_on_the_cpu_is_refused():
    with pytest.raises(OptimandError, match="amp='fp16' needs device='cuda'"):
        run(problem(settings={"amp": "fp16"}), ADAMW)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_missing_device_is_named():
    with pytest.raises(OptimandError, match="device 'cuda' was asked for"):
        run(problem(settings={"device": "cuda"}), ADAMW)


def test_unknown_hyperparameter_is_refused():
    with pytest.raises(UnknownNameError, match="has no hyperparameter 'rate'"):
        run(problem(), ADAMW, rate=1.0)


def test_optimizer_with_evaluation_weights_is_switched_to_them():
    modes = []

    class Averaging(torch.optim.SGD):
        def train(self):
            modes.append("train")

        def eval(self):
            modes.append("eval")

        def step(self, closure=None):
            assert modes[-1] == "train"  # as schedule-free optimizers demand
            return super().step(closure)

    run(problem(settings={"evaluations": 2}), method(Averaging, lr=0.1))
    # the rehearsal's optimizer and the run's; then two evaluations, and test and train at the end
    assert modes == ["train", "train"] + ["eval", "train"] * 4


def test_regression_problem_of_ones_own():
    x = torch.linspace(-1, 1, 64)[:, None]
    part = (x, 3 * x - 1)
    own = problem(
        data=lambda: TensorData(part, part, part), model=lambda: torch.nn.Linear(1, 1), objective=regression(),
        settings={"batch_size": 64},
    )  # fmt: skip
    assert run(own, method(torch.optim.SGD, lr=0.5), budget=100).last("test", "loss") < 1e-4


def test_a_kind_of_run_is_rehearsed_once(monkeypatch):
    built = []

    def sgd(params, lr=0.1):
        built.append(lr)
        return torch.optim.SGD(params, lr=lr)

    kind = method(sgd, lr=0.1)
    first, second = run(problem(), kind, budget=2), run(problem(), kind, budget=2, lr=0.2)
    assert built == [0.1, 0.1, 0.2]  # rehearsal and run, then the run alone
    assert first.costs["peak_memory_bytes"] == second.costs["peak_memory_bytes"] > 0
