"""The family's run loop: what is charged, what is recorded and judged, resuming, users' solvers."""

from dataclasses import replace

import numpy as np
import pytest
from tests.running import cut_and_resumed, entry, reader, runner

import optimand.combinatorial.memory_mapping.methods  # noqa: F401 (registers them)
from optimand.combinatorial.memory_mapping.family import adopt, describe
from optimand.combinatorial.memory_mapping.game.simulator import Game
from optimand.combinatorial.memory_mapping.loop import judged
from optimand.combinatorial.memory_mapping.problems import (
    memory_program,
    read_bytes,
    sensible_capacity,
    tiny_memory,
)
from optimand.core.contracts import Method
from optimand.core.pictures import from_plain
from optimand.core.recorder import log_positions
from optimand.core.running import POSITIONS
from optimand.core.validation import OptimandError

ENDING = ("xla-like", "memory-greedy", "first-fit", "best-fit")
GOING_ON = ("random-mapping", "noisy-greedy", "memory-evolution", "memory-mcts")

run, curve = runner(2000), reader("speedup")


@pytest.mark.parametrize("name", [*ENDING, *GOING_ON, "memory-beam"])
def test_every_method_speeds_a_program_up_within_its_moves(name):
    recorder = run(tiny_memory(), entry(name))
    values = curve(recorder)
    assert [at for at, _ in values] == log_positions(2000, POSITIONS)
    assert [v for _, v in values] == sorted(v for _, v in values)
    assert 1.5 < values[-1][1] <= 50 / (50 - 28.4) + 1e-12
    assert curve(recorder, split="valid") == values
    assert recorder.costs["moves"] <= 2000
    assert recorder.costs["microseconds"] == pytest.approx(50 / values[-1][1] * 1e6)
    assert 0 < recorder.costs["share_of_bound"] <= 1


@pytest.mark.parametrize("name", GOING_ON)
def test_who_goes_on_spends_the_whole_budget(name):
    assert run(tiny_memory(), entry(name)).costs["moves"] == 2000


@pytest.mark.parametrize("name", ["memory-evolution", "noisy-greedy", "memory-mcts", "malloc-muzero"])
def test_a_curve_rises_within_the_first_thousand_moves(name):
    values = curve(run(memory_program(program="transformer"), entry(name)))
    assert max(v for at, v in values if at < 1000) > 1.5


@pytest.mark.parametrize("name", ["memory-evolution", "memory-mcts"])
def test_a_run_is_a_function_of_its_seed(name):
    problem = memory_program(program="mlp")
    assert curve(run(problem, entry(name), 3)) == curve(run(problem, entry(name), 3))


def test_what_counts_at_a_position_was_complete_by_then():
    """One unit of work makes 100 episodes; nothing of it counts before its end."""

    def batch(task):
        for _ in range(100):
            task.game.reset()
            task.game.play_random(1, 1.0)
        yield

    values = curve(run(tiny_memory(), Method("batch", "memory-mapping", batch, {}, {})))
    assert {v for at, v in values if at < 1300} == {1.0}
    assert values[-1][1] > 2


def test_the_final_layout_is_the_picture_and_passes_the_validator():
    recorder = run(memory_program(program="transformer", capacity="1MiB"), entry("memory-evolution"))
    picture = from_plain(recorder.pictures["memory layout"])
    assert picture.limit * 2**10 == 2**20
    assert len(picture.rectangles) > 5
    assert max(y1 for _, _, _, y1, *_ in picture.rectangles) <= picture.limit


def test_a_layout_that_is_not_what_was_counted_fails_the_run():
    problem = tiny_memory()

    class Liar:
        def __init__(self, game):
            self.game = game
            game.play(np.ones(13, bool))
            self.best = (game.best[0] / 2, game.best[1])

        def layout(self, actions):
            return self.game.layout(actions)

    with pytest.raises(OptimandError, match="s were counted"):
        judged(Liar(Game(*problem.instance())), *problem.instance())


def test_a_layout_that_breaks_a_rule_fails_the_run():
    problem = tiny_memory()

    class Overlapping:
        def __init__(self, game):
            self.game = game
            game.play(np.ones(13, bool))
            self.best = game.best

        def layout(self, actions):
            found = self.game.layout(actions)
            return replace(found, residencies=(*found.residencies, found.residencies[0]))

    with pytest.raises(OptimandError, match="same buffer at the same time"):
        judged(Overlapping(Game(*problem.instance())), *problem.instance())


class Stepping:
    """One random episode a unit."""

    def __init__(self, task):
        self.task, self.count = task, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.count += 1
        self.task.game.reset()
        self.task.game.play_random(self.count, 0.6)


class Stating(Stepping):
    """With a state of its own."""

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


OWN = {"stepping": Stepping, "stating": Stating}


@pytest.mark.parametrize("name", [*OWN, "memory-evolution"])
def test_a_run_that_is_cut_off_ends_as_an_unbroken_one(name, tmp_path):
    method = Method(name, "memory-mapping", OWN[name], {}, {}) if name in OWN else entry(name)
    _, before, after = cut_and_resumed(tiny_memory(), method, 2000, tmp_path / "state")
    # The unit during which it was cut off is done again, and no earlier one; a generator begins again.
    assert after[0] == before[0 if name == "memory-evolution" else -1]


def test_a_solver_that_never_moves_is_ended():
    def idle(task):
        while True:
            yield

    with pytest.raises(OptimandError, match="without a move"):
        run(tiny_memory(), Method("idle", "memory-mapping", idle, {}, {}))


def test_catching_every_exception_does_not_keep_a_solver_going():
    def stubborn(task):
        while True:
            try:
                task.game.play(np.ones(13, bool))
            except Exception:
                continue
            if task.game.moves > 10**6:
                yield

    recorder = run(tiny_memory(), Method("stubborn", "memory-mapping", stubborn, {}, {}))
    assert recorder.costs["moves"] == 2000
    assert curve(recorder)[-1][1] > 2


@pytest.mark.parametrize("episodes", [20, 1000])
def test_moves_of_the_making_count_too(episodes):
    class Eager:
        def __init__(self, task):
            for _ in range(episodes):
                task.game.play(np.ones(13, bool))

        def __iter__(self):
            return self

        def __next__(self):
            raise StopIteration

    recorder = run(tiny_memory(), Method("eager", "memory-mapping", Eager, {}, {}))
    assert recorder.costs["moves"] == min(2000, 13 * episodes)
    assert {v for at, v in curve(recorder) if at < 13 * min(episodes, 150)} == {1.0}
    assert curve(recorder)[-1][1] > 2


def test_what_hides_copies_in_the_end_is_told():
    recorder = run(memory_program(program="transformer", capacity="4MiB"), entry("memory-greedy"))
    costs = recorder.costs
    slow = costs["microseconds"] * curve(recorder)[-1][1]
    assert curve(recorder)[-1][1] == pytest.approx(3.296, abs=5e-4)
    assert slow / (costs["microseconds"] + costs["exposed_microseconds"]) == pytest.approx(3.005, abs=5e-4)


def test_a_solver_without_an_end_can_be_described():
    def endless(task):
        task.game.play(np.ones(13, bool))
        while True:
            yield

    assert list(describe(Method("endless", "memory-mapping", endless, {}, {})).values()) == ["27.2"]


def test_a_method_that_completes_nothing_leaves_everything_slow():
    def lazy(task):
        yield

    recorder = run(tiny_memory(), Method("lazy", "memory-mapping", lazy, {}, {}))
    assert curve(recorder)[-1][1] == 1.0
    assert recorder.pictures == {}


def test_users_solvers_are_adopted_and_others_refused():
    def ok(game, rng, noise=0.2, name="x"):
        game.reset()
        while not game.done:
            game.step(int(np.flatnonzero(game.legal())[-1]))
        yield

    method = adopt("ok", ok)
    assert method.defaults == {"noise": 0.2, "name": "x"}
    assert set(method.space) == {"noise"}
    assert curve(run(tiny_memory(), method))[-1][1] > 2

    def returns(game, rng):
        return 3

    def raises(game, rng):
        game.step(7)
        yield

    for bad, words in (
        (3, "is 3"), (lambda: None, "takes no game and generator"), (returns, "must build an iterator"),
        (raises, "does not work on a small program"),
    ):  # fmt: skip
        with pytest.raises(OptimandError, match=words):
            adopt("bad", bad)


def test_methods_are_described_by_what_they_find_on_the_tiny_program():
    facts = describe(entry("memory-evolution"))
    assert list(facts.values()) == ["28.2"]


def test_capacities_are_read_as_people_write_them():
    assert [read_bytes(t) for t in ("64KiB", "1.5m", 12, "2 GiB")] == [65536, 1572864, 12, 2**31]
    for bad in ("many", "3 bits", "-1"):
        with pytest.raises(OptimandError, match="capacity must be a number of bytes"):
            memory_program(capacity=bad)
    with pytest.raises(ValueError, match="must be one of"):
        memory_program(program="vgg")
    with pytest.raises(OptimandError, match="hardware is for a program from a file"):
        memory_program(hardware="tpuv4i")


def test_a_program_of_ones_own_comes_from_a_file(tmp_path):
    from optimand.combinatorial.memory_mapping.programs import recorded, write_program

    write_program(tmp_path / "mine.csv", recorded("mlp"))
    problem = memory_program(path=str(tmp_path / "mine.csv"))
    assert problem.hardware.capacity == sensible_capacity(recorded("mlp"))
    assert curve(run(problem, entry("xla-like")))[-1][1] > 1
    assert curve(run(problem, entry("xla-like"))) == curve(
        run(memory_program(program="mlp", capacity=str(problem.hardware.capacity)), entry("xla-like"))
    )


def test_the_tiny_problems_target_is_the_optimum():
    for capacity, saved in ((4, 14.4), (6, 17.6), (8, 25.2), (16, 36.6)):
        assert tiny_memory(capacity).target == pytest.approx(50 / (50 - saved))
