"""The catalog: what methods, problems and families there are, imported entry by entry when one is used.

A method or a problem enters with a decorator, a family and a claim with a call, from this package or from anybody's::

    @method("my-sgd", family="training", space={"lr": Float(1e-4, 1.0, log=True)})
    class MySGD(torch.optim.Optimizer): ...

What this package holds is known from its index (:mod:`optimand.core.index`) without importing it. Installed plugins
are found through the entry-point group ``optimand.plugins`` (each entry names a module whose import registers), single
files are named on the command line (:mod:`optimand.core.userfiles`).
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from . import index
from .contracts import Family, Method, Problem, ProblemFactory
from .space import Dimension
from .userfiles import MODULE_PREFIX, object_in_file, same_place, split_spec
from .validation import OptimandError, UnknownNameError, check_choice, check_int, check_number, suggest

ENTRY_POINT_GROUP = "optimand.plugins"

T = TypeVar("T")
E = TypeVar("E", Method, ProblemFactory, Family)

__all__ = [
    "Family", "Method", "Problem", "ProblemFactory", "add_family", "families", "get_family", "get_method",
    "get_problem", "load_plugins", "method", "methods", "problem", "problems",
]  # fmt: skip


_methods: dict[str, Method] = {}
_problems: dict[str, ProblemFactory] = {}
_families: dict[str, Family] = {}
# The module whose import registers an entry, by kind and name; what the index is written from.
_registered_by: dict[tuple[str, str], str] = {}
_plugins_loaded = False


def signature_defaults(build: Callable[..., Any], skip: int = 1) -> dict[str, Any]:
    """Hyperparameters of a factory: its parameters after the first ``skip``, with their defaults."""
    parameters = list(inspect.signature(build).parameters.values())[skip:]
    return {
        p.name: (None if p.default is p.empty else p.default)
        for p in parameters
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def first_line(obj: Any) -> str:
    """The first line of a docstring, or nothing."""
    return (inspect.getdoc(obj) or "").strip().split("\n")[0]


def method(
    name: str,
    *,
    family: str,
    space: Mapping[str, Dimension] | None = None,
    paper: str | None = None,
    summary: str | None = None,
    fixed: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Callable[[T], T]:
    """Register a class or factory as a method and return it unchanged.

    Args:
        name: what users type.
        family: the family whose problems can run it.
        space: ranges that ``--tune`` searches; the defaults come from the factory's signature.
        paper: slug in the catalogue of papers.
        summary: one line; by default the first line of the docstring.
        fixed: hyperparameters that this preset sets and nobody tunes.
        defaults: hyperparameters whose default differs here from the factory's; also such that the factory takes
            as ``**options`` and that its signature therefore does not name.
        options: facts for the family's run loop.

    Raises:
        ValueError: the name is taken by another object, or the space names an unknown hyperparameter.
    """

    def register(build: T) -> T:
        make = cast("Callable[..., Any]", build)
        known = signature_defaults(make)
        given = {**(defaults or {})}
        takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(make).parameters.values())
        for key in (*given, *(fixed or {}), *(space or {})):
            if known and key not in known and not takes_any:
                raise ValueError(f"method {name!r}: {key!r} is no parameter of {build!r}; it has {', '.join(known)}")
        factory = functools.partial(make, **fixed) if fixed else make
        entry = Method(
            name=name,
            family=family,
            build=factory,
            defaults={k: v for k, v in {**known, **given}.items() if k not in (fixed or {})},
            space=dict(space or {}),
            paper=paper,
            summary=first_line(build) if summary is None else summary,
            options=dict(options or {}),
            origin=_origin_of(build),
        )
        _register("method", methods(), _methods, entry)
        return build

    return register


def problem(name: str, *, family: str, summary: str | None = None, needs: str = "") -> Callable[[T], T]:
    """Register a factory of problems and return it unchanged; its keyword parameters are the problem's.

    Args:
        name: what users type.
        family: the family it belongs to.
        summary: one line; by default the first line of the docstring.
        needs: files or packages that must be there besides this package; nothing by default.
    """

    def register(build: T) -> T:
        make = cast("Callable[..., Any]", build)
        entry = ProblemFactory(
            name=name,
            family=family,
            summary=first_line(build) if summary is None else summary,
            build=make,
            params=signature_defaults(make, skip=0),
            origin=_origin_of(build),
            needs=needs,
        )
        _register("problem", problems(), _problems, entry)
        return build

    return register


def _register(kind: str, known: _Entries[E], entries: dict[str, E], entry: Any) -> None:
    """Enter what a decorator made; ValueError where another object has the name."""
    frame: Any = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    module = frame.f_globals.get("__name__", "")
    listed = index.load()[known.kind].get(entry.name)
    if listed is not None and not module.startswith("optimand."):
        importlib.import_module(listed.module)  # so that a name that this package has counts as taken
    old: Any = entries.get(entry.name)
    if old is not None and old.origin != entry.origin and not same_place(old.origin, entry.origin):
        raise ValueError(f"{kind} name {entry.name!r} is taken by {old.origin}, cannot register {entry.origin}")
    entries[entry.name] = entry
    _registered_by[known.kind, entry.name] = module


def add_family(family: Family) -> None:
    """Register a family."""
    _families[family.name] = family
    _registered_by["families", family.name] = sys._getframe(1).f_globals.get("__name__", "")


def load_plugins() -> None:
    """Import, once, the modules that installed packages name as plugins; a broken one is warned of."""
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry_point.load()
        except Exception as error:  # a broken plugin must not take the command down
            plugin = f"plugin {entry_point.name!r} ({entry_point.value})"
            warnings.warn(f"{plugin} was not loaded: {error!r}", stacklevel=2)


class _Entries(Mapping[str, E], Generic[E]):
    """Entries by name, sorted: those of the index, imported when they are taken, and those registered otherwise."""

    def __init__(self, kind: str, entries: dict[str, E], family: str | None = None) -> None:
        self.kind, self._family = kind, family
        self._entries: dict[str, E] = entries

    def listed(self) -> dict[str, index.Listed]:
        """What is known of each entry without importing it."""
        load_plugins()
        known = index.load()[self.kind]
        found = {**{n: index.listed(e) for n, e in self._entries.items() if n not in known}, **known}
        return {n: found[n] for n in sorted(found) if self._family in (None, found[n].family)}

    def __getitem__(self, name: str) -> E:
        listed = index.load()[self.kind].get(name)
        if name not in self._entries:
            if listed is None:
                load_plugins()
            else:
                importlib.import_module(listed.module)
        entry = self._entries[name]
        if self._family not in (None, getattr(entry, "family", None)):
            raise KeyError(name)
        return entry

    def __contains__(self, name: object) -> bool:
        known: Any = index.load()[self.kind].get(str(name)) or self._entries.get(str(name))
        if known is None:
            load_plugins()
            known = self._entries.get(str(name))
        return known is not None and self._family in (None, getattr(known, "family", None))

    def __iter__(self) -> Iterator[str]:
        return iter(self.listed())

    def __len__(self) -> int:
        return len(self.listed())


def families() -> _Entries[Family]:
    """All families by name, each imported when it is taken."""
    return _Entries("families", _families)


def get_family(name: str) -> Family | None:
    """The family of that name; None for one that a user's file invents and nobody registered."""
    return families().get(name)


def methods(family: str | None = None) -> _Entries[Method]:
    """All methods (of one family) by name, sorted, each imported when it is taken."""
    return _Entries("methods", _methods, family)


def problems(family: str | None = None) -> _Entries[ProblemFactory]:
    """All problems (of one family) by name, sorted, each imported when it is taken."""
    return _Entries("problems", _problems, family)


def get_method(text: str, *, family: str) -> tuple[Method, dict[str, Any]]:
    """The method that ``text`` names and the hyperparameters that it sets.

    Args:
        text: ``lion``, ``lion:lr=1e-4``, ``my_opt.py:MyOpt`` or ``my_opt.py:MyOpt:lr=1e-4``.
        family: the family of the problems it is to run on.

    Raises:
        OptimandError: unknown name (with the nearest ones), method of another family, unknown
            hyperparameter, or a file that does not load.
    """
    head, attr, params = split_spec(text)
    if attr is not None:
        found = object_in_file(head, attr)
        entry = found if isinstance(found, Method) else _registered_in_file(_methods, found)
        if entry is None:
            owner = get_family(family)
            if owner is None:
                raise OptimandError(
                    f"{text!r} must be registered with @method or be a Method: family {family!r} does not say how "
                    f"to adopt a {type(found).__name__}"
                )
            entry = owner.adopt(attr, found)
        entry = replace(entry, origin=f"{Path(head).name}:{attr}")
    else:
        known = methods(family)
        if head not in known:
            everywhere = methods().listed()
            if head in everywhere:
                raise OptimandError(
                    f"method {head!r} is of family {everywhere[head].family!r} and cannot run on problems of "
                    f"family {family!r}; methods that can: {', '.join(known)}"
                )
            number = head.replace(".", "", 1).replace("e-", "", 1).rstrip(")").isdigit()
            hint = "; write several values of one hyperparameter in brackets: betas=(0.9,0.99)" if number else ""
            raise UnknownNameError(
                f"unknown method {head!r}{hint or suggest(head, known)}; 'optimand list methods' shows all"
            )
        entry = known[head]
    entry.hyper(params)
    if entry.family != family:
        raise OptimandError(f"method {text!r} is of family {entry.family!r}, the problem of family {family!r}")
    return entry, params


def get_problem(text: str) -> Problem:
    """The problem that ``text`` names, e.g. ``digits-mlp``, ``byte-lm:size=3m`` or ``my_problem.py:problem``.

    Raises:
        OptimandError: unknown name (with the nearest ones), unknown parameter, a file that does not
            load, or an object that is no problem.
    """
    head, attr, params = split_spec(text)
    if attr is not None:
        found = object_in_file(head, attr)
        entry = _registered_in_file(_problems, found)
        build = entry.build if entry else found
        if callable(build):
            return _checked(text, _built(text, build, params))
        if params:
            raise OptimandError(f"{text!r}: {attr} is an object, not a function, and takes no {', '.join(params)}")
        return _checked(text, found)
    known = problems()
    if head not in known:
        hint = f"; {head!r} is a method: separate methods by commas" if head in methods() else suggest(head, known)
        raise UnknownNameError(f"unknown problem {head!r}{hint}; 'optimand list problems' shows all")
    factory = known[head]
    for key in params:
        if key not in factory.params:
            raise UnknownNameError(
                f"problem {head!r} has no parameter {key!r}; it has "
                f"{', '.join(factory.params) or 'none'}{suggest(key, factory.params)}"
            )
    return _checked(text, _built(text, factory.build, params))


def _built(text: str, build: Callable[..., Any], params: Mapping[str, Any]) -> Any:
    try:
        return build(**params)
    except OptimandError:
        raise
    except (TypeError, ValueError) as error:
        raise OptimandError(f"problem {text!r}: {error}") from error
    except Exception as error:  # whatever a user's factory raises
        raise OptimandError(f"problem {text!r} could not be built: {type(error).__name__}: {error}") from error


_MISSING = object()


def _checked(text: str, built: Any) -> Problem:
    # Statically, because a property such as the summary may load data.
    names = (*Problem.__annotations__, "run")
    missing = [name for name in names if inspect.getattr_static(built, name, _MISSING) is _MISSING]
    if missing:
        raise OptimandError(f"{text!r} is no problem: {type(built).__name__} lacks {', '.join(missing)}")
    try:
        check_choice("direction", built.direction, ("min", "max"))
        check_int("budget", built.budget, low=1)
        if built.target is not None:
            check_number("target", built.target)
    except (TypeError, ValueError) as error:
        raise OptimandError(f"problem {text!r}: {error}") from error
    return built


def _registered_in_file(entries: Mapping[str, Any], found: Any) -> Any:
    """The entry of an object that a user's file registered itself; not of one that the file merely imports."""
    origin = _origin_of(found)
    return next((e for e in entries.values() if e.origin == origin and origin.startswith(MODULE_PREFIX)), None)


def _origin_of(obj: Any) -> str:
    return f"{getattr(obj, '__module__', '')}:{getattr(obj, '__qualname__', '')}"
