"""Claims of AlphaOPT (arXiv 2510.18428).

The paper's accuracies need a strong model: they are tried in a small form with the configured endpoint. What can be
checked without one is checked with a scripted stand-in whose programs SCIP really runs.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimand.core.claims import Claim, Finding

from .model_free_checks import (
    determinism,
    evolution,
    learning,
    merge_safety,
    released_library,
    retrieval_speed,
    scores,
    unretrieved_search,
    verification_matters,
)

if TYPE_CHECKING:
    from optimand.language.modeling.alphaopt.tasks import Task

PAPER = "alphaopt"
NEEDS_MODEL = "needs a language model at an endpoint (OPTIMAND_LLM); the embedded one is too weak to learn with"
TRAIN, TEST = 30, 30


# the paper's own numbers, in a small form


def _sets() -> tuple[list[Task], list[Task], str]:
    """Training and test tasks: NLP4LP where it is there, else generated ones."""
    import random

    from optimand.language.modeling.alphaopt.simulated_tasks import make_tasks
    from optimand.language.modeling.alphaopt.tasks import load_tasks

    if _has_data():
        tasks = load_tasks("nlp4lp")
        random.Random(0).shuffle(tasks)
        return [replace(t, program=None) for t in tasks[:TRAIN]], tasks[TRAIN : TRAIN + TEST], "NLP4LP"
    made = make_tasks(TRAIN + TEST, 0, gold=False)
    return [m.task for m in made[:TRAIN]], [m.task for m in made[TRAIN:]], "generated tasks"


def accuracy_grows() -> Finding:
    """Accuracy on test tasks without a library, and after learning from 10 and 30 tasks."""
    from optimand.language.modeling.alphaopt.solving import evaluate

    train, test, name = _sets()
    values = []
    for count in (0, 10, TRAIN):
        with _with_endpoint() as learner:
            if count:
                learner.fit(train[:count])
            values.append(evaluate(learner, test).accuracy)
    return Finding(
        "; ".join(f"{count} tasks: {value}" for count, value in zip((0, 10, TRAIN), values, strict=True)),
        values[0].value < values[2].value and values[1].value <= values[2].value,
        f"{name}, {len(test)} test tasks, answers only, 1 attempt, 1 round of evolution, seed 0",
    )


def out_of_distribution() -> Finding:
    """Accuracy on OptiBench after learning on another set, against the same model without a library."""
    import random

    from optimand.language.modeling.alphaopt.solving import evaluate
    from optimand.language.modeling.alphaopt.tasks import load_tasks

    train, _, name = _sets()
    test = load_tasks("optibench")
    random.Random(0).shuffle(test)
    values = []
    for tasks in ([], train):
        with _with_endpoint() as learner:
            if tasks:
                learner.fit(tasks)
            values.append(evaluate(learner, test[:TEST]).accuracy)
    return Finding(
        f"without {values[0]}; with {values[1]}",
        values[1].value > values[0].value,
        f"learnt on {len(train)} of {name}, answers only; the paper's baselines are not run",
    )


def _with_endpoint() -> Any:
    from optimand.language.llm.choosing import open_chat
    from optimand.language.modeling.alphaopt.learner import AlphaOPT

    return AlphaOPT(open_chat(), attempts=1, iterations=1, workers=4)


def _has_data() -> bool:
    root = os.environ.get("OPTIMAND_DATA")
    return bool(root) and (Path(str(root)) / "alphaopt" / "library.json").is_file()


def _has_endpoint() -> bool:
    from optimand.language.llm.choosing import endpoint_configured

    return endpoint_configured()


def _claim(name: str, sentence: str, value: str, check: Any, missing: str = "", reference: str = "") -> Claim:
    return Claim(
        PAPER, name, sentence, value, check=None if missing else check, untestable=missing, reference=reference
    )


_NO_DATA = "" if _has_data() else "needs the published files: set OPTIMAND_DATA to the folder that holds alphaopt/"
_NO_MODEL = "" if _has_endpoint() else NEEDS_MODEL

CLAIMS = (
    _claim(
        "accuracy grows with training tasks",
        "Accuracy grows with the number of training tasks.",
        "65 -> 72 % for 100 -> 300 tasks",
        accuracy_grows,
        _NO_MODEL,
    ),
    _claim(
        "better out of distribution",
        "A library learnt from answers alone helps on another benchmark, OptiBench.",
        "+7.7 % over the strongest baseline",
        out_of_distribution,
        _NO_MODEL or _NO_DATA,
    ),
    _claim(
        "two sets out of distribution",
        "With a larger training set the gain is as large on two sets out of distribution.",
        "+9.1 % and +8.2 %",
        None,
        "needs a strong model and the second set, which is not published with the first",
    ),
    _claim(
        "published library",
        "The published library holds verified insights of three stages, merged over tasks.",
        "a library is released; no count in the abstracts",
        released_library,
        _NO_DATA,
        reference="counted in the released files: 139 insights (72, 42, 25), 39 merged, 38 labels",
    ),
    _claim(
        "learning",
        "Learning lifts accuracy on training and other tasks, and wrong insights do not enter the library.",
        "no number; our bar: train >= 95 %, held out >= 90 %, <= 12 insights",
        learning,
    ),
    _claim(
        "answers in disguise",
        "Verification on the source task alone lets in insights that carry its answer; a check for it keeps them out.",
        "not studied; our bar: none with the check",
        verification_matters,
    ),
    _claim(
        "evolution",
        "Evolution mends conditions that are too broad or too narrow.",
        "no number; our bar: >= 80 % of the lost tasks",
        evolution,
    ),
    _claim(
        "refinement score",
        "A condition is rewritten only if its score rises strictly.",
        "the rule",
        scores,
        reference="by hand: 0.642857, 0.857143",
    ),
    _claim(
        "merge safety",
        "A verified merge deletes the merged insights and no others.",
        "merged insights are replaced",
        merge_safety,
        reference="released program: deletes all under a shared label",
    ),
    _claim(
        "determinism",
        "The library depends neither on the number of workers nor on interruptions.",
        "no number",
        determinism,
    ),
    _claim(
        "search for what was not retrieved",
        "Of the combinations of insights for several issues at most eight are tried, in product order.",
        "no number",
        unretrieved_search,
        reference="released program: at most 8 combinations",
    ),
    _claim(
        "retrieval speed",
        "Retrieval by label takes less than 5 ms over 10,000 insights and is 20 times faster than a scan.",
        "no number; our bar: < 5 ms, >= 20 times",
        retrieval_speed,
    ),
)
