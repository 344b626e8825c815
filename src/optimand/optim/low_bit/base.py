"""What the optimizers with 8-bit (4-bit) states share: small tensors in full precision, large ones quantized.

A method brings its formula and scalars as every element-wise optimizer does, and inherits the quantized states.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, ClassVar, TypedDict

import torch
from torch import Tensor

from optimand.core.validation import check_choice, check_int, suggest
from optimand.optim.base import ElementwiseOptimizer, Params, Part, _is_symbolic
from optimand.optim.blockwise import QuantizedTensor
from optimand.optim.blockwise.kernel import quantized_kernel
from optimand.optim.kernels.gather import Memo
from optimand.optim.projection.sharding import local_as, local_of
from optimand.optim.stochastic import advance_key, keys_of

from .clipping import HISTORY, clip_factor, new_history
from .norms import squared_norm
from .storage import SETTINGS, check_settings, fresh, packed, quantizes, restored, settings_of, sum_over_shards


class LowBitOptions(TypedDict, total=False):
    """Arguments that all optimizers with quantized states share; see :class:`LowBitOptimizer`."""

    block_size: int
    min_8bit_size: int
    optim_bits: int
    signed_scale: bool
    second_moment: str
    percentile_clipping: int
    stochastic_rounding: bool
    nonfinite: str
    maximize: bool
    foreach: bool | None
    fused: bool | None
    capturable: bool
    overrides: Mapping[Any, Mapping[str, Any]] | None


class LowBitOptimizer(ElementwiseOptimizer):
    """An optimizer that keeps its states in 8 (or 4) bits per value, with a float32 scale per block.

    A subclass sets ``kernel`` (or overrides ``kernel_of``) and implements ``scalars``, as for every
    :class:`~optimand.optim.base.ElementwiseOptimizer`.

    Args:
        params: parameters, groups of parameters, or pairs of name and parameter; floating point, not complex.
        defaults: hyperparameters of the method.
        options: arguments that all of these optimizers have, each also possible as a key of a group:

            * ``block_size``: values that share a scale, a power of two from 64 to 4096; 256 (128 for 4 bits).
            * ``min_8bit_size``: parameters with fewer elements keep float32 states; 4096.
            * ``optim_bits``: 8 (4 for the 4-bit optimizers), or 32 for ordinary states.
            * ``signed_scale``: let the scale carry the sign of the block's extreme (default); False is the official
              rule, which shrinks negative extremes by 0.7 %.
            * ``second_moment``: how states that are never negative are kept: ``"sqrt"`` (default) stores the square
              root, ``"plain"`` is the official rule, under which a coordinate can take a far too large step.
            * ``percentile_clipping``: clip each gradient to this percentile of its parameter's last 100 norms,
              0 to 100; 100 (default) is off. A step holds float32 copies of the gradients that it clips.
            * ``stochastic_rounding``: round 16-bit parameters stochastically instead of to the nearest.
            * ``nonfinite``: what to do where a block's new state would be NaN or infinite. The block stays as it
              was, parameter and states; ``"raise"`` (default) raises at the end of the step, ``"skip"`` does not.
              States in full precision follow torch's optimizers.
            * ``maximize``, ``foreach``, ``fused``, ``capturable``: as in torch's optimizers.
            * ``overrides``: not for groups: maps a parameter, or its name, to its own ``optim_bits``,
              ``block_size``, ``min_8bit_size``, ``signed_scale`` or ``second_moment``.

    Raises:
        TypeError: an option is of a wrong type or unknown, or a parameter is complex.
        ValueError: an option is out of range, or there are no parameters, or an override names no parameter.
        RuntimeError: in ``step``, for a sparse gradient, or (``nonfinite="raise"``) for one that is not finite.

    Reference:
        Dettmers et al., 8-bit Optimizers via Block-wise Quantization, ICLR 2022, arXiv 2110.02861.

    Example:
        >>> from optimand.optim.low_bit import AdamW8bit
        >>> p = torch.nn.Parameter(torch.zeros(64, 64))
        >>> optimizer = AdamW8bit([p], lr=0.1)
        >>> p.grad = torch.ones(64, 64)
        >>> optimizer.step()
        >>> optimizer.state[p]["exp_avg"]
        QuantizedTensor(shape=(64, 64), map='dynamic', block_size=256, device='cpu')
        >>> round(p[0, 0].item(), 6)
        -0.1
    """

    counts_steps = True
    wide_states = True
    bits: ClassVar[int] = 8

    def __init__(self, params: Params, defaults: dict[str, Any], options: Mapping[str, Any]) -> None:
        known = {**shared_defaults(self.bits), **defaults}
        for name in options:
            if name not in LowBitOptions.__annotations__:
                hint = suggest(name, LowBitOptions.__annotations__)
                raise TypeError(f"{type(self).__name__} has no option {name!r}{hint}")
        chosen = dict(options)
        overrides = dict(chosen.pop("overrides", None) or {})
        for key, settings in overrides.items():
            if not isinstance(key, str | Tensor) or not isinstance(settings, Mapping):
                raise TypeError(f"overrides must map parameters or names to settings, got {key!r}: {settings!r}")
            check_settings(settings, self.bits)
        self._overrides = overrides
        self._matched: set[int] = set()
        super().__init__(params, {**known, **chosen})
        for number, key in enumerate(overrides):
            if number not in self._matched:
                raise ValueError(f"overrides must name parameters of the optimizer, got {key!r}")

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_settings({name: group[name] for name in SETTINGS}, self.bits)
        check_int("percentile_clipping", group["percentile_clipping"], low=0, high=100)
        check_choice("nonfinite", group["nonfinite"], ("raise", "skip"))
        for name in ("maximize", "capturable", "stochastic_rounding"):
            check_choice(name, group[name], (True, False))
        for at, settings in group["overrides"].items():
            check_int("overrides: position in the group", at, low=0)
            check_settings(settings, self.bits)
        if group["differentiable"]:
            raise ValueError("differentiable must be False, got True: the rounding of states has no gradient")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters; ValueError or TypeError if its hyperparameters or parameters are bad."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for p in group["params"]:
            if not p.is_floating_point():
                del self.param_groups[-1]
                kind = "complex" if p.is_complex() else str(p.dtype)
                raise TypeError(f"params must be real floating-point tensors, got a {kind} one")
        group["overrides"] = dict(group["overrides"])
        names = group.get("param_names") or [None] * len(group["params"])
        for at, (name, param) in enumerate(zip(names, group["params"], strict=True)):
            for number, (key, settings) in enumerate(self.__dict__.get("_overrides", {}).items()):
                if key is param or (isinstance(key, str) and key == name):
                    group["overrides"][at] = dict(settings)
                    self._matched.add(number)

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        kernel, settings = self.kernel_of(group), settings_of(group, param)
        if not quantizes(settings, param):
            super()._init_state(group, param, state)
        else:
            quantized_kernel(kernel)  # so that a traced step finds it
            state.update({name: fresh(settings, name, param) for name in kernel.states})
            device = param.device if group["capturable"] else torch.device("cpu")
            state["step"] = torch.zeros((), dtype=torch.float32, device=device)
        if group["percentile_clipping"] < 100:
            state[HISTORY] = new_history(local_of(param).device)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient.

        Args:
            closure: reevaluates the model and returns the loss.

        Returns:
            What ``closure`` returned, or None.

        Raises:
            RuntimeError: a gradient is sparse; or (``nonfinite="raise"``) new quantized states were not finite: the
                blocks concerned are as they were, everything else is updated. Within ``torch.compile`` and with
                ``capturable``, nothing is raised.
        """
        self.__dict__.pop("_skipped", None)  # of a step that another error has ended
        loss = super().step(closure)
        skipped = self.__dict__.pop("_skipped", None)
        if skipped:
            raise RuntimeError(
                f"gradient of {', '.join(skipped)} has values that make states NaN or infinite: the blocks of these "
                "values were left as they were, all others are updated; nonfinite='skip' accepts that"
            )
        return loss

    def _update_group(self, group: dict[str, Any], part: Part) -> None:
        if group["percentile_clipping"] < 100:
            part = part._replace(grads=self._clipped(group, part))
        quantized = [isinstance(state, QuantizedTensor) for state in part.states[0]]
        low = [i for i, here in enumerate(quantized) if here]
        full = [i for i, here in enumerate(quantized) if not here]
        if low:
            self._update_quantized(group, part.take(low))
        if full:
            super()._update_group(group, part.take(full))
        elif not _is_symbolic(group):
            advance_key(group)

    def _clipped(self, group: dict[str, Any], part: Part) -> list[Tensor]:
        """The gradients scaled down where they are long, not rounded to 16 bits."""
        found = []
        for p, g, step in zip(*part[:3], strict=True):
            state = self.state[p]
            if HISTORY not in state:
                state[HISTORY] = new_history(local_of(p).device)
            norm = sum_over_shards(squared_norm(local_as(g, p)), p)
            factor = clip_factor(state[HISTORY], norm, step + 1.0, group["percentile_clipping"])
            short = not _is_symbolic(group) and factor.item() == 1.0  # most gradients: no copy is made
            found.append(g if short else g.to(torch.promote_types(g.dtype, torch.float32)) * factor)
        return found

    def _update_quantized(self, group: dict[str, Any], part: Part) -> None:
        params, grads, _, states = part
        keys = None if torch.compiler.is_compiling() else keys_of(group, params)
        symbolic = _is_symbolic(group)
        table, rows = self._table(group, part, lazy=symbolic)
        here = [local_of(p) for p in params]
        grads = [local_as(g, p) for g, p in zip(grads, params, strict=True)]
        kernel, maximize = quantized_kernel(self.kernel_of(group)), group["maximize"]
        if symbolic:
            for i, (p, g) in enumerate(zip(here, grads, strict=True)):
                key = None if keys is None else keys[i]
                options = {"maximize": maximize, "key": key, "stochastic": group["stochastic_rounding"]}
                kernel.apply(p, g, [of_state[i] for of_state in states], table[rows[i]], **options)
            return
        skipped: list[int] = []
        fused = group["fused"] is not False and not group["foreach"]
        memo = self.__dict__.setdefault("_quantized_memos", {}).setdefault(id(group["params"]), Memo())
        options = {"maximize": maximize, "keys": keys, "skipped": skipped, "fused": fused, "memo": memo}
        kernel.launch(here, grads, states, table, rows, **options)
        if skipped and group["nonfinite"] == "raise":
            names = [_name(group, params[i]) for i in sorted(set(skipped))]
            self.__dict__.setdefault("_skipped", []).extend(names)

    def state_dict(self) -> dict[str, Any]:
        """The state in plain terms: a quantized state as a dict of tensors, numbers and strings.

        The states of DTensor parameters come as float32 DTensors, which distributed checkpoints can shard anew.
        """
        with _apart(self, "_optimizer_state_dict_post_hooks") as hooks:
            whole = super().state_dict()
        params = dict(_saved_params(whole, self.param_groups))
        states = {
            key: {
                name: packed(value, params[key]) if isinstance(value, QuantizedTensor) else value
                for name, value in state.items()
            }
            for key, state in whole["state"].items()
        }
        return _hooked(self, hooks, {**whole, "state": states})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave, bit for bit, or states of another form.

        Hyperparameters come from the state dict, the form of the states from this optimizer: full-precision states,
        such as those of ``torch.optim``, are quantized, quantized ones are converted where they must be.

        Args:
            state_dict: of this optimizer, or of one with the same states in another form.

        Raises:
            ValueError: a state has not its parameter's shape, or values that are not finite, a hyperparameter is none
                of this optimizer's, or the groups differ.
        """
        with (
            _apart(self, "_optimizer_load_state_dict_pre_hooks") as before,
            _apart(self, "_optimizer_load_state_dict_post_hooks") as after,
        ):
            self._load(self.translate_state_dict(_hooked(self, before, state_dict.copy())))
        for hook in after.values():
            hook(self)

    def _load(self, state_dict: dict[str, Any]) -> None:
        steps = {
            key: {"step": torch.as_tensor(state.get("step", 1.0), dtype=torch.float32)}
            for key, state in state_dict["state"].items()
            if state
        }
        # torch casts every state to the parameter's dtype, which ruins codes: it gets the step counts only.
        super(ElementwiseOptimizer, self).load_state_dict({**state_dict, "state": steps})
        groups = [group for group in self.param_groups for _ in group["params"]]
        for (key, param), group in zip(_saved_params(state_dict, self.param_groups), groups, strict=True):
            if key not in steps:
                continue
            saved, kernel, settings = state_dict["state"][key], self.kernel_of(group), settings_of(group, param)
            fresh_state: dict[str, Any] = {}
            self._init_state(group, param, fresh_state)
            for name in kernel.states:
                if saved.get(name) is not None:  # older torch kept None for a momentum that does not exist yet
                    dtype = self.state_dtype(group, name, param)
                    fresh_state[name] = restored(saved[name], settings, name, param, dtype)
            if HISTORY in saved:
                fresh_state[HISTORY] = saved[HISTORY].to(local_of(param).device, torch.float32, copy=True)
            self.state[param].update({**fresh_state, "step": self.state[param]["step"].clone()})

    def translate_state_dict(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """The state dict with this optimizer's form of states, and with its hyperparameters where it lacks some."""
        groups = []
        for saved, own in zip(state_dict["param_groups"], self.param_groups, strict=False):
            kept = {name: own[name] for name in (*SETTINGS, "overrides")}
            groups.append({**{name: value for name, value in own.items() if name != "param_names"}, **saved, **kept})
            self.check_group(groups[-1])
        return {**state_dict, "param_groups": groups + list(state_dict["param_groups"][len(groups) :])}


def shared_defaults(bits: int) -> dict[str, Any]:
    """The defaults of what all these optimizers share, for states of ``bits`` bits."""
    return {
        "block_size": 256 if bits == 8 else 128,
        "min_8bit_size": 4096,
        "optim_bits": bits,
        "signed_scale": True,
        "second_moment": "sqrt" if bits == 8 else "plain",
        "percentile_clipping": 100,
        "nonfinite": "raise",
        "overrides": {},
    }


@contextmanager
def _apart(optimizer: LowBitOptimizer, name: str) -> Iterator[Mapping[int, Callable[..., Any]]]:
    """The optimizer's hooks of one kind, which do not run meanwhile: they are to see states in their saved form."""
    hooks = getattr(optimizer, name)
    setattr(optimizer, name, OrderedDict())
    try:
        yield hooks
    finally:
        setattr(optimizer, name, hooks)


def _hooked(optimizer: LowBitOptimizer, hooks: Mapping[int, Callable[..., Any]], state_dict: dict[str, Any]) -> Any:
    """The state dict after the hooks, each of which may change it or return another."""
    for hook in hooks.values():
        result = hook(optimizer, state_dict)
        state_dict = state_dict if result is None else result
    return state_dict


def _saved_params(state_dict: dict[str, Any], groups: list[dict[str, Any]]) -> list[tuple[Any, Tensor]]:
    """Each parameter with its key in the state dict."""
    keys = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
    return list(zip(keys, chain.from_iterable(group["params"] for group in groups), strict=True))


def _name(group: dict[str, Any], param: Tensor) -> str:
    at = next(i for i, p in enumerate(group["params"]) if p is param)
    names = group.get("param_names")
    return repr(names[at]) if names else f"parameter {at} of its group (shape {tuple(param.shape)})"
