"""Steps without host reads: capturable ones and those inside a compiled training step equal the ordinary ones."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optimand.optim import low_bit
from optimand.optim.blockwise import QuantizedTensor

CASES: list[tuple[str, dict[str, Any]]] = [
    ("AdamW8bit", {"amsgrad": True, "percentile_clipping": 5}),
    ("AdamW4bit", {}),
    ("SGD8bit", {"dampening": 0.5, "nesterov": False}),
    ("AdEMAMix8bit", {"t_alpha": 3, "t_beta3": 4}),
    ("LAMB8bit", {"percentile_clipping": 5, "maximize": True}),
    ("LARS8bit", {"weight_decay": 0.1}),
    ("Adagrad8bit", {"lr_decay": 0.1}),
]


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_close(a: list[nn.Parameter], b: list[nn.Parameter]) -> None:
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x.detach(), y.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_capturable_steps_equal_ordinary_ones(name: str, options: dict[str, Any]) -> None:
    results = []
    for capturable in (False, True):
        params = [nn.Parameter(draw(70, 65, seed=0)), nn.Parameter(draw(10, seed=1))]
        optimizer = getattr(low_bit, name)(params, lr=torch.tensor(0.01), capturable=capturable, **options)
        for step in range(5):
            for i, p in enumerate(params):
                p.grad = (step + 1.0) * draw(*p.shape, seed=10 * step + i)
            optimizer.step()
        results.append(params)
    assert_close(*results)


def test_capturable_steps_leave_bad_blocks_alone_without_an_error() -> None:
    p = nn.Parameter(draw(70, 65, seed=0))
    optimizer = low_bit.AdamW8bit([p], capturable=True)
    p.grad = draw(70, 65, seed=1)
    p.grad[0, 5] = float("nan")
    before = p.detach().clone().view(-1)
    optimizer.step()
    after = p.detach().view(-1)
    assert torch.equal(after[:256], before[:256])
    assert (after[256:] != before[256:]).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("AdamW8bit", {"percentile_clipping": 5, "weight_decay": 0.1}),
        ("LAMB8bit", {"block_size": 64}),
    ],
)
def test_large_tensors_in_a_compiled_training_step(name: str, options: dict[str, Any]) -> None:
    inputs = draw(4, 65, seed=5)
    results = []
    for compiled in (False, True):
        layer = nn.Linear(65, 70)
        layer.weight.data, layer.bias.data = draw(70, 65, seed=0) / 8, draw(70, seed=1)
        optimizer = getattr(low_bit, name)(layer.parameters(), **options)

        def train(layer: Any = layer, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            (layer(inputs) ** 2).mean().backward()
            optimizer.step()

        with warnings.catch_warnings():
            # torch's own, while it traces
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
            step = torch.compile(train, backend="eager") if compiled else train
            for _ in range(4):
                step()
        assert isinstance(optimizer.state[layer.weight]["exp_avg"], QuantizedTensor)
        results.append(list(layer.parameters()))
    torch._dynamo.reset()
    assert_close(*results)
