"""The settings of the agents, checked."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from optimand.core.validation import check_choice, check_int, check_number, suggest

MODELS = ("exact", "learned", "none")
GUIDES = ("uniform", "adaptive")


@dataclass(frozen=True)
class Settings:
    """How an agent searches and learns.

    Args:
        model: what the tree steps: the "exact" game, a "learned" model, or the exact game without a network ("none").
        root: "gumbel" or "puct".
        simulations: per search.
        lanes: episodes that are played side by side in a round; the network is trained between rounds.
        blend: weight of a playout's return in the value of a leaf; ignored by the learned model, 1 without a network.
        guide: playouts are "uniform", or "adaptive": the odds of each reference move towards the best trajectory.
        guide_rate: how far the odds move after a round, in (0, 1].
        guide_floor: least odds of either action in adaptive playouts.
        hidden: units of the network's hidden layers.
        width: of the learned model's hidden state.
        position: whether features tell the position; True where one program is trained.
        replay: decisions that are kept.
        batch: decisions, or unrolled sequences, of an update.
        updates: gradient steps for each episode played.
        warmup: gradient steps on the demonstrations before the first round.
        lr: of Adam.
        weight_decay: decoupled.
        value_weight: of the values' squared error in the loss.
        unroll: steps of the learned model in training.
        temperature: of the played actions at first.
        final_temperature: of the played actions from ``anneal`` on.
        anneal: rounds over which the temperature falls.
        noise: parameter of the Dirichlet noise at PUCT roots.
        noise_share: its weight.
        demonstrations: whether the replay begins with heuristics' trajectories.
        demo_repeats: noisy copies of each of the two heuristics among them.
        local_share: moves of the local search, as a share of the moves of the searches; 0: none.

    Raises:
        ValueError, TypeError: a value outside its range.
    """

    model: str = "exact"
    root: str = "gumbel"
    simulations: int = 16
    lanes: int = 8
    blend: float = 0.0
    guide: str = "uniform"
    guide_rate: float = 0.1
    guide_floor: float = 0.02
    hidden: tuple[int, ...] = (64, 64)
    width: int = 32
    position: bool = True
    replay: int = 20_000
    batch: int = 128
    updates: int = 20
    warmup: int = 200
    lr: float = 1e-3
    weight_decay: float = 1e-4
    value_weight: float = 4.0
    unroll: int = 5
    temperature: float = 1.0
    final_temperature: float = 0.25
    anneal: int = 50
    noise: float = 0.3
    noise_share: float = 0.25
    demonstrations: bool = True
    demo_repeats: int = 20
    local_share: float = 0.5

    def __post_init__(self) -> None:
        check_choice("model", self.model, MODELS)
        check_choice("guide", self.guide, GUIDES)
        for name in ("simulations", "lanes", "width", "replay", "batch", "unroll", "anneal"):
            check_int(name, getattr(self, name), low=1)
        for name in ("updates", "warmup", "demo_repeats"):
            check_int(name, getattr(self, name), low=0)
        for name in ("blend", "noise_share"):
            check_number(name, getattr(self, name), low=0.0, high=1.0)
        for name in ("lr", "temperature", "final_temperature", "noise"):
            check_number(name, getattr(self, name), low=0.0, low_open=True)
        for name in ("weight_decay", "value_weight", "local_share"):
            check_number(name, getattr(self, name), low=0.0)
        check_number("guide_rate", self.guide_rate, low=0.0, high=1.0, low_open=True)
        check_number("guide_floor", self.guide_floor, low=0.0, high=0.5)
        object.__setattr__(self, "hidden", tuple(check_int("hidden", size, low=1) for size in self.hidden))
        if not self.hidden:
            raise ValueError("hidden must name at least one layer, got none")

    @classmethod
    def of(cls, base: Settings | None = None, **changes: Any) -> Settings:
        """Settings with changes by name; TypeError for a name that there is not."""
        known = [field.name for field in fields(cls)]
        for name in changes:
            if name not in known:
                raise TypeError(f"{name!r} is no setting{suggest(name, known)}")
        return replace(base or cls(), **changes)

    def temperature_at(self, turn: int) -> float:
        """The temperature of a round."""
        share = min(turn / self.anneal, 1.0)
        return self.temperature + share * (self.final_temperature - self.temperature)
