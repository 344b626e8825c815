"""The cache of compiled kernels: machine code in files, loaded through LLVM's binding without Numba.

A file holds a digest of its payload, the entry symbol and an object file. Its name is a digest of everything that
the code depends on, so a changed formula, compiler or processor simply asks for another file.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
from typing import Any

from optimand.core.caching import cache_folder
from optimand.core.recorder import write_atomically


def read(key: str) -> tuple[str, bytes] | None:
    """The entry symbol and object file stored under ``key``; None where there is none or it is damaged."""
    try:
        data = (cache_folder("kernels") / f"{key}.kernel").read_bytes()
    except OSError:
        return None
    digest, _, payload = data.partition(b"\n")
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        return None
    symbol, _, code = payload.partition(b"\n")
    return symbol.decode(), code


def write(key: str, symbol: str, code: bytes) -> None:
    """Store a compiled kernel; where the folder cannot be written, every process compiles its own."""
    payload = symbol.encode() + b"\n" + code
    target = cache_folder("kernels")
    with contextlib.suppress(OSError):
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(target / f"{key}.kernel", hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


class LoadedCode:
    """A function made of machine code; keeps the engine that owns its memory alive.

    Args:
        symbol: entry point in ``code``.
        code: object file for this machine.
        pointers: number of pointer arguments after the two integers ``begin`` and ``end``.
    """

    def __init__(self, symbol: str, code: bytes, pointers: int) -> None:
        self._engine = _engine_of(code)
        address = self._engine.get_function_address(symbol)
        if not address:
            raise RuntimeError(f"compiled kernel lacks its entry point {symbol!r}")
        # Numba's calling convention: a slot for the return value, a slot for an exception, the arguments.
        arguments = [*[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2, *[ctypes.c_void_p] * pointers]
        self._function = ctypes.CFUNCTYPE(ctypes.c_int32, *arguments)(address)

    def __call__(self, begin: int, end: int, *pointers: int) -> None:
        slots = (ctypes.c_int64 * 2)()
        address = ctypes.addressof(slots)
        status = self._function(address, address + 8, begin, end, *pointers)
        if status != 0:
            raise RuntimeError(f"compiled kernel failed with status {status}")


def _engine_of(code: bytes) -> Any:
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())  # which has LLVM initialized
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def target_machine() -> Any:
    """LLVM's description of this processor, for code that runs in this process."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )


def processor() -> str:
    """This processor and the versions of the tools that make code for it."""
    import importlib.metadata

    import llvmlite.binding as llvm

    machine = llvm.get_default_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    return "|".join([*machine, *map(importlib.metadata.version, ("llvmlite", "numba"))])
