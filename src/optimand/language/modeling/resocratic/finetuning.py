"""Export of pairs for fine-tuning, and a small supervised loop (the recipe of arXiv 2407.09887).

Three epochs, AdamW at 2e-5 without decay, a warm-up of 3 % and a cosine to zero, large batches by accumulation, and the
loss on the answer alone: the tokens of the prompt are masked. Ours weighs every answer token of an accumulated batch
alike (a mean of means would favour short answers), and resumes bit for bit.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optimand.core.validation import OptimandError, check_int, check_number

from .chats import IGNORED, SYSTEM, Pair, encode_chat, to_messages

if TYPE_CHECKING:
    import torch


def answer_loss(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Cross entropy summed over the answer tokens, and their number.

    Args:
        logits: ``[B, T, V]``; those at t predict the token at t + 1.
        targets: ``[B, T]``, -100 where nothing is learned.
    """
    from torch.nn.functional import cross_entropy

    shifted = targets[:, 1:].reshape(-1)
    total = cross_entropy(
        logits[:, :-1].reshape(-1, logits.shape[-1]).float(), shifted, ignore_index=IGNORED, reduction="sum"
    )
    return total, int((shifted != IGNORED).sum())


@dataclass
class FineTuning:
    """What a fine-tuning did.

    Attributes:
        losses: mean loss of an answer token, one for each update.
        rates: learning rate of each update.
        valid: pairs of update and mean loss on held-out answers.
        updates: updates made in all, those before a resume included.
        finished: whether all epochs are done.
    """

    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    valid: list[tuple[int, float]] = field(default_factory=list)
    updates: int = 0
    finished: bool = False


def learning_rate(update: int, updates: int, lr: float, warmup: float) -> float:
    """The rate of an update, counted from 0: linear warm-up, then a cosine that is zero at the last update.

    The usual schedule, one update on: that one begins with a rate of zero, this one ends with it.

    Example:
        >>> [round(learning_rate(k, 100, 1.0, 0.03), 3) for k in (0, 2, 51, 99)]
        [0.333, 1.0, 0.492, 0.0]
    """
    ramp = max(1, math.ceil(warmup * updates))
    if update < ramp:
        return lr * (update + 1) / ramp
    return lr * 0.5 * (1 + math.cos(math.pi * (update - ramp + 1) / max(1, updates - ramp)))


def finetune(
    model: Any,
    pairs: Sequence[Pair],
    tokenizer: Any,
    *,
    epochs: int = 3,
    lr: float = 2e-5,
    batch: int = 2,
    accumulation: int = 32,
    warmup: float = 0.03,
    weight_decay: float = 0.0,
    max_length: int = 2048,
    clip: float | None = 1.0,
    bf16: bool = False,
    held_out: Sequence[Pair] = (),
    seed: int = 0,
    system: str = SYSTEM,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 100,
    stop_after: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> FineTuning:
    """Train a causal language model on answers.

    Args:
        model: any module from token ids ``[B, T]`` to logits ``[B, T, V]``, or one whose result has ``logits``.
        pairs: questions with programs.
        tokenizer: see :func:`encode_chat`.
        epochs: passes over the pairs.
        lr: largest learning rate of AdamW.
        batch: conversations in one forward pass.
        accumulation: passes in one update; the paper's 128 are 2 x 32 on two processes.
        warmup: share of the updates with a rising rate.
        weight_decay: of AdamW.
        max_length: tokens of a conversation, at most the model's context where it tells one; longer pairs are left out,
            since a cut answer teaches to stop anywhere.
        clip: largest norm of a gradient; None for none.
        bf16: compute in bfloat16 where autocast does.
        held_out: pairs whose loss is measured after each epoch.
        seed: of the order of the pairs.
        system: the system line.
        checkpoint: file that the state is written to, and read from if it is there: the run goes on as if it had not
            been interrupted, bit for bit.
        every: updates between two checkpoints.
        stop_after: end after so many updates of this call.
        progress: called with update, updates in all, and loss.

    Returns:
        Losses and rates.

    Raises:
        OptimandError: no pair fits, or the checkpoint belongs to another run.
    """
    import torch

    for name, value in (
        ("epochs", epochs), ("batch", batch), ("accumulation", accumulation), ("every", every),
        ("max_length", max_length),
    ):  # fmt: skip
        check_int(name, value, low=1)
    check_int("seed", seed, low=0)
    check_number("lr", lr, low=0, low_open=True)
    check_number("warmup", warmup, low=0, high=1)
    check_number("weight_decay", weight_decay, low=0)
    if clip is not None:
        check_number("clip", clip, low=0, low_open=True)
    longest = min(max_length, _context_of(model) or max_length)
    fitting = _fitting(model, pairs, tokenizer, system, max_length)
    per_epoch = math.ceil(len(fitting) / (batch * accumulation))
    total = epochs * per_epoch
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    identity = {
        "pairs": hashlib.blake2b(repr(fitting).encode(), digest_size=8).hexdigest(), "epochs": epochs, "lr": lr,
        "batch": batch, "accumulation": accumulation, "warmup": warmup, "weight_decay": weight_decay, "clip": clip,
        "bf16": bf16, "seed": seed,
    }  # fmt: skip
    done = _resume(checkpoint, identity, model, optimizer)
    device = next(model.parameters()).device
    model.train()
    begin = done.updates
    while done.updates < total:
        if stop_after is not None and done.updates - begin >= stop_after:
            break
        epoch, step = divmod(done.updates, per_epoch)
        order = np.random.default_rng([seed, epoch]).permutation(len(fitting))
        chosen = [fitting[k] for k in order[step * batch * accumulation : (step + 1) * batch * accumulation]]
        rate = learning_rate(done.updates, total, lr, warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = _update(model, optimizer, chosen, batch, clip, bf16, device)
        done.losses.append(loss)
        done.rates.append(rate)
        done.updates += 1
        if progress is not None:
            progress(done.updates, total, loss)
        if held_out and step + 1 == per_epoch:
            done.valid.append((done.updates, held_out_loss(model, held_out, tokenizer, system, longest)))
        done.finished = done.updates == total
        if checkpoint is not None and (done.updates % every == 0 or done.finished):
            _save(checkpoint, identity, model, optimizer, done)
    if checkpoint is not None and not done.finished:
        _save(checkpoint, identity, model, optimizer, done)
    return done


def _fitting(model: Any, pairs: Sequence[Pair], tokenizer: Any, system: str, max_length: int) -> list[Any]:
    """The pairs as tokens, those that fit into the length and the model's context."""
    encoded = [encode_chat(to_messages(pair, system), tokenizer) for pair in pairs]
    context = _context_of(model)
    longest = min(max_length, context or max_length)
    fitting = [item for item in encoded if len(item[0]) <= longest]
    if not fitting:
        shortest = f"; the shortest has {min(len(item[0]) for item in encoded)}" if encoded else ""
        limit = f"max_length={max_length}" + ("" if context is None else f" and the model's context={context}")
        raise OptimandError(f"none of the {len(encoded)} pairs fits into {limit} tokens{shortest}")
    return fitting


def _context_of(model: Any) -> int | None:
    """The longest sequence that a model takes, where it says so: ours by ``context``, others in their ``config``."""
    config = getattr(model, "config", None)
    for found in (getattr(model, "context", None), getattr(config, "max_position_embeddings", None),
                  getattr(config, "n_positions", None)):  # fmt: skip
        if isinstance(found, int) and found > 0:
            return found
    return None


def held_out_loss(
    model: Any, pairs: Sequence[Pair], tokenizer: Any, system: str = SYSTEM, max_length: int = 2048
) -> float:
    """Mean loss of an answer token over pairs, those above ``max_length`` tokens left out."""
    import torch

    device = next(model.parameters()).device
    was = model.training
    model.eval()
    loss, count = 0.0, 0
    with torch.no_grad():
        for pair in pairs:
            item = encode_chat(to_messages(pair, system), tokenizer)
            if len(item[0]) <= max_length:
                ids, targets = _padded([item], device)
                total, number = answer_loss(_logits(model, ids), targets)
                loss, count = loss + float(total.detach()), count + number
    model.train(was)
    return loss / max(1, count)


def _update(
    model: Any, optimizer: Any, chosen: list[tuple[list[int], list[int]]], batch: int, clip: float | None, bf16: bool,
    device: Any,
) -> float:  # fmt: skip
    import torch

    optimizer.zero_grad(set_to_none=True)
    answers = sum(target != IGNORED for _, targets in chosen for target in targets[1:])
    summed = 0.0
    # Sorted by length within the update, so that little is padded; the sum does not depend on the grouping.
    chosen = sorted(chosen, key=lambda item: len(item[0]))
    for begin in range(0, len(chosen), batch):
        ids, targets = _padded(chosen[begin : begin + batch], device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            total, _ = answer_loss(_logits(model, ids), targets)
        (total / answers).backward()
        summed += float(total.detach())
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return summed / answers


def _logits(model: Any, ids: Any) -> Any:
    found = model(ids)
    return found.logits if hasattr(found, "logits") else found


def _padded(items: list[tuple[list[int], list[int]]], device: Any) -> tuple[Any, Any]:
    """Batches of one length; padding stands at the right, where a causal model does not look."""
    import torch

    length = max(len(ids) for ids, _ in items)
    ids = torch.tensor([ids + [0] * (length - len(ids)) for ids, _ in items], device=device)
    targets = torch.tensor([t + [IGNORED] * (length - len(t)) for _, t in items], device=device)
    return ids, targets


def _save(path: str | os.PathLike[str], identity: Mapping[str, Any], model: Any, optimizer: Any, done: Any) -> None:
    import torch

    target = Path(path)
    temporary = target.with_name(target.name + ".part")
    state = {
        "identity": dict(identity), "model": model.state_dict(), "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state(), "losses": done.losses, "rates": done.rates, "updates": done.updates,
        "valid": [list(entry) for entry in done.valid], "finished": done.finished,
    }  # fmt: skip
    torch.save(state, temporary)
    temporary.replace(target)


def _resume(path: str | os.PathLike[str] | None, identity: Mapping[str, Any], model: Any, optimizer: Any) -> FineTuning:
    import torch

    if path is None or not Path(path).exists():
        return FineTuning()
    state = torch.load(path, weights_only=True)
    if state["identity"] != dict(identity):
        changed = next(key for key in identity if state["identity"].get(key) != identity[key])
        raise OptimandError(
            f"checkpoint {str(path)!r} belongs to another run: {changed} was {state['identity'].get(changed)!r}, "
            f"this one has {identity[changed]!r}"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"])
    valid = [(int(update), float(loss)) for update, loss in state["valid"]]
    return FineTuning(state["losses"], state["rates"], valid, state["updates"], state["finished"])
