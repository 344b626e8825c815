"""Hugging Face's Trainer with a memory-efficient optimizer: a tiny LLaMA on the standard library's sources.

    python examples/hf_trainer.py

The optimizer goes to the Trainer as an object; learning-rate schedule, gradient accumulation, clipping and checkpoints
work as with torch's own. Put any other optimizer of the library in its place.
"""

from __future__ import annotations

import inspect
import tempfile

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from optimand.optim import APOLLOMini, param_groups_for, state_bytes

WINDOW = 64


class Windows(torch.utils.data.Dataset):
    """Consecutive windows of a text's bytes."""

    def __init__(self, text: bytes) -> None:
        self.tokens = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()

    def __len__(self) -> int:
        return len(self.tokens) // WINDOW

    def __getitem__(self, at: int) -> dict[str, torch.Tensor]:
        window = self.tokens[at * WINDOW : (at + 1) * WINDOW]
        return {"input_ids": window, "labels": window}


def new_trainer(folder: str) -> Trainer:
    """A tiny LLaMA and its optimizer under a Trainer that saves half-way."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256, hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=WINDOW,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    optimizer = APOLLOMini(param_groups_for(model, "apollo-mini"), lr=1e-2)
    settings = TrainingArguments(
        output_dir=folder, max_steps=30, per_device_train_batch_size=8, gradient_accumulation_steps=2,
        lr_scheduler_type="cosine", warmup_steps=3, save_steps=15, logging_steps=10, report_to=[], use_cpu=True,
        disable_tqdm=True,
    )  # fmt: skip
    text = inspect.getsource(inspect).encode()
    return Trainer(model, settings, train_dataset=Windows(text), optimizers=(optimizer, None))


def main() -> None:
    """Train, then go on from the checkpoint in the middle, and compare."""
    with tempfile.TemporaryDirectory() as folder:
        straight = new_trainer(folder)
        straight.train()
        resumed = new_trainer(folder)
        resumed.train(resume_from_checkpoint=f"{folder}/checkpoint-15")
    losses = [entry["loss"] for entry in straight.state.log_history if "loss" in entry]
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    pairs = zip(straight.model.parameters(), resumed.model.parameters(), strict=True)
    difference = max((a - b).abs().max().item() for a, b in pairs)
    print(f"resumed from step 15: weights differ by {difference:g}")
    parameters = sum(p.numel() for p in straight.model.parameters())
    print(
        f"{parameters} parameters, {state_bytes(straight.optimizer.optimizer)} bytes of state (AdamW: {8 * parameters})"
    )


if __name__ == "__main__":
    main()
