"""Programs that are refused before they run: an allow-list of imports, and no reflection.

This layer catches what an honest but careless model writes, and makes attacks laborious. It is not the fence: Python
cannot be confined by looking at its source. What holds is what the operating system refuses.
"""

from __future__ import annotations

import ast
import re
import threading
import warnings
from collections.abc import Collection, Iterator

from optimand.core.validation import OptimandError

MAX_SOURCE = 64 * 1024


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DEFAULT_IMPORTS = _words("""
    __future__ abc bisect cmath collections copy dataclasses datetime decimal enum fractions functools heapq itertools
    json math numbers numpy operator pprint pyscipopt random re scipy statistics string textwrap time typing
""")
# never, however they are used
_NAMES = _words("eval exec __import__ breakpoint attrgetter methodcaller")
# built-in functions whose names models give to variables; allowed where they are the program's own
_SHADOWED = _words("open compile globals locals vars help")
_BY_NAME = _words("getattr setattr delattr hasattr")
_MODULES = _words("""
    bltns builtins codecs ctypes ctypeslib f2py fcntl importlib inspect marshal mmap multiprocessing os pathlib pickle
    posix runpy shutil socket subprocess sys
""")
_HIDDEN = _words("gc io linecache pkgutil platform signal sysconfig tempfile threading traceback types weakref")
_FRAMES = _words("""
    ag_code ag_frame cr_code cr_frame f_back f_builtins f_code f_globals f_locals f_trace gi_code gi_frame gi_yieldfrom
    tb_frame tb_next func_globals func_code co_code mro attrgetter methodcaller meta_path path_hooks get_type_hints
    ForwardRef
""")
_ATTRIBUTES = _MODULES | _FRAMES | {f"_{name}" for name in _MODULES | _HIDDEN}
_DUNDERS = _words("""
    __init__ __post_init__ __new__ __repr__ __str__ __name__ __doc__ __len__ __getitem__ __setitem__ __delitem__
    __contains__ __iter__ __next__ __call__ __hash__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __bool__ __int__
    __float__ __index__ __add__ __sub__ __mul__ __truediv__ __floordiv__ __mod__ __pow__ __matmul__ __neg__ __pos__
    __abs__ __radd__ __rsub__ __rmul__ __rtruediv__ __rpow__ __iadd__ __isub__ __imul__ __enter__ __exit__
    __version__ __round__ __reversed__ __format__ __copy__ __slots__ __all__ __author__ __missing__
""")
_DUNDER_NAMES = _words("__name__ __doc__ __debug__ __all__ __slots__ __author__ __version__")
_DUNDER = re.compile(r"__\w+__\Z")
_DUNDER_IN_TEXT = re.compile(r"[.\[]\s*__[a-z]\w*__|\A__(?!main__|init__|name__)[a-z]\w*__\Z")

_filters = threading.Lock()


class ForbiddenCode(OptimandError):  # noqa: N818 (what it is)
    """A program that is not allowed to run; ``line`` says where, from 1, and ``reason`` what is not allowed."""

    def __init__(self, reason: str, line: int | None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason, self.line = reason, line


def parse(code: str) -> ast.Module:
    """The program's syntax tree.

    Raises:
        SyntaxError: it is not Python, is nested too deep for the parser, or is longer than 64 kB.
    """
    if not isinstance(code, str):
        raise TypeError(f"code must be a text, got {type(code).__name__}")
    try:
        size = len(code.encode())
    except UnicodeEncodeError:
        raise SyntaxError("the program holds characters that are no text") from None
    if size > MAX_SOURCE:
        raise SyntaxError(f"the program has {size} bytes, more than the {MAX_SOURCE} allowed")
    try:
        # what the parser warns of (such as "\\d") concerns the program's author, not the caller
        with _filters, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code, "<program>")
    except SyntaxError:
        raise
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(f"the program cannot be parsed: {str(error) or type(error).__name__}") from None


def check_source(code: str, allow_imports: Collection[str] = DEFAULT_IMPORTS) -> None:
    """Refuse a program that imports or reaches for what it should not.

    Forbidden are imports outside the list, ``open``, ``eval``, ``exec``, ``compile`` and their like, names and
    attributes with double underscores except the common methods, attributes that are modules of the system or frames,
    and ``getattr`` with a name that is computed. A variable may be called ``open`` or ``vars``.

    Args:
        code: the program, at most 64 kB.
        allow_imports: modules, with all below them; ``"scipy.optimize"`` allows only that part.

    Raises:
        ForbiddenCode: with the first line where something is not allowed.
        SyntaxError: the program is not Python.

    Example:
        >>> check_source("import math; print(math.pi)")
        >>> check_source("import os")
        Traceback (most recent call last):
        ...
        optimand.language.sandbox.checks.ForbiddenCode: line 1: import of 'os' is not allowed; see allow_imports=
    """
    check_tree(parse(code), allow_imports)


def check_tree(tree: ast.Module, allow_imports: Collection[str]) -> None:
    """:func:`check_source` for a program that is parsed."""
    checker = _Checker(frozenset(allow_imports), tree)
    checker.scan(tree)
    if checker.faults:
        line, reason = min(checker.faults)
        raise ForbiddenCode(reason, line or None)


class _Checker:
    """Collects what is not allowed; the walk is a loop, because programs may be nested deeply."""

    def __init__(self, allowed: frozenset[str], tree: ast.Module) -> None:
        self.allowed = allowed
        self.faults: list[tuple[int, str]] = []
        # variables of the module, with the line from which they are surely set
        self.module: dict[str, int] = {}
        for statement in tree.body:
            for name in _targets(statement):
                self.module.setdefault(name, statement.lineno)

    def scan(self, tree: ast.Module) -> None:
        literal: set[ast.AST] = set()  # the names in calls such as getattr(x, "name")
        waiting: list[tuple[ast.AST, frozenset[str]]] = [(tree, frozenset())]
        while waiting:
            node, local = waiting.pop()
            line = getattr(node, "lineno", 0)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                local = local | _locals(node)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _BY_NAME:
                name = node.args[1] if len(node.args) > 1 else None
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    literal.add(node.func)
                    self.faults += [(line, reason) for reason in _attribute(name.value)]
            if isinstance(node, ast.Name):
                reasons = self._name(node, local, node in literal)
            else:
                reasons = self._other(node)
            self.faults += [(line, reason) for reason in reasons]
            waiting += [(child, local) for child in ast.iter_child_nodes(node)]

    def _name(self, node: ast.Name, local: frozenset[str], literal: bool) -> Iterator[str]:
        name = node.id
        if name in _BY_NAME and not literal:
            yield f"{name} is allowed only with a literal name"
        elif name in _SHADOWED:
            loaded, own = isinstance(node.ctx, ast.Load), self.module.get(name)
            if isinstance(node.ctx, ast.Del) or (loaded and name not in local and (own is None or own >= node.lineno)):
                yield f"name {name!r} is not allowed"
        else:
            yield from _plain(name)

    def _other(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from self._import(alias.name)
                yield from _plain(alias.asname or "")
        elif isinstance(node, ast.ImportFrom):
            yield from self._import_from(node)
        elif isinstance(node, ast.Attribute):
            yield from _attribute(node.attr)
        elif isinstance(node, ast.MatchClass):
            for name in node.kwd_attrs:
                yield from _attribute(name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _special(node.name)
        elif isinstance(node, ast.arg):
            yield from _plain(node.arg)
        elif isinstance(node, ast.keyword) and node.arg:
            yield from _special(node.arg)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            for name in node.names:
                if name in _SHADOWED:
                    yield f"name {name!r} is not allowed"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _DUNDER_IN_TEXT.search(node.value):
            yield "a text that names a special attribute is not allowed"

    def _import_from(self, node: ast.ImportFrom) -> Iterator[str]:
        if node.level:
            yield "relative imports are not allowed"
            return
        whole = node.module or ""
        for alias in node.names:
            if f"{whole}.{alias.name}" not in self.allowed:
                yield from self._import(whole)
            yield from _attribute(alias.name)
            yield from _plain(alias.asname or "")

    def _import(self, name: str) -> Iterator[str]:
        parts = name.split(".")
        if not any(".".join(parts[: i + 1]) in self.allowed for i in range(len(parts))):
            yield f"import of {name!r} is not allowed; see allow_imports="
        for part in parts[1:]:
            yield from _attribute(part)


def _targets(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement of the module itself assigns."""
    if isinstance(statement, ast.Assign):
        targets: list[ast.expr] = statement.targets
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets = [statement.target]
    else:
        return
    for target in targets:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _locals(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> frozenset[str]:
    """Names that are a function's own, so that they cannot be built-in functions in it."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    names = {argument.arg for argument in every if argument is not None}
    if not isinstance(function, ast.Lambda):
        waiting: list[ast.AST] = list(function.body)
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            # what is stored in these is not the function's
            scopes = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.ListComp, ast.SetComp,
                      ast.DictComp, ast.GeneratorExp)  # fmt: skip
            if not isinstance(node, scopes):
                waiting += ast.iter_child_nodes(node)
    return frozenset(names)


def _attribute(name: str) -> Iterator[str]:
    if name in _ATTRIBUTES or (_DUNDER.match(name) and name not in _DUNDERS):
        yield f"attribute {name!r} is not allowed"


def _plain(name: str) -> Iterator[str]:
    if name in _NAMES or (_DUNDER.match(name) and name not in _DUNDER_NAMES):
        yield f"name {name!r} is not allowed"


def _special(name: str) -> Iterator[str]:
    if _DUNDER.match(name) and name not in _DUNDERS:
        yield f"name {name!r} is not allowed"
