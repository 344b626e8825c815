"""Claims on 8-bit states (arXiv 2110.02861): quality at unchanged hyperparameters, memory, errors."""

from __future__ import annotations

import functools
import math
from typing import Any

from optimand.core.claims import Claim, Finding, Outcomes, StudySpec
from optimand.papers.reading import paired
from optimand.papers.small_lm import ADAMW, ADAMW_8BIT, FIXED, FIXED_SMALL, layer_state_bytes, within

PAPER = "blockwise-8bit"
IMAGES = "digits-mlp"
MOMENTUM = StudySpec((IMAGES,), ("sgd", "sgd-8bit"), seeds=5)
MOMENTUM_SMALL = StudySpec((IMAGES,), ("sgd", "sgd-8bit"), seeds=2, budget=20)


def momentum_as_in_32_bits(outcomes: Outcomes) -> Finding:
    """Whether the difference between 8-bit and 32-bit momentum is within the noise of the seeds."""
    mean, low, high = paired(outcomes, IMAGES, "sgd-8bit", "sgd")
    ours, theirs = outcomes.mean(IMAGES, "sgd-8bit"), outcomes.mean(IMAGES, "sgd")
    return Finding(
        f"{ours:.4f} against {theirs:.4f}: {mean:+.4f} [{low:+.4f}, {high:+.4f}]",
        (math.isfinite(mean) and low <= 0 <= high) or mean < 0,
        f"{IMAGES}, test loss at the same hyperparameters, paired over the seeds, 95 % interval",
    )


def _normals(outlier: float | None = None) -> Any:
    import torch

    x = torch.randn(2**20, generator=torch.Generator().manual_seed(0))
    if outlier is not None:
        x[12345] = outlier
    return x


def _relative_error(x: Any, restored: Any) -> float:
    import torch

    ordinary = (x != 0) & (x.abs() < 100)
    return torch.mean((restored - x)[ordinary].abs() / x[ordinary].abs()).item()


def _blockwise_error(x: Any, block_size: int) -> float:
    from optimand.optim.blockwise import dequantize_blockwise, quantize_blockwise

    return _relative_error(
        x, dequantize_blockwise(*quantize_blockwise(x, "dynamic", block_size), "dynamic", block_size)
    )


def state_memory() -> Finding:
    """Bytes of the states of AdamW8bit over AdamW's, as allocated after a step."""
    import torch

    from optimand.optim.low_bit import AdamW8bit

    taken = [layer_state_bytes(build, norms=2) for build in (AdamW8bit, torch.optim.AdamW)]
    ratio = taken[0] / taken[1]
    return Finding(
        f"{1 - ratio:.1%} less ({taken[0] / 2**20:.2f} MiB against {taken[1] / 2**20:.2f} MiB)",
        ratio <= 0.26,
        "one layer of LLaMA-60M; a byte per state, a scale per 256 of them, norm weights in 32 bits",
    )


def outliers_stay_in_their_blocks() -> Finding:
    """Mean relative error of a million normals, with and without one entry of 1000."""
    import torch

    from optimand.optim.blockwise import dynamic_map

    blocks = [_blockwise_error(_normals(outlier), 256) for outlier in (None, 1000.0)]
    values = dynamic_map()
    whole = []
    for outlier in (None, 1000.0):
        x = _normals(outlier)
        scale = x.abs().max()
        codes = torch.bucketize(x / scale, (values[1:] + values[:-1]) / 2)
        whole.append(_relative_error(x, values[codes] * scale))
    ratios = blocks[1] / blocks[0], whole[1] / whole[0]
    return Finding(
        f"error times {ratios[0]:.3f} with blocks of 256, times {ratios[1]:.1f} with one scale for all",
        ratios[0] <= 1.05 and ratios[1] >= 4.0,
        f"2^20 normals and one entry of 1000; mean relative error {blocks[1]:.4f} against {whole[1]:.4f}",
    )


def dynamic_beats_linear() -> Finding:
    """Mean relative error of the dynamic map against 255 equidistant values, both in blocks of 256."""
    x = _normals()
    blocks = x.view(-1, 256)
    scale = blocks.abs().amax(1, keepdim=True)
    linear = _relative_error(x, ((blocks / scale * 127).round() / 127 * scale).view(-1))
    dynamic = _blockwise_error(x, 256)
    return Finding(
        f"{dynamic:.4f} against {linear:.4f}",
        dynamic < linear,
        "mean relative error of 2^20 normals in blocks of 256; on the mean absolute error the linear map is better, "
        "since the dynamic one spends its codes on seven decades",
    )


claim = functools.partial(Claim, PAPER)

CLAIMS = (
    claim(
        "language-model",
        "Language models trained with 8-bit Adam are as good as with 32-bit Adam, hyperparameters unchanged.",
        "same perplexity (up to 1.5B parameters)",
        functools.partial(within, method=ADAMW_8BIT, baseline=ADAMW, share=0.01),
        FIXED,
        FIXED_SMALL,
        reference="bitsandbytes 2.119 against 2.142, another code 2.178 against 2.190 (nats a byte, texts like this)",
    ),
    claim(
        "momentum",
        "So are image classifiers trained with 8-bit momentum.",
        "same accuracy (ResNet-50 on ImageNet, MoCo v2)",
        momentum_as_in_32_bits,
        MOMENTUM,
        MOMENTUM_SMALL,
    ),
    claim(
        "large-tasks",
        "So are networks for GLUE, ImageNet, WMT'14 translation and RoBERTa pretraining.",
        "equal within the noise",
        untestable="needs those data sets, pretrained models and accelerators",
    ),
    claim(
        "stability",
        "At a billion parameters, training fails without block-wise scales and the dynamic map.",
        "most runs unstable without, none with them",
        untestable="needs models of a billion parameters; 'outliers' measures the cause",
    ),
    claim(
        "stable-embedding",
        "The stable embedding layer lowers perplexity and the number of unstable runs.",
        "in words",
        untestable="not measured: the paper's runs are far larger; the layer is optimand.optim.StableEmbedding",
    ),
    claim("state-memory", "8-bit states take a quarter of the memory.", "75 % less", state_memory),
    claim(
        "outliers",
        "Block-wise scales confine the damage of an outlier to its block.",
        "in words",
        outliers_stay_in_their_blocks,
    ),
    claim(
        "dynamic-map",
        "Dynamic quantization is more exact than linear quantization for small and large values alike.",
        "in words",
        dynamic_beats_linear,
        reference="0.0154 against 0.0313 (exact nearest rounding in another implementation)",
    ),
)
