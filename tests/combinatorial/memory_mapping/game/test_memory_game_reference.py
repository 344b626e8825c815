"""The compiled game against the plain one, step by step on random programs, and what must hold in every episode."""

import numpy as np
import pytest
from benchmarks.plain_memory_game import PlainGame
from tests.combinatorial.memory_mapping.game.random_programs import random_hardware, random_program

from optimand.combinatorial.memory_mapping import Game, brute_force, validate


def choose(rng, legal, fast):
    actions = np.flatnonzero(legal)
    return int(actions[-1] if rng.random() < fast else actions[0])


@pytest.mark.parametrize("part", range(4))
def test_every_step_is_that_of_the_plain_game(part):
    backups = 0
    for seed in range(250 * part, 250 * part + 250):
        rng = np.random.default_rng(seed)
        program, hardware = random_program(rng, aliases=seed % 2 == 1), random_hardware(rng)
        game, plain = Game(program, hardware), PlainGame(program, hardware)
        total, fast, close = 0.0, rng.choice([0.5, 0.9, 1.0]), 1e-9 * game.all_slow_time
        while not game.done:
            assert game.legal().tolist() == plain.legal(), seed
            assert game.position == plain.position, seed
            action = choose(rng, game.legal(), fast)
            reward = game.step(action)
            assert reward == pytest.approx(plain.step(action), abs=close), seed
            total += reward
        assert plain.done
        assert game.time == pytest.approx(plain.time, abs=close)
        assert total == pytest.approx(game.all_slow_time - game.time, abs=close)
        assert game.backups == plain.backups
        found = [(r.buffer, r.start, r.end, r.offset) for r in game.residencies]
        assert found == [(s["who"], s["from"], s["to"], s["at"]) for s in plain.state["stays"]]
        backups += game.backups
    assert backups > 20


@pytest.mark.parametrize("part", range(4))
def test_every_episode_is_valid_and_its_return_is_the_time_that_it_saves(part):
    exposed = 0
    for seed in range(250 * part, 250 * part + 250):
        rng = np.random.default_rng(10_000 + seed)
        program, hardware = random_program(rng, aliases=seed % 3 == 0), random_hardware(rng)
        game = Game(program, hardware)
        total = 0.0
        while not game.done:
            total += game.step(choose(rng, game.legal(), 0.8))
        assert abs(total - (game.all_slow_time - game.time)) <= 1e-9 * game.all_slow_time
        layout = game.layout(game.decisions)
        assert layout.time == game.time
        assert layout.residencies == game.residencies
        report = validate(program, hardware, layout)
        assert report.time == pytest.approx(game.time, rel=1e-12)
        assert report.peak <= hardware.capacity
        assert report.served_fast == (game.decisions > 0).sum()
        if report.exposed > 0:
            exposed += 1
            assert report.late
            assert validate(program, hardware, layout, strict=True).time == report.time + report.exposed
        assert game.time >= game.least_time * (1 - 1e-12)
    assert exposed > 5


def test_snapshots_are_exact():
    for seed in range(100):
        rng = np.random.default_rng(20_000 + seed)
        program, hardware = random_program(rng, aliases=True), random_hardware(rng)
        game = Game(program, hardware)
        for _ in range(rng.integers(0, program.references)):
            if not game.done:
                game.step(choose(rng, game.legal(), 0.7))
        kept = game.snapshot()
        actions = []
        while not game.done:
            actions.append(choose(rng, game.legal(), 0.7))
            game.step(actions[-1])
        end = game.snapshot()
        twin = game.copy()
        for player in (game, twin):
            player.restore(kept)
            assert np.array_equal(player.S, kept.ints)
            assert np.array_equal(player.F, kept.floats)
            for action in actions:
                player.step(action)
            assert np.array_equal(player.S, end.ints)
            assert np.array_equal(player.F, end.floats)
        # Decisions, replayed from the start, give the same state but for the groups known to be unfit.
        assert game.offer(game.decisions) == game.time


def test_enumeration_finds_what_a_plain_recursion_finds():
    def recurse(game):
        if game.done:
            return game.time, 1
        best, leaves = np.inf, 0
        for action in np.flatnonzero(game.legal()):
            child = game.copy()
            child.step(int(action))
            time, below = recurse(child)
            best, leaves = min(best, time), leaves + below
        return best, leaves

    for seed in range(40):
        rng = np.random.default_rng(30_000 + seed)
        program, hardware = random_program(rng, aliases=seed % 2 == 0), random_hardware(rng)
        if program.references > 12:
            continue
        found = brute_force(program, hardware)
        assert (found.time, found.leaves) == recurse(Game(program, hardware))
        assert Game(program, hardware).offer(found.actions) == found.time


def test_a_snapshot_of_another_program_is_refused():
    rng = np.random.default_rng(0)
    one, other = (Game(random_program(rng), random_hardware(rng)) for _ in range(2))
    with pytest.raises(ValueError, match="snapshot must be of this game"):
        one.restore(other.snapshot())
