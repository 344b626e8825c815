"""Templates of linear problems about plans: transport, assignment, fixed charge, shifts, stock."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optimand.language.modeling.formulations.formulation import Variable

from .linear_templates import total
from .problem_specs import Column, Facts, ProblemSpec, Rule, identifier, joined
from .vocabulary import VocabularySampler, vocabulary


def transport(w: VocabularySampler) -> ProblemSpec:
    """What to send from where to where."""
    s, t = w.number(2, 3), w.number(2, 3)
    cargo = w.rotating("cargo", 1)[0]
    origins, goals = [w.town() for _ in range(s)], [w.town() for _ in range(t)]
    cost = [[w.number(3, 49) for _ in goals] for _ in origins]
    need = [w.number(20, 190) for _ in goals]
    have = [w.number(20, 160) for _ in origins]
    have[0] += max(0, sum(need) - sum(have)) + w.number(5, 60)
    name = {(i, j): identifier(a, b) for i, a in enumerate(origins) for j, b in enumerate(goals)}
    supply = tuple(f"{total(np.ones(t), [name[i, j] for j in range(t)])} <= {have[i]}" for i in range(s))
    demand = tuple(f"{total(np.ones(s), [name[i, j] for i in range(s)])} >= {need[j]}" for j in range(t))
    rules = [
        Rule(
            joined([f"{a} can send {v} tonnes" for a, v in zip(origins, have, strict=True)]) + ".", supply,
        ),
        Rule(joined([f"{b} needs {v} tonnes" for b, v in zip(goals, need, strict=True)]) + ".", demand),
    ]  # fmt: skip
    if w.rng.integers(2):
        i, j = int(w.rng.integers(s)), int(w.rng.integers(t))
        limit = w.number(15, 60)
        rules.append(
            Rule(f"The road from {origins[i]} to {goals[j]} bears {limit} tonnes.", (f"{name[i, j]} <= {limit}",))
        )
    intro = w.pick(
        "{firm} hauls {cargo} from {origins} to {goals}.",
        "{cargo} is stored in {origins} and wanted in {goals}; {person} plans the hauls.",
        "From the yards at {origins}, {cargo} goes to {goals}.",
    ).format(firm=w.firm(), person=w.person(), cargo=cargo, origins=joined(origins), goals=joined(goals))
    intro += w.pick(" Costs are per tonne.", " The hauls are paid by the tonne.")
    columns = [Column(f"haul to {goal}", "$") for goal in goals]
    pairs = [(i, j) for i in range(s) for j in range(t)]
    return ProblemSpec(
        intro[0].upper() + intro[1:],
        [Facts(w.pick("From", "Origin", "Yard"), origins, columns, cost)],
        w.pick("How many tonnes should go each way so that the cost is least?", "Find the cheapest plan of hauls."),
        tuple(Variable(name[p], f"tonnes of {cargo} from {origins[p[0]]} to {goals[p[1]]}") for p in pairs),
        "minimize", total([cost[i][j] for i, j in pairs], [name[p] for p in pairs]), "Total cost", rules,
    )  # fmt: skip


def assignment(w: VocabularySampler) -> ProblemSpec:
    """Who does what."""
    subject, round_ = w.subject("team")
    n = w.number(3, 4)
    tasks = w.tagged(w.some(subject["tasks"], n, round_))
    people = [w.person() for _ in range(n)]
    minutes = [[w.number(12, 98) for _ in tasks] for _ in people]
    name = {(i, j): identifier(a, b) for i, a in enumerate(people) for j, b in enumerate(tasks)}
    pairs = list(name)
    once = tuple(f"{total(np.ones(n), [name[i, j] for j in range(n)])} == 1" for i in range(n))
    done = tuple(f"{total(np.ones(n), [name[i, j] for i in range(n)])} == 1" for j in range(n))
    rules = [
        Rule(w.pick("Everyone gets a single task.", "Nobody does more or less than a single task."), once),
        Rule(w.pick("Every task needs somebody.", "All the tasks have to be done."), done),
    ]
    if w.rng.integers(2):
        i, j = int(w.rng.integers(n)), int(w.rng.integers(n))
        rules.append(Rule(f"{people[i]} cannot take over the {tasks[j]}.", (f"{name[i, j]} == 0",)))
    intro = w.pick(
        "In the {place} of {town}, {people} share the tasks {tasks}.",
        "{people} work for a {place} near {town}. To be done are {tasks}.",
        "A {place} in {town} has to hand out {tasks} among {people}.",
    ).format(place=subject["place"], town=w.town(), people=joined(people), tasks=joined(tasks))
    intro += w.pick(" Times are in minutes.", " All times count minutes.")
    columns = [Column(task) for task in tasks]
    return ProblemSpec(
        intro, [Facts(w.pick("Person", "Name", "Who"), people, columns, minutes)],
        w.pick("Hand out the tasks so that the total time is least.", "Who should do what, for the least total time?"),
        tuple(Variable(name[p], f"whether {people[p[0]]} does the {tasks[p[1]]}", "binary") for p in pairs),
        "minimize", total([minutes[i][j] for i, j in pairs], [name[p] for p in pairs]), "Total minutes", rules,
    )  # fmt: skip


def fixed_charge(w: VocabularySampler) -> ProblemSpec:
    """Which plants to open, and what each makes."""
    n = w.number(2, 4)
    maker, goods, _ = w.goods(1)
    plants = [w.town() for _ in range(n)]
    fixed = [w.number(180, 2400, 20) for _ in plants]
    unit = [w.number(4, 39) for _ in plants]
    size = [w.number(60, 300, 5) for _ in plants]
    demand = int(sum(size) * w.number(45, 85) / 100)
    opens, makes = [identifier("open", p) for p in plants], [identifier("make", p) for p in plants]
    rules = [
        Rule(
            w.pick("A plant that is closed makes nothing; an open one is bound by its capacity.",
                   "Capacity counts at opened plants only."),
            tuple(f"{x} <= {c}*{y}" for x, c, y in zip(makes, size, opens, strict=True)),
        ),
        Rule(
            w.pick("Altogether {} {} are ordered.", "Orders for {} {} have to be filled.").format(demand, goods[0]),
            (f"{total(np.ones(n), makes)} >= {demand}",),
        ),
    ]  # fmt: skip
    if n > 2 and w.rng.integers(2):
        a, b = w.rng.permutation(n)[:2]
        rules.append(
            Rule(
                f"The manager can look after {plants[a]} or {plants[b]}, not both.", (f"{opens[a]} + {opens[b]} <= 1",)
            )
        )
    intro = w.pick(
        "{firm}, a {maker}, can make {goods} at {plants}.",
        "{person} owns a {maker} with sites at {plants} and makes {goods}.",
        "For its {goods} the {maker} {firm} may run sites in {plants}.",
    ).format(firm=w.firm(), person=w.person(), maker=maker, goods=goods[0], plants=joined(plants))
    columns = [Column("cost of opening", "$"), Column("cost per piece", "$"), Column("capacity", unit="pieces")]
    return ProblemSpec(
        intro,
        [Facts(w.pick("Plant", "Site", "Town"),
               plants, columns, [list(r) for r in zip(fixed, unit, size, strict=True)])],
        w.pick("Which plants should open and what should each make, at the least cost?", "Keep the total cost least."),
        (*(Variable(y, f"whether to open {p}", "binary") for y, p in zip(opens, plants, strict=True)),
         *(Variable(x, f"number of {goods[0]} made at {p}", "integer") for x, p in zip(makes, plants, strict=True))),
        "minimize", f"{total(fixed, opens)} + {total(unit, makes)}", "Total cost", rules,
    )  # fmt: skip


def shifts(w: VocabularySampler) -> ProblemSpec:
    """How many people begin with each shift of a cycle."""
    subject, round_ = w.subject("service")
    staff = subject["staff"][round_ % len(subject["staff"])]
    n = w.number(4, 6)
    periods = [w.person() for _ in range(n)]
    need = [w.number(3, 38) for _ in periods]
    wage = [w.number(70, 160) for _ in periods]
    names = [identifier("with", p) for p in periods]
    cover = tuple(f"{names[k - 1]} + {names[k]} >= {need[k]}" for k in range(n))
    room = w.number(max(need) + 2, 2 * max(need))
    rules = [
        Rule(
            w.pick("Whoever begins stays for that shift and the following; the last is followed by the first.",
                   "Everybody works in the shift of arrival and in the next; after the last comes the first."),
            cover,
        ),
    ]  # fmt: skip
    k = int(w.rng.integers(n))
    rules.append(
        Rule(
            w.pick("No more than {} can begin with {}.", "At most {} may arrive for {}.").format(room, periods[k]),
            (f"{names[k]} <= {room}",),
        )
    )
    intro = w.pick(
        "The {place} at {town} needs {staff} around the clock; shifts are named after their leaders: {periods}.",
        "{person} makes the roster of {staff} for a {place} in {town}, with shifts named after the leaders {periods}.",
        "{periods} each lead a shift in the {place} at {town}. How many {staff} begin with each is to be settled.",
    ).format(place=subject["place"], town=w.town(), person=w.person(), staff=staff, periods=joined(periods))
    columns = [Column(f"need of {staff}"), Column("pay of one who begins then", "$")]
    return ProblemSpec(
        intro,
        [Facts(w.pick("Shift", "Begin"), periods, columns, [list(r) for r in zip(need, wage, strict=True)])],
        w.pick("The pay should sum to the least.", "Find the cheapest roster."),
        tuple(Variable(x, f"number of {staff} who begin with {p}", "integer")
            for x, p in zip(names, periods, strict=True)),
        "minimize", total(wage, names), "Total pay", rules,
    )  # fmt: skip


def stock(w: VocabularySampler) -> ProblemSpec:
    """What to make in each month, and what to keep."""
    n = w.number(3, 4)
    maker, goods, _ = w.goods(1)
    begin = int(w.rng.integers(12))
    months = [vocabulary()["months"][(begin + k) % 12] for k in range(n)]
    demand = [w.number(20, 140) for _ in months]
    cost = [w.number(9, 60) for _ in months]
    capacity = int(max(sum(demand[: k + 1]) / (k + 1) for k in range(n))) + w.number(6, 50)
    hold, first = w.number(1, 6), w.number(2, 18)
    make, keep = [identifier("make", m) for m in months], [identifier("keep", m) for m in months]
    flow = [f"{first} + {make[0]} - {keep[0]} == {demand[0]}"]
    flow += [f"{keep[k - 1]} + {make[k]} - {keep[k]} == {demand[k]}" for k in range(1, n)]
    rules = [
        Rule(
            w.pick("At the beginning {} {} are in stock, and every demand has to be met.",
                   "There is a first stock of {} {}; all demand must be served.").format(first, goods[0]),
            tuple(flow),
        ),
        Rule(
            w.pick("A month allows {} pieces.", "No month can bring out more than {} pieces.").format(capacity),
            tuple(f"{x} <= {capacity}" for x in make),
        ),
    ]  # fmt: skip
    intro = w.pick(
        "{firm} is a {maker} in {town} that sells {goods}; it plans {months}.",
        "{person} plans {months} for a {maker} at {town} whose trade is {goods}.",
        "During {months} the {maker} {firm} has to supply {goods} to {town}.",
    ).format(firm=w.firm(), maker=maker, town=w.town(), person=w.person(), goods=goods[0], months=joined(months))
    goal = w.pick(
        "To keep a piece over the end of a month costs ${}. Find the plan with the least cost.",
        "A piece left at the end of a month costs ${} of storage. What should be made when, at the least total cost?",
    ).format(hold)
    columns = [Column("demand", unit="pieces"), Column("cost of making a piece", "$")]
    return ProblemSpec(
        intro,
        [Facts(w.pick("Month", "Time"), months, columns, [list(r) for r in zip(demand, cost, strict=True)])],
        goal,
        (*(Variable(x, f"number of {goods[0]} made in {m}", "integer") for x, m in zip(make, months, strict=True)),
         *(Variable(x, f"number of {goods[0]} kept after {m}", "integer") for x, m in zip(keep, months, strict=True))),
        "minimize", f"{total(cost, make)} + {total([hold] * n, keep)}", "Total cost", rules,
    )  # fmt: skip


PLANS: dict[str, Callable[[VocabularySampler], ProblemSpec]] = {
    "transport": transport, "assignment": assignment, "fixed-charge": fixed_charge, "shifts": shifts, "stock": stock,
}  # fmt: skip
