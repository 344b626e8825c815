"""From a formula to machine code: generates the loop around it and lets Numba compile both.

The loop runs over chunks (tensor, offset, length) through raw pointers, so one call serves any number of tensors.
No fast-math: every operation rounds as written, and results equal those of separate tensor operations.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import cache, elementwise, rounding

HALF = ("bfloat16", "float16")


class FormulaError(TypeError):
    """A formula that cannot be compiled as written."""


@dataclass(frozen=True)
class Variant:
    """The dtypes that a kernel is specialised for, by name: ``float64``, ``float32``, ``bfloat16``, ``float16``.

    Attributes:
        dtypes: of the parameter, the gradient and each state.
        stochastic: whether the parameter is rounded stochastically (only for the 16-bit dtypes).
    """

    dtypes: tuple[str, ...]
    stochastic: bool = False

    @property
    def arithmetic(self) -> str:
        """The precision of the arithmetic: float64 if any tensor has it, else float32."""
        return "float64" if "float64" in self.dtypes else "float32"


def load_expression(name: str, dtype: str, index: str = "i") -> str:
    """Source that reads ``name[index]``, stored as ``dtype``, in the precision of the arithmetic."""
    if dtype in HALF:
        return f"arithmetic({dtype}_to_float32({name}[{index}]))"
    return f"arithmetic({name}[{index}])"


def store_expression(value: str, dtype: str, target: str, stochastic: bool = False) -> str:
    """Source that turns ``value``, of precision ``target``, into what is stored as ``dtype``."""
    if dtype in HALF:
        noisy = f"float32_to_{dtype}_stochastic({value}, noise(key, i))"
        return noisy if stochastic else f"float32_to_{dtype}({value})"
    return value if dtype == target else f"{dtype}({value})"


def driver_source(states: int, scalars: int, variant: Variant) -> str:
    """Source of ``driver(begin, end, tensors, offsets, lengths, rows, table, keys, p, g, s0, …)``.

    Args:
        states: number of states of the formula.
        scalars: number of its scalars; a row of ``table`` holds the factor of the gradient, then these.
        variant: the dtypes.
    """
    names = ["p", "g", *(f"s{k}" for k in range(states))]
    target = variant.arithmetic
    lists = ", ".join(f"{name}_list" for name in names)
    loaded = [load_expression(name, dtype) for name, dtype in zip(names, variant.dtypes, strict=True)]
    loaded[1] = f"factor * {loaded[1]}"
    stored = [n for n in range(len(names)) if n != 1]
    lines = [
        f"def driver(begin, end, tensors, offsets, lengths, rows, table, keys, {lists}):",
        "    for chunk in range(begin, end):",
        "        tensor = tensors[chunk]",
        "        start = offsets[chunk]",
        "        stop = start + lengths[chunk]",
        f"        row = rows[tensor] * {scalars + 1}",
        "        factor = arithmetic(table[row])",
        *(f"        a{k} = arithmetic(table[row + {k + 1}])" for k in range(scalars)),
        *(["        key = keys[tensor]"] if variant.stochastic else []),
        *(f"        {n} = {n}_list[tensor]" for n in names),
        "        for i in range(start, stop):",
        f"            result = formula({', '.join([*loaded, *(f'a{k}' for k in range(scalars))])})",
        *(
            f"            {names[n]}[i] = "
            f"{store_expression(f'result[{at}]', variant.dtypes[n], target, variant.stochastic and n == 0)}"
            for at, n in enumerate(stored)
        ),
    ]
    return "\n".join(lines) + "\n"


def digest_of(
    update: Callable[..., Any], functions: Mapping[str, Callable[..., Any]], source: str, variant: Variant
) -> str:
    """A digest of all that decides a kernel's machine code."""
    parts = [source, repr(variant), elementwise.SCALAR_SOURCE, cache.processor(), repr(sys.version_info[:2])]
    seen: set[int] = set()

    def visit(function: Any) -> None:
        if id(function) in seen or function.__module__ == elementwise.__name__:
            return
        seen.add(id(function))
        code = function.__code__
        constants = [repr(c) for c in code.co_consts if not isinstance(c, types.CodeType)]
        parts.append(repr((function.__name__, code.co_code.hex(), constants, code.co_names, code.co_varnames)))
        for name in code.co_names:
            used = functions.get(name, function.__globals__.get(name))
            if isinstance(used, types.FunctionType):
                visit(used)
            elif isinstance(used, int | float):
                parts.append(f"{name}={used!r}")

    visit(update)
    for function in _rounding_functions().values():
        visit(function)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]


def load(
    update: Callable[..., Any],
    functions: Mapping[str, Callable[..., Any]],
    source: str,
    variant: Variant,
    outputs: int | None = None,
) -> cache.LoadedCode:
    """Compile a driver's source, or take its code from the cache.

    Args:
        update: the function that the source calls as ``formula``.
        functions: functions that it calls by these names.
        source: a function ``driver`` with the arguments that :func:`driver_source` gives it.
        variant: the dtypes of the driver's lists of tensors.
        outputs: number of values that ``formula`` returns; one for each list but the gradients' by default.
    """
    key = digest_of(update, functions, source, variant)
    found = cache.read(key)
    if found is None:
        found = compile_object(update, functions, source, variant, outputs)
        cache.write(key, *found)
    return cache.LoadedCode(*found, 6 + len(variant.dtypes))


def compile_object(
    update: Callable[..., Any],
    functions: Mapping[str, Callable[..., Any]],
    source: str,
    variant: Variant,
    outputs: int | None = None,
) -> tuple[str, bytes]:
    """Compile; returns the entry symbol and an object file that needs nothing of Numba to run."""
    import llvmlite.binding as llvm
    import numba
    import numpy as np
    from numba.core import compiler, registry

    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        raise ImportError("compilation is disabled by NUMBA_DISABLE_JIT")
    arithmetic = getattr(numba, variant.arithmetic)
    formula = _jit(update, functions, _scalar_functions(), {})
    namespace: dict[str, Any] = {
        "formula": formula,
        "arithmetic": getattr(np, variant.arithmetic),
        "math": math,
        **{name: getattr(np, name) for name in ("float32", "float64", "int32", "int64", "uint32", "uint8")},
        **{name: numba.njit(function, error_model="numpy") for name, function in _rounding_functions().items()},
    }
    exec(compile(source, "<optimand kernel>", "exec"), namespace)  # source is made by driver_source
    flags: Any = compiler.Flags()
    flags.error_model = "numpy"
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    integer, real = numba.types.CPointer(numba.int64), numba.types.CPointer(numba.float64)
    lists = [
        numba.types.CPointer(numba.types.CPointer(numba.uint16 if dtype in HALF else getattr(numba, dtype)))
        for dtype in variant.dtypes
    ]
    signature = (numba.int64, numba.int64, *[integer] * 4, real, numba.types.CPointer(numba.uint32), *lists)
    target = registry.cpu_target
    result = compiler.compile_extra(
        target.typing_context, target.target_context, namespace["driver"], signature, numba.void, flags, {}
    )
    _check_precision(update.__name__, formula, arithmetic, outputs or len(variant.dtypes) - 1)
    module = llvm.parse_assembly(result.library.get_llvm_str())
    _check_symbols(update.__name__, module)
    machine = cache.target_machine()
    return result.fndesc.llvm_func_name, machine.emit_object(module)


def _rounding_functions() -> dict[str, Callable[..., Any]]:
    return {name: getattr(rounding, name) for name in vars(rounding) if name.startswith(("bfloat16", "float"))} | {
        "noise": rounding.noise
    }


def _scalar_functions() -> dict[str, Any]:
    """The scalar twins of :mod:`elementwise`, compiled, by name."""
    import numba
    import numpy as np
    from numba.extending import overload

    def like(x: Any, value: Any) -> Any:
        raise NotImplementedError

    @overload(like, strict=False)
    def _like(x: Any, value: Any) -> Any:
        if x == numba.float32:
            return lambda x, value: np.float32(value)
        return lambda x, value: np.float64(value)

    namespace: dict[str, Any] = {"math": math, "like": like}
    exec(compile(elementwise.SCALAR_SOURCE, elementwise.__file__, "exec"), namespace)
    for name in [n for n, f in namespace.items() if isinstance(f, types.FunctionType) and f is not like]:
        namespace[name] = numba.njit(namespace[name], error_model="numpy")
    return namespace


def _jit(function: Any, functions: Mapping[str, Any], scalar: Mapping[str, Any], done: dict[str, Any]) -> Any:
    """Compile a plain function together with the plain functions that it calls."""
    import numba

    namespace = dict(function.__globals__)
    for name in function.__code__.co_names:
        used = functions.get(name, namespace.get(name))
        if not isinstance(used, types.FunctionType):
            continue
        if used.__module__ == elementwise.__name__:
            namespace[name] = scalar[used.__name__]
        else:
            if name not in done:
                done[name] = _jit(used, functions, scalar, done)
            namespace[name] = done[name]
    twin = types.FunctionType(function.__code__, namespace, function.__name__, function.__defaults__)
    return numba.njit(twin, error_model="numpy")


def _check_precision(name: str, formula: Any, arithmetic: Any, outputs: int) -> None:
    for signature in formula.nopython_signatures:
        returned = signature.return_type
        kinds = list(returned) if hasattr(returned, "__iter__") else [returned]
        if len(kinds) != outputs or any(kind != arithmetic for kind in kinds):
            raise FormulaError(
                f"formula {name!r} must return {outputs} values of {arithmetic}, it returns {returned}; "
                "write literals as like(x, value)"
            )


def _check_symbols(name: str, module: Any) -> None:
    """Refuse code that calls into Numba's runtime: in a process without Numba it could not be linked."""
    import ctypes

    process = ctypes.CDLL(None) if os.name == "posix" else ctypes.CDLL("msvcrt")
    for function in module.functions:
        if function.is_declaration and not function.name.startswith("llvm.") and not hasattr(process, function.name):
            raise FormulaError(f"formula {name!r} calls {function.name!r}, which kernels cannot")
