"""Claims of OptiBench (arXiv 2407.09887): the data, the graders, the solver, and what needs a strong model.

Those on the data read the user's files and say so where they are not there.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from optimand.core.claims import Claim, Finding
from optimand.language.llm.choosing import endpoint_configured
from optimand.language.modeling.benchmarks.optibench import available, load_nl4opt_e, load_optibench
from optimand.papers.optibench_resocratic import resocratic

PAPER = "optibench-resocratic"
NO_DATA = "needs the benchmark's files in $OPTIMAND_DATA/optibench-resocratic"
NO_MODEL = "needs a language model at an endpoint (OPTIMAND_LLM or OPTIMAND_LLM_BASE_URL); the embedded one is too weak"
COUNTS = {"linear-notable": 342, "linear-table": 80, "nonlinear-notable": 133, "nonlinear-table": 50}
SAMPLE = 60


def benchmark_counts() -> Finding:
    """Problems by type, queries, the overlap with NL4OPT-E."""
    problems = load_optibench()
    counts = {kind: sum(p.type == kind for p in problems) for kind in COUNTS}
    queries = sum(len(p.answers) for p in problems)
    companion = len(load_nl4opt_e())
    overlap = companion - len(load_nl4opt_e(without_optibench=True))
    whole = sum(all(a.is_integer() for a in p.answers.values()) for p in problems)
    holds = counts == COUNTS and (len(problems), queries, companion, overlap, whole) == (605, 2186, 289, 190, 469)
    return Finding(
        f"{len(problems)} problems ({'/'.join(map(str, counts.values()))}), {queries} queries; NL4OPT-E {companion}, "
        f"{overlap} of them in both",
        holds,
        f"{whole} problems have whole answers only",
    )


def noisy_truth() -> Finding:
    """The exact answer to problem 13 under both rules."""
    from optimand.language.modeling.benchmarks.grading import grade_answers

    problem = next(p for p in load_optibench() if p.id == "optibench/13")
    exact = dict(zip(problem.answers, (0.5, 0.25, 0.125**0.5), strict=True))
    official, robust = (grade_answers(problem, exact, rule).correct for rule in ("official", "robust"))  # type: ignore[arg-type]
    return Finding(
        f"official: {'right' if official else 'wrong'}, robust: {'right' if robust else 'wrong'}",
        robust and not official,
        f"the recorded x is {next(iter(problem.answers.values())):.7f}, the exact one 0.5",
    )


def graders_accept_and_reject() -> Finding:
    """Recorded values, rounded ones and perturbed ones, for all problems under both rules."""
    from optimand.language.modeling.benchmarks.grading import grade_answers

    problems = load_optibench()
    changes: dict[str, Callable[[float], float]] = {
        "recorded": float,
        "rounded to 5 decimals": lambda value: round(value, 5),
        "1.01 v + 1": lambda value: 1.01 * value + 1,
    }
    found = {
        (rule, name): sum(
            grade_answers(p, {q: change(v) for q, v in p.answers.items()}, rule).correct  # type: ignore[arg-type]
            for p in problems
        )
        for rule in ("official", "robust")
        for name, change in changes.items()
    }
    wanted = {"recorded": len(problems), "rounded to 5 decimals": len(problems), "1.01 v + 1": 0}
    shown = "; ".join(
        f"{rule} {'/'.join(str(found[rule, name]) for name in changes)}" for rule in ("official", "robust")
    )
    return Finding(shown, all(found[key] == wanted[key[1]] for key in found), f"accepted of 605: {', '.join(changes)}")


def ratio_objective() -> Finding:
    """SCIP on a ratio of whole numbers against the other solvers."""
    from optimand.language.modeling.benchmarks.reference import workshop
    from optimand.language.modeling.execution import open_sandbox, run_program

    formulation = workshop().formulation
    assert formulation is not None
    with open_sandbox() as sandbox:
        ran = run_program(formulation.program(), sandbox)
    other = formulation.solve()
    value = ran.values.get("objective", float("nan"))
    point = tuple(int(ran.values.get(v.name, -1)) for v in formulation.variables)
    return Finding(
        f"{value:.7f} at {point}",
        point == (10, 10, 37) and other.objective is not None and abs(value - other.objective) < 1e-6,
        f"{other.how} gives {other.objective:.7f}; HiGHS alone takes linear objectives only",
    )


def loss_is_infeasible() -> Finding:
    """The published template's objective variable, with its default bound, where the best value is negative."""
    from optimand.language.modeling.benchmarks.reference import loss
    from optimand.language.modeling.execution import open_sandbox, run_program

    formulation = loss().formulation
    assert formulation is not None
    ours = formulation.program()
    trap = ours.replace('vtype="C", lb=None, ub=None)', 'vtype="C")')
    with open_sandbox() as sandbox:
        first, second = run_program(trap, sandbox), run_program(ours, sandbox)
    return Finding(
        f"default bound: {'infeasible' if 'infeasible' in first.output else first.status}, without it: "
        f"{second.values.get('objective'):g}",
        "infeasible" in first.output and second.values.get("objective") == -2.0,
        "maximize -x with x in 2 to 5",
    )


def solver_start() -> Finding:
    """A fresh process that starts, imports, solves the bakery: PySCIPOpt and SciPy's milp, best of three, and warm."""
    from optimand.language.modeling.benchmarks.reference import bakery
    from optimand.language.modeling.execution import open_sandbox, run_program

    formulation = bakery().formulation
    assert formulation is not None
    scipy = (
        "from scipy.optimize import milp, LinearConstraint\n"
        "print(milp([-5, -4], integrality=[1, 1], constraints=LinearConstraint([[2, 1]], ub=[100])).fun)"
    )
    times = {name: min(_process(code) for _ in range(3)) for name, code in
             (("PySCIPOpt", formulation.program()), ("SciPy", scipy))}  # fmt: skip
    with open_sandbox(workers=1) as sandbox:
        run_program(formulation.program(), sandbox)
        begun = time.perf_counter()
        for _ in range(5):
            run_program(formulation.program(), sandbox)
        warm = (time.perf_counter() - begun) / 5
    return Finding(
        f"SciPy takes {times['SciPy'] / times['PySCIPOpt']:.1f} times as long as PySCIPOpt; a warm worker "
        f"{times['PySCIPOpt'] / warm:.1f} times less",
        times["SciPy"] > times["PySCIPOpt"],
        f"PySCIPOpt {times['PySCIPOpt']:.3f} s, SciPy {times['SciPy']:.3f} s, warm worker {warm:.3f} s a program",
    )


def _process(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, timeout=60)
    return time.perf_counter() - begun


def scripted_share() -> Finding:
    """End to end: a scripted model that is right on a chosen share of templates is graded at exactly that share."""
    from optimand.language.llm.scripted import Scripted
    from optimand.language.modeling.benchmarks.evaluation import evaluate
    from optimand.language.modeling.execution import open_sandbox
    from optimand.language.modeling.modelers.modelers import ZeroShot
    from optimand.language.modeling.resocratic.templates import TemplateGenerator

    items = list(TemplateGenerator(0).items(20))
    good = {item.question: item.code for index, item in enumerate(items) if index % 5 < 3}

    def reply(messages: Any, **options: Any) -> str:
        text = messages[-1]["content"]
        code = next((code for question, code in good.items() if question.strip() in text), "print(1 / 0)")
        return f"```python\n{code}\n```"

    with open_sandbox(workers=1) as sandbox:
        report = evaluate(ZeroShot(Scripted(reply), sandbox=sandbox), [item.problem for item in items])
    share = len(good) / len(items)
    return Finding(
        f"accuracy {report.accuracy.value:.2f}, code pass {report.code_pass.value:.2f}, scripted {share:.2f}",
        report.accuracy.value == share == report.code_pass.value,
        "20 problems from templates, programs run in the sandbox, values read by label",
    )


def prompting(solvers: tuple[str, str]) -> tuple[float, float, str]:
    """Accuracies of two prompts on the same problems, with the configured model."""
    from optimand.language.llm.choosing import open_chat
    from optimand.language.modeling.benchmarks.evaluation import evaluate
    from optimand.language.modeling.execution import open_sandbox
    from optimand.language.modeling.modelers.modelers import make_solver

    problems = load_optibench("test")[:SAMPLE]
    chat, found, texts = open_chat(None), [], []
    with open_sandbox(workers=2) as sandbox:
        for prompt in solvers:
            report = evaluate(make_solver(chat, prompt, sandbox=sandbox), problems, workers=4, reader=chat)
            found.append(report.accuracy.value)
            texts.append(f"{prompt} {report.accuracy}, code pass {100 * report.code_pass.value:.0f} %")
    return found[0], found[1], f"{chat.name}: {'; '.join(texts)}"


def few_shot_helps() -> Finding:
    """Zero-shot and few-shot prompting by the configured model."""
    zero, few, text = prompting(("zero-shot", "few-shot"))
    return Finding(f"{100 * zero:.1f} % and {100 * few:.1f} %", few >= zero, text)


def nonlinear_is_harder() -> Finding:
    """Accuracy on linear and nonlinear problems by the configured model, few-shot."""
    from optimand.language.llm.choosing import open_chat
    from optimand.language.modeling.benchmarks.evaluation import evaluate
    from optimand.language.modeling.execution import open_sandbox
    from optimand.language.modeling.modelers.modelers import FewShot

    test = load_optibench("test")
    parts = [[p for p in test if p.type.startswith(kind)][: SAMPLE // 2] for kind in ("linear", "nonlinear")]
    chat = open_chat(None)
    with open_sandbox(workers=2) as sandbox:
        shares = [evaluate(FewShot(chat, sandbox=sandbox), part, workers=4, reader=chat).accuracy for part in parts]
    return Finding(
        f"linear {shares[0]}, nonlinear {shares[1]}", shares[0].value > shares[1].value, f"{chat.name}, few-shot"
    )


def _claim(
    name: str, sentence: str, value: str, check: Callable[[], Finding], missing: str = "", reference: str = ""
) -> Claim:
    return Claim(
        PAPER, name, sentence, value, check=None if missing else check, untestable=missing, reference=reference
    )


_DATA = "" if available() else NO_DATA
_MODEL = _DATA or ("" if endpoint_configured() else NO_MODEL)

CLAIMS = (
    _claim("benchmark", "605 problems of four types, 2186 numbers asked for.", "342/80/133/50, 605 in all",
           benchmark_counts, _DATA),
    _claim("noisy-truth", "The published rule calls an exact answer wrong where the truth is a solver's output.",
           "absolute tolerance 1e-4", noisy_truth, _DATA, "the rule by hand: index 13"),
    _claim("graders", "Both graders accept what is recorded, also rounded, and reject 1.01 v + 1 everywhere.",
           "no number", graders_accept_and_reject, _DATA, "a prototype of both rules: 605/605/0"),
    _claim("ratio-objective", "SCIP solves a ratio objective in whole numbers to the global optimum.",
           "no number", ratio_objective, reference="PySCIPOpt 6.3: 2.7121212 at (10, 10, 37)"),
    _claim("loss", "With the template's default bound of the objective, a loss is infeasible.", "not noted",
           loss_is_infeasible, reference="PySCIPOpt 6.3: infeasible"),
    _claim("solver-start", "A program of PySCIPOpt starts and solves in less time than one of SciPy's milp.",
           "no number", solver_start, reference="by hand: 0.097 s against 0.392 s"),
    _claim("end-to-end", "A model that writes right programs for a share of problems scores that share.",
           "no number; the shares must be equal", scripted_share),
    _claim("few-shot", "Two worked examples raise the share solved.", "GPT-4o 66.1 to 69.4 %, Qwen2-7B 2.6 to 46.0 %",
           few_shot_helps, _MODEL),
    _claim("nonlinear", "Nonlinear problems are solved less often than linear ones.", "GPT-4o 50.4 % against 81.0 %",
           nonlinear_is_harder, _MODEL),
    *resocratic.CLAIMS,
)  # fmt: skip
