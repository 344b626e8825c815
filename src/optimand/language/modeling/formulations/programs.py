"""A formulation as a PySCIPOpt program, in the manner of arXiv 2407.09887's template but without its traps.

The objective is a variable without a lower bound (the published template leaves the default of zero, so a loss is
infeasible); divisions by expressions of known sign are multiplied out; whole numbers are rounded when printed; the
result also comes as one line of JSON.
"""

from __future__ import annotations

import builtins
import keyword
from typing import TYPE_CHECKING

from .expressions import Binary, Node, Relation, evaluate, names, number_text, to_text, walk
from .polynomials import Polynomial, constant, interval, polynomial_text, value

if TYPE_CHECKING:
    from .formulation import Formulation, Variable
    from .relations import Normal

MARK = "-" * 10
RESULT = "RESULT_JSON:"
NOT_OPTIMAL = "No optimal solution was found"
_TAKEN = {"model", "Model", "json", "exp", "log", "sqrt", "sin", "cos", "found", "name", "unknown", "status"}


def python_names(formulation: Formulation) -> dict[str, str]:
    """For each variable a Python name that hides nothing the program uses.

    Example:
        >>> from optimand.language.modeling.formulations.formulation import Formulation, Variable
        >>> python_names(Formulation((Variable("lambda"), Variable("x")), "minimize", "x"))
        {'lambda': 'lambda_', 'x': 'x'}
    """
    listed = [variable.name for variable in formulation.variables]
    used, found = set(listed), {}
    for name in listed:
        new = name
        while keyword.iskeyword(new) or new in _TAKEN or hasattr(builtins, new) or (new == "objective") or (
            new != name and new in used
        ):  # fmt: skip
            new += "_"
        used.add(new)
        found[name] = new
    return found


def objective_label(formulation: Formulation) -> str:
    """The label of the objective in a program's output."""
    label = "objective"
    while label in {variable.name for variable in formulation.variables}:
        label += "_value"
    return label


def write_program(formulation: Formulation) -> str:
    """See :meth:`optimand.language.modeling.formulations.formulation.Formulation.program`."""
    called = python_names(formulation)
    lines = ["import json", "", _imports(formulation), "", "model = Model()", "model.hideOutput()"]
    if formulation.kind == "nonlinear":
        # SCIP 10 takes quotients that differ in a constant for symmetric, and then calls wrong points optimal.
        lines.append('model.setParam("misc/usesymmetry", 0)')
    lines.append("")
    lines += [_declare(variable, called[variable.name]) for variable in formulation.variables]
    lines += ['objective = model.addVar(name="objective of the model", vtype="C", lb=None, ub=None)', ""]
    lines += _objective(formulation, called)
    for item in formulation.normal:
        lines.append(_constraint(item, called))
    lines += ["", "model.optimize()", f'print("{MARK}")', "status = model.getStatus()", 'if status == "optimal":']
    pairs = ", ".join(f"{name!r}: {called[name]}" for name in called)
    lines.append(f"    unknown = {{{pairs}}}")
    lines.append("    found = {name: model.getVal(unknown[name]) for name in unknown}")
    whole = [variable.name for variable in formulation.variables if variable.whole]
    if whole:
        lines.append(f"    for name in {whole!r}:")
        lines.append("        found[name] = round(found[name])")
    lines.append(f"    found[{objective_label(formulation)!r}] = model.getVal(objective)")
    lines += ["    for name in found:", '        print(f"{name}: {found[name]}")']
    lines += [f'    print("{RESULT} " + json.dumps(found))', "else:"]
    lines += [f'    print(f"{NOT_OPTIMAL}: the status is {{status}}.")', ""]
    return "\n".join(lines)


def _imports(formulation: Formulation) -> str:
    needed = {"Model"}
    nodes = [formulation.objective_node]
    for relation in formulation.relations:
        nodes += [relation.left, relation.right]
    for node in nodes:
        for part in walk(node):
            function = getattr(part, "function", "")
            if function in ("sqrt", "exp", "log", "sin", "cos"):
                needed.add(function)
            elif isinstance(part, Binary) and part.op == "**" and names(part.right):
                needed |= {"exp", "log"}
    return f"from pyscipopt import {', '.join(sorted(needed))}"


def _declare(variable: Variable, called: str) -> str:
    kind = {"real": "C", "integer": "I", "binary": "B"}[variable.kind]
    low, high = ("None" if abs(end) == float("inf") else number_text(end) for end in variable.bounds)
    line = f'{called} = model.addVar(name="{variable.name}", vtype="{kind}", lb={low}, ub={high})'
    meaning = " ".join(variable.meaning.split())
    return line + (f"  # {meaning}" if meaning else "")


def _write(node: Node, called: dict[str, str]) -> str:
    return to_text(node, called.__getitem__, plain=True)


def _objective(formulation: Formulation, called: dict[str, str]) -> list[str]:
    quotient = formulation.objective_fraction
    text = f"model.addCons(objective == {_write(formulation.objective_node, called)})"
    if quotient is not None and constant(quotient[1]) is None:
        low, high = interval(quotient[1], formulation.bounds)
        if low > 0 or high < 0:
            top, bottom = (polynomial_text(part, called) for part in quotient)
            text = f"model.addCons(objective * ({bottom}) == {top})"
    elif quotient is not None and constant(quotient[0]) is not None:
        text = f"model.addCons(objective == {number_text(quotient[0].get((), 0.0))})"
    return [text, f'model.setObjective(objective, "{formulation.sense}")']


def _constraint(item: Normal, called: dict[str, str]) -> str:
    relation, polynomial = item.relation, item.polynomial
    if polynomial is not None and constant(polynomial) is not None:
        holds = {"<=": value(polynomial, {}) <= 0, ">=": value(polynomial, {}) >= 0, "==": not polynomial}[item.op]
        # A relation between constants: SCIP takes none, so a false one is written as what no point can satisfy.
        return f"# {relation} holds for every point" if holds else "model.addCons(objective - objective >= 1)"
    if polynomial is not None and (relation.strict or _divides(relation)):
        return f"model.addCons({_compared(polynomial, called)} {item.op} 0)"
    left, right = relation.left, relation.right
    if not names(left) and not names(right):  # left without a polynomial, such as min(2, 3) <= 4
        gap = float(evaluate(left, {})) - float(evaluate(right, {}))
        holds = {"<=": gap <= 0, ">=": gap >= 0, "==": gap == 0}[relation.op]
        return f"# {relation} holds for every point" if holds else "model.addCons(objective - objective >= 1)"
    return f"model.addCons({_write(left, called)} {relation.op} {_write(right, called)})"


def _compared(polynomial: Polynomial, called: dict[str, str]) -> str:
    return polynomial_text(polynomial, called)


def _divides(relation: Relation) -> bool:
    for side in (relation.left, relation.right):
        for part in walk(side):
            if isinstance(part, Binary) and (
                (part.op == "/" and names(part.right)) or (part.op == "**" and not names(part.right) and _below(part))
            ):
                return True
    return False


def _below(part: Binary) -> bool:
    return float(evaluate(part.right, {})) < 0
