"""Values travel exactly, and texts that are no values are refused."""

import collections
import contextlib
import enum
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimand.language.sandbox.inside.codec import MAX_ITEMS, CodecError, decode, encode

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
comparable = st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
hashable = st.recursive(
    comparable, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=6
)
values = st.recursive(
    plain | st.sets(hashable, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.just("$"), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a, b):
    """Equal in type and value, NaN included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a.hex() == b.hex()
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    if isinstance(a, set | frozenset):
        return a == b
    return a == b


@settings(max_examples=60, deadline=None)
@given(values)
def test_every_plain_value_comes_back_as_it_went(value):
    assert same(decode(encode(value)), value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6).reshape(2, 3).T,
        np.array([[1 + 2j]]),
        np.array(True),
        np.zeros((0, 3), dtype=np.float32),
        np.array(["a", "bc"]),
        np.array([b"x"]),
        np.array(["2024-01-01"], dtype="M8[D]"),
        np.arange(4, dtype=">i4"),
        np.array([math.nan, math.inf, -0.0]),
        np.float32(1.5),
        np.int64(-3),
        np.bool_(True),
        np.str_("é"),
    ],
)
def test_arrays_and_scalars_of_numpy_keep_type_and_shape(array):
    back = decode(encode([array]))[0]
    assert type(back) is type(array)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == np.ascontiguousarray(array).tobytes()
    if isinstance(back, np.ndarray):
        assert back.flags.writeable


def test_kinds_of_plain_types_travel_as_the_plain_type():
    class Colour(enum.IntEnum):
        RED = 1

    Point = collections.namedtuple("Point", "x y")
    back = decode(encode([Colour.RED, Point(1, 2), collections.Counter("aab"), collections.OrderedDict(z=1)]))
    assert same(back, [1, (1, 2), {"a": 2, "b": 1}, {"z": 1}])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"a": [object()]}, r"a object cannot travel, at value\['a'\]\[0\]"),
        (lambda: 0, "function cannot travel"),
        (np.array([None]), "array of type object"),
        (np.zeros(2, dtype="f8,i4"), "array of type"),
        ("x" * 2000, "too large"),
        ([0] * 2000, "too large"),
        ([1 << 100_000], "too large"),
        (np.zeros(1000), "too large"),
        ({str(i): i for i in range(500)}, "too large"),
    ],
)
def test_what_cannot_travel_is_named(value, why):
    with pytest.raises(CodecError, match=why):
        encode(value, max_bytes=1000)


def test_bombs_are_refused_before_they_are_written():
    loop: list = []
    loop.append(loop)
    with pytest.raises(CodecError, match="64 levels"):
        encode(loop)
    laughs: list = ["lol"]
    for _ in range(40):
        laughs = [laughs] * 10
    with pytest.raises(CodecError, match="too large"):
        encode(laughs, max_bytes=100_000)
    with pytest.raises(CodecError, match="parts"):
        encode([None] * (MAX_ITEMS + 1))


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "NaN", '{"$": "what", "v": 1}', '{"$": "int"}', '{"$": "int", "v": 3}', '{"$": "int", "v": "zz"}',
        '{"$": "float", "v": "1"}', '{"$": "float", "v": []}', '{"$": "set", "v": [[]]}', '{"$": "dict", "v": [[1]]}',
        '{"$": "dict", "v": [[[], 1]]}', '{"$": "bytes", "v": "?"}', '{"$": "complex", "v": [1, 2]}', "[" * 100_000,
        '{"$": []}', '{"$": [], "v": 1}', '{"$": "tuple", "v": 5}', "9" * 5000,
        '{"$": "array", "dtype": "O", "shape": [1], "v": "AAAAAAAAAAA="}',
        '{"$": "array", "dtype": "<f8", "shape": [-1], "v": "AAAAAAAAAAA="}',
        '{"$": "array", "dtype": "<f8", "shape": [1000000000000], "v": "AAAAAAAAAAA="}',
        '{"$": "array", "dtype": "<f8", "shape": [2.0], "v": "AAAAAAAAAAA="}',
        '{"$": "array", "dtype": {"names": ["a"], "formats": ["O"]}, "shape": [1], "v": ""}',
        '{"$": "array", "dtype": "f8,O", "shape": [0], "v": ""}',
        '{"$": "array", "dtype": "U0", "shape": [100000, 100000, 100000, 100000], "v": ""}',
        '{"$": "scalar", "dtype": "<f8", "shape": [1], "v": "AAAAAAAAAAA="}',
        '{"$": "array", "dtype": "nonsense", "shape": [], "v": ""}',
        '{"$": "array", "dtype": "(1,2", "shape": [0], "v": ""}',
        '{"$": "array", "dtype": "S0", "shape": [100000000000000], "v": ""}',
        '{"$": "array", "dtype": "|S0", "shape": [100000000000000], "v": ""}',
        '{"$": "array", "dtype": "<U1", "shape": [1], "v": "////fw=="}',
        '{"$": "array", "dtype": "<f8", "shape": [2], "v": "AAAAAAAAAAA="}',
        '{"$": "set", "v": [' + ",".join(str(k * (2**61 - 1)) for k in range(2000)) + "]}",
        '{"$": "dict", "v": [' + ",".join(f"[{k * (2**61 - 1)}, 0]" for k in range(2000)) + "]}",
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_forged_texts_are_refused(text):
    with pytest.raises(CodecError, match="not an encoded value"):
        decode(text)


@settings(max_examples=100, deadline=None)
@given(st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["array", "int", "dict", "set", "f8", "float"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["$", "v", "dtype", "shape", "x"]), inner, max_size=4),
    max_leaves=15,
))  # fmt: skip
def test_any_json_gives_a_value_or_a_codec_error(item):
    with contextlib.suppress(CodecError):
        decode(json.dumps(item))
