"""Templates of nonlinear problems about shapes and budgets: a bin, a fence, roots, squares; most in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from optimand.language.modeling.formulations.formulation import Variable

from .linear_templates import total
from .problem_specs import Column, Facts, ProblemSpec, Rule, identifier, joined
from .vocabulary import VocabularySampler


def box(w: VocabularySampler) -> ProblemSpec:
    """An open box on a square base, of given volume, with two prices of material.

    In whole metres: over the reals SCIP takes seconds to prove what is clear from a derivative.
    """
    content = w.tagged(w.rotating("contents", 1))[0]
    material = w.tagged(w.rotating("materials", 2), "finishes")
    town = w.town()
    volume, floor, wall = w.number(20, 900, 5), w.number(3, 40), w.number(2, 30)
    limit, widest = w.number(30, 60), w.number(8, 40)
    rules = [
        Rule(
            w.pick("It must hold {} cubic metres of {}.", "{} cubic metres of {} must fit in.").format(volume, content),
            (f"side**2 * height >= {volume}",),
        ),
        Rule(
            w.pick(
                "The yard of {1} allows {0} metres of height and a side of {2} metres, both whole numbers.",
                "At {1} it may be {0} metres tall and have sides of {2} metres at most, in whole metres.",
            ).format(limit, town, widest),
            (f"height <= {limit}", f"side <= {widest}"),
        ),
    ]
    intro = w.pick(
        "{person} of {town} builds an open bin for {content} on a square base, of {a} below and {b} around.",
        "For {content}, {firm} in {town} needs an open container: a square floor of {a}, walls of {b}.",
        "A square tank without a lid stores {content} near {town}: bottom {a}, sides {b}.",
    ).format(person=w.person(), town=town, firm=w.firm(), content=content, a=material[0], b=material[1])
    columns = [Column("price per square metre", "$")]
    return ProblemSpec(
        intro, [Facts(w.pick("Material", "Part"), material, columns, [[floor], [wall]])],
        w.pick("Which side and height make {} and {} cheapest?", "Spend the least on {} and {}.").format(*material),
        (Variable("side", f"side of the base for {content} in metres", "integer"),
         Variable("height", "height in metres", "integer")),
        "minimize", f"{floor}*side**2 + 4*{wall}*side*height", "Cost of material", rules,
    )  # fmt: skip


def fence(w: VocabularySampler) -> ProblemSpec:
    """A rectangle along a wall: the cheapest fence around a given area."""
    ground, edge = w.tagged(w.rotating("grounds", 1))[0], w.tagged(w.rotating("edges", 1))[0]
    material = w.tagged(w.rotating("materials", 2), "finishes")
    area, front, flank = w.number(60, 3000, 10), w.number(5, 48), w.number(4, 36)
    limit = w.number(9, 40)
    depth = math.sqrt(front * area / (2 * flank))
    depth = min(depth, float(limit))
    length = area / depth
    rules = [
        Rule(
            w.pick("The {1} must cover {0} square metres.", "At least {} square metres are needed for the {}.").format(
                area, ground
            ),
            (f"length * depth >= {area}",),
        ),
        Rule(
            w.pick(
                "There are {} metres of room behind the {}.", "It can reach at most {} metres away from the {}."
            ).format(limit, edge),
            (f"depth <= {limit}",),
        ),
    ]
    intro = w.pick(
        "{person} lays out a rectangular {ground}; the {edge} closes it along its length.",
        "Near {town} a right-angled {ground} needs a fence, except where the {edge} bounds its length.",
        "{firm} fences a {ground} against the {edge}, a rectangle open on that side.",
    ).format(person=w.person(), ground=ground, edge=edge, town=w.town(), firm=w.firm())
    rows = [f"{material[0]} (front)", f"{material[1]} (flanks)"]
    goal = w.pick(
        "Make the fence of the {} cheapest: a front, and flanks at both ends up to the {}.",
        "How long and how deep is the {} with the cheapest fence, if both flanks reach the {}?",
        "Front and both flanks of the {}, from the {} on, should cost the least.",
    ).format(ground, edge)
    return ProblemSpec(
        intro, [Facts(w.pick("Part", "Fence"), rows, [Column("price per metre", "$")], [[front], [flank]])], goal,
        (Variable("length", f"length of the {ground} in metres"), Variable("depth",
            f"depth of the {ground} in metres")),
        "minimize", f"{front}*length + 2*{flank}*depth", "Cost of the fence", rules,
        front * length + 2 * flank * depth, {"length": length, "depth": depth},
    )  # fmt: skip


def root_response(w: VocabularySampler) -> ProblemSpec:
    """A budget over channels whose effect grows with the root of the money."""
    n = w.number(2, 4)
    channels, product = w.tagged(w.rotating("channels", n)), w.rotating("contents", 1)[0]
    names = [identifier(c) for c in channels]
    effect = [w.number(5, 60) for _ in channels]
    budget = w.number(40, 900, 10)
    amounts = [budget * e * e / sum(x * x for x in effect) for e in effect]
    rules = [
        Rule(
            w.pick("{} thousand dollars can be spent.", "The purse holds {} thousand dollars.").format(budget),
            (f"{total(np.ones(n), names)} <= {budget}",),
        )
    ]
    intro = w.pick(
        "{firm} in {town} advertises its {product} by {channels}.",
        "{person} of {town} divides money for {product} among {channels}.",
        "Through {channels}, {product} from {town} shall find buyers.",
    ).format(firm=w.firm(), town=w.town(), person=w.person(), product=product, channels=joined(channels))
    goal = w.pick(
        "A channel wins its strength times the square root of the thousands spent on it. Win the most buyers.",
        "A channel brings its strength times the square root of its money, in thousands. The sum should be largest.",
    )
    return ProblemSpec(
        intro,
        [Facts(w.pick("Channel", "Medium"),
               channels, [Column("strength", unit="buyers")], [[e] for e in effect])],
        goal, tuple(Variable(x, f"thousands spent on {c}") for x, c in zip(names, channels, strict=True)),
        "maximize", " + ".join(f"{e}*sqrt({x})" for e, x in zip(effect, names, strict=True)), "Buyers won", rules,
        sum(e * math.sqrt(a) for e, a in zip(effect, amounts, strict=True)), dict(zip(names, amounts, strict=True)),
    )  # fmt: skip


def least_risk(w: VocabularySampler) -> ProblemSpec:
    """Shares of funds with the least variance."""
    n = w.number(3, 4)
    funds = w.tagged(w.rotating("funds", n))
    names = [identifier(f) for f in funds]
    risk = [w.number(3, 40) for _ in funds]
    money = w.number(20, 700, 10)
    inverse = sum(1 / v for v in risk)
    amounts = [money / (v * inverse) for v in risk]
    rules = [
        Rule(
            w.pick("{} thousand dollars are to be placed in full.", "All of the {} thousand dollars has to be placed.")
            .format(money),
            (f"{total(np.ones(n), names)} == {money}",),
        )
    ]  # fmt: skip
    intro = w.pick(
        "{person} of {town} divides savings among {funds}, whose returns do not depend on each other.",
        "{firm} in {town} places money in {funds}; their returns are independent.",
        "Independent returns are expected of {funds}, in which {person} invests.",
    ).format(person=w.person(), town=w.town(), firm=w.firm(), funds=joined(funds))
    goal = w.pick(
        "The variance is the sum of each fund's factor times the square of the thousands in it. Make it least.",
        "Find the least variance, which sums the squares of the thousands in each fund, times its factor.",
    )
    return ProblemSpec(
        intro, [Facts(w.pick("Fund", "Paper"), funds, [Column("factor of variance")], [[v] for v in risk])], goal,
        tuple(Variable(x, f"thousands placed in {f}") for x, f in zip(names, funds, strict=True)),
        "minimize", " + ".join(f"{v}*{x}**2" for v, x in zip(risk, names, strict=True)), "Variance", rules,
        money**2 / inverse, dict(zip(names, amounts, strict=True)),
    )  # fmt: skip


SHAPES: dict[str, Callable[[VocabularySampler], ProblemSpec]] = {
    "box": box, "fence": fence, "root-response": root_response, "least-risk": least_risk,
}  # fmt: skip
