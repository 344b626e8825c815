"""Searches by their rules: formulas, what is kept and dropped, who is chosen, memories, several objectives."""

from __future__ import annotations

import itertools
import json
import math
import random

import numpy as np
import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import BudgetExceeded, Scripted
from optimand.language.workflows import HeuristicProposer, OptoPrime, Tape, node
from optimand.language.workflows.optimizers.optimizer import Optimizer
from optimand.language.workflows.trainers import (
    AggregatedUpdate,
    BasicSearch,
    BeamSearch,
    Candidate,
    CandidateHeap,
    Minibatch,
    ParetoSearch,
    PrioritySearch,
    UCBSearch,
    confidence_bounds,
    contributions,
    dominates,
    hypervolume,
    nondominated,
    ucb_score,
)
from optimand.language.workflows.trainers.guides import GuideError


class Listed(Optimizer):
    """Proposes values from a list, one after another."""

    def __init__(self, parameters, values):
        super().__init__(parameters)
        self.values = list(values)
        self.told = []

    def propose(self, **options):
        self.told.append(self.feedback_graph().feedback)
        self.steps += 1
        return {self.parameters[0]: self.values[(self.steps - 1) % len(self.values)]}


def search(kind, values, guide=lambda query, response, info: (response, ""), data=((0, 0),), **settings):
    """A search of one number whose score it is, with listed proposals; not yet trained."""
    x = node(0.0, name="x", trainable=True)
    trainer = kind(lambda query: x * 1.0, Listed([x], values), **settings)
    return x, trainer, lambda **options: trainer.train(guide, list(data), **options)


# Formulas


def test_the_upper_bound_picks_the_candidate_that_was_tried_once():
    pairs = [(3, 4), (1, 1), (5.5, 9)]
    bounds = [ucb_score(*pair, evaluations=14, c=1.0) for pair in pairs]
    assert bounds == pytest.approx([1.562259, 2.624518, 1.152617], abs=1e-6)
    _, trainer, _ = search(UCBSearch, [1.0])
    trainer.buffer = [Candidate(i, {}, total=s, count=n) for i, (s, n) in enumerate(pairs)]
    trainer._scored = 14
    assert [trainer.bound(one) for one in trainer.buffer] == bounds
    assert trainer._choose(None)[0].number == 1
    assert ucb_score(0, 0, 5) == math.inf


def test_confidence_bounds_are_symmetric_and_clipped():
    low, high = confidence_bounds(3.0, 16, 20, (1.0, 5.0), c=0.5)
    reach = 0.5 * math.sqrt(math.log(21) / 16) * 4
    assert (low, high) == pytest.approx((3 - reach, 3 + reach))
    assert confidence_bounds(3.0, 1, 20, (1.0, 5.0)) == (1.0, 5.0)
    assert confidence_bounds(7.0, 400, 1, (1.0, 5.0)) == (5.0, 5.0), "a mean beyond the range"
    assert confidence_bounds(-7.0, 400, 1, (1.0, 5.0)) == (1.0, 1.0)
    with pytest.raises(ValueError, match="count must be at least 1"):
        confidence_bounds(0.5, 0, 3, (0, 1))


# The heap


@pytest.mark.parametrize("size", [None, 1, 4])
def test_the_heap_gives_the_true_best_whatever_the_order_of_pushes(size):
    draw = random.Random(0)
    for _ in range(60):
        worths = [draw.choice([0.0, 0.1, 0.2, 0.5, 0.7, 0.9]) for _ in range(8)]
        heap = CandidateHeap(size)
        for number, worth in enumerate(worths):
            heap.push(Candidate(number, {}), worth)
        expected = sorted(range(8), key=lambda i: (-worths[i], i))[: size or 8]
        for count in (1, 3, 8):
            assert [one.number for one in heap.top(count)] == expected[:count]
        assert [one.number for one in heap.candidates] == sorted(expected)


def test_ranking_anew_drops_the_lowest_but_never_what_is_to_be_kept():
    heap = CandidateHeap(2)
    fresh = [Candidate(i, {}) for i in range(4)]
    out = heap.rank(lambda one: one.number, fresh=fresh, keep=[fresh[0]])
    assert [one.number for one in heap.top(9)] == [3, 0]
    assert sorted(one.number for one in out) == [1, 2]


# Several objectives


def test_the_front_is_what_no_point_dominates():
    draw = np.random.default_rng(0)
    for _ in range(40):
        points = [tuple(p) for p in draw.integers(0, 5, (9, 3)).tolist()]
        expected = []
        for i, point in enumerate(points):
            if not any(dominates(other, point) for other in points) and point not in points[:i]:
                expected.append(i)
        assert nondominated(points) == expected


def test_hypervolume_equals_inclusion_and_exclusion():
    draw = np.random.default_rng(1)
    for dimension in (1, 2, 3, 4):
        points = draw.uniform(-0.2, 1.0, (6, dimension))
        reference = np.zeros(dimension)
        total = 0.0
        for size in range(1, 7):
            for chosen in itertools.combinations(points, size):
                total -= (-1) ** size * np.prod(np.maximum(np.min(chosen, axis=0), 0.0))
        # A point that is below the reference in one objective covers nothing.
        assert hypervolume(points.tolist(), reference.tolist()) == pytest.approx(total)
    assert hypervolume([], (0, 0)) == 0.0
    assert contributions([(2, 1), (1, 2), (1, 1)], (0, 0)) == [1.0, 1.0, 0.0]
    with pytest.raises(ValueError, match="must have 2 objectives"):
        hypervolume([(1, 2, 3)], (0, 0))


def two(query, response, info):
    return {"up": response, "down": 1 - response**2}, "told"


@pytest.mark.parametrize("selection", ["weighted", "hypervolume"])
def test_pareto_search_keeps_the_front_of_all_that_it_has_seen(selection):
    proposals = [0.5, -0.5, 0.9, 0.2, 1.0, -1.0]
    settings = {"objectives": ("up", "down"), "selection": selection, "num_proposals": 2}
    x, _, go = search(ParetoSearch, proposals, two, weights={"up": 3, "down": 1}, **settings)
    result = go(steps=3, min_score=-9)
    seen = [0.0, *proposals]
    points = [(value, 1 - value**2) for value in seen]
    assert sorted(one["values"]["x"] for one in result.front) == sorted(seen[i] for i in nondominated(points))
    best = max(seen, key=lambda value: 3 * value + 1 - value**2)
    assert x.data == result.best["x"] == best
    assert result.best_score == pytest.approx(3 * best + 1 - best**2)


def test_a_full_pool_drops_the_smallest_share_of_the_volume():
    settings = {"objectives": ("up", "down"), "pool_size": 3, "reference": {"up": -0.1, "down": -0.1}}
    proposals = [0.5, 0.52, 0.9]
    _, trainer, go = search(ParetoSearch, proposals, two, num_proposals=3, **settings)
    go(steps=1, min_score=-9)
    points = [(value, 1 - value**2) for value in (0.0, *proposals)]
    shares = contributions(points, (-0.1, -0.1))
    kept = {i for i in range(4) if i != shares.index(min(shares))}
    assert {one.number for one in trainer.pool} == kept


def test_members_with_a_large_share_that_were_improved_often_wait():
    settings = {"objectives": ("up", "down"), "selection": "hypervolume", "reference": {"up": -1.0, "down": -1.0}}
    _, _, go = search(ParetoSearch, [0.9] + [-1.0] * 7, two, num_proposals=1, **settings)
    result = go(steps=8, min_score=-9)
    shares, picked, expected = contributions([(0, 1), (0.9, 1 - 0.9**2)], (-1.0, -1.0)), [1, 0], [0]
    for _ in range(7):
        place = max((0, 1), key=lambda i: (shares[i] / (1 + picked[i]), -i))
        picked[place] += 1
        expected.append(place)
    assert 0 < sum(expected[1:]) < 7, "both wait at times"
    assert [row["chosen"] for row in result.history] == expected


def test_pareto_search_tells_the_optimizer_one_score_and_all_by_name():
    _, trainer, go = search(ParetoSearch, [0.5], two, objectives=("up", "down"), selection="hypervolume")
    go(steps=1, min_score=-9)
    told = trainer.optimizer.told[0]
    assert told == 'told\nscores by objective: {"up": 0.0, "down": 1.0}\nscore: 0.5'


def test_objectives_are_checked():
    with pytest.raises(OptimandError, match="at least two different names"):
        search(ParetoSearch, [1.0], objectives=("up", "up"))
    with pytest.raises(OptimandError, match="weights has no objective 'upp'; did you mean 'up'"):
        search(ParetoSearch, [1.0], objectives=("up", "down"), weights={"upp": 1})
    with pytest.raises(OptimandError, match="reference lacks 'down'"):
        search(ParetoSearch, [1.0], objectives=("up", "down"), reference={"up": 1})
    with pytest.raises(GuideError, match="must score 'up', 'across'"):
        search(ParetoSearch, [1.0], two, objectives=("up", "across"))[2](steps=1)


# Minibatch


def test_a_change_that_does_not_improve_by_the_threshold_is_taken_back():
    # Reverted where new <= old - threshold.
    for threshold, proposal, kept in ((0.0, 0.0001, True), (0.0, -0.1, False), (0.5, -0.4, True), (0.5, -0.5, False)):
        x, _, go = search(Minibatch, [proposal], ensure_improvement=True, threshold=threshold)
        result = go(steps=1, min_score=-9)
        assert result.history[0]["accepted"] is kept
        assert result.history[0]["values"]["x"] == (proposal if kept else 0.0)
        assert result.evaluations == 2
        assert x.data == max(0.0, proposal), "the best is what stays"


def test_without_comparable_scores_the_last_values_are_the_result():
    x, _, go = search(Minibatch, [1.0, -3.0], data=[(0, 0), (1, 0)], batch_size=1)
    result = go(steps=2, min_score=-9)
    assert x.data == -3.0
    assert result.best_score is None
    x, _, go = search(Minibatch, [1.0, -3.0], data=[(0, 0), (1, 0)], batch_size=1)
    result = go(steps=2, min_score=-9, validation=[(0, 0)])
    assert (x.data, result.best_score, result.evaluations) == (1.0, 1.0, 1 + 2 + 2)


def test_the_validation_set_is_looked_at_every_so_many_steps_and_at_the_end():
    _, _, go = search(Minibatch, [0.1, 0.2, 0.3, 0.4], validate_every=3)
    result = go(steps=4, validation=[(0, 0)])
    assert ["score" in row for row in result.history] == [False, False, True, True]
    assert result.evaluations == 1 + 4 + 2
    assert result.best == {"x": 0.4}


def test_aggregation_moves_by_the_stepsize_towards_the_mean_and_votes_on_the_rest():
    x = node(1.0, name="x", trainable=True)
    n = node(0, name="n", trainable=True, minimum=0, maximum=9)
    word = node("a", name="word", trainable=True)
    said = [{"x": 3.0, "n": 4, "word": "b"}, {"x": 5.0, "n": 5, "word": "b"}, {"x": 1.0, "n": 6, "word": "c"}]

    class Each(Listed):
        def propose(self, **options):
            self.steps += 1
            found = said[self.steps - 1]
            return {p: found[name] for p, name in zip(self.parameters, ("x", "n", "word"), strict=True)}

    # The batch is the whole data set and the score never rises, so the start is the result: look at the rows.
    rows = []
    for stepsize, expected in ((0.5, (2.0, 2, "b")), (0.25, (1.5, 1, "a")), (1.0, (3.0, 5, "b"))):
        trainer = AggregatedUpdate(lambda q: [x, n, word], Each([x, n, word], []), stepsize=stepsize, batch_size=3)
        result = trainer.train(lambda *_: (0.0, ""), [(i, 0) for i in range(3)], steps=1)
        rows.append((tuple(result.history[0]["values"].values()), expected))
    assert all(found == expected for found, expected in rows), rows


def test_aggregation_by_a_model_sees_every_proposal_and_the_constraints():
    with Tape():
        x = node(1.0, name="x", trainable=True, constraint="a small number")
        replies = [json.dumps({"suggestion": {"x": value}}) for value in (3, 5, 4.5)]
        model = Scripted(replies)
        trainer = AggregatedUpdate(lambda q: x + q, OptoPrime([x], model), batch_size=2, stepsize=0.75)
        result = trainer.train(lambda q, r, i: (r, ""), [(0, 0), (1, 0)], steps=1)
    assert result.history[0]["values"] == {"x": 4.5}
    messages, options = model.calls[2]
    assert options["role"] == "aggregate.step"
    assert "suggestions by\n0.75 and the present values by 0.25" in messages[0]["content"]
    text = messages[1]["content"]
    assert all(part in text for part in ("1.0", "Suggestion 0", "3.0", "Suggestion 1", "5.0", "a small number"))
    with pytest.raises(OptimandError, match="how='chat' needs a model"):
        AggregatedUpdate(lambda q: x, HeuristicProposer([x]), how="chat")


def test_aggregation_takes_choices_by_vote_and_a_vote_of_exactly_the_share():
    level = node(1, name="level", trainable=True, choices=(1, 3, 10))
    word = node("a", name="word", trainable=True)
    said = [{"level": 3, "word": "b"}, {"level": 3, "word": "b"}, {"level": 3, "word": "a"}, {"level": 10, "word": "a"}]

    class Each(Listed):
        def propose(self, **options):
            self.steps += 1
            return {p: said[self.steps - 1][name] for p, name in zip(self.parameters, ("level", "word"), strict=True)}

    trainer = AggregatedUpdate(lambda q: [level, word], Each([level, word], []), batch_size=4)
    result = trainer.train(lambda *_: (0.0, ""), [(i, 0) for i in range(4)], steps=1)
    assert result.history[0]["values"] == {"level": 3, "word": "b"}


def test_each_aggregation_has_a_seed_of_its_own():
    x = node(1.0, name="x", trainable=True)
    numbers = itertools.count()
    model = Scripted(lambda messages, **options: json.dumps({"suggestion": {x.py_name: next(numbers)}}))
    trainer = AggregatedUpdate(lambda q: x + q, OptoPrime([x], model), batch_size=2)
    trainer.train(lambda q, r, i: (r, ""), [(0, 0), (1, 0)], steps=2)
    seeds = [options["seed"] for _, options in model.calls if options["role"] == "aggregate.step"]
    assert len(set(seeds)) == 2


def test_equal_proposals_need_no_aggregation():
    with Tape():
        x = node(1.0, name="x", trainable=True)
        model = Scripted([json.dumps({"suggestion": {"x": 3}})], repeat=True)
        trainer = AggregatedUpdate(lambda q: x + q, OptoPrime([x], model), batch_size=2)
        assert trainer.train(lambda q, r, i: (r, ""), [(0, 0), (1, 0)], steps=1).history[0]["values"] == {"x": 3.0}
    assert len(model.calls) == 2


# Basic and beam search


def test_basic_search_keeps_the_best_of_the_proposals_and_the_present_values():
    x, trainer, go = search(BasicSearch, [-1.0, 0.5, 2.0, 2.0, 1.0, 0.0, 2.0, -3.0], num_proposals=4)
    result = go(steps=2, min_score=-9)
    assert [row["values"]["x"] for row in result.history] == [2.0, 2.0]
    assert [row["accepted"] for row in result.history] == [True, False]
    # 1 at first; a batch each step; distinct proposals alone: three, then three (one equals the present value).
    assert result.evaluations == 1 + (1 + 3) + (1 + 3)
    assert trainer.optimizer.steps == 8
    assert x.data == 2.0


def test_of_equal_candidates_the_present_values_stay():
    x, _, go = search(BasicSearch, [1.0, 2.0], lambda query, response, info: (0.5, ""), num_proposals=2)
    assert [row["accepted"] for row in go(steps=2).history] == [False, False]
    assert x.data == 0.0


def test_what_failed_on_all_samples_is_not_run_again():
    x = node(0.0, name="x", trainable=True)
    trainer = BasicSearch(lambda query: 1 / x, Listed([x], [0.0]), num_proposals=1)
    result = trainer.train(lambda query, response, info: (response, ""), [(0, 0)], steps=3, min_score=None)
    assert result.evaluations == 1 + 3, "a batch in each step, and no comparison"


def test_what_is_in_the_beam_already_is_not_compared_again():
    _, _, go = search(BeamSearch, [0.5, 0.0, 0.5], width=2, num_proposals=1)
    # First 1; then a batch and a proposal; then two batches, and from each member of the beam the other one.
    result = go(steps=2)
    assert result.evaluations == 1 + 2 + 2
    assert [row["proposals"] for row in result.history] == [1, 0]


def test_the_history_names_failures_and_hides_secrets():
    word = node("a", name="word", trainable=True)
    secret = "sk-" + "Ab1" * 12
    optimizer = Listed([word], [secret, "c", "d"])

    def agent(query):
        return word + 1 if word.data == "c" else word + ""

    trainer = BeamSearch(agent, optimizer, width=1, num_proposals=2, history=5)
    trainer.train(lambda query, response, info: (float(response == "a"), ""), [(0, 0)], steps=2, min_score=None)
    assert '{"word": "c"} -> failed' in optimizer.told[-1]
    assert '{"word": "a"} -> 1' in optimizer.told[-1]
    assert secret not in optimizer.told[-1]


def test_beam_search_keeps_the_best_of_old_and_new():
    draw = random.Random(3)
    proposals = [round(draw.uniform(-1, 1), 3) for _ in range(64)]
    _, trainer, go = search(BeamSearch, proposals, width=3, num_proposals=2)
    result = go(steps=4, min_score=-9)
    used, beam = 0, [0.0]
    for row in result.history:
        count = 2 * len(beam)
        beam = sorted({*beam, *proposals[used : used + count]}, reverse=True)[:3]
        used += count
        assert row["values"]["x"] == beam[0]
    assert [one.values["x"] for one in trainer.beam] == beam


def test_the_history_variant_lists_earlier_candidates_with_their_means():
    _, trainer, go = search(BeamSearch, [0.25, 0.75, 0.5, 1.0], width=1, num_proposals=2, history=2)
    go(steps=2, min_score=-9)
    first, _, second, _ = trainer.optimizer.told
    assert '{"x": 0.0} -> 0' in first
    assert second.endswith('{"x": 0.75} -> 0.75\n{"x": 0.25} -> 0.25')
    _, plain, go = search(BeamSearch, [0.25], width=1, num_proposals=1)
    go(steps=1)
    assert plain.optimizer.told == ["score: 0"]


def test_candidates_with_a_memory_of_their_own_go_on_from_their_parents_state():
    _, trainer, go = search(BeamSearch, [0.1, 0.2, 0.3, 0.4, 0.5], width=1, num_proposals=1, memory="own")
    result = go(steps=3, min_score=-9)
    assert [row["values"]["x"] for row in result.history] == [0.1, 0.2, 0.3]
    assert trainer.beam[0].memory["steps"] == 3
    for memory, proposals in (("own", [1, 1]), ("shared", [1, 2])):
        # Both in the beam go on with the list's second value, which counts once; or one of them with the third.
        _, trainer, go = search(BeamSearch, [0.1, 0.2, 0.3], width=2, num_proposals=1, memory=memory)
        assert [row["proposals"] for row in go(steps=2, min_score=-9).history] == proposals
    with pytest.raises(ValueError, match="memory must be one of 'shared', 'own'"):
        search(BeamSearch, [0.1], memory="mine")


def test_on_a_part_of_the_validation_set_all_are_compared_anew_and_the_last_on_the_whole():
    data = [(i, 0) for i in range(4)]
    _, _, go = search(BasicSearch, [0.1, 0.2, 0.3], data=data, num_proposals=1, validation_size=2)
    # first: 2; each step: a batch of 1, the present values and the proposal on 2 each; at the end: the best on 4
    assert go(steps=3).evaluations == 2 + 3 * (1 + 2 + 2) + 4


def test_the_whole_beam_is_compared_at_the_end_and_the_older_of_equal_ones_is_the_best():
    data = [(i, 0) for i in range(6)]

    def last(query, response, info):
        # On all samples the second value is best, on most parts the first.
        return (1.5 if query == 3 else 0.0) if response == 0.2 else 0.1 * response, ""

    _, trainer, go = search(BeamSearch, [0.1, 0.2, 0.3], last, data, width=4, num_proposals=3, validation_size=1)
    result = go(steps=1)
    assert result.evaluations == 1 + 1 + 4 + 4 * 6
    assert trainer.beam[0].values != {"x": 0.2}, "on the step's sample another one is best"
    assert result.best == {"x": 0.2}
    _, _, go = search(BeamSearch, [0.1, 0.2], lambda *_: (0.5, ""), data, width=3, num_proposals=2, validation_size=1)
    assert go(steps=1).best == {"x": 0.0}


# UCB search


def test_ucb_search_follows_a_simulation_of_the_algorithm():
    draw = random.Random(5)
    proposals = [round(draw.uniform(0, 1), 3) for _ in range(30)]
    _, trainer, go = search(UCBSearch, proposals, data=[(0, 0), (1, 0)], batch_size=2, buffer_size=3, c=0.4)
    result = go(steps=12)
    buffer, total = [[0, 0.0, 0.0, 2]], 2  # number, value, S, n
    for step, row in enumerate(result.history):
        chosen = max(buffer, key=lambda b: (b[2] / b[3] + 0.4 * math.sqrt(math.log(total) / b[3]), -b[0]))
        assert row["chosen"] == chosen[0]
        chosen[2] += 2 * chosen[1]
        chosen[3] += 2
        total += 2
        buffer.append([step + 1, proposals[step], 2 * proposals[step], 2])
        total += 2
        if len(buffer) > 3:
            buffer.remove(min(buffer, key=lambda b: (b[2] / b[3] + 0.4 * math.sqrt(math.log(total) / b[3]), -b[0])))
        assert row["buffer"] == [b[0] for b in buffer]
    assert trainer._scored == total == result.evaluations
    assert result.best["x"] == max(buffer, key=lambda b: b[2] / b[3])[1]


def test_a_model_may_choose_the_candidate():
    model = Scripted(lambda messages, **options: '{"reasoning": "", "choice": 2}')
    _, _, go = search(UCBSearch, [0.9, 0.1, 0.2, 0.3], selector=model, alpha=1.0)
    result = go(steps=3)
    assert [row["by_model"] for row in result.history] == [False, True, True]
    assert [row["chosen"] for row in result.history] == [0, 1, 1]
    assert "2. mean 0.9 of 1 scores" in model.calls[0][0][1]["content"]
    assert {options["role"] for _, options in model.calls} == {"ucb.select"}
    silly = Scripted(["no idea"], repeat=True)
    _, _, go = search(UCBSearch, [0.9, 0.1], selector=silly, alpha=1.0)
    assert [row["by_model"] for row in go(steps=2).history] == [False, False]
    with pytest.raises(OptimandError, match="alpha is the probability that selector= chooses"):
        search(UCBSearch, [0.9], alpha=0.5)


def test_known_values_that_are_proposed_again_get_more_scores_and_no_second_place():
    _, trainer, go = search(UCBSearch, [0.5, 0.0, 0.5], c=0.0)
    result = go(steps=3)
    # First 1; a batch and a new proposal; a batch and the first values again; a batch and the present values again.
    assert result.evaluations == 1 + 2 + 2 + 1
    assert result.history[-1]["buffer"] == [0, 1]
    assert {one.number: one.count for one in trainer.buffer} == {0: 1 + 1 + 1, 1: 1 + 1 + 1}


def test_of_equal_means_that_of_more_scores_is_the_best():
    _, trainer, _ = search(UCBSearch, [0.5])
    trainer.buffer = [Candidate(0, {}, total=1.0, count=2), Candidate(1, {}, total=2.0, count=4), Candidate(2, {})]
    assert [one.number for one in trainer._ranked()] == [1, 0, 2]


def test_the_model_chooses_with_the_given_probability():
    model = Scripted(lambda messages, **options: '{"reasoning": "", "choice": 1}')
    _, _, go = search(UCBSearch, [i / 100 for i in range(1, 90)], selector=model, alpha=0.3, buffer_size=5)
    asked = sum(row["by_model"] for row in go(steps=80).history)
    assert asked == len(model.calls)
    assert 10 <= asked <= 40


def test_the_model_that_chooses_is_told_no_secrets():
    word = node("a", name="word", trainable=True)
    secret = "sk-" + "Ab1" * 12
    model = Scripted(lambda messages, **options: '{"reasoning": "", "choice": 1}')
    trainer = UCBSearch(lambda query: word + "", Listed([word], [secret, "c"]), selector=model, alpha=1.0)
    trainer.train(lambda query, response, info: (0.5, ""), [(0, 0)], steps=3)
    told = model.calls[-1][0][-1]["content"]
    assert '"word": "c"' in told
    assert secret not in told


# Priority search


def test_priority_search_explores_the_best_and_the_top_candidates():
    proposals = [0.3, 0.9, 0.1, 0.7, 0.2, 0.6, 0.5, 0.4]
    _, trainer, go = search(PrioritySearch, proposals, num_candidates=1, num_proposals=2)
    result = go(steps=3)
    assert [row["explored"] for row in result.history] == [[0], [2, 1], [2, 4]]
    values = {one.number: one.values["x"] for one in trainer.long.candidates}
    assert values[2] == 0.9
    assert values[4] == 0.7
    assert result.best == {"x": 0.9}


def test_priorities_are_the_means_and_the_clipped_bounds():
    _, trainer, _ = search(PrioritySearch, [0.1], score_range=(0.0, 2.0), c=0.5)
    trainer._trials = 20
    one = Candidate(0, {}, total=8.0, count=10)
    low, high = confidence_bounds(0.8, 10, 20, (0.0, 2.0), 0.5)
    assert [trainer.priority(one, kind) for kind in ("mean", "ucb", "lcb")] == [0.8, high, low]
    assert trainer.priority(Candidate(1, {}, failures=3)) == -math.inf
    for bad in ((1.0, 1.0), (2.0, 1.0)):
        with pytest.raises(ValueError, match="low < high"):
            search(PrioritySearch, [0.1], score_range=bad)
    with pytest.raises(ValueError, match="explore must be one of 'mean', 'ucb', 'lcb'"):
        search(PrioritySearch, [0.1], explore="max")


def test_proposals_wait_in_the_short_memory_until_they_are_merged():
    _, trainer, go = search(PrioritySearch, [0.9, 0.8, 0.7, 0.6, 0.5], num_candidates=1, merge_every=2, num_proposals=1)
    rows = go(steps=4).history
    assert [(row["long"], row["short"]) for row in rows][:2] == [(1, 1), (3, 0)]
    assert [row["short"] > 0 for row in rows] == [True, False, True, False]
    _, trainer, go = search(PrioritySearch, [0.9, 0.8, 0.7], num_candidates=1, merge_every=None, short_memory=2)
    go(steps=3)
    assert len(trainer.long) == 0
    assert sorted(one.values["x"] for one in trainer.short.candidates) == [0.8, 0.9]


def test_a_full_long_memory_keeps_the_true_best():
    draw = random.Random(1)
    proposals = [round(draw.uniform(0, 1), 4) for _ in range(200)]
    _, trainer, go = search(PrioritySearch, proposals, num_candidates=3, num_proposals=4, long_memory=5)
    go(steps=4)
    seen = sorted({0.0, *proposals[: trainer.optimizer.steps]}, reverse=True)
    assert [one.values["x"] for one in trainer.long.top(5)] == seen[:5]


def test_a_regressor_guides_exploration_and_is_resumed(tmp_path):
    class Reversed:
        """Believes that small values are good."""

        def fit(self, values, scores, counts):
            assert len(values) == len(scores) == len(counts)

        def predict(self, values):
            return [1 - one["x"] for one in values]

    settings = {"num_candidates": 1, "num_proposals": 2, "score_range": (0.0, 1.0), "long_memory": 4}
    proposals = [0.3, 0.9, 0.1, 0.7, 0.2, 0.6]
    with Tape():
        _, _, go = search(PrioritySearch, proposals, regressor=Reversed(), **settings)
        whole = go(steps=4)
    assert whole.history[1]["explored"] == [2, 0], "the best by its mean, and the first as the regressor wants it"
    with Tape():
        _, trainer, go = search(PrioritySearch, proposals, regressor=Reversed(), **{**settings, "long_memory": 2})
        go(steps=3)
        assert sorted(one.values["x"] for one in trainer.long.candidates) == [0.0, 0.9], "the best is never dropped"
    with Tape():
        search(PrioritySearch, proposals, regressor=Reversed(), **settings)[2](steps=2, folder=tmp_path)
    with Tape():
        _, _, go = search(PrioritySearch, proposals, regressor=Reversed(), **settings)
        assert go(steps=4, folder=tmp_path) == whole
    with pytest.raises(TypeError, match="regressor must have fit and predict"):
        search(PrioritySearch, [0.1], regressor=object())


def test_batches_and_validation_count_as_they_should():
    data = [(i, 0) for i in range(8)]
    held = [(i, 0) for i in range(3)]
    settings = {"num_candidates": 2, "num_batches": 2, "batch_size": 2}
    _, _, go = search(PrioritySearch, [0.1, 0.2, 0.3, 0.4], data=data, **settings)
    # first: all 8; step 1: one candidate on 4 samples, two proposals on the same 4
    assert go(steps=1).evaluations == 8 + 4 + 2 * 4 + 3 * 8
    _, _, go = search(PrioritySearch, [0.1, 0.2, 0.3, 0.4], data=data, **settings)
    assert go(steps=1, validation=held).evaluations == 3 + 4 + 2 * 3
    _, _, go = search(PrioritySearch, [0.1, 0.2, 0.3, 0.4], data=data, revalidate=True, **settings)
    assert go(steps=1, validation=held).evaluations == 3 + 4 + 2 * 3 + 3


def test_known_proposals_are_not_run_again_and_the_runs_of_expanded_candidates_count():
    _, trainer, go = search(PrioritySearch, [0.5, 0.0, 0.5], num_candidates=1)
    # First 1; a batch and a proposal; two batches, and proposals that are both known.
    assert go(steps=2).evaluations == 1 + 2 + 2
    assert {one.number: one.count for one in trainer.long.candidates} == {0: 1 + 1 + 1, 1: 1 + 1}
    assert trainer._trials == 5


def test_the_range_of_scores_is_that_of_all_steps_and_is_resumed(tmp_path):
    proposals = [0.9, -0.8, 0.1, 0.2, 0.3, 0.4]
    _, trainer, go = search(PrioritySearch, proposals, num_candidates=1, num_proposals=2, explore="ucb")
    go(steps=3, min_score=-9, folder=tmp_path)
    assert trainer._seen == [-0.8, 0.9]
    _, again, go = search(PrioritySearch, proposals, num_candidates=1, num_proposals=2, explore="ucb")
    go(steps=3, min_score=-9, folder=tmp_path)
    assert again._seen == [-0.8, 0.9]
    settings = {"objectives": ("up", "down"), "selection": "hypervolume"}
    _, trainer, go = search(ParetoSearch, [-0.5, 0.5, 0.9], two, num_proposals=1, **settings)
    go(steps=3, min_score=-9, folder=tmp_path / "pareto")
    assert trainer._worst == {"up": -0.5, "down": pytest.approx(1 - 0.81)}
    _, again, go = search(ParetoSearch, [-0.5, 0.5, 0.9], two, num_proposals=1, **settings)
    go(steps=3, min_score=-9, folder=tmp_path / "pareto")
    assert again._worst == trainer._worst


def test_predictions_beyond_the_range_of_scores_are_clipped():
    class Wild:
        def fit(self, values, scores, counts):
            pass

        def predict(self, values):
            return [99.0 if one["x"] else -99.0 for one in values]

    _, trainer, go = search(PrioritySearch, [0.5], num_candidates=1, regressor=Wild(), score_range=(0.0, 2.0))
    go(steps=1)
    assert trainer._predicted == {0: 0.0, 1: 2.0}


def test_the_front_takes_in_nothing_twice_and_nothing_without_scores():
    settings = {"objectives": ("up", "down"), "num_proposals": 1, "reference": {"up": -1.0, "down": -1.0}}
    _, trainer, go = search(ParetoSearch, [0.9, 0.0, 0.9], two, selection="hypervolume", **settings)
    # First 1; a batch and a proposal; then 0.9 is improved, to what is known; then 0, to what is known.
    assert go(steps=3, min_score=-9).evaluations == 1 + 2 + 1 + 1
    assert len(trainer.pool) == 2
    x = node(1.0, name="x", trainable=True)
    trainer = ParetoSearch(lambda query: 1 / x, Listed([x], [0.0]), **settings)
    result = trainer.train(two, [(0, 0)], steps=1, min_score=None)
    assert [one["values"] for one in result.front] == [{"x": 1.0}]


def test_without_a_reference_the_ends_of_the_front_have_a_share():
    settings = {"objectives": ("up", "down"), "selection": "hypervolume", "num_proposals": 2}
    _, trainer, go = search(ParetoSearch, [0.5, 0.9], two, **settings)
    go(steps=1, min_score=-9)
    points = [trainer._point(one) for one in trainer.pool]
    assert len(points) == 3
    assert trainer._corner() == pytest.approx((0.0 - 0.1 * 0.9, 0.19 - 0.1 * 0.81))
    assert min(contributions(points, trainer._corner())) > 0


def test_after_a_spent_budget_the_parameters_have_the_best_values_and_the_reason_no_secrets():
    secret, count = "sk-" + "Ab1" * 12, itertools.count(1)

    def guide(query, response, info):
        if next(count) > 6:
            raise BudgetExceeded(f"nothing is left for {secret}")
        return response, ""

    x, _, go = search(Minibatch, [1.0, -3.0, 0.5], guide)
    result = go(steps=3, min_score=-9, validation=[(0, 0)])
    assert result.history[-1]["values"] == {"x": -3.0}
    assert x.data == result.best["x"] == 1.0
    assert "after step 2 of 3" in result.stopped
    assert secret not in result.stopped
