"""The codebooks: values of the published maps, decision points, bad arguments."""

from __future__ import annotations

import hashlib

import pytest
import torch

from optimand.optim.blockwise import MAPS, dynamic_map
from optimand.optim.blockwise.codec import nearest
from optimand.optim.blockwise.maps import map_of, midpoints_of

SIGNED = {
    0: -0.99296875,
    126: -5.5e-7,
    127: 0.0,
    128: 5.5e-7,
    129: 3.25e-6,
    130: 7.75e-6,
    191: 0.10703125,
    192: 0.12109375,
    254: 0.99296875,
    255: 1.0,
}
UNSIGNED = {
    0: 0.0,
    1: 3.25e-7,
    2: 7.75e-7,
    3: 2.125e-6,
    127: 0.103515625,
    128: 0.11054688,
    254: 0.99648440,
    255: 1.0,
}


@pytest.mark.parametrize(
    ("signed", "values", "total", "tolerance"), [(True, SIGNED, 1.0, 1e-6), (False, UNSIGNED, 75.10526, 1e-4)]
)
def test_dynamic_map_has_the_published_values(signed: bool, values, total: float, tolerance: float) -> None:
    table = dynamic_map(signed)
    assert table.dtype == torch.float32
    assert table.shape == (256,)
    assert (table[1:] > table[:-1]).all()
    for at, value in values.items():
        assert table[at].item() == pytest.approx(value, rel=1.5e-7), at
    assert table.double().sum().item() == pytest.approx(total, abs=tolerance)


@pytest.mark.parametrize(("signed", "digest"), [(True, "e732639a65f4"), (False, "305f002cc112")])
def test_dynamic_map_is_the_official_one_bit_for_bit(signed: bool, digest: str) -> None:
    data = dynamic_map(signed).numpy().astype("<f4").tobytes()
    assert hashlib.sha256(data).hexdigest().startswith(digest)


def test_maps_of_four_bits() -> None:
    positive = [0.0055, 0.0325, 0.0775, 0.2125, 0.4375, 0.6625, 0.8875]
    expected = [*(-value for value in reversed(positive)), 0.0, *positive, 1.0]
    assert dynamic_map(True, 4, 3).tolist() == pytest.approx(expected, rel=1e-6)
    assert map_of("dynamic4").table().tolist() == dynamic_map(True, 4, 3).tolist()
    assert map_of("linear4_unsigned").table().tolist() == [k / 16 for k in range(1, 17)]


def test_a_map_with_fewer_decades_has_fewer_values() -> None:
    # two decades of four bits: 2 and 4 bins each side, zero and one
    assert len(dynamic_map(True, 4, 2)) == 2 * (2 + 4) + 2
    assert len(dynamic_map(False, 4, 2)) == 4 + 8 + 2


@pytest.mark.parametrize("name", MAPS)
def test_decision_points_split_at_the_middle(name: str) -> None:
    m = map_of(name)
    table, midpoints = m.table(), m.midpoints()
    middle = (table[:-1].double() + table[1:].double()) / 2
    assert (midpoints.double() <= middle).all()
    assert (torch.nextafter(midpoints, torch.tensor(2.0)).double() > middle).all()
    assert m.table() is table  # shared, not made anew
    assert table[m.zero].abs() == table.abs().min()


def test_a_tie_goes_to_the_lower_entry() -> None:
    midpoints = midpoints_of(torch.tensor([-1.0, 0.0, 1.0]))
    assert torch.bucketize(torch.tensor([-0.5, 0.5]), midpoints).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 9}, r"bits must be in \[2, 8\], got 9"),
        ({"bits": 4, "exponent_bits": 4}, r"exponent_bits must be in \[1, 3\], got 4"),
        ({"exponent_bits": 0}, "exponent_bits"),
    ],
)
def test_bad_arguments_are_refused(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dynamic_map(**arguments)
    with pytest.raises(TypeError, match="bits must be an integer"):
        dynamic_map(bits=8.5)


def test_unknown_map_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'dynamic_unsigned'"):
        map_of("dynamic_unsignd")


@pytest.mark.parametrize("name", MAPS)
def test_cells_lead_to_the_same_codes_as_a_search(name: str) -> None:
    m = map_of(name)
    midpoints = m.midpoints()
    up, down = [midpoints], [midpoints]
    for _ in range(17):  # the neighbours of every decision point on both sides
        up.append(torch.nextafter(up[-1], torch.tensor(2.0)))
        down.append(torch.nextafter(down[-1], torch.tensor(-2.0)))
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(50_000, generator=generator)
    spread = 10.0 ** (-44 * torch.rand(50_000, generator=generator))
    magnitudes = torch.cat([*up, *down, uniform, spread, torch.tensor([0.0, 1.0, 1e-45, m.table()[-2]])]).clamp(max=1.0)
    values = torch.cat([magnitudes, -magnitudes.abs()]) if m.signed else magnitudes.abs()
    one = torch.ones(1, 1)
    searched = nearest(values.view(1, -1), one, midpoints)
    assert torch.equal(nearest(values.view(1, -1), one, midpoints, m.cells()), searched)
