"""What is checked of a model's reading of a problem: misreadings of a bakery, and which check finds each.

    python examples/modeling_gallery.py modeling.png

A scripted model reads one problem in seven ways: right, and with the mistakes that models make. Each reading becomes a
program, runs in the sandbox, and is checked without knowing the true answer. Left: the feasible region and the optimum
that each reading finds. Right: the checks; a reading counts as verified only if all hold and two attempts agree.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from optimand.language.llm import Scripted
from optimand.language.modeling import Constraint, Formulation, Variable, answer, open_sandbox
from optimand.language.modeling.answers.answering import Answer

TEXT = (
    "A bakery makes chestnut cakes and vanilla cakes. A chestnut cake takes 3 eggs and earns $8; a vanilla cake takes "
    "2 eggs and earns $6. At most 90 eggs can be used. The oven has room for no more than 40 cakes in all. How many of "
    "each should it bake to earn the most?"
)
RIGHT = Formulation(
    (Variable("c", "number of chestnut cakes", "integer"), Variable("v", "number of vanilla cakes", "integer")),
    "maximize",
    "8*c + 6*v",
    (Constraint("3*c + 2*v <= 90", "eggs"), Constraint("c + v <= 40", "room in the oven")),
)
EGGS, ROOM = RIGHT.constraints


def readings() -> dict[str, Formulation]:
    """The right reading, and others that look like it."""
    return {
        "as the text says": RIGHT,
        "earnings exchanged": replace(RIGHT, objective="6*c + 8*v"),
        "no limit of eggs": replace(RIGHT, constraints=(ROOM,)),
        "eggs: at least": replace(RIGHT, constraints=(Constraint("3*c + 2*v >= 90"), ROOM)),
        "a number invented": replace(RIGHT, constraints=(Constraint("3*c + 2*v <= 95"), ROOM)),
        "least earnings": replace(RIGHT, sense="minimize"),
        "no limit at all": replace(RIGHT, constraints=()),
    }


def read(formulation: Formulation, sandbox: Any) -> Answer:
    """The answer when a model gives this reading at every attempt."""
    chat = Scripted([json.dumps(formulation.to_dict())], repeat=True)
    return answer(TEXT, chat=chat, sandbox=sandbox, attempts=2)


def draw_region(axis: Any, answers: Mapping[str, Answer]) -> None:
    """The true feasible region with the optima of all readings."""
    c, v = np.meshgrid(np.linspace(0, 48, 400), np.linspace(0, 48, 400))
    axis.contourf(c, v, (3 * c + 2 * v <= 90) & (c + v <= 40), levels=[0.5, 1.5], colors=["#e8f1f6"])
    axis.contour(c, v, 8 * c + 6 * v, levels=12, colors="#b8c4ce", linewidths=0.8)
    shown: dict[tuple[float, float], list[str]] = {}
    for name, found in answers.items():
        if found.values:
            shown.setdefault((found.values["c"], found.values["v"]), []).append(name)
    for (x, y), names in shown.items():
        right = answers[names[0]].verified
        axis.plot(x, y, "*" if right else "o", color="#00798c" if right else "#d1495b", ms=16 if right else 8)
        near_edge = x > 25
        axis.annotate(
            "\n".join(names), (x, y), textcoords="offset points", xytext=(-9 if near_edge else 9, 8), fontsize=9,
            ha="right" if near_edge else "left",
        )  # fmt: skip
    axis.set(
        xlim=(-1, 48), ylim=(-1, 48), xlabel="chestnut cakes", ylabel="vanilla cakes", title="where each reading ends"
    )


def draw_checks(axis: Any, answers: Mapping[str, Answer]) -> None:
    """A row for each reading, a column for each check."""
    columns = list(dict.fromkeys(check.name for found in answers.values() for check in found.checks))
    colors = {True: "#7fb7a4", False: "#d1495b", None: "#e6e6e6"}
    for row, found in enumerate(answers.values()):
        by_name = {check.name: check.ok for check in found.checks}
        for column, name in enumerate(columns):
            axis.barh(row + 0.5, 0.88, left=column + 0.06, height=0.8, color=colors[by_name.get(name)])
        verdict = "verified" if found.verified else "not verified"
        axis.text(len(columns) + 0.2, row + 0.5, verdict, va="center", fontsize=10,
                  color="#00798c" if found.verified else "#d1495b")  # fmt: skip
    axis.set_yticks([row + 0.5 for row in range(len(answers))], list(answers))
    axis.set_xticks([column + 0.5 for column in range(len(columns))], columns, rotation=40, ha="right")
    axis.set(
        xlim=(0, len(columns) + 2.6), ylim=(len(answers), 0), title="green: holds, red: fails, grey: does not apply"
    )
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)


def main(target: str) -> None:
    """Draw the gallery into the file ``target``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with open_sandbox(workers=1) as sandbox:
        answers = {name: read(formulation, sandbox) for name, formulation in readings().items()}
    figure, axes = plt.subplots(1, 2, figsize=(14, 5.6), width_ratios=[1, 1.35], layout="constrained")
    draw_region(axes[0], answers)
    draw_checks(axes[1], answers)
    figure.savefig(target, dpi=120)
    for name, found in answers.items():
        print(f"{name:20} {found.objective!s:>8}  {found.reason}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "modeling.png")
