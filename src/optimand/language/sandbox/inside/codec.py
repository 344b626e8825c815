"""Values as JSON with tags, both ways, without pickle: reading one never runs code.

Plain JSON stands for ``None``, ``bool``, small integers, finite floats, text, lists, and dictionaries with text keys;
all else is an object with the key ``$``. Subclasses of plain types (named tuples, counters) travel as the plain type.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import sys
from collections import Counter
from typing import Any

MAX_DEPTH = 64
MAX_ITEMS = 500_000
_SMALL = 2**53
_ARRAY_KINDS = "biufcSUmM"
_DTYPE = re.compile(r"[<>|][biufcSUmM]\d{1,9}(\[\d{0,9}[A-Za-z]{1,7}\])?")
_MAX_COLLISIONS = 100


class CodecError(ValueError):
    """A value that cannot travel, or a text that is not a value."""


def encode(value: Any, *, max_bytes: int | None = None) -> str:
    """The value as text.

    Args:
        value: built of None, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, and NumPy
            arrays and scalars without objects in them.
        max_bytes: refuse texts that are longer.

    Raises:
        CodecError: another type (named, with where it stands), more than 64 levels deep (also for what contains
            itself), more than half a million parts, or a text longer than ``max_bytes``.

    Example:
        >>> decode(encode({"a": (1, float("inf")), 2: {3}}))
        {'a': (1, inf), 2: {3}}
    """
    room = [math.inf if max_bytes is None else max_bytes, MAX_ITEMS]
    text = json.dumps(_pack(value, "value", 0, room), separators=(",", ":"), allow_nan=False)
    if max_bytes is not None and len(text) > max_bytes:
        raise CodecError(f"the value takes {len(text)} bytes, more than the {max_bytes} allowed")
    return text


def _spend(size: int, where: str, room: list[float]) -> None:
    """Count the bytes that a part needs at least, so that a bomb is refused before it is written out."""
    room[0] -= size
    room[1] -= 1
    if room[0] < 0:
        raise CodecError(f"the value is too large to travel, at {where:.80}")
    if room[1] < 0:
        raise CodecError(f"the value has more than {MAX_ITEMS} parts")


def _pack(value: Any, where: str, depth: int, room: list[float]) -> Any:
    if depth > MAX_DEPTH:
        raise CodecError(f"the value is more than {MAX_DEPTH} levels deep, or contains itself")
    if value is None or value is True or value is False:
        _spend(4, where, room)
        return value
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return _pack_numpy(value, where, room)
    if isinstance(value, int):
        number = int(value)
        _spend(number.bit_length() // 4 + 1, where, room)
        return number if abs(number) < _SMALL else {"$": "int", "v": hex(number)}
    if isinstance(value, float):
        _spend(3, where, room)
        real = float(value)
        return real if math.isfinite(real) else {"$": "float", "v": repr(real)}
    if isinstance(value, complex):
        _spend(6, where, room)
        return {"$": "complex", "v": [value.real.hex(), value.imag.hex()]}
    if isinstance(value, str):
        _spend(len(value) + 2, where, room)
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        _spend(len(value) * 4 // 3, where, room)
        return {"$": "bytes", "v": base64.b64encode(bytes(value)).decode()}
    _spend(2, where, room)
    if isinstance(value, dict):
        return _pack_dict(value, where, depth, room)
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_pack(part, f"{where}[{i}]", depth + 1, room) for i, part in enumerate(value)]
        if isinstance(value, list):
            return parts
        kind = next(k for k in (tuple, set, frozenset) if isinstance(value, k))
        return {"$": kind.__name__, "v": parts}
    raise CodecError(f"a {type(value).__name__:.60} cannot travel, at {where:.80}: plain types and NumPy arrays can")


def _pack_dict(value: dict[Any, Any], where: str, depth: int, room: list[float]) -> Any:
    if all(isinstance(key, str) for key in value) and "$" not in value:
        packed = {}
        for key, part in value.items():
            _spend(len(key) + 3, where, room)
            packed[str.__str__(key)] = _pack(part, f"{where}[{key[:40]!r}]", depth + 1, room)
        return packed
    pairs = []
    for key, part in value.items():
        name = f"{where}[{key!r:.40}]" if isinstance(key, int | str) else f"{where}[…]"
        pairs.append([_pack(key, f"a key of {where}", depth + 1, room), _pack(part, name, depth + 1, room)])
    return {"$": "dict", "v": pairs}


def _pack_numpy(value: Any, where: str, room: list[float]) -> Any:
    import numpy as np

    if value.dtype.kind not in _ARRAY_KINDS:
        raise CodecError(f"an array of type {value.dtype!s:.60} cannot travel, at {where:.80}")
    _spend(value.nbytes * 4 // 3, where, room)
    scalar = isinstance(value, np.generic)
    data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    return {"$": "scalar" if scalar else "array", "dtype": value.dtype.str, "shape": list(value.shape), "v": data}


def decode(text: str | bytes) -> Any:
    """The value that :func:`encode` wrote.

    Raises:
        CodecError: the text is not such a value.
    """
    try:
        return _unpack(json.loads(text, parse_constant=_no_constant), 0)
    except CodecError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, binascii.Error) as error:
        raise CodecError(f"not an encoded value: {error!s:.200}") from None


def _no_constant(name: str) -> Any:
    raise CodecError(f"not an encoded value: {name}")


def _unpack(item: Any, depth: int) -> Any:
    if depth > 2 * MAX_DEPTH + 2:
        raise CodecError("not an encoded value: nested too deep")
    if isinstance(item, list):
        return [_unpack(part, depth + 1) for part in item]
    if not isinstance(item, dict):
        return item
    if "$" not in item:
        return {key: _unpack(part, depth + 1) for key, part in item.items()}
    kind, value = item["$"], item["v"]
    if kind in ("tuple", "set", "frozenset"):
        parts = [_unpack(part, depth + 1) for part in value]
        if kind == "tuple":
            return tuple(parts)
        _check_hashes(parts)
        return {"set": set, "frozenset": frozenset}[kind](parts)
    if kind == "dict":
        pairs = [(_unpack(key, depth + 1), _unpack(part, depth + 1)) for key, part in value]
        _check_hashes([key for key, _ in pairs])
        return dict(pairs)
    if kind == "int":
        return int(value, 16)
    if kind == "float":
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[value]
    if kind == "complex":
        real, imag = value
        return complex(float.fromhex(real), float.fromhex(imag))
    if kind == "bytes":
        return base64.b64decode(value, validate=True)
    if kind in ("array", "scalar"):
        return _unpack_numpy(item)
    raise CodecError(f"not an encoded value: tag {kind!r:.40}")


def _check_hashes(keys: list[Any]) -> None:
    """Refuse numbers chosen to have one hash, a set of which would take hours to build."""
    if keys and max(Counter(map(hash, keys)).values()) > _MAX_COLLISIONS:
        raise CodecError("not an encoded value: keys chosen to collide")


def _unpack_numpy(item: dict[str, Any]) -> Any:
    import numpy as np

    if not isinstance(item["dtype"], str) or not _DTYPE.fullmatch(item["dtype"]):
        raise CodecError(f"not an encoded value: array of type {item['dtype']!r:.40}")
    dtype = np.dtype(item["dtype"])
    shape = item["shape"]
    if not all(isinstance(size, int) and size >= 0 for size in shape) or len(shape) > 32:
        raise CodecError("not an encoded value: shape of an array")
    data = base64.b64decode(item["v"], validate=True)
    if math.prod(shape) * dtype.itemsize != len(data):
        raise CodecError("not an encoded value: size of an array")
    if dtype.kind == "U" and np.frombuffer(data, dtype.str[0] + "u4").max(initial=0) > 0x10FFFF:
        raise CodecError("not an encoded value: an array with characters that are none")
    array = np.frombuffer(bytearray(data), dtype).reshape(shape)
    if item["$"] == "array":
        return array
    if array.shape != ():
        raise CodecError("not an encoded value: a scalar with a shape")
    return array[()]
