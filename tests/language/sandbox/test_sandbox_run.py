"""Programs and functions run as Python runs them; results say what came of it, the same from a warm worker."""

import math
import threading

import numpy as np
import pytest

from optimand.core.validation import OptimandError
from optimand.language.sandbox import Isolation, SandboxedPython, SandboxError

BAKERY = """
import pyscipopt
model = pyscipopt.Model()
model.hideOutput()
c = model.addVar("c", vtype="INTEGER")
v = model.addVar("v", vtype="INTEGER")
profit = model.addVar("profit", lb=None)
model.addCons(2 * c + v <= 100)
model.addCons(profit == 5 * c + 4 * v)
model.setObjective(profit, "maximize")
model.optimize()
print("-" * 10)
print("profit:", model.getObjVal())
"""


@pytest.fixture(scope="module")
def cold():
    with SandboxedPython(wall_s=10) as python:
        yield python


@pytest.fixture(scope="module")
def warm():
    with SandboxedPython(wall_s=10, workers=2, preload=("numpy",)) as python:
        yield python


PROGRAMS = [
    ("print(6 * 7)", "ok", 0, "42\n"),
    ("print(input() + input())", "ok", 0, "ab\n"),
    ("import sys", "forbidden", None, ""),
    ("x =", "parse_error", None, ""),
    ("print(1)\n1 / 0", "run_error", 1, "1\n"),
    ("exit(3)", "run_error", 3, ""),
    ("exit()", "ok", 0, ""),
    ("raise SystemExit('why')", "run_error", 1, ""),
    ("print(__name__, sorted({'b', 'a', 'c'}), list({'b', 'a', 'c'}))", "ok", 0, None),
    ("from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\nprint(A(1))", "ok", 0, "A(x=1)\n"),
    ("from __future__ import annotations\ndef f(x: unknown): return x\nprint(f(1))", "ok", 0, "1\n"),
    ("print('é', '\\ud800')", "ok", 0, "é \\ud800\n"),
    ("x = [0] * (1 << 40)", "memory", 1, ""),
    ("import numpy as np\nprint(np.arange(3).sum(), np.linalg.solve(np.eye(2), [1, 2]))", "ok", 0, "3 [1. 2.]\n"),
]


@pytest.mark.parametrize(("code", "status", "returncode", "stdout"), PROGRAMS)
def test_a_program_ends_as_it_should_in_a_cold_and_a_warm_worker(cold, warm, code, status, returncode, stdout):
    results = [python.run(code, inputs="a\nb\n") for python in (cold, warm)]
    for result in results:
        assert (result.status, result.returncode) == (status, returncode), result
        assert stdout is None or result.stdout == stdout
        assert result.ok == (status == "ok")
    assert results[0].stdout == results[1].stdout
    assert results[0].stderr == results[1].stderr


def test_the_error_shows_the_programs_line_and_nothing_of_the_sandbox(cold):
    text = cold.run("def f():\n    return 1 / 0\n\nf()").stderr
    assert text.startswith('Traceback (most recent call last):\n  File "<program>", line 4, in <module>\n')
    assert "return 1 / 0" in text
    assert text.endswith("ZeroDivisionError: division by zero\n")
    assert "inside" not in text


def test_refusals_say_why(cold):
    result = cold.run("x = 1\nimport os")
    assert result.stderr == "line 2: import of 'os' is not allowed; see allow_imports="
    assert (result.seconds, result.peak_mb, result.signal) == (0.0, 0.0, None)
    assert "SyntaxError" in cold.run("x =").stderr
    assert "65536" in cold.run("#" * 70_000).stderr


def test_measures_are_those_of_the_program(cold):
    result = cold.run("import time\nx = bytearray(100 << 20)\nx[::4096] = b'1' * len(x[::4096])\ntime.sleep(0.2)")
    assert result.status == "ok"
    assert 100 < result.peak_mb < 250
    assert result.seconds >= 0.2


def test_random_numbers_differ_from_program_to_program(warm):
    code = "import random, numpy\nprint(random.random(), numpy.random.rand())"
    assert len({word for _ in range(4) for word in warm.run(code).stdout.split()}) == 8


def test_scip_solves_under_the_default_limits():
    pytest.importorskip("pyscipopt")
    with SandboxedPython(workers=1, preload=("pyscipopt",)) as warm, SandboxedPython() as cold:
        results = [python.run(BAKERY) for python in (warm, warm, cold)]
        shown = warm.run(BAKERY.replace("model.hideOutput()", ""))
    assert {result.stdout for result in results} == {"----------\nprofit: 400.0\n"}
    assert "SCIP Status" in shown.stdout  # printed by native code, through buffers of its own
    assert results[0].isolation == results[2].isolation


def test_highs_solves_under_the_default_limits(cold):
    pytest.importorskip("scipy")
    code = "from scipy.optimize import milp\nprint(milp([-5, -4], constraints=([[2, 1]], -1, 100), integrality=1).fun)"
    assert cold.run(code).stdout == "-400.0\n"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -(2**70),
        0.1,
        math.inf,
        "é",
        b"\0\xff",
        (1, [{3: "x"}]),
        {"a": {1, 2}},
        frozenset(),
        2j,
        {(1,): {}},
    ],
    ids=repr,
)
def test_values_travel_both_ways(warm, value):
    result = warm.call("def f(x, *, y): return [x, y]", "f", (value,), {"y": value})
    assert result.status == "ok", result
    assert result.value == [value, value]
    assert type(result.value[0]) is type(value)


def test_an_async_function_is_run_to_its_end(warm):
    result = warm.call("async def g(x): return x + 1\nasync def f(x): return await g(x)", "f", (1,))
    assert (result.value, result.stderr) == (2, "")


def test_arrays_travel_both_ways(warm):
    x = np.arange(6.0).reshape(2, 3)
    result = warm.call("import numpy as np\ndef f(x): return x.T, np.float32(2), x[0] > 0", "f", (x,))
    value = result.value
    np.testing.assert_array_equal(value[0], x.T)
    assert value[1].dtype == np.float32
    assert value[2].dtype == bool


def test_an_error_in_a_function_is_told_with_its_line(cold, warm):
    code = "def g(x):\n    return 10 / (x - x)\n\ndef f(x):\n    print('before')\n    return g(x)"
    for python in (cold, warm):
        result = python.call(code, "f", (5,))
        assert (result.status, result.value) == ("run_error", None)
        assert (result.error_type, result.error_message, result.line) == ("ZeroDivisionError", "division by zero", 2)
        assert result.frames == ((6, "f"), (2, "g"))
        assert result.stdout == "before\n"


CALLS = [
    ("def f(:", "f", "parse_error", "SyntaxError", 1),
    ("import os\ndef f(): pass", "f", "forbidden", "ForbiddenCode", 1),
    ("x = 1\nraise KeyError('k')", "f", "run_error", "KeyError", 2),
    ("x = 1", "f", "run_error", "NameError", None),
    ("f = 3", "f", "run_error", "NameError", None),
    ("def f(a): pass", "f", "run_error", "TypeError", None),
    ("def f(): exit(0)", "f", "run_error", "SystemExit", 1),
    ("def f(): return object()", "f", "run_error", "CodecError", None),
    ("def f(): return lambda: 0", "f", "run_error", "CodecError", None),
    ("def f(): return 'x' * 2_000_000", "f", "run_error", "CodecError", None),
    ("def f():\n    x = []\n    x.append(x)\n    return x", "f", "run_error", "CodecError", None),
    ("def f():\n    return [0] * (1 << 40)", "f", "memory", "MemoryError", 2),
    ("def f():\n    return f()", "f", "run_error", "RecursionError", 2),
    ("def f(): return\nreturn 3", "f", "run_error", "SyntaxError", 2),
]


@pytest.mark.parametrize(("code", "function", "status", "error", "line"), CALLS)
def test_what_can_go_wrong_with_a_call(warm, code, function, status, error, line):
    result = warm.call(code, function)
    assert (result.status, result.error_type, result.line) == (status, error, line), result
    assert result.error_message
    assert not result.ok


def test_a_call_that_takes_too_long(cold):
    with SandboxedPython(wall_s=0.3) as python:
        result = python.call("def f():\n    while True: pass", "f")
    assert (result.status, result.error_type) == ("timeout", "TimeoutError")


def test_the_main_part_of_a_program_does_not_run_in_a_call(cold):
    assert cold.call("if __name__ == '__main__': print('main')\ndef f(): return 1", "f").stdout == ""


def test_threads_share_workers_and_results_do_not_mix(warm):
    seen: dict[int, list[str]] = {}

    def work(i):
        seen[i] = [warm.run(f"print({i}, {k})").stdout for k in range(5)]
        seen[i].append(str(warm.call("def f(x): return x * x", "f", (i,)).value))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {i: [f"{i} {k}\n" for k in range(5)] + [str(i * i)] for i in range(6)}
    assert len(warm._pool._idle) <= 2


BAD = [
    ({"cpu_s": 0}, ValueError, "cpu_s"),
    ({"wall_s": "1"}, TypeError, "wall_s"),
    ({"memory_mb": 1}, ValueError, "memory_mb must be at least 64, got 1"),
    ({"output_kb": 0}, ValueError, "output_kb"),
    ({"file_mb": -1}, ValueError, "file_mb"),
    ({"processes": -1}, ValueError, "processes"),
    ({"workers": -1}, ValueError, "workers"),
    ({"workers": 1.5}, TypeError, "workers"),
    ({"allow_imports": "numpy"}, TypeError, "allow_imports must be several names"),
    ({"preload": [1]}, TypeError, "preload"),
    ({"require": "all"}, ValueError, "require must be one of 'any', 'limits', 'files', 'namespaces'"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_bad_arguments_are_named(options, error, message):
    with pytest.raises(error, match=message):
        SandboxedPython(**options)


def test_bad_arguments_of_runs_are_named(cold):
    with pytest.raises(TypeError, match="code must be a text, got int"):
        cold.run(3)
    with pytest.raises(TypeError, match="inputs must be a text"):
        cold.run("1", inputs=b"")
    with pytest.raises(ValueError, match="function must be the name of a function, got 'a b'"):
        cold.call("1", "a b")
    with pytest.raises(ValueError, match="args and kwargs cannot be given"):
        cold.call("1", "f", (object(),))


def test_a_package_that_cannot_be_imported_is_named_with_its_cure():
    with (
        SandboxedPython(workers=1, preload=("no_such_package_here",)) as python,
        pytest.raises(SandboxError, match="python -m pip install no_such_package_here"),
    ):
        python.run("1")


def test_a_demand_that_the_system_meets_is_accepted_and_one_it_does_not_refused():
    with SandboxedPython(require="limits") as python:
        has = python.isolation
        assert has.limits
        assert python.run("1").isolation == has
    for level in ("files", "namespaces"):
        if has.lacks(level):
            with pytest.raises(OptimandError, match="asks for more than this system gives"):
                SandboxedPython(require=level)
        else:
            SandboxedPython(require=level).close()
    with pytest.raises(SandboxError, match="process namespace: switched off") as caught:
        SandboxedPython(require="namespaces", _without=("namespaces",))
    assert "which is" in str(caught.value)
    with pytest.raises(SandboxError, match="landlock: switched off; private root: "):
        SandboxedPython(require="files", _without=("root", "landlock"))


def test_isolation_is_a_sentence():
    none = Isolation()
    assert (none.level, str(none)) == ("none", "no isolation")
    weak = Isolation(limits=True, layers=("limits",), missing={"landlock": "no such call"})
    assert weak.level == "limits"
    assert str(weak) == "limits: limits on time, memory and files; not in force: landlock (no such call)"
    assert weak.lacks("limits") == []
    assert weak.lacks("files") == ["files; landlock: no such call"]
    assert len(weak.lacks("namespaces")) == 3
    named = Isolation.of({"layers": ["network namespace", "landlock", "limits"], "missing": {}})
    assert not named.network  # sockets in the file system are within reach
    assert named.lacks("namespaces") == ["processes", "network"]
    assert Isolation.of({"layers": ["network namespace", "private root", "limits"], "missing": {}}).network
    assert Isolation(limits=True, files=True).level == "files"
    assert Isolation(True, True, True, True).level == "namespaces"
    assert Isolation(True, True, False, True).level == "limits"


def test_a_closed_sandbox_says_so():
    python = SandboxedPython(workers=1)
    assert python.run("print(1)").ok
    python.close()
    python.close()
    with pytest.raises(SandboxError, match="closed"):
        python.run("print(1)")
