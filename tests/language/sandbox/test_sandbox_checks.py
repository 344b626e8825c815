"""What the check of a program's source refuses, and what it lets pass."""

import ast
import threading
import warnings

import pytest

from optimand.language.sandbox import DEFAULT_IMPORTS, ForbiddenCode, check_source

ALLOWED = [
    "import math, json\nfrom scipy.optimize import milp\nprint(math.pi)",
    "from __future__ import annotations\nimport numpy as np\nprint(np.linalg.norm([1.0]))",
    "import scipy.signal\nclass A:\n    def __init__(self):\n        super().__init__()\n        self.resource = 1",
    "if __name__ == '__main__':\n    print('main')",
    "x = getattr(3, 'real'); setattr(x, 'y', 1) if hasattr(x, 'y') else None",
    "vars = {}\nvars['a'] = 1\nopen = [1]\nprint(open[0], vars)",
    "def f(open):\n    return [open[i] for i in range(2)]",
    "def f():\n    compile = 2\n    return lambda: compile",
    "print('a.b', '__main__', '$\\\\alpha$', f'{1:>5}')",
    "match 3:\n    case int(real=r):\n        print(r)",
    "def help_me(**kw): return kw\nhelp_me(open=1, vars=2)",
    "print('\\d \\$')",
    "exit(); quit()",
]

FORBIDDEN = [
    ("import os", "import of 'os'"),
    ("import numpy, subprocess", "'subprocess'"),
    ("from os.path import join", "'os.path'"),
    ("import numpy.ctypeslib", "ctypeslib"),
    ("from numpy import ctypeslib", "ctypeslib"),
    ("import json as __builtins__", "__builtins__"),
    ("from . import x", "relative"),
    ("importlib = 1\nimport importlib", "'importlib'"),
    ("eval('1')", "'eval'"),
    ("exec = print\nexec('1')", "'exec'"),
    ("open('x')", "'open'"),
    ("print(list(map(open, ['x'])))", "'open'"),
    ("print(open)\nopen = 1", "'open'"),
    ("open = 1\ndel open\nopen('x')", "'open'"),
    ("if 0:\n    open = 1\nopen('x')", "'open'"),
    ("def f():\n    open = 1\nopen('x')", "'open'"),
    ("def f():\n    [0 for open in [1]]\n    return open('x')", "'open'"),
    ("def f():\n    global open\n    open = 1", "'open'"),
    ("vars(x)", "'vars'"),
    ("__import__('os')", "__import__"),
    ("__builtins__['open']", "__builtins__"),
    ("().__class__.__bases__[0].__subclasses__()", "__"),
    ("(lambda: 0).__globals__", "__globals__"),
    ("getattr(x, '__cla' + 'ss__')", "literal"),
    ("g = getattr\ng(x, 'y')", "literal"),
    ("getattr(x, '__class__')", "special attribute"),
    ("getattr(x, 'f_back')", "f_back"),
    ("getattr(*a)", "literal"),
    ("getattr(x, name='y')", "literal"),
    ("'{0.__class__}'.format(1)", "special attribute"),
    ("f'{x!r:{\"{0.__class__}\"}}'", "special attribute"),
    ("k = '__globals__'", "special attribute"),
    ("match x:\n    case object(__class__=c):\n        pass", "__class__"),
    ("import random\nrandom._os.system('x')", "_os"),
    ("import json\njson.decoder.sys", "'sys'"),
    ("import enum\nenum.bltns.eval('1')", "'bltns'"),
    ("import json\njson.codecs.open('x')", "'codecs'"),
    ("from typing import get_type_hints", "get_type_hints"),
    ("x.gi_frame.f_back.f_builtins", "'"),
    ("try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame", "'"),
    ("from operator import attrgetter", "attrgetter"),
    ("import operator\noperator.methodcaller('x')", "methodcaller"),
    ("class A:\n    def __del__(self): pass", "__del__"),
    ("class A(metaclass=type):\n    def __getattribute__(self, n): pass", "__getattribute__"),
    ("def f(__builtins__): pass", "__builtins__"),
    ("f(__class__=1)", "__class__"),
    ("async def f():\n    await g().cr_frame", "cr_frame"),
]


@pytest.mark.parametrize("code", ALLOWED)
def test_ordinary_programs_pass(code):
    check_source(code)


@pytest.mark.parametrize(("code", "reason"), FORBIDDEN)
def test_what_reaches_beyond_is_refused_with_the_reason(code, reason):
    with pytest.raises(ForbiddenCode) as caught:
        check_source(code)
    assert reason in str(caught.value)
    assert caught.value.line is not None


def test_the_first_line_at_fault_is_named():
    with pytest.raises(ForbiddenCode, match="line 2: import of 'os'") as caught:
        check_source("x = 1\nimport os\nimport sys")
    assert caught.value.line == 2
    assert caught.value.reason == "import of 'os' is not allowed; see allow_imports="


def test_the_list_of_imports_is_the_callers():
    check_source("import pandas", {*DEFAULT_IMPORTS, "pandas"})
    check_source("import scipy.optimize\nfrom scipy import optimize", {"scipy.optimize"})
    for code in ("import scipy", "import scipy.sparse", "from scipy import sparse", "import scipyx", "import math"):
        with pytest.raises(ForbiddenCode):
            check_source(code, {"scipy.optimize"})


@pytest.mark.parametrize(
    "code",
    [
        "x = ",
        "(" * 5000,
        "-" * 60_000 + "1",
        "x = 1\0",
        "#" * 70_000,
        "\ud800",
        "9" * 5000,
        "a" + ".b" * 20_000,
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_what_cannot_be_parsed_is_a_syntax_error_or_checked(code):
    try:
        check_source(code)
    except SyntaxError:
        return
    ast.parse(code)  # deep, but within the parser's limits: then the check must have coped


def test_more_than_text_is_refused():
    with pytest.raises(TypeError, match="code must be a text, got bytes"):
        check_source(b"1")


def test_the_parsers_warnings_do_not_reach_the_caller_from_many_threads():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        threads = [threading.Thread(target=check_source, args=("print('\\d')\n" * 50,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check_source("x = '\\q'\nassert (x, 1)")
