"""Features, networks, replay and losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from optimand.combinatorial.memory_mapping import Game, Hardware, tiny_program
from optimand.combinatorial.memory_mapping.game import arrays as k
from optimand.combinatorial.memory_mapping.game.observations import write_grid
from optimand.combinatorial.memory_mapping.muzero import ModelNet, PolicyValueNet, Settings
from optimand.combinatorial.memory_mapping.muzero import features as f
from optimand.combinatorial.memory_mapping.muzero.replay import Episode, Replay
from optimand.combinatorial.memory_mapping.muzero.search.board import make_board
from optimand.combinatorial.memory_mapping.muzero.search.inference import run_mlp
from optimand.combinatorial.memory_mapping.muzero.search.learned import rescale as compiled_rescale
from optimand.combinatorial.memory_mapping.muzero.selfplay import episode_of
from optimand.combinatorial.memory_mapping.muzero.training import Learner


def tiny(capacity: int = 12) -> Game:
    return Game(tiny_program(), Hardware(capacity, 1.0, 10.0, 1.0))


def test_features_of_the_tiny_programs_first_decision():
    game = tiny()
    table = f.static_features(game.P, game.Q, position=True)
    assert table.shape == (13, f.STATIC + 12)
    x = np.zeros(f.feature_count(True), np.float32)
    f.write_features(game.P, game.Q, game.S, game.F, table, f.uses_after(game.P), x)
    size, output, param, live, steps, later = x[:6]
    # A of 4 bytes in 12, an output read once by i1 and once by i3.
    assert (size, output, param, live) == (pytest.approx(4 / 12), 1, 0, 0)
    assert (steps, later) == (pytest.approx(1 / 8), pytest.approx(2 / 4))
    assert x[6] == pytest.approx((8 - 4.4) / 8)  # saving: A fast in 0.4 instead of 4 s
    assert x[7] == pytest.approx(2 / 8)
    dynamic = x[table.shape[1] :]
    assert dynamic[:2].tolist() == [1, 0]  # NOCOPY is legal
    assert dynamic[2:6].tolist() == [0, 0, 0, 0]  # nothing lies in fast memory
    assert dynamic[8] == 0


def test_occupancy_follows_what_is_placed():
    game = tiny()
    game.step(1)  # A takes 4 of 12 bytes until i3
    table = f.static_features(game.P, game.Q, position=False)
    x = np.zeros(f.feature_count(False), np.float32)
    f.write_features(game.P, game.Q, game.S, game.F, table, f.uses_after(game.P), x)
    assert x[f.STATIC + 2] == pytest.approx(4 / 12)
    grid = np.zeros((64, 64), np.uint8)
    write_grid(game.P, game.S, grid)
    assert grid[32:36, :22].all()
    assert grid.sum() == 4 * 22


def test_networks_say_even_odds_and_0_before_training_and_pack_exactly():
    net = PolicyValueNet(9, (16, 8), generator=torch.Generator().manual_seed(0))
    logits, values = net(torch.randn(5, 9))
    assert not logits.any()
    assert not values.any()
    with torch.no_grad():
        net.trunk[-1].weight.normal_()
    x = torch.randn(9)
    out = np.zeros(3, np.float32)
    run_mlp(net.pack(), x.numpy(), np.zeros((2, 16), np.float32), out)
    logits, value = net(x.unsqueeze(0))
    assert out == pytest.approx(np.append(logits[0].detach(), value.detach()), abs=1e-5)


def test_hidden_states_are_scaled_alike_in_torch_and_compiled_code():
    from optimand.combinatorial.memory_mapping.muzero.network import rescale

    hidden = np.random.default_rng(0).normal(size=8).astype(np.float32)
    wanted = rescale(torch.from_numpy(hidden.copy()).unsqueeze(0))[0].numpy()
    compiled_rescale(hidden)
    assert hidden == pytest.approx(wanted, abs=1e-6)


def episode(length: int, start: float = 0.0) -> Episode:
    steps = np.arange(length, dtype=np.float32)
    return Episode(
        np.tile(start + steps[:, None], (1, 2)), (steps % 2).astype(np.int8), np.full((length, 2), 0.5, np.float32),
        np.ones(length, np.float32),
    )  # fmt: skip


def test_replay_overwrites_the_oldest_decisions_and_keeps_sequences():
    replay = Replay(8, 2)
    replay.add(episode(5))
    replay.add(episode(6, start=100))
    assert (replay.size, replay.head) == (8, 3)
    returns = replay.arrays["returns"]
    assert returns[[5, 6, 7, 0, 1, 2]].tolist() == [6, 5, 4, 3, 2, 1]
    later, inside = replay.after(np.array([7, 2]), 2)
    assert (later.tolist(), inside.tolist()) == ([1, 2], [True, False])


def test_an_episode_longer_than_the_ring_keeps_its_end():
    replay = Replay(4, 2)
    replay.add(episode(9))
    assert replay.arrays["returns"].tolist() == [4, 3, 2, 1]
    assert replay.arrays["left"].tolist() == [3, 2, 1, 0]
    assert replay.arrays["features"][:, 0].tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize("model", ["exact", "learned"])
def test_learning_imitates_a_demonstration(model):
    game = tiny()
    board = make_board([(game.P, game.Q)], position=True)
    found = episode_of(board, 0, np.array([0, 0, 1, 0, 0, 1, 1, 1, 0, 1, 0, 1, 0], bool))
    assert found is not None
    replay = Replay(100, f.feature_count(True))
    replay.add(found[2])
    settings = Settings(model=model, batch=16, lr=1e-2, hidden=(32,), unroll=3)
    generator = torch.Generator().manual_seed(0)
    net = (
        ModelNet(f.feature_count(True), hidden=(32,), generator=generator)
        if model == "learned"
        else PolicyValueNet(f.feature_count(True), (32,), generator=generator)
    )
    learner = Learner(net, replay, settings)
    rng = np.random.default_rng(0)
    first, last = learner.update(1, rng), 0.0
    for _ in range(10):
        last = learner.update(30, rng)
    assert last < first / 4
    if isinstance(net, ModelNet):  # the model foretells the rewards
        hidden = net.observe(torch.from_numpy(found[2].features[:1]))
        for action, reward in zip(found[2].actions[:3], found[2].rewards[:3], strict=True):
            hidden, told = net.advance(hidden, torch.tensor([int(action)]))
            assert float(told.detach()) == pytest.approx(float(reward), abs=0.08)


def test_episodes_of_strings_have_the_games_time():
    game = tiny()
    board = make_board([(game.P, game.Q)], position=False)
    fast = np.random.default_rng(0).random(13) < 0.5
    found = episode_of(board, 0, fast)
    assert found is not None
    time, actions, played = found
    assert game.play(fast) == pytest.approx(time)
    assert game.offer(actions) == pytest.approx(time)
    assert 50 * (1 - played.returns[0]) == pytest.approx(time, rel=1e-6)
    assert board.best_time[0] == np.inf  # not the agent's
    assert board.p[0, k.R] == 13


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"model": "exakt"}, ValueError, r"model must be one of 'exact', 'learned', 'none'.*did you mean 'exact'"),
        ({"simulations": 0}, ValueError, "simulations must be at least 1, got 0"),
        ({"blend": 1.5}, ValueError, r"blend must be in \[0, 1\], got 1.5"),
        ({"lr": 0}, ValueError, "lr must be in"),
        ({"hidden": ()}, ValueError, "hidden must name at least one layer"),
        ({"simulation": 5}, TypeError, "'simulation' is no setting; did you mean 'simulations'"),
    ],
)
def test_settings_refuse_what_they_cannot_mean(changes, error, text):
    with pytest.raises(error, match=text):
        Settings.of(**changes)
