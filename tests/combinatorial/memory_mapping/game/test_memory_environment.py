"""The Gymnasium environment: its contract, masks, observations, rewards and modes."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from tests.combinatorial.memory_mapping.game.random_programs import random_hardware, random_program

from optimand.combinatorial.memory_mapping import (
    ENVIRONMENT,
    Buffer,
    Game,
    Hardware,
    Instruction,
    MemoryProgram,
    register_environment,
    tiny_program,
)
from optimand.combinatorial.memory_mapping.game import observations
from optimand.core.validation import OptimandError

register_environment()


def make(**options):
    return gymnasium.make(ENVIRONMENT, **options)


def play(env, text="DDNDDNNNDNDND"):
    env.reset()
    return [env.step("DNC".index(letter)) for letter in text]


def test_gymnasium_accepts_the_environment():
    check_env(make(illegal="penalty").unwrapped, skip_render_check=True)
    check_env(make(illegal="penalty", render_mode="rgb_array", normalize=True).unwrapped, skip_render_check=True)


def test_gymnasiums_checker_plays_illegal_actions():
    with pytest.raises(ValueError, match="action must be one of"):  # it draws without the mask, from a fixed seed
        check_env(make().unwrapped, skip_render_check=True)


def test_vector_environments_work():
    envs = gymnasium.make_vec(ENVIRONMENT, 3, "sync", program=tiny_program(), hardware=Hardware.preset("tiny", 12))
    observation, info = envs.reset(seed=0)
    assert observation["references"].shape == (3, 65, observations.COLUMNS)
    total = np.zeros(3)
    for _ in range(13):
        actions = [max(np.flatnonzero(mask)) for mask in info["action_mask"]]
        _, rewards, ended, _, info = envs.step(np.array(actions))
        total += rewards
    assert ended.all()
    np.testing.assert_allclose(total, 27.2)
    envs.close()


def test_rewards_sum_up_to_the_saved_time_in_seconds_or_as_a_share():
    steps = play(make(program=tiny_program(), hardware=Hardware.preset("tiny")))
    assert sum(step[1] for step in steps) == pytest.approx(17.6)
    assert [step[2] for step in steps] == [False] * 12 + [True]
    assert steps[-1][4]["speedup"] == pytest.approx(50 / 32.4)
    assert steps[-1][4]["time"] == pytest.approx(32.4)
    assert sum(step[1] for step in play(make(normalize=True))) == pytest.approx(17.6 / 50)


def test_masks_are_those_of_the_game_and_observations_lie_in_their_space():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        program, hardware = random_program(rng, aliases=seed % 2 == 0), random_hardware(rng)
        env, game = make(program=program, hardware=hardware, disable_env_checker=True), Game(program, hardware)
        observation, info = env.reset()
        done = False
        while not done:
            assert info["action_mask"].tolist() == game.legal().tolist() == observation["action_mask"].tolist()
            assert observation in env.observation_space
            env.action_space.seed(seed)
            action = int(env.action_space.sample(info["action_mask"]))
            observation, reward, done, truncated, info = env.step(action)
            assert reward == game.step(action)
            assert not truncated
        assert observation in env.observation_space


def test_an_observation_shows_references_memory_and_shares():
    env = make(program=tiny_program(), hardware=Hardware.preset("tiny", 16))
    env.reset()
    for letter in "NDN":
        observation, *_ = env.step("DNC".index(letter))
    window, ahead = observations.WINDOW, observations.AHEAD
    rows = observation["references"]
    assert rows[:, 0].sum() == 13
    here = rows[window]  # reference 3: A of 4 bytes, an input of instruction 1, used again by 3, 14 seconds, saves 3.6
    np.testing.assert_allclose(here, [1, 0.25, 0, 0, 2 / 64, 3.6 / 14, 0, 0, 1, 0], rtol=1e-6)
    assert rows[window - 3 : window, 6].tolist() == [0, 1, 0]
    assert rows[window - 3 : window, 7].tolist() == [1, 0, 1]
    assert rows[window + 7, 2:5].tolist() == [1, 1, -1]  # E is an output, live out, without a use
    memory = observation["memory"]  # A in [0, 4) over 0..3, B in [4, 8) over 1..2
    assert memory[ahead - 1].tolist() == [1] * 16 + [0] * 48
    assert memory[ahead].tolist() == [1] * 32 + [0] * 32
    assert memory[ahead + 1].tolist() == [1] * 32 + [0] * 32
    assert memory[ahead + 2].tolist() == [1] * 16 + [0] * 48
    assert memory.sum() == 16 * 2 + 32 * 2
    game = env.unwrapped.game
    np.testing.assert_allclose(observation["scalars"], [3 / 13, 0, 0, game.time / 50, 14.4 / 14, 0.5], rtol=1e-6)


def test_the_copy_time_in_use_is_seen():
    program = MemoryProgram(
        (Instruction(8), Instruction(0, (), (0, 1))), (Buffer(2, param=True), Buffer(2, param=True))
    )
    env = make(program=program, hardware=Hardware(4, 1.0, 10.0, 1.0))
    env.reset()
    observation, *_ = env.step(2)
    assert observation["scalars"][1] == 0.25
    assert observation["references"][observations.WINDOW, 9] == 1


def test_an_illegal_action_raises_or_costs_a_penalty():
    env = make()
    env.reset()
    with pytest.raises(ValueError, match="got 2"):
        env.step(2)
    for action, kind in ((5, ValueError), (-1, ValueError), (0.5, TypeError)):
        with pytest.raises(kind, match="action must be"):
            env.unwrapped.step(action)
    env = make(illegal="penalty", penalty=0.1)
    env.reset()
    _, reward, _, _, info = env.step(2)
    assert reward == -5.0
    assert info["illegal"]
    assert info["position"] == 1
    _, _, _, _, info = env.step(0)
    assert not info["illegal"]
    with pytest.raises(ValueError, match="illegal must be one of"):
        make(illegal="ignore")
    with pytest.raises(ValueError, match="penalty must be in"):
        make(penalty=-1.0)


def test_where_only_the_fast_action_is_legal_the_penalty_mode_takes_it():
    uses = (Instruction(0, (0,)), Instruction(0, (1,), (0,)), Instruction(0, (), (1,)))
    program = MemoryProgram(uses, (Buffer(4), Buffer(4)), ((0, 1),))
    env = make(program=program, hardware=Hardware(4, 1.0, 10.0, 1.0), illegal="penalty").unwrapped
    env.reset()
    env.step(1)
    env.step(0)
    assert env.game.decisions.tolist() == [1, 1, -1, -1]


def test_snapshots_of_the_environment_are_exact():
    env = make(hardware=Hardware.preset("tiny", 16))
    env.reset()
    env.step(1)
    kept = env.snapshot()
    first = [env.step(action)[1] for action in (0, 1, 1)]
    observation, info = env.restore(kept)
    assert info["position"] == 1
    assert observation in env.observation_space
    assert [env.step(action)[1] for action in (0, 1, 1)] == first


def test_a_step_before_reset_or_after_the_end_is_refused():
    env = make().unwrapped
    with pytest.raises(OptimandError, match="call reset"):
        env.step(0)
    play(env)
    with pytest.raises(OptimandError, match="call reset"):
        env.step(0)


def test_the_picture_shows_the_memory():
    env = make(render_mode="rgb_array")
    env.reset()
    env.step(1)
    image = env.render()
    assert image.shape == (256, 256, 3)
    assert set(np.unique(image)) == {70, 255}
    assert (image[-1, 4 * observations.AHEAD] == 70).all()


def test_the_name_is_known_whichever_package_is_imported_first():
    mapping = "optimand.combinatorial.memory_mapping as m"
    for code in (f"import gymnasium, {mapping}", f"import {mapping}, gymnasium; m.register_environment()"):
        subprocess.run([sys.executable, "-c", f"{code}; gymnasium.spec({ENVIRONMENT!r})"], check=True, timeout=120)
