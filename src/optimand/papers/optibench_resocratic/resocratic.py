"""Claims on the synthesis of modeling problems (arXiv 2407.09887)."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from optimand.core.claims import Claim, Finding

PAPER = "optibench-resocratic"
ITEMS = 500  # of each type


def _pools() -> bool:
    """Whether the published pools are there."""
    from optimand.language.modeling.resocratic.pools import FOLDER

    folder = Path(os.environ.get("OPTIMAND_DATA", "")) / FOLDER
    return all((folder / f"seed_pool_{kind}.json").is_file() for kind in ("linear", "nonlinear"))


def seed_demonstrations() -> Finding:
    """How many of the published demonstrations satisfy the published grammar."""
    from optimand.language.modeling.resocratic.pools import load_pool
    from optimand.language.modeling.resocratic.scenarios import check_scenario

    pools: dict[str, Any] = {"linear": load_pool("linear"), "nonlinear": load_pool("nonlinear")}
    faulty = {
        f"{kind} {k}": [fault.name for fault in check_scenario(one.text)]
        for kind, pool in pools.items()
        for k, one in enumerate(pool)
        if not one.valid
    }
    total = sum(map(len, pools.values()))
    named = "; ".join(f"{name}: {', '.join(names)}" for name, names in faulty.items())
    return Finding(
        f"{total - len(faulty)} of {total} pass ({named or 'none fails'})",
        total == 27 and list(faulty) == ["nonlinear 9"],
        "0-based; the sixth section of that one has no formal line",
    )


def plan_sizes() -> Finding:
    """Requests for scenarios: 100 for each demonstration and 50 for each two."""
    from optimand.language.modeling.resocratic.synthesis import sampling_plan

    linear, nonlinear = len(sampling_plan({"linear": 13})), len(sampling_plan({"nonlinear": 14}))
    return Finding(f"{linear} linear and {nonlinear} nonlinear", (linear, nonlinear) == (5200, 5950))


def similarities_of_four() -> Finding:
    """TF-IDF cosines of four sentences, and what the greedy pass keeps."""
    from optimand.language.modeling.resocratic.duplicates import dedupe, similarities

    texts = [
        "A bakery makes chocolate cakes and vanilla cakes each day",
        "A bakery makes chocolate cakes and vanilla cakes every day",
        "A farmer plants wheat and corn on land",
        "A bakery makes bread",
    ]
    words = ["a", "an", "and", "the", "on", "each", "every"]
    found, kept = similarities(texts, stop_words=words)[0, 1:], dedupe(texts, stop_words=words)
    again = dedupe([texts[k] for k in kept], stop_words=words)
    return Finding(
        f"{found[0]:.4f}, {found[1]:.4f}, {found[2]:.4f}; kept {kept}",
        abs(found - [1.0, 0.0, 0.2661]).max() < 5e-5 and kept == [0, 2, 3] and again == [0, 1, 2],
        "a second run keeps all three",
    )


def exploded_items() -> Finding:
    """Items of a scenario with k constraints."""
    from optimand.language.modeling.resocratic.pools import own_pool
    from optimand.language.modeling.resocratic.scenarios import explode

    pool = [*own_pool("linear"), *own_pool("nonlinear")]
    wrong = 0
    for one in pool:
        k = len(one.scenario.constraints)
        plain, shapes = explode(one.scenario), explode(one.scenario, geometry=True)
        wrong += [item.level for item in plain] != list(range(3, k + 3)) or len(shapes) != k + 1
    return Finding(f"{len(pool) - wrong} of {len(pool)} demonstrations give k items, k + 1 for shapes", wrong == 0)


def _templates(*types: str) -> Finding:
    """Items of some types: the program's optimum against the recorded one, near-duplicates, numbers."""
    from optimand.language.modeling.execution import open_sandbox
    from optimand.language.modeling.resocratic.duplicates import dedupe
    from optimand.language.modeling.resocratic.problem_specs import numbers_in
    from optimand.language.modeling.resocratic.templates import TemplateGenerator

    texts, holds = [], True
    with open_sandbox(workers=1) as sandbox:
        for type_ in types:
            items = TemplateGenerator(0).distinct(ITEMS, type_)
            doubled = 1 + max(int(item.id.rsplit("-", 1)[1]) for item in items) - ITEMS
            solved = sum(item.verify(sandbox) for item in items)
            same = sum(numbers_in(item.plain) == numbers_in(item.table) for item in items)
            left = ITEMS - len(dedupe([item.question for item in items]))
            holds = holds and solved == same == ITEMS and left == 0
            texts.append(
                f"{type_}: {solved}/{ITEMS} re-solve, {left} near-duplicates ({doubled} items left out for that), "
                f"{same}/{ITEMS} with the same numbers in both renderings, {sum(i.unique for i in items)} unique optima"
            )
    return Finding(
        "; ".join(texts),
        holds,
        "recorded by HiGHS, from all points, or in closed form; solved again by SCIP, to 1e-6 relative; seed 0",
    )


def linear_templates() -> Finding:
    """Verified linear items from templates, without a table."""
    return _templates("linear-notable")


def linear_table_templates() -> Finding:
    """Verified linear items from templates, with a table."""
    return _templates("linear-table")


def nonlinear_templates() -> Finding:
    """Verified nonlinear items from templates, of both types."""
    return _templates("nonlinear-notable", "nonlinear-table")


def faults_are_dropped() -> Finding:
    """The pipeline with an author that injects faults and remembers them."""
    from optimand.language.modeling.execution import open_sandbox
    from optimand.language.modeling.resocratic.simulated import SimulatedAuthor
    from optimand.language.modeling.resocratic.synthesis import ReSocratic

    author = SimulatedAuthor(0, faults=0.4)
    with open_sandbox(cpu_s=1.5, wall_s=6.0, workers=1) as sandbox:
        maker = ReSocratic(author, singles=4, pairs=0, sandbox=sandbox)
        pairs = list(maker.synthesize(10_000))
    kept = Counter(author.bad_code[pair.code] for pair in pairs if pair.code in author.bad_code)
    slack = kept.pop("constraint left out", 0)
    questions = sum(pair.question in author.bad_questions for pair in pairs)
    injected = dict(sorted(author.injected.items()))
    return Finding(
        f"{len(pairs)} pairs from {maker.counters['replies']} replies; of programs with a wrong objective, syntax or "
        f"feasible set {sum(kept.values())} kept, of questions without a number {questions}",
        bool(pairs) and not kept and not questions and all(pair.checked for pair in pairs),
        f"injected: {', '.join(f'{name} {number}' for name, number in injected.items())}; a constraint left out that "
        f"does not bind leaves no trace in the objective: {slack} such pairs stay",
    )


def toy_decoder() -> Finding:
    """What a small decoder's programs do before and after fine-tuning on short pairs."""
    import torch

    from optimand.language.modeling.execution import open_sandbox
    from optimand.language.modeling.resocratic.decoder import TinyDecoder

    from .toy_finetuning import toy_finetuning, toy_pair, toy_scores

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        held = [toy_pair(1, k) for k in range(8)]
        model = TinyDecoder(width=64, depth=2, heads=4, context=512)
        with open_sandbox(cpu_s=2.0, wall_s=6.0, workers=1) as sandbox:
            before = toy_scores(model, held, sandbox)
            done = toy_finetuning(model, pairs=1000)
            after = toy_scores(model, held, sandbox)
    finally:
        torch.set_num_threads(threads)
    return Finding(
        f"parse {before.parses:.0%} to {after.parses:.0%}, solve {before.solves:.0%} to {after.solves:.0%}, right "
        f"answer {before.right:.0%} to {after.right:.0%}, loss {before.loss:.2f} to {after.loss:.3f}",
        after.parses > before.parses and after.solves > before.solves and after.loss < before.loss,
        f"150 thousand weights, {done.updates} updates, 8 held-out questions: it learns the form of a program; to "
        "copy the numbers of a question takes more training than a minute",
    )


CLAIMS = (
    Claim(
        PAPER, "resocratic-seeds", "The seed demonstrations satisfy the grammar of scenarios.",
        "27 demonstrations", seed_demonstrations if _pools() else None,
        reference="read by eye: 26 of 27, nonlinear 9 lacks a formal line",
        untestable="" if _pools() else "needs the seed pools in $OPTIMAND_DATA/optibench-resocratic",
    ),
    Claim(
        PAPER, "resocratic-plan", "Each demonstration is shown 100 times and each two of a pool 50 times.",
        "100 and 50 samples", plan_sizes, reference="by arithmetic: 5200 linear and 5950 nonlinear responses",
    ),
    Claim(
        PAPER, "resocratic-dedupe", "Scenarios above a TF-IDF cosine of 0.7 to an accepted one are dropped, for good.",
        "threshold 0.7", similarities_of_four, reference="by hand: 1.0, 0, 0.2661; keeps 0, 2, 3",
    ),
    Claim(
        PAPER, "resocratic-explode", "Every prefix of a scenario with a constraint is a problem of its own.",
        "k items for k constraints, k + 1 for shapes", exploded_items,
    ),
    Claim(
        PAPER, "templates-linear", "Linear template items re-solve to the recorded objective, without near-duplicates.",
        "no number; our bar: 500 a type, 100 %, 0 duplicates", linear_templates,
    ),
    Claim(
        PAPER, "templates-linear-table", "Linear template items with a table re-solve likewise.",
        "no number; our bar: 500 a type, 100 %, 0 duplicates", linear_table_templates,
    ),
    Claim(
        PAPER, "templates-nonlinear", "Nonlinear template items re-solve likewise.",
        "no number; our bar: 500 a type, 100 %, 0 duplicates", nonlinear_templates,
    ),
    Claim(
        PAPER, "resocratic-filters", "The synthesis lets no wrong program and no question without its numbers through.",
        "no number; checks that the published code lacks", faults_are_dropped,
    ),
    Claim(
        PAPER, "resocratic-toy", "Fine-tuning on synthetic pairs raises the share of programs that run and solve.",
        "code pass of Llama-3-8B 8.8 % to 96.3 %", toy_decoder,
    ),
    Claim(
        PAPER, "resocratic-29k", "The synthesis with DeepSeek-V2 gives 29 thousand pairs.", "29k pairs",
        untestable="needs a language model of that size at an endpoint and some 100 thousand calls",
    ),
    Claim(
        PAPER, "resocratic-sft", "Fine-tuning on the pairs lifts Llama-2-7B to 30.6 % and Llama-3-8B to 51.1 %.",
        "from 0.0 and 13.6 %", untestable="needs the 29k pairs and a fine-tuning of models of 7 and 8 billion weights",
    ),
)  # fmt: skip
