"""Arguments of a bundled function: bound once by its signature, so that a call pays little for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from .base import Node, wrap

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Arguments:
    """Turns the arguments of a call into named nodes, and named values into arguments.

    Names are those of the function's arguments; ``*args`` become ``args_0, args_1, …``, ``**kwargs`` go by key.
    """

    __slots__ = ("count", "defaults", "keywords", "positional", "signature", "simple", "var_keyword", "var_positional")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.signature = inspect.signature(function)
        parameters = self.signature.parameters.values()
        self.positional = tuple(item.name for item in parameters if item.kind in _BY_POSITION)
        self.keywords = tuple(item.name for item in parameters if item.kind is inspect.Parameter.KEYWORD_ONLY)
        self.defaults = {item.name: item.default for item in parameters if item.default is not inspect.Parameter.empty}
        kinds = {item.kind: item.name for item in parameters}
        self.var_positional = kinds.get(inspect.Parameter.VAR_POSITIONAL)
        self.var_keyword = kinds.get(inspect.Parameter.VAR_KEYWORD)
        self.count = len(self.positional)
        self.simple = not self.keywords and self.var_positional is None and self.var_keyword is None

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Node]:
        """The arguments of a call as nodes, defaults included.

        Raises:
            TypeError: they do not fit the signature.
        """
        inputs: dict[str, Any] = {}
        if self.simple and not kwargs and len(args) == self.count:
            for name, item in zip(self.positional, args, strict=True):
                inputs[name] = item if isinstance(item, Node) else wrap(item, name)
            return inputs
        bound = self.signature.bind(*args, **kwargs).arguments
        for name in self.positional:
            inputs[name] = wrap(bound[name] if name in bound else self.defaults[name], name)
        for i, item in enumerate(bound.get(self.var_positional, ()) if self.var_positional else ()):
            inputs[f"args_{i}"] = wrap(item)
        for name in self.keywords:
            inputs[name] = wrap(bound[name] if name in bound else self.defaults[name], name)
        for name, item in (bound.get(self.var_keyword, {}) if self.var_keyword else {}).items():
            if name in inputs:
                raise TypeError(f"the keyword {name!r} clashes with the name of another input")
            inputs[name] = wrap(item, name)
        return inputs

    def spread(self, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Values by name as positional and keyword arguments."""
        if self.simple:
            return list(values.values()), {}
        args, rest = [], dict(values)
        for name in self.positional:
            args.append(rest.pop(name))
        i = 0
        while self.var_positional is not None and f"args_{i}" in rest:
            args.append(rest.pop(f"args_{i}"))
            i += 1
        return args, rest
