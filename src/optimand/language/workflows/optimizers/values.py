"""Values of parameters and what a model says about them: schemas, conversion, and the suggestions in a reply.

The schema of a parameter is sent with the prompt, so that a decoder that can be constrained cannot leave the range.
Whatever comes back is checked again: no value reaches a parameter that its type, range, choices or signature forbid,
and every refusal comes with its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from optimand.core.validation import check_choice, suggest
from optimand.language.llm.schemas import faults_of
from optimand.language.llm.structured import ReplyError, read_json

from .code_values import convert_code
from .kinds import POLICIES, ValueRejected, convert_like, kind_of, plain, schema_like

_FENCED = re.compile(r"\s*```(?:\w*\n)?(.*?)```\s*\Z", re.DOTALL)
_END_OF_THOUGHT = re.compile(r"</(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad)>", re.IGNORECASE)


def is_code(parameter: Any) -> bool:
    """Whether a parameter holds the source of a function."""
    told = getattr(parameter, "is_code", None)
    if isinstance(told, bool):
        return told
    return isinstance(parameter.data, str) and str(parameter.name).startswith("__code")


def schema_for(parameter: Any) -> dict[str, Any]:
    """The JSON schema of a parameter's values: its own, its choices, or that of its present value with its range.

    Args:
        parameter: a :class:`ParameterNode <optimand.language.workflows.tracing.nodes.ParameterNode>`.

    Example:
        >>> from types import SimpleNamespace
        >>> schema_for(SimpleNamespace(name="green:0", data=30, minimum=5, maximum=60))
        {'type': 'integer', 'minimum': 5, 'maximum': 60}
    """
    own = getattr(parameter, "schema", None)
    if own:
        return dict(own)
    choices = getattr(parameter, "choices", None)
    if choices is not None:
        return {"enum": [plain(choice) for choice in choices]}
    if is_code(parameter):
        return {"type": "string", "minLength": 1}
    schema = schema_like(parameter.data)
    if kind_of(parameter.data) == "str":
        longest = getattr(parameter, "max_length", None)
        return schema if longest is None else {**schema, "maxLength": longest}
    longest = getattr(parameter, "max_length", None)
    if schema.get("type") == "array" and longest is not None:
        schema["maxItems"] = min(longest, schema.get("maxItems", longest))
    limits = dict(zip(("minimum", "maximum"), limits_of(parameter), strict=True))
    given = {key: limit for key, limit in limits.items() if limit is not None}
    return _with_limits(schema, given) if given else schema


def limits_of(parameter: Any) -> tuple[Any, Any]:
    """The least and the largest allowed number; whole ones as integers, None where there is none."""
    low, high = (getattr(parameter, key, None) for key in ("minimum", "maximum"))
    return _whole(low), _whole(high)


def _whole(limit: Any) -> Any:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _with_limits(schema: dict[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """Limits at every number of a schema: the range of an array or list is that of each item."""
    if schema.get("type") in ("integer", "number"):
        return {**schema, **limits}
    inner: dict[str, Any] = {}
    if isinstance(schema.get("items"), dict):
        inner["items"] = _with_limits(schema["items"], limits)
    if "prefixItems" in schema:
        inner["prefixItems"] = [_with_limits(item, limits) for item in schema["prefixItems"]]
    return {**schema, **inner}


def convert(value: Any, parameter: Any, *, policy: str = "reject", notes: list[str] | None = None) -> Any:
    """A suggested value as a value of a parameter.

    Args:
        value: as JSON holds it; texts such as ``"False"``, ``"7"`` and ``"[3, 4]"`` are read where no text is needed.
        parameter: whose present value, range, choices, schema and signature tell what is right.
        policy: ``reject`` or ``round`` a fraction where an integer is needed.
        notes: gets a sentence for every change of form that was made.

    Returns:
        The value; the parameter is left as it is.

    Raises:
        ValueRejected: there is no such value, or it is outside the range.

    Example:
        >>> from types import SimpleNamespace
        >>> convert("False", SimpleNamespace(name="loud:0", data=True))
        False
        >>> convert("[3,4]", SimpleNamespace(name="sizes:0", data=[1]))
        [3, 4]
    """
    check_choice("policy", policy, POLICIES)
    notes = [] if notes is None else notes
    where = name_of(parameter)
    choices = getattr(parameter, "choices", None)
    if choices is not None:
        return _chosen(value, list(choices), notes, where)
    if is_code(parameter):
        source = convert_code(
            parameter.data, value, notes=notes, where=where, function=getattr(parameter, "function", None)
        )
        _check_length(source, parameter, where)
        return source
    own = getattr(parameter, "schema", None)
    found = convert_like(parameter.data, value, policy=policy, notes=notes, where=where)
    if own:
        _check_schema(found, own, where)
    _check_limits(found, parameter, where)
    return found


def name_of(parameter: Any) -> str:
    """The name of a node in prompts and replies."""
    return str(getattr(parameter, "py_name", None) or str(parameter.name).replace(":", ""))


def base_name(parameter: Any) -> str:
    """The name that the user gave, without the number that tells equal ones apart."""
    return str(parameter.name).rpartition(":")[0] or str(parameter.name)


def _chosen(value: Any, choices: Sequence[Any], notes: list[str], where: str) -> Any:
    for choice in choices:
        if plain(choice) == plain(value) and isinstance(value, bool) == isinstance(choice, bool):
            return choice
    if isinstance(value, str):
        written = [c for c in choices if _spelled(c).casefold() == value.strip().strip("\"'").casefold()]
        if len(written) == 1:
            notes.append(f"{where}: {value!r} was taken as {written[0]!r}")
            return written[0]
    listed = ", ".join(repr(choice) for choice in choices)
    near = suggest(str(value), [str(choice) for choice in choices])
    raise ValueRejected(f"{where} must be one of {listed}, got {value!r:.60}{near}")


def _spelled(choice: Any) -> str:
    return choice if isinstance(choice, str) else json.dumps(plain(choice))


def _check_limits(value: Any, parameter: Any, where: str) -> None:
    _check_length(value, parameter, where)
    low, high = limits_of(parameter)
    if low is None and high is None:
        return
    for number in _numbers(plain(value)):
        if (low is not None and number < low) or (high is not None and number > high):
            shown = f"[{'-inf' if low is None else low}, {'inf' if high is None else high}]"
            raise ValueRejected(f"{where} must be in {shown}, got {number!r}")


def _check_length(value: Any, parameter: Any, where: str) -> None:
    longest = getattr(parameter, "max_length", None)
    if longest is not None and hasattr(value, "__len__") and len(value) > longest:
        things = "characters" if isinstance(value, str) else "items"
        raise ValueRejected(f"{where} may have at most {longest} {things}, got {len(value)}")


def _numbers(value: Any) -> list[float]:
    if isinstance(value, list):
        return [number for item in value for number in _numbers(item)]
    if isinstance(value, dict):
        return [number for item in value.values() for number in _numbers(item)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _check_schema(value: Any, schema: Mapping[str, Any], where: str) -> None:
    _, faults = faults_of(plain(value), schema, convert=False)
    if faults:
        raise ValueRejected(f"{where}: {faults[0]}")


@dataclass(frozen=True)
class Suggestion:
    """What a reply says.

    Attributes:
        values: accepted values, converted, by parameter name as in the prompt.
        rejected: reasons for the values that were not accepted, by the same names.
        unknown: names that belong to no parameter.
        notes: changes of form that were made to accept a value.
        reasoning: the model's own words, if any.
        answer: its answer to the problem, if any.
        terminated: the whole answer was that nothing should change.
        fault: why there is no suggestion in the reply; empty if there is one.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reasoning: str = ""
    answer: str = ""
    terminated: bool = False
    fault: str = ""


def read_suggestion(text: str, parameters: Sequence[Any], *, policy: str = "reject") -> Suggestion:
    """What a reply suggests for parameters; never raises for what a model wrote.

    The suggestion is in the last object with an entry ``suggestion``; failing that, it is an object whose keys are all
    names of parameters, unless several such objects differ. ``TERMINATE`` counts only where it is the whole reply, or
    the whole answer of a reply without suggestion.

    Args:
        text: the reply: JSON, or something near it, with thoughts, prose and fences around.
        parameters: those that may be named.
        policy: see :func:`convert`.

    Example:
        >>> from types import SimpleNamespace
        >>> x = SimpleNamespace(name="x:0", data=1)
        >>> read_suggestion("<think>{x}?</think> ```json\\n{'suggestion': {'x0': '7',}}\\n```", [x]).values
        {'x0': 7}
    """
    known = _names(parameters)
    if _is_terminate(text):
        return Suggestion(terminated=True)
    whole, entries, fault = _find(text, known)
    said = Suggestion(reasoning=str(whole.get("reasoning") or ""), answer=str(whole.get("answer") or ""))
    if entries is None:
        if _is_terminate(said.answer) or _is_terminate(str(whole.get("suggestion", ""))):
            return replace(said, terminated=True)
        return replace(said, fault=fault)
    if not entries and _is_terminate(said.answer):
        return replace(said, terminated=True)
    values: dict[str, Any] = {}
    rejected: dict[str, str] = {}
    unknown: list[str] = []
    notes: list[str] = []
    for key, value in entries.items():
        parameter = known.get(key.strip())
        if parameter is None:
            unknown.append(key)
            continue
        name = name_of(parameter)
        try:
            values[name] = convert(value, parameter, policy=policy, notes=notes)
        except ValueRejected as error:
            rejected[name] = str(error)
    return replace(said, values=values, rejected=rejected, unknown=tuple(unknown), notes=tuple(notes))


def _names(parameters: Sequence[Any]) -> dict[str, Any]:
    """Parameters by every name that tells one: as in prompts, in full, and without index where only one has it."""
    known = {name_of(parameter): parameter for parameter in parameters}
    for parameter in parameters:
        known.setdefault(str(parameter.name), parameter)
    bare = [str(parameter.name).split(":")[0] for parameter in parameters]
    for parameter, name in zip(parameters, bare, strict=True):
        if bare.count(name) == 1:
            known.setdefault(name, parameter)
    return known


def _is_terminate(text: str) -> bool:
    answer = text[max((end.end() for end in _END_OF_THOUGHT.finditer(text)), default=0) :]
    fenced = _FENCED.match(answer)
    return (fenced.group(1) if fenced else answer).strip(" \t\r\n\"'`*.!").upper() == "TERMINATE"


def _find(text: str, known: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None, str]:
    """The object that answers, its suggestion or None, and what is wrong if there is none."""
    answering = {"type": "object", "properties": {"suggestion": {"type": "object"}}, "required": ["suggestion"]}
    naming = {"type": "object", "properties": {name: {} for name in known}, "additionalProperties": False}
    try:
        whole = read_json(text, answering)
        return whole, whole["suggestion"], ""
    except ReplyError as error:
        fault = error
    try:
        return {}, read_json(text, {**naming, "minProperties": 1}, several="error"), ""
    except ReplyError:
        pass
    try:
        whole = read_json(text, {"type": "object"})
    except ReplyError:
        return {}, None, str(fault)
    return whole, None, str(fault)
