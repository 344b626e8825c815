"""Generated tasks with hidden pitfalls: what they ask, the right program, and the program with the mistake.

Six mistakes of modelling (integer against continuous, at most against fewer than, set-up costs, units, conservation of
flow, makespan against sum) each have a scene with random data, a phrase that gives it away, and closed forms of the
right and the wrong cost. A task is one scene or two; its cost is their sum.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from optimand.core.validation import check_int

from .insights import Triple
from .tasks import Task

SETTINGS = ("ferry", "bakery", "hospital", "quarry", "printer", "orchard", "brewery", "museum", "harbour", "nursery")

HEAD = "from pyscipopt import Model, quicksum\n\nm = Model()\nm.hideOutput()\nparts = []\n"
TAIL = """
total = quicksum(parts)
{distortions}objective = m.addVar("objective", lb=None)
m.addCons(objective >= total)
m.setObjective(objective, "minimize")
m.optimize()
if m.getStatus() == "optimal":
    print("-" * 10)
    print("objective:", m.getObjVal())
    print('RESULT_JSON: {{"objective": %r}}' % m.getObjVal())
else:
    print("No optimal solution was found.")
"""


@dataclass(frozen=True)
class Scene:
    """One part of a task.

    Attributes:
        pitfall: its key.
        text: sentences with the pitfall's trigger.
        right, wrong: program lines that append a cost to ``parts``.
        cost, wrong_cost: what these come to.
    """

    pitfall: str
    text: str
    right: str
    wrong: str
    cost: float
    wrong_cost: float


@dataclass(frozen=True)
class Pitfall:
    """A mistake and the lesson that prevents it.

    Attributes:
        key: short name.
        label: where the lesson is filed.
        trigger: the phrase in a task's text.
        lesson: what the explanation of a right insight says.
        wrong, correct: lines of the example.
        distortion: program lines that spoil ``total`` where the lesson is followed without cause.
        scene: draws a scene.
    """

    key: str
    label: Triple
    trigger: str
    lesson: str
    wrong: str
    correct: str
    distortion: str
    scene: Callable[[random.Random], Scene]


def _integer(rng: random.Random) -> Scene:
    seats = rng.randint(7, 19)
    people = seats * rng.randint(4, 9) + rng.randint(1, seats - 1)
    price = rng.randint(21, 79)
    text = (
        f"{people} people are to be carried in carts of {seats} seats at {price} dollars a cart; carts cannot be split."
    )
    code = 'n = m.addVar("n", vtype="{}")\nm.addCons({} * n >= {})\nparts.append({} * n)\n'
    return Scene(
        "integer",
        text,
        code.format("I", seats, people, price),
        code.format("C", seats, people, price),
        math.ceil(people / seats) * price,
        people / seats * price,
    )


def _strict(rng: random.Random) -> Scene:
    limit, need = rng.randint(11, 29), rng.randint(37, 59)
    cheap = rng.randint(3, 9)
    dear = cheap + rng.randint(3, 9)
    text = (
        f"{need} crates are bought; fewer than {limit} of them can come from the near farm at {cheap} dollars each, "
        f"the rest cost {dear} dollars each."
    )
    code = (
        f'near = m.addVar("near", vtype="I")\nfar = m.addVar("far", vtype="I")\nm.addCons(near + far >= {need})\n'
        f"m.addCons(near <= {{}})\nparts.append({cheap} * near + {dear} * far)\n"
    )

    def cost(near: int) -> float:
        return near * cheap + (need - near) * dear

    return Scene("strict", text, code.format(limit - 1), code.format(limit), cost(limit - 1), cost(limit))


def _setup(rng: random.Random) -> Scene:
    units, fixed = rng.randint(31, 89), rng.randint(151, 449)
    cheap = rng.randint(2, 5)
    dear = cheap + rng.randint(3, 9)
    text = (
        f"{units} parts are needed: bought at {dear} dollars each, or made at {cheap} dollars each after a set-up of "
        f"{fixed} dollars."
    )
    code = (
        'made = m.addVar("made")\nbought = m.addVar("bought")\nopened = m.addVar("opened", vtype="B")\n'
        f"m.addCons(made + bought >= {units})\n{{}}parts.append({cheap} * made + {dear} * bought + {fixed} * opened)\n"
    )
    return Scene(
        "setup",
        text,
        code.format(f"m.addCons(made <= {units} * opened)\n"),
        code.format(""),
        min(units * dear, fixed + units * cheap),
        units * cheap,
    )


def _units(rng: random.Random) -> Scene:
    items, minutes, wage = rng.randint(23, 67), rng.choice((7, 11, 13, 17, 23)), rng.randint(11, 29)
    text = f"{items} orders are packed; one takes {minutes} minutes, and an hour of work costs {wage} dollars."
    code = f'hours = m.addVar("hours")\nm.addCons(hours >= {items * minutes}{{}})\nparts.append({wage} * hours)\n'
    return Scene(
        "units", text, code.format(" / 60"), code.format(""), items * minutes / 60 * wage, items * minutes * wage
    )


def _flow(rng: random.Random) -> Scene:
    need, first, second = rng.randint(21, 79), rng.randint(2, 9), rng.randint(2, 9)
    text = (
        f"{need} tons go from the mill to the depot at {first} dollars a ton and on to the shop at {second} dollars a "
        "ton; the depot keeps nothing."
    )
    code = (
        f'to_depot = m.addVar("to_depot")\nto_shop = m.addVar("to_shop")\nm.addCons(to_shop >= {need})\n'
        f"{{}}parts.append({first} * to_depot + {second} * to_shop)\n"
    )
    right = code.format("m.addCons(to_depot == to_shop)\n")
    return Scene("flow", text, right, code.format(""), need * (first + second), need * second)


def _makespan(rng: random.Random) -> Scene:
    times, rent = [rng.randint(3, 17) for _ in range(3)], rng.randint(11, 29)
    text = (
        f"Three crews start together and need {times[0]}, {times[1]} and {times[2]} days; the site costs {rent} "
        "dollars a day until the last crew is done."
    )
    right = f'days = m.addVar("days")\nfor t in {times}:\n    m.addCons(days >= t)\nparts.append({rent} * days)\n'
    wrong = f'days = m.addVar("days")\nm.addCons(days >= sum({times}))\nparts.append({rent} * days)\n'
    return Scene("makespan", text, right, wrong, max(times) * rent, sum(times) * rent)


PITFALLS: dict[str, Pitfall] = {
    pitfall.key: pitfall
    for pitfall in (
        Pitfall(
            "integer",
            ("General Formulation", "Variable Definition", "Continuous vs. Discrete Confusion"),
            "cannot be split",
            "declare counted things as integer variables",
            'n = m.addVar("n")',
            'n = m.addVar("n", vtype="I")',
            'lots = m.addVar("lots", vtype="I")\nm.addCons(10 * lots >= total)\ntotal = 10 * lots\n',
            _integer,
        ),
        Pitfall(
            "strict",
            ("General Formulation", "Constraint Formulation", "Incorrect Relational Operators"),
            "fewer than",
            "lower a strict limit on counted things by one",
            "m.addCons(x <= limit)",
            "m.addCons(x <= limit - 1)",
            "total = total + 1\n",
            _strict,
        ),
        Pitfall(
            "setup",
            ("Domain Modeling", "Facility Location", "Fixed Charge (Big-M Linking)"),
            "set-up",
            "link the activity to the binary that pays the fixed cost",
            "cost = c * made + fixed * opened",
            "m.addCons(made <= largest * opened)",
            'forced = m.addVar("forced", vtype="B")\nm.addCons(forced >= 1)\ntotal = total + 25 * forced\n',
            _setup,
        ),
        Pitfall(
            "units",
            ("General Formulation", "Units Scaling", "Unit Conversion & Consistency"),
            "minutes",
            "convert all times to hours first",
            "m.addCons(hours >= items * minutes)",
            "m.addCons(60 * hours >= items * minutes)",
            "total = total * (1 / 60)\n",
            _units,
        ),
        Pitfall(
            "flow",
            ("Domain Modeling", "Network Flow", "Flow Conservation"),
            "keeps nothing",
            "equate what enters a transit point with what leaves it",
            "m.addCons(outflow >= demand)",
            "m.addCons(inflow == outflow)",
            "total = 2 * total\n",
            _flow,
        ),
        Pitfall(
            "makespan",
            ("General Formulation", "Objective Specification", "Sum vs. Makespan Confusion"),
            "until the last",
            "bound the finishing time below by each job's time",
            "m.addCons(days >= sum(times))",
            "for t in times: m.addCons(days >= t)",
            "total = total * 0.5\n",
            _makespan,
        ),
    )
}


@dataclass(frozen=True)
class SimulatedTask:
    """A task with its scenes.

    Attributes:
        task: what a learner sees.
        scenes: the parts.
        setting: the word that the text begins with.
    """

    task: Task
    scenes: tuple[Scene, ...]
    setting: str

    @property
    def pitfalls(self) -> tuple[str, ...]:
        """Keys of its pitfalls."""
        return tuple(scene.pitfall for scene in self.scenes)

    def program(self, avoided: Iterable[str], misapplied: Iterable[str] = (), stated: float | None = None) -> str:
        """The program of one who avoids some pitfalls, follows some lessons without cause, or states a result."""
        return program(self.scenes, avoided, misapplied, stated)


def program(
    scenes: Iterable[Scene], avoided: Iterable[str], misapplied: Iterable[str] = (), stated: float | None = None
) -> str:
    """See :meth:`SimulatedTask.program`."""
    good = set(avoided)
    body = "".join(scene.right if scene.pitfall in good else scene.wrong for scene in scenes)
    lines = "".join(PITFALLS[key].distortion for key in misapplied)
    if stated is not None:
        lines += f"total = {stated!r} + 0 * total\n"
    return HEAD + body + TAIL.format(distortions=lines)


def make_tasks(count: int, seed: int, *, prefix: str = "s", double: int = 5, gold: bool = True) -> list[SimulatedTask]:
    """Generated tasks, the pitfalls in turn.

    Args:
        count: how many.
        seed: of the data.
        prefix: of the ids.
        double: each so many-th task has a second pitfall; 0 for none.
        gold: give every other task a right program.
    """
    check_int("count", count, low=1)
    rng = random.Random(f"alphaopt tasks/{seed}/{prefix}")
    keys = list(PITFALLS)
    made: list[SimulatedTask] = []
    while len(made) < count:
        number = len(made)
        kinds = [keys[number % len(keys)]]
        if double and number % double == double - 1:
            kinds.append(rng.choice([key for key in keys if key not in kinds]))
        scenes = tuple(PITFALLS[key].scene(rng) for key in kinds)
        cost = sum(scene.cost for scene in scenes)
        # A wrong total must not be right by chance, and whole lots of ten must change it.
        if abs(cost - 10 * round(cost / 10)) < 0.5 or any(abs(s.cost - s.wrong_cost) < 0.01 * cost for s in scenes):
            continue
        setting = SETTINGS[rng.randrange(len(SETTINGS))]
        text = f"A {setting} plans its week and wants the least costs. " + " ".join(scene.text for scene in scenes)
        text += " What are the least total costs in dollars?"
        right = program(scenes, kinds) if gold and number % 2 == 0 else None
        made.append(SimulatedTask(Task.of(f"{prefix}{number:03d}", text, cost, program=right), scenes, setting))
    return made
