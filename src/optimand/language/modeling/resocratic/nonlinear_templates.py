"""Templates of nonlinear problems in whole numbers: ratios, falling prices, products of unknowns, the slowest, lots."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optimand.language.modeling.formulations.formulation import Variable

from .linear_templates import total
from .problem_specs import Column, Facts, ProblemSpec, Rule, amount, identifier, joined, written
from .vocabulary import VocabularySampler


def ratio(w: VocabularySampler) -> ProblemSpec:
    """The largest profit for each hour of work."""
    n = w.number(2, 3)
    maker, goods, inputs = w.goods(n, wares=True)
    names = [identifier(good) for good in goods]
    profit = [w.number(15, 140) for _ in goods]
    hours = [w.number(2, 12) for _ in goods]
    need = [w.number(3, 17) for _ in goods]
    least = [w.number(3, 14) for _ in goods]
    spare = w.number(40, 160)
    have = int(np.dot(need, least)) + spare
    pieces = sum(least) + w.number(1, spare // max(need))
    # An input measured in time would leave open which hours the profit is divided by.
    scarce, unit = next(entry for entry in inputs if entry[1] not in ("minutes", "hours", "days"))
    rules = [
        Rule(
            w.pick("No more than {} can be used.", "In all, {} are available.").format(amount(have, unit, scarce)),
            (f"{total(need, names)} <= {have}",),
        ),
        Rule(
            w.pick("The minimum numbers have to be made.", "Every minimum must be kept."),
            tuple(f"{x} >= {v}" for x, v in zip(names, least, strict=True)),
        ),
        Rule(
            w.pick("At least {} pieces are to be made in all.", "Together it must be {} pieces or more.").format(
                pieces
            ),
            (f"{total(np.ones(n), names)} >= {pieces}",),
        ),
    ]
    intro = w.pick(
        "{firm}, a {maker} at {town}, judges its work on {goods} by the profit per hour.",
        "{person} of {town} has a {maker} and makes {goods}; what counts is the profit for an hour of work.",
        "Earnings per hour matter most to the {maker} {firm}, which offers {goods}.",
    ).format(firm=w.firm(), maker=maker, town=w.town(), person=w.person(), goods=joined(goods))
    columns = [
        Column("profit per piece", "$"), Column("work per piece", unit="hours"),
        Column(f"{scarce} per piece", unit=unit), Column("minimum", unit="pieces"),
    ]  # fmt: skip
    values = [list(row) for row in zip(profit, hours, need, least, strict=True)]
    return ProblemSpec(
        intro, [Facts(w.pick("Product", "Article", "Line"), goods, columns, values)],
        w.pick("How many of each give the largest total profit divided by the total hours of work?",
               "Make the quotient of all profit and all hours of work as large as possible."),
        tuple(Variable(x, f"number of {g}", "integer") for x, g in zip(names, goods, strict=True)),
        "maximize", f"({total(profit, names)}) / ({total(hours, names)})", "Profit per hour", rules,
    )  # fmt: skip


def falling_price(w: VocabularySampler) -> ProblemSpec:
    """Amounts to sell when the price falls with the amount."""
    n = w.number(2, 3)
    maker, goods, inputs = w.goods(n)
    names = [identifier(good) for good in goods]
    top = [w.number(60, 240, 2) for _ in goods]
    most = [w.number(18, 42) for _ in goods]
    slope = [w.number(10, 30) / 10 for _ in goods]
    need = [w.number(2, 9) for _ in goods]
    have = int(np.dot(need, most) * w.number(35, 70) / 100)
    scarce, unit = inputs[0]
    rules = [
        Rule(
            w.pick("There are {}.", "No more than {} can be had.").format(amount(have, unit, scarce)),
            (f"{total(need, names)} <= {have}",),
        ),
        Rule(
            w.pick("The limits of the market hold.", "Nobody buys beyond the stated limits."),
            tuple(f"{x} <= {v}" for x, v in zip(names, most, strict=True)),
        ),
    ]
    intro = w.pick(
        "The more {goods} {firm} of {town} brings to market, the lower their prices; it is a {maker}.",
        "{person}, who has a {maker} in {town}, knows that prices of {goods} fall with the pieces sold.",
        "Prices at {town} give way when the {maker} {firm} sells many {goods}.",
    ).format(firm=w.firm(), maker=maker, town=w.town(), person=w.person(), goods=joined(goods))
    columns = [
        Column("price of the first piece", "$"), Column("fall of the price with each piece", "$"),
        Column(f"{scarce} per piece", unit=unit), Column("limit of sales", unit="pieces"),
    ]  # fmt: skip
    objective = " + ".join(f"({written(a)} - {written(b)}*{x})*{x}" for a, b, x in zip(top, slope, names, strict=True))
    goal = w.pick(
        "All pieces of a kind sell at the price that is left after the fall for all of them. Find the largest revenue.",
        "A kind's price is that of its first piece less its fall times the pieces sold. The revenue should be largest.",
    )
    return ProblemSpec(
        intro,
        [Facts(w.pick("Kind", "Product"),
               goods, columns, [list(r) for r in zip(top, slope, need, most, strict=True)])],
        goal, tuple(Variable(x, f"number of {g}", "integer") for x, g in zip(names, goods, strict=True)),
        "maximize", objective, "Total revenue", rules,
    )  # fmt: skip


def crews(w: VocabularySampler) -> ProblemSpec:
    """How many lines to run, and how many people on each."""
    maker, goods, _ = w.goods(2)
    lines = [identifier(good, "lines") for good in goods]
    people = [identifier(good, "people") for good in goods]
    gain = [w.number(20, 180) for _ in goods]
    power = [w.number(2, 9) for _ in goods]
    most_lines = [w.number(4, 9) for _ in goods]
    most_people = [w.number(3, 8) for _ in goods]
    cells = sum(a * b for a, b in zip(most_lines, most_people, strict=True))
    staff = int(cells * w.number(35, 60) / 100)
    energy = int(
        sum(p * a * b for p, a, b in zip(power, most_lines, most_people, strict=True)) * w.number(40, 70) / 100
    )
    crew = [f"{a}*{b}" for a, b in zip(lines, people, strict=True)]
    rules = [
        Rule(
            w.pick("The whole staff numbers {}.", "No more than {} people can be employed.").format(staff),
            (" + ".join(crew) + f" <= {staff}",),
        ),
        Rule(
            w.pick("The mains give {} kW.", "No more than {} kW of power may be drawn.").format(energy),
            (" + ".join(f"{p}*{c}" for p, c in zip(power, crew, strict=True)) + f" <= {energy}",),
        ),
        Rule(
            w.pick("The halls hold no more lines than stated, and a line no more people.",
                   "The greatest numbers of lines, and of people on a line, are binding."),
            tuple(f"{x} <= {v}" for x, v in zip([*lines, *people], [*most_lines, *most_people], strict=True)),
        ),
    ]  # fmt: skip
    intro = w.pick(
        "In {town}, {firm}, a {maker}, runs lines for {goods}, each with the same number of people on lines of a kind.",
        "{person}'s {maker} at {town} has lines for {goods}; lines for the same product are staffed alike.",
        "How many lines for {goods}, and how many people on each, is the question at the {maker} {firm}.",
    ).format(firm=w.firm(), maker=maker, town=w.town(), person=w.person(), goods=joined(goods))
    columns = [
        Column("gain per person in a day", "$"), Column("power per person", unit="kW"),
        Column("greatest number of lines"), Column("greatest number of people on a line"),
    ]  # fmt: skip
    values = [list(row) for row in zip(gain, power, most_lines, most_people, strict=True)]
    return ProblemSpec(
        intro, [Facts(w.pick("Product", "Line"), goods, columns, values)],
        w.pick("The total gain in a day should be largest.", "Which plan earns the most in a day?"),
        (*(Variable(x, f"number of lines for {g}", "integer") for x, g in zip(lines, goods, strict=True)),
         *(Variable(x, f"number of people on a line for {g}", "integer") for x, g in zip(people, goods, strict=True))),
        "maximize", " + ".join(f"{v}*{c}" for v, c in zip(gain, crew, strict=True)), "Total gain", rules,
    )  # fmt: skip


def slowest(w: VocabularySampler) -> ProblemSpec:
    """People on stations so that the later of two orders is ready early."""
    n = w.number(3, 4)
    maker, goods, _ = w.goods(2, wares=True)
    stations = [w.town() for _ in range(n)]
    names = [identifier("people", s) for s in stations]
    rate = [[w.number(5, 60) for _ in goods] for _ in stations]
    order = [w.number(300, 2400, 10) for _ in goods]
    most = [w.number(6, 15) for _ in stations]
    staff = int(sum(most) * w.number(45, 75) / 100)
    times = [f"{order[j]} / ({total([rate[i][j] for i in range(n)], names)})" for j in range(2)]
    rules = [
        Rule(
            w.pick("{} people are at hand.", "The staff counts {} people.").format(staff),
            (f"{total(np.ones(n), names)} <= {staff}",),
        ),
        Rule(
            w.pick("Each workshop has a limited number of places.", "The places in the workshops are limited."),
            tuple(f"{x} <= {v}" for x, v in zip(names, most, strict=True)),
        ),
        Rule(
            w.pick("In {} somebody has to be present.", "The workshop of {} may not stay empty.").format(stations[0]),
            (f"{names[0]} >= 1",),
        ),
    ]
    intro = w.pick(
        "{firm}, a {maker}, has workshops in {stations} where {goods} are made side by side.",
        "People can be sent to the workshops of a {maker} in {stations}; each makes {goods} at the same time.",
        "{person} owns a {maker} with workshops at {stations}, all of which turn out {goods} together.",
    ).format(firm=w.firm(), maker=maker, person=w.person(), stations=joined(stations), goods=joined(goods))
    intro += w.pick(" Whoever works there turns out both at once.", " A person makes both at these rates together.")
    columns = [*(Column(f"output of {g} per person and week") for g in goods), Column("room", unit="people")]
    goal = w.pick(
        "Ordered are {} {} and {} {}. How soon can the later order be ready, with all workshops at work together?",
        "For orders of {} {} and {} {}, find the least number of weeks until both are done; all work in parallel.",
    ).format(order[0], goods[0], order[1], goods[1])
    return ProblemSpec(
        intro,
        [Facts(w.pick("Workshop", "Site"),
               stations, columns, [[*r, m] for r, m in zip(rate, most, strict=True)])],
        goal, tuple(Variable(x, f"number of people in {s}", "integer") for x, s in zip(names, stations, strict=True)),
        "minimize", f"max({times[0]}, {times[1]})", "Weeks until both orders are ready", rules,
    )  # fmt: skip


def _best_lots(
    demand: list[int], order: list[int], keep: list[int], most: list[int], room: int
) -> tuple[float, list[int], bool]:
    """The least yearly cost over all lots that have room, where it is, and whether only there."""
    n = len(demand)
    cost, size = np.zeros((1,) * n), np.zeros((1,) * n)
    for axis in range(n):
        x = np.arange(1, most[axis] + 1).reshape([-1 if other == axis else 1 for other in range(n)])
        cost, size = cost + order[axis] * demand[axis] / x + keep[axis] * x / 2, size + x
    cost = np.where(size <= room, cost, np.inf)
    best = float(cost.min())
    at = np.unravel_index(int(cost.argmin()), cost.shape)
    return best, [int(k) + 1 for k in at], int((cost <= best * (1 + 1e-9)).sum()) == 1


def lots(w: VocabularySampler) -> ProblemSpec:
    """How much to order at a time, with room for all lots.

    The orders in a year are variables of their own: SCIP 10.0 takes quotients that differ in their constant for
    symmetric and calls a wrong point optimal (``python benchmarks/modeling.py --quotients 600``).
    """
    n = w.number(2, 3)
    maker, goods, _ = w.goods(n, wares=True)
    names = [identifier(good, "lot") for good in goods]
    demand = [w.number(200, 3000, 20) for _ in goods]
    order = [w.number(8, 90) for _ in goods]
    keep = [w.number(1, 9) for _ in goods]
    most = [w.number(15, 38) for _ in goods]
    room = int(sum(most) * w.number(45, 80) / 100)
    orders = [identifier(good, "orders") for good in goods]
    best, at, unique = _best_lots(demand, order, keep, most, room)
    point = dict(zip(names, map(float, at), strict=True))
    point |= {o: d / x for o, d, x in zip(orders, demand, at, strict=True)}
    rules = [
        Rule(
            w.pick("The store has room for {} pieces when all lots come at once.",
                   "All lots together may have {} pieces.").format(room),
            (f"{total(np.ones(n), names)} <= {room}",),
        ),
        Rule(
            w.pick("A lot has a single piece or more, and the supplier's largest lots are binding.",
                   "Each lot is a whole number, not zero and not beyond the supplier's limit."),
            tuple(r for x, v in zip(names, most, strict=True) for r in (f"{x} >= 1", f"{x} <= {v}")),
        ),
        Rule(
            w.pick("The orders of a year must bring the demand; on average they need not be a whole number.",
                   "Orders times lot make up the yearly demand, where a fraction of an order counts as such."),
            tuple(f"{o} * {x} >= {d}" for o, x, d in zip(orders, names, demand, strict=True)),
        ),
    ]  # fmt: skip
    intro = w.pick(
        "A shop in {town} buys {goods} from the {maker} {firm} in lots of constant size.",
        "{person} resells {goods} at {town} and orders them from a {maker}, always the same lot of each.",
        "Lots of {goods} come from a {maker}; {firm} in {town} sells them evenly through the year.",
    ).format(firm=w.firm(), maker=maker, town=w.town(), person=w.person(), goods=joined(goods))
    columns = [
        Column("yearly demand", unit="pieces"), Column("cost of an order", "$"),
        Column("cost of keeping a piece for a year", "$"), Column("largest lot", unit="pieces"),
    ]  # fmt: skip
    goal = w.pick(
        "Half a lot is in stock on average. Which lots give the least yearly cost of orders and stock?",
        "The yearly cost, of orders and of the stock (half of each lot on average), should be least.",
    )
    return ProblemSpec(
        intro,
        [Facts(w.pick("Article", "Ware"),
               goods, columns, [list(r) for r in zip(demand, order, keep, most, strict=True)])],
        goal,
        (*(Variable(x, f"lot size of {g}", "integer", 1.0) for x, g in zip(names, goods, strict=True)),
         *(Variable(o, f"number of orders of {g} in a year") for o, g in zip(orders, goods, strict=True))),
        "minimize", " + ".join(f"{k}*{o} + {h}*{x}/2" for k, o, h, x in zip(order, orders, keep, names, strict=True)),
        "Yearly cost", rules, best, point, unique,
    )  # fmt: skip


WHOLE: dict[str, Callable[[VocabularySampler], ProblemSpec]] = {
    "ratio": ratio, "falling-price": falling_price, "crews": crews, "slowest": slowest, "lots": lots,
}  # fmt: skip
