"""Random programs and machines for the tests of the mallocGame."""

from __future__ import annotations

import numpy as np

from optimand.combinatorial.memory_mapping import Buffer, Hardware, Instruction, MemoryProgram


def random_program(rng: np.random.Generator, aliases: bool = False) -> MemoryProgram:
    """Three to fourteen instructions; sizes of few values, so that addresses collide."""
    buffers = [Buffer(int(rng.integers(1, 9)), param=True) for _ in range(rng.integers(1, 4))]
    instructions = []
    for _ in range(rng.integers(3, 15)):
        inputs = rng.choice(len(buffers), min(len(buffers), int(rng.integers(0, 4))), replace=False)
        outputs = []
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            outputs.append(len(buffers))
            buffers.append(Buffer(int(rng.integers(1, 9)), live_out=bool(rng.random() < 0.15)))
        if not outputs and not len(inputs):
            inputs = [0]
        compute = float(rng.choice([0.0, rng.exponential(4.0), 1.0]))
        instructions.append(Instruction(compute, tuple(outputs), tuple(int(b) for b in inputs)))
    if not aliases:
        return MemoryProgram(tuple(instructions), tuple(buffers))
    groups = []
    for param in (True, False, False):
        free = [b for b, x in enumerate(buffers) if x.param == param and not any(b in g for g in groups)]
        if len(free) < 2:
            continue
        members = [int(b) for b in rng.choice(free, min(len(free), int(rng.integers(2, 4))), replace=False)]
        for b in members:
            buffers[b] = Buffer(buffers[members[0]].size, param, buffers[b].live_out)
        groups.append(tuple(members))
    return MemoryProgram(tuple(instructions), tuple(buffers), tuple(groups))


def random_hardware(rng: np.random.Generator) -> Hardware:
    """Capacities from nothing to more than enough; bandwidths that make all roundings happen."""
    slow = float(rng.choice([1.0, 0.3, 7e11]))
    return Hardware(int(rng.choice([0, 4, 8, 12, 20, 200])), slow, slow * float(rng.choice([2, 10])), slow)
