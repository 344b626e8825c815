"""A fine-tuning that one core can do: a small decoder learns to write the programs of two-variable problems.

The pairs are short forms of template items; the measure is what the written programs do, not the loss alone.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimand.language.modeling.resocratic.chats import ByteTokenizer, encode_chat, to_messages
from optimand.language.modeling.resocratic.finetuning import FineTuning, finetune, held_out_loss

if TYPE_CHECKING:
    from optimand.language.modeling.execution import Sandbox
    from optimand.language.modeling.resocratic.decoder import TinyDecoder

_GOODS = ("cakes", "chairs", "lamps", "boots", "kites", "drums", "bells", "coats")
_PROGRAM = """\
from pyscipopt import Model
m = Model()
m.hideOutput()
a = m.addVar(vtype="I")
b = m.addVar(vtype="I")
m.addCons({r}*a + {s}*b <= {t})
m.setObjective({p}*a + {q}*b, "maximize")
m.optimize()
print("-" * 10)
print("objective:", m.getObjVal())"""


@dataclass(frozen=True)
class ToyPair:
    """A short question, its program, and the optimal profit."""

    question: str
    code: str
    objective: float


def toy_pair(seed: int, index: int) -> ToyPair:
    """A problem of two goods and one scarce input, a function of seed and index.

    Example:
        >>> toy_pair(0, 0).question.startswith("Profit ")
        True
    """
    rng = np.random.default_rng([seed, index])
    p, q, r, s = (int(k) for k in rng.integers(1, 10, 4))
    t = int(rng.integers(20, 100))
    one, two = rng.choice(_GOODS, 2, replace=False)
    best = max(p * a + q * ((t - r * a) // s) for a in range(t // r + 1))
    return ToyPair(
        f"Profit {p} for {one}, {q} for {two}. Wood {r} and {s}, {t} in store.",
        _PROGRAM.format(p=p, q=q, r=r, s=s, t=t),
        float(best),
    )


@dataclass(frozen=True)
class ToyScores:
    """What the programs that a model writes do, as shares of held-out questions.

    Attributes:
        parses: are Python.
        solves: run and end optimal.
        right: print the right profit.
        loss: mean loss of an answer token.
    """

    parses: float
    solves: float
    right: float
    loss: float


def toy_scores(model: TinyDecoder, pairs: list[ToyPair], sandbox: Sandbox) -> ToyScores:
    """Let a model write a program for each question, and run them."""
    from optimand.language.modeling.execution import extract_code, run_program

    tokens = ByteTokenizer()
    model.eval()
    parsed = solved = right = 0
    for pair in pairs:
        messages = to_messages(pair, "")
        ids, targets = encode_chat(messages, tokens)
        prompt = ids[: next(k for k, target in enumerate(targets) if target >= 0)]
        code = extract_code(tokens.decode(model.continued(prompt, len(ids) - len(prompt) + 20, tokens.end)))
        try:
            ast.parse(code)
        except (SyntaxError, ValueError):
            continue
        parsed += bool(code.strip())
        ran = run_program(code, sandbox)
        solved += ran.status == "optimal"
        right += ran.status == "optimal" and abs(ran.values.get("objective", np.nan) - pair.objective) < 1e-6
    n = len(pairs)
    return ToyScores(parsed / n, solved / n, right / n, held_out_loss(model, pairs, tokens, ""))


def toy_finetuning(
    model: TinyDecoder, *, pairs: int = 1600, epochs: int = 1, batch: int = 8, lr: float = 3e-3, seed: int = 0
) -> FineTuning:
    """Fine-tune a decoder on toy pairs with the recipe's schedule and mask, at a rate for a model of its size."""
    made = [toy_pair(seed, k) for k in range(pairs)]
    return finetune(
        model, made, ByteTokenizer(), epochs=epochs, lr=lr, batch=batch, accumulation=1, system="", seed=seed
    )
