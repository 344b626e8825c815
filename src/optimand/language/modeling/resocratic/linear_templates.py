"""Templates of linear problems about amounts: mix, blend, choice, campaign."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optimand.language.modeling.formulations.formulation import Variable

from .problem_specs import Column, Facts, ProblemSpec, Rule, amount, identifier, joined, written
from .vocabulary import VocabularySampler


def total(coefficients: object, names: list[str]) -> str:
    """A linear sum as text; coefficients of 1 are left out."""
    terms = []
    for value, name in zip(np.asarray(coefficients, dtype=float).tolist(), names, strict=True):
        terms.append(name if value == 1 else f"{written(value)}*{name}")
    return " + ".join(terms)


def product_mix(w: VocabularySampler) -> ProblemSpec:
    """How much of each good to make from scarce inputs."""
    n = w.number(2, 4)
    maker, goods, inputs = w.goods(n)
    m = w.number(2, 3)
    names = [identifier(good) for good in goods]
    profit = [w.number(8, 95) for _ in goods]
    need = [[w.number(2, 14) for _ in range(m)] for _ in goods]
    have = [sum(need[i][j] for i in range(n)) * w.number(9, 40) + w.number(1, 9) for j in range(m)]
    least = w.number(2, 8)
    most = w.number(20, 60)
    i, k = w.rng.permutation(n)[:2]
    columns = [Column("profit per piece", "$")]
    columns += [Column(f"need of {name}", unit=unit) for name, unit in inputs[:m]]
    rules = [
        Rule(
            w.pick("There are {}.", "In all, {} are available.", "No more than {} can be had.").format(
                amount(have[j], unit, name)
            ),
            (f"{total([need[r][j] for r in range(n)], names)} <= {have[j]}",),
        )
        for j, (name, unit) in enumerate(inputs[:m])
    ]  # fmt: skip
    rules.append(
        Rule(
            w.pick("At least {} {} are on order.", "A customer in {2} has been promised {0} {1}.").format(
                least, goods[i], w.town()
            ),
            (f"{names[i]} >= {least}",),
        )
    )
    rules.append(
        Rule(
            w.pick("No more than {} {} can be sold.", "Shops in {2} take {0} {1} at most.").format(
                most, goods[k], w.town()
            ),
            (f"{names[k]} <= {most}",),
        )
    )
    intro = w.pick(
        "{firm}, a {maker} in {town}, plans how many {goods} to make.",
        "The {maker} of {person} in {town} makes {goods}.",
        "{person} runs a {maker} at {town} and offers {goods}.",
        "Next week the {firm} {maker} can turn out {goods}.",
    ).format(firm=w.firm(), maker=maker, town=w.town(), person=w.person(), goods=joined(goods))
    return ProblemSpec(
        intro,
        [Facts(w.pick("Product", "Article", "Good", "Line"),
               goods, columns, [[p, *r] for p, r in zip(profit, need, strict=True)])],
        w.pick("How many of each give the largest profit?", "The profit should be as large as possible.",
               "Which numbers of pieces earn the most?"),
        tuple(Variable(name, f"number of {good}", "integer") for name, good in zip(names, goods, strict=True)),
        "maximize", total(profit, names), "Total profit", rules,
    )  # fmt: skip


def blend(w: VocabularySampler) -> ProblemSpec:
    """The cheapest mixture that holds enough of everything."""
    subject, round_ = w.subject("blend")
    n, m = w.number(3, 4), w.number(2, 3)
    parts = w.tagged(w.some(subject["ingredients"], n, round_))
    contents = w.some(subject["contents"], m, round_)
    names = [identifier(part) for part in parts]
    batch = w.number(200, 1500, 50)
    cost = [w.number(11, 160) / 100 for _ in parts]
    holds = np.array([[w.number(20, 480, 10) for _ in range(m)] for _ in parts])
    share = w.rng.dirichlet(np.full(n, 3.0))
    needs = np.floor(0.93 * batch * share @ holds / 100) * 100
    i = int(w.rng.integers(n))
    cap = int(np.ceil(share[i] * batch * 1.1 / 5) * 5)
    columns = [Column("price per kg", "$"), *(Column(content) for content in contents)]
    rules = [
        Rule(
            w.pick(
                "The batch must weigh {} kg.", "Exactly {} kg are wanted.", "The mixer is filled with {} kg."
            ).format(batch),
            (f"{total(np.ones(n), names)} == {batch}",),
        )
    ]
    for j, content in enumerate(contents):
        rules.append(
            Rule(
                w.pick("It must hold at least {} units of {}.", "At least {} units of {} are needed in it.").format(
                    written(needs[j]), content
                ),
                (f"{total(holds[:, j], names)} >= {written(needs[j])}",),
            )
        )
    rules.append(
        Rule(
            w.pick("Only {} kg of {} are in store.", "No more than {} kg of {} may go in.").format(cap, parts[i]),
            (f"{names[i]} <= {cap}",),
        )
    )
    intro = w.pick(
        "{firm} of {town} mixes {product} from {parts}.",
        "At {town}, {person} prepares a batch of {product} out of {parts}.",
        "A recipe for {product} is sought by {firm}; it may contain {parts}.",
    ).format(firm=w.firm(), town=w.town(), person=w.person(), product=subject["product"], parts=joined(parts))
    intro += w.pick(" Contents are in units per kg.", " What a kg holds is stated in units.")
    return ProblemSpec(
        intro,
        [Facts(w.pick("Ingredient", "Component", "Material"),
               parts, columns, [[c, *h] for c, h in zip(cost, holds.tolist(), strict=True)])],
        w.pick("Find the cheapest mixture.", "The cost of the ingredients should be least.",
               "How many kilograms of each make it cheapest?"),
        tuple(Variable(name, f"kilograms of {part}") for name, part in zip(names, parts, strict=True)),
        "minimize", total(cost, names), "Total cost", rules,
    )  # fmt: skip


def choice(w: VocabularySampler) -> ProblemSpec:
    """Which projects to take within two budgets."""
    subject, round_ = w.subject("investor")
    n = w.number(4, 6)
    projects = w.tagged(w.some(subject["projects"], n, round_))
    names = [identifier(project) for project in projects]
    value = [w.number(21, 240) for _ in projects]
    cost = [w.number(12, 90) for _ in projects]
    months = [w.number(3, 24) for _ in projects]
    budget = int(sum(cost) * w.number(45, 65) / 100)
    effort = int(sum(months) * w.number(50, 75) / 100)
    a, b, c, d = w.rng.permutation(n)[:4]
    rules = [
        Rule(
            w.pick("{} thousand dollars can be spent.", "The funds are {} thousand dollars.").format(budget),
            (f"{total(cost, names)} <= {budget}",),
        ),
        Rule(
            w.pick("The staff has {} months to give.", "In all, {} months of work are available.").format(effort),
            (f"{total(months, names)} <= {effort}",),
        ),
        Rule(
            w.pick("The {} and the {} exclude each other.", "Of the {} and the {} no more than one fits.").format(
                projects[a], projects[b]
            ),
            (f"{names[a]} + {names[b]} <= 1",),
        ),
        Rule(
            w.pick("The {} makes sense only along with the {}.", "Without the {1} there can be no {0}.").format(
                projects[c], projects[d]
            ),
            (f"{names[c]} <= {names[d]}",),
        ),
    ]
    intro = w.pick(
        "The {owner} of {town} may take up these projects: {projects}.",
        "{person} advises the {owner} at {town}, where proposals are on the desk for {projects}.",
        "Applications have reached the {owner} in {town}: {projects}.",
    ).format(owner=subject["owner"], town=w.town(), person=w.person(), projects=joined(projects))
    columns = [Column("value", "$", "thousand"), Column("cost", "$", "thousand"), Column("work", unit="months")]
    return ProblemSpec(
        intro,
        [Facts(w.pick("Project", "Proposal", "Plan"),
               projects, columns, [list(row) for row in zip(value, cost, months, strict=True)])],
        w.pick("Which should be chosen for the largest total value?", "Choose so that the values sum to the most."),
        tuple(Variable(name, f"whether to choose the {p}", "binary") for name, p in zip(names, projects, strict=True)),
        "maximize", total(value, names), "Total value in thousand dollars", rules,
    )  # fmt: skip


def campaign(w: VocabularySampler) -> ProblemSpec:
    """How often to use each channel of advertising."""
    n = w.number(3, 4)
    channels = w.tagged(w.rotating("channels", n))
    product = w.rotating("contents", 1)[0]
    reach = [w.number(900, 24000, 100) for _ in channels]
    cost = [w.number(120, 2600, 20) for _ in channels]
    most = [w.number(4, 25) for _ in channels]
    names = [identifier(c) for c in channels]
    budget = int(np.dot(cost, most) * w.number(30, 60) / 100 / 50) * 50
    a, b = w.rng.permutation(n)[:2]
    rules = [
        Rule(
            w.pick("The budget is ${}.", "Not more than ${} can be spent.").format(budget),
            (f"{total(cost, names)} <= {budget}",),
        ),
        Rule(
            w.pick("The offered numbers cannot be exceeded.", "No channel gives more than its offer."),
            tuple(f"{x} <= {v}" for x, v in zip(names, most, strict=True)),
        ),
        Rule(
            w.pick("There must be no fewer {} than {}.", "The {1} may not outnumber the {0}.").format(
                channels[a], channels[b]
            ),
            (f"{names[a]} >= {names[b]}",),
        ),
    ]
    intro = w.pick(
        "{firm} of {town} wants to make its {product} known through {channels}.",
        "To sell {product}, {person} books {channels} in {town}.",
        "A campaign for {product} from {town} can use {channels}.",
    ).format(firm=w.firm(), town=w.town(), person=w.person(), product=product, channels=joined(channels))
    columns = [Column("reach", unit="people"), Column("price", "$"), Column("offer", unit="bookings")]
    return ProblemSpec(
        intro,
        [Facts(w.pick("Channel", "Medium"), channels, columns, [list(r) for r in zip(reach, cost, most, strict=True)])],
        w.pick("The total reach should be largest.", "How should the bookings be made to reach the most people?"),
        tuple(Variable(x, f"number of {c}", "integer") for x, c in zip(names, channels, strict=True)),
        "maximize", total(reach, names), "Total reach", rules,
    )  # fmt: skip


MIXES: dict[str, Callable[[VocabularySampler], ProblemSpec]] = {
    "product-mix": product_mix, "blend": blend, "choice": choice, "campaign": campaign,
}  # fmt: skip
