"""Modules: objects whose parameters an optimizer can collect, save and load.

The parameters of a module are found where it has them: nodes among its attributes, the sources of its trainable
methods, those of modules in its attributes, and all of these inside lists, tuples and dicts. State is written as JSON,
not as a pickle, so that a file from elsewhere can be read without running anything.

Reference: arXiv 2406.16218, Section 2.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from optimand.core.validation import OptimandError, suggest

from .base import Node
from .bundles import BoundBundle, Bundled
from .parameters import ParameterNode

C = TypeVar("C", bound=type)


class Module:
    """Base of objects with parameters; a subclass says in ``forward`` what a call does.

    Example:
        >>> from optimand.language.workflows.tracing.bundles import bundle
        >>> from optimand.language.workflows.tracing.nodes import node
        >>> class Line(Module):
        ...     def __init__(self):
        ...         self.slope = node(2.0, name="slope", trainable=True)
        ...     def forward(self, x):
        ...         return self.slope * x
        >>> line = Line()
        >>> line(3).data, line.state_dict()
        (6.0, {'slope': 2.0})
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What calling the module does."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def __setattr__(self, name: str, value: Any) -> None:
        held = vars(self).get(name)
        if isinstance(held, ParameterNode) and not isinstance(value, Node | Module | Bundled | BoundBundle):
            raise TypeError(
                f"{name!r} is a parameter of {type(self).__name__}, and {value!r:.60} ({type(value).__name__}) is no "
                f"node: set agent.{name}.data to change its value, or assign another node"
            )
        super().__setattr__(name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def named_parameters(self, *, trainable: bool | None = None) -> Iterator[tuple[str, ParameterNode]]:
        """Parameters by their way from here, such as ``steps.0.prompt``; each once, by its first name.

        Args:
            trainable: only those that are, or are not; all where None.
        """
        seen: set[int] = set()
        for name, parameter in _walk(self, "", set()):
            if id(parameter) not in seen and trainable in (None, parameter.trainable):
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self, *, trainable: bool | None = None) -> list[ParameterNode]:
        """The parameters, each once."""
        return [parameter for _, parameter in self.named_parameters(trainable=trainable)]

    def parameters_dict(self) -> dict[str, ParameterNode]:
        """The parameters by name."""
        return dict(self.named_parameters())

    def zero_feedback(self) -> None:
        """Forget the feedback of all parameters."""
        for parameter in self.parameters():
            parameter.zero_feedback()

    def state_dict(self) -> dict[str, Any]:
        """The parameters' values by name."""
        return {name: parameter._data for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> None:
        """Give the parameters values, all or none.

        Args:
            state: as :meth:`state_dict` gives it.
            strict: names must agree exactly; else those that both have are taken.

        Raises:
            OptimandError: names do not agree.
            TypeError, ValueError: a value that a parameter does not allow.
        """
        mine = self.parameters_dict()
        unknown = [name for name in state if name not in mine]
        missing = [name for name in mine if name not in state]
        if strict and unknown:
            raise OptimandError(f"the module has no parameter {unknown[0]!r}{suggest(unknown[0], mine)}")
        if strict and missing:
            raise OptimandError(f"the state has no value for {', '.join(map(repr, missing))}")
        checked = [(parameter, parameter.check(state[name])) for name, parameter in mine.items() if name in state]
        for parameter, value in checked:
            parameter._data = value

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters' values as JSON; the file is replaced as a whole.

        Raises:
            OptimandError: a value that JSON cannot hold, even with tuples, sets, bytes and arrays marked as such.
        """
        path = Path(path)
        state = {}
        for name, value in self.state_dict().items():
            try:
                state[name] = encode(value)
            except TypeError as error:
                raise OptimandError(f"parameter {name!r} cannot be saved as JSON: {error}") from None
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": 1, "parameters": state}, indent=1, ensure_ascii=False)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def load(self, path: str | os.PathLike[str], *, strict: bool = True) -> None:
        """Read what :meth:`save` wrote.

        Raises:
            OptimandError: no such file, not written by :meth:`save`, or as of :meth:`load_state_dict`.
        """
        try:
            read = json.loads(Path(path).read_text(encoding="utf-8"))
            state = {name: decode(value) for name, value in read["parameters"].items()}
        except OSError as error:
            raise OptimandError(f"cannot read {os.fspath(path)!r}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OptimandError(f"{os.fspath(path)!r} is not a file of parameters: {error}") from None
        self.load_state_dict(state, strict=strict)


def model(cls: C) -> C:
    """Make a class a module: adds ``parameters``, ``state_dict``, ``save`` and the rest, and ``__call__``.

    Methods that the class has itself are kept.

    Example:
        >>> from optimand.language.workflows.tracing.nodes import node
        >>> @model
        ... class Greeter:
        ...     def __init__(self):
        ...         self.template = node("Hello, {}", name="template", trainable=True)
        ...     def forward(self, who):
        ...         return self.template.format(who)
        >>> Greeter()("you").data, len(Greeter().parameters())
        ('Hello, you', 1)
    """
    if not isinstance(cls, type):
        raise TypeError(f"model decorates a class, got {cls!r:.60} ({type(cls).__name__})")
    if issubclass(cls, Module):
        return cls
    return type(cls)(  # type: ignore[misc, return-value]
        cls.__name__,
        (cls, Module),
        {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__},
    )


def _walk(value: Any, name: str, around: set[int]) -> Iterator[tuple[str, ParameterNode]]:
    """The parameters in a value, with their names."""
    if isinstance(value, ParameterNode):
        yield name, value
    elif isinstance(value, Node) or id(value) in around:
        return
    elif isinstance(value, Bundled | BoundBundle):
        if value.parameter is not None:
            yield name, value.parameter
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, _join(name, str(key)), around | {id(value)})
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _walk(item, _join(name, str(i)), around | {id(value)})
    elif isinstance(value, Module):
        for key, item in vars(value).items():
            yield from _walk(item, _join(name, key), around | {id(value)})
        for key in dict.fromkeys(key for kind in type(value).__mro__ for key in vars(kind)):
            method = getattr(type(value), key, None)
            if isinstance(method, Bundled) and method.trainable:
                yield from _walk(getattr(value, key), _join(name, key), around)


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def encode(value: Any) -> Any:
    """A value as JSON can hold it, with tuples, sets, bytes and arrays marked.

    Example:
        >>> decode(encode((1, {"a": b"x"}))) == (1, {"a": b"x"})
        True
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value) and not any(key.startswith("$") for key in value):
            return {key: encode(item) for key, item in value.items()}
        return {"$dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"$tuple": [encode(item) for item in value]}
    if isinstance(value, set | frozenset):
        return {"$set": [encode(item) for item in value], "$frozen": isinstance(value, frozenset)}
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"$array": value.tolist(), "$dtype": value.dtype.str}
    raise TypeError(f"{value!r:.60} ({type(value).__name__}) has no JSON form")


def decode(value: Any) -> Any:
    """The inverse of :func:`encode`."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$dict" in value:
        return {decode(key): decode(item) for key, item in value["$dict"]}
    if "$tuple" in value:
        return tuple(decode(item) for item in value["$tuple"])
    if "$set" in value:
        return (frozenset if value["$frozen"] else set)(decode(item) for item in value["$set"])
    if "$bytes" in value:
        return bytes.fromhex(value["$bytes"])
    if "$array" in value:
        return np.array(value["$array"], dtype=value["$dtype"])
    return {key: decode(item) for key, item in value.items()}
