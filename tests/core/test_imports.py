"""Modules import each other in one direction."""

import ast
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import optimand

HERE = Path(optimand.__file__).parent
MODULES = {".".join(path.relative_to(HERE.parent).with_suffix("").parts): path for path in HERE.rglob("*.py")}
MODULES = {name.removesuffix(".__init__"): path for name, path in MODULES.items()}

BLOCKS = (ast.If, ast.Try, ast.ExceptHandler, ast.With, ast.ClassDef)


def imported_at_module_level(name: str, path: Path) -> set[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    waiting = list(ast.parse(path.read_text(encoding="utf-8")).body)
    found = set()
    while waiting:
        line = waiting.pop()
        if isinstance(line, ast.Import):
            found |= {alias.name for alias in line.names}
        elif isinstance(line, ast.ImportFrom):
            home = resolve_name("." * line.level + (line.module or ""), package)
            found |= {full if (full := f"{home}.{alias.name}") in MODULES else home for alias in line.names}
        elif isinstance(line, BLOCKS) and not (isinstance(line, ast.If) and "TYPE_CHECKING" in ast.dump(line.test)):
            waiting += ast.iter_child_nodes(line)
    return (found & MODULES.keys()) - {name}


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: imported_at_module_level(name, path) for name, path in MODULES.items()}
    assert len(graph) > 500
    assert any(graph.values())
    TopologicalSorter(graph).prepare()  # CycleError names the modules of a circle
