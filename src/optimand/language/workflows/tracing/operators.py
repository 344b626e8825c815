"""Python's operators and the methods of strings and containers, traced: each gives a node whose parents are its inputs.

Where Python demands a plain result, the result is plain: ``bool(x)``, ``len(x)``, ``item in x``, ``str(x)`` and
``f"{x}"`` give a bool, an int or a text and make no node; ``x.len()``, ``x.contains(item)`` and ``x.format(...)`` are
their traced forms. ``int(x)``, ``float(x)`` and ``range(x)`` are refused; ``round(x)``, ``math.floor(x)`` are traced.
Comparisons, ``==`` and ``!=`` included, compare values and are traced; their truth is that of the value, so
``if x == 3`` and ``x in [y, z]`` work, by value. Hashes are by identity. A node's value does not change, so methods
that would change it (``append``, ``update``, ``x[i] = v``) are refused with what to write instead.

Reference: arXiv 2406.16218; ``==`` gives an untraced bool in the official package.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

from .tape import Operator


def _op(name: str, text: str, function: Callable[..., Any]) -> Operator:
    return Operator(name, f"[{name}] {text}.", function, static={"fun_name": name, "doc": text + "."})


def _contains(x: Any, item: Any) -> Any:
    return item in x


def _identity(x: Any) -> Any:
    return x


def _call(x: Any, *args: Any, **kwargs: Any) -> Any:
    return x(*args, **kwargs)


def _pow(x: Any, y: Any, modulo: Any = None) -> Any:
    return pow(x, y) if modulo is None else pow(x, y, modulo)


def _round(x: Any, n: Any = None) -> Any:
    return round(x) if n is None else round(x, n)


def _join(x: Any, *args: Any) -> Any:
    return x.join(args)


def _format(x: Any, *args: Any, **kwargs: Any) -> Any:
    return x.format(*args, **kwargs)


def _unary(name: str, text: str, function: Callable[..., Any]) -> Callable[[Any], Any]:
    op = _op(name, text, function)

    def method(self: Any) -> Any:
        return self._run(op, {"x": self})

    return _named(method, name, op)


def _binary(name: str, text: str, function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    op = _op(name, text, function)

    def method(self: Any, other: Any) -> Any:
        return self._run(op, {"x": self, "y": other})

    return _named(method, name, op)


def _reflected(forward: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    op: Operator = forward.operator  # type: ignore[attr-defined]

    def method(self: Any, other: Any) -> Any:
        return self._run(op, {"x": other, "y": self})

    return _named(method, "reflected " + op.name, op)


def _method(name: str, text: str, *kinds: type) -> Callable[..., Any]:
    """A method of the value, traced; refused where the value has none of these types."""

    def function(x: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(x, name)(*args, **kwargs)

    op = Operator(
        name,
        f"[{name}] {text}.",
        function,
        static={"fun_name": name, "doc": text + "."},
        rerun=lambda made, values: function(*spread(values)[0], **spread(values)[1]),
    )

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(self._data, kinds):
            raise AttributeError(f"a node of {type(self._data).__name__} has no method {name!r}")
        return self._run_call(op, self, args, kwargs)

    return _named(method, name, op)


def _mutator(name: str, instead: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise AttributeError(f"the value of a node does not change, so {name!r} is not offered: {instead}")

    method.__name__ = name
    method.__doc__ = f"Refused: {instead}."
    return method


def _demanded(name: str) -> Callable[[Any], Any]:
    def method(self: Any) -> Any:
        raise TypeError(
            f"a plain number is needed here, and this is a node of {type(self._data).__name__}: use x.data, which is "
            "not traced, or a @bundle function, which is"
        )

    method.__name__ = name
    method.__doc__ = "Refused: the result would not be traced."
    return method


def _named(method: Any, name: str, op: Operator) -> Any:
    method.__name__ = method.__qualname__ = name
    method.__doc__ = op.description.partition("] ")[2]
    method.operator = op
    return method


def spread(values: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Inputs ``x, args_0, args_1, …, key`` as positional and keyword arguments."""
    args = [value for key, value in values.items() if key == "x" or key.startswith("args_")]
    return args, {key: value for key, value in values.items() if key != "x" and not key.startswith("args_")}


def _spreading(name: str, text: str, function: Callable[..., Any]) -> Operator:
    op = _op(name, text, function)
    op.rerun = lambda made, values: function(*spread(values)[0], **spread(values)[1])
    return op


GETITEM = _op("getitem", "The item of x at the index or key", operator.getitem)
GETATTR = _op("getattr", "The attribute of x with this name", getattr)
CALL = _spreading("call", "What the function x returns for these arguments", _call)
IDENTITY = _op("identity", "The same value as x", _identity)
POWER = _op("power", "x ** y, modulo where given", _pow)
ROUND = _op("round", "x rounded to n digits", _round)
JOIN = _spreading("join", "The strings put together with x between them", _join)
FORMAT = _spreading("format", "The template x with its fields replaced by these values", _format)
TO_LIST = _op("to_list", "The items of x as a list", list)


class Operators:
    """Traced operators and methods of a node."""

    __slots__ = ()

    # Values of NumPy leave `array + node` to the node, instead of adding it to each of their items.
    __array_ufunc__ = None

    _data: Any
    _run: Callable[..., Any]
    _run_call: Callable[..., Any]
    _read: Callable[[], Any]

    __add__ = _binary("add", "x + y", operator.add)
    __sub__ = _binary("subtract", "x - y", operator.sub)
    __mul__ = _binary("multiply", "x * y", operator.mul)
    __truediv__ = _binary("divide", "x / y", operator.truediv)
    __floordiv__ = _binary("floor_divide", "x // y", operator.floordiv)
    __mod__ = _binary("mod", "x % y", operator.mod)
    __divmod__ = _binary("divmod", "The pair x // y and x % y", divmod)
    __matmul__ = _binary("matmul", "x @ y", operator.matmul)
    __lshift__ = _binary("lshift", "x << y", operator.lshift)
    __rshift__ = _binary("rshift", "x >> y", operator.rshift)
    __and__ = _binary("and", "x & y", operator.and_)
    __or__ = _binary("or", "x | y", operator.or_)
    __xor__ = _binary("xor", "x ^ y", operator.xor)
    __radd__ = _reflected(__add__)
    __rsub__ = _reflected(__sub__)
    __rmul__ = _reflected(__mul__)
    __rtruediv__ = _reflected(__truediv__)
    __rfloordiv__ = _reflected(__floordiv__)
    __rmod__ = _reflected(__mod__)
    __rdivmod__ = _reflected(__divmod__)
    __rmatmul__ = _reflected(__matmul__)
    __rlshift__ = _reflected(__lshift__)
    __rrshift__ = _reflected(__rshift__)
    __rand__ = _reflected(__and__)
    __ror__ = _reflected(__or__)
    __rxor__ = _reflected(__xor__)

    __lt__ = _binary("lt", "x < y", operator.lt)
    __le__ = _binary("le", "x <= y", operator.le)
    __gt__ = _binary("gt", "x > y", operator.gt)
    __ge__ = _binary("ge", "x >= y", operator.ge)
    __eq__ = eq = _binary("eq", "x == y", operator.eq)
    __ne__ = ne = neq = _binary("ne", "x != y", operator.ne)
    __hash__ = object.__hash__

    __pos__ = _unary("pos", "+x", operator.pos)
    __neg__ = _unary("neg", "-x", operator.neg)
    __abs__ = _unary("abs", "The absolute value of x", abs)
    __invert__ = _unary("invert", "~x", operator.invert)
    __floor__ = _unary("floor", "x rounded down", math.floor)
    __ceil__ = _unary("ceil", "x rounded up", math.ceil)
    __trunc__ = _unary("trunc", "x without its fraction", math.trunc)
    # ``int(x)``, ``float(x)`` (so ``math.sqrt(x)``), ``range(x)``: Python wants a plain number back.
    __int__ = _demanded("__int__")
    __float__ = _demanded("__float__")
    __complex__ = _demanded("__complex__")
    __index__ = _demanded("__index__")
    len = _unary("len", "The number of items of x", len)
    clone = _unary("identity", "The same value as x", _identity)
    contains = _binary("contains", "Whether y is in x", _contains)

    upper = _method("upper", "x in upper case", str, bytes)
    lower = _method("lower", "x in lower case", str, bytes)
    capitalize = _method("capitalize", "x with a capital first letter", str, bytes)
    title = _method("title", "x with each word capitalized", str, bytes)
    swapcase = _method("swapcase", "x with upper and lower case exchanged", str, bytes)
    casefold = _method("casefold", "x for comparisons without case", str)
    strip = _method("strip", "x without spaces, or these characters, at its ends", str, bytes)
    lstrip = _method("lstrip", "x without spaces, or these characters, at its start", str, bytes)
    rstrip = _method("rstrip", "x without spaces, or these characters, at its end", str, bytes)
    removeprefix = _method("removeprefix", "x without this start", str, bytes)
    removesuffix = _method("removesuffix", "x without this end", str, bytes)
    split = _method("split", "The parts of x between separators", str, bytes)
    rsplit = _method("rsplit", "The parts of x between separators, from the right", str, bytes)
    splitlines = _method("splitlines", "The lines of x", str, bytes)
    partition = _method("partition", "x before, at and after the separator", str, bytes)
    rpartition = _method("rpartition", "x before, at and after the last separator", str, bytes)
    replace = _method("replace", "x with one text replaced by another", str, bytes)
    startswith = _method("startswith", "Whether x starts so", str, bytes)
    endswith = _method("endswith", "Whether x ends so", str, bytes)
    find = _method("find", "Where the text first occurs in x, or -1", str, bytes)
    zfill = _method("zfill", "x filled with zeros at its left", str, bytes)
    encode = _method("encode", "x as bytes", str)
    decode = _method("decode", "x as text", bytes)
    isdigit = _method("isdigit", "Whether x has only digits", str, bytes)
    isalpha = _method("isalpha", "Whether x has only letters", str, bytes)
    isnumeric = _method("isnumeric", "Whether x has only numerals", str)
    count = _method("count", "How often the item occurs in x", str, bytes, list, tuple)
    index = _method("index", "Where the item first occurs in x", str, bytes, list, tuple)
    get = _method("get", "The value of x at the key, or the default", dict)
    keys = _method("keys", "The keys of x", dict)
    values = _method("values", "The values of x", dict)
    items = _method("items", "The pairs of keys and values of x", dict)

    append = _mutator("append", "write x = x + [item]")
    extend = _mutator("extend", "write x = x + items")
    insert = _mutator("insert", "write x = x[:i] + [item] + x[i:]")
    pop = _mutator("pop", "take x[i], and x[:i] + x[i + 1:] for the rest")
    remove = _mutator("remove", "make the changed copy in a bundled function")
    sort = _mutator("sort", "sort in a bundled function")
    reverse = _mutator("reverse", "write x[::-1]")
    update = _mutator("update", "write x = x | changes")
    clear = _mutator("clear", "make an empty value")
    setdefault = _mutator("setdefault", "write x = {key: value} | x")
    add = _mutator("add", "write x = x | {item}")
    discard = _mutator("discard", "write x = x - {item}")

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("the value of a node does not change: make the changed copy, for dicts x = x | {key: value}")

    def __delitem__(self, key: Any) -> None:
        raise TypeError("the value of a node does not change: make the changed copy in a bundled function")

    def __pow__(self, y: Any, modulo: Any = None) -> Any:
        return self._run(POWER, {"x": self, "y": y} if modulo is None else {"x": self, "y": y, "modulo": modulo})

    def __rpow__(self, x: Any) -> Any:
        return self._run(POWER, {"x": x, "y": self})

    def __round__(self, n: Any = None) -> Any:
        return self._run(ROUND, {"x": self} if n is None else {"x": self, "n": n})

    def __getitem__(self, key: Any) -> Any:
        return self._run(GETITEM, {"x": self, "index": key})

    def getattr(self, name: Any) -> Any:
        """The attribute of the value, traced."""
        return self._run(GETATTR, {"x": self, "name": name})

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """The value's method of this name called, traced: ``x.call("sum", axis=0)``."""
        return self.getattr(name)(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The value called as a function, traced."""
        return self._run_call(CALL, self, args, kwargs)

    def format(self, *args: Any, **kwargs: Any) -> Any:
        """The template with its fields replaced; template and values are both parents of the result."""
        if not isinstance(self._data, str):
            raise AttributeError(f"a node of {type(self._data).__name__} has no method 'format'")
        return self._run_call(FORMAT, self, args, kwargs)

    def join(self, parts: Any) -> Any:
        """The strings put together; a node of a list, or an iterable of strings and nodes."""
        if not isinstance(self._data, str | bytes):
            raise AttributeError(f"a node of {type(self._data).__name__} has no method 'join'")
        return self._run_call(JOIN, self, tuple(parts), {})

    def __iter__(self) -> Iterator[Any]:
        """The items, each a node made by indexing; the keys of a dict; the items of a set in its order."""
        data = self._data
        if isinstance(data, list | tuple | str | bytes) or hasattr(data, "shape"):
            return (self[i] for i in range(len(data)))
        # Not a sequence: its items as a list first; what cannot be iterated fails there, as feedback.
        return iter(self._run(TO_LIST, {"x": self}))

    def __len__(self) -> int:
        return len(self._read())

    def __bool__(self) -> bool:
        return bool(self._read())

    def __contains__(self, item: Any) -> bool:
        return (item._read() if isinstance(item, Operators) else item) in self._read()

    def __str__(self) -> str:
        return str(self._read())

    def __format__(self, spec: str) -> str:
        return format(self._read(), spec)
