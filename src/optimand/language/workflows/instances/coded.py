"""Workflows whose parameter is the source of a function: Battleship's policy, and functions to repair.

Changed source runs in the sandbox, the source that the workflow began with in this process. Where the function raises
an exception the workflow stops, and the exception with the failing line marked is the feedback.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..loop import Hidden, Workflow
from . import battleship as game
from . import repair


def repair_workflow(task: str | None, rng: np.random.Generator) -> Workflow:
    """A function with a fault, run on its shown cases.

    Args:
        task: of :data:`optimand.language.workflows.instances.repair.TASKS`; None to draw one.
        rng: draws the fault and the cases.

    Returns:
        A workflow whose metric is the share of cases that fail: all of them where one raises an exception.
    """
    from ..tracing.bundles import bundle
    from ..tracing.nodes import ExecutionError, Node
    from ..tracing.tape import stop_tracing

    broken = repair.draw_broken(rng, task)
    name = broken.task.name
    function = bundle(trainable=True, source=broken.source)(repair.in_process(broken.source, name))

    @bundle(description="[check] Compares the results with the expected ones.")
    def check(results: Any, expected: Any) -> Any:
        failed = [not repair.same(result, wanted) for result, wanted in zip(results, expected, strict=True)]
        return {"results": results, "failed": failed}

    expected = Node([wanted for _, wanted in broken.shown], name="expected")

    def forward() -> Any:
        return check([function(*case) for case, _ in broken.shown], expected)

    def guide(output: Mapping[str, Any]) -> str:
        lines = [
            f"{repair.call_text(name, case)} gave {result!r}, but {wanted!r} is expected"
            for (case, wanted), result, failed in zip(broken.shown, output["results"], output["failed"], strict=True)
            if failed
        ]
        if not lines:
            return "All cases are correct."
        return f"{len(lines)} of {len(broken.shown)} cases fail.\n" + "\n".join(lines)

    def held_out() -> float:
        failing = 0
        with stop_tracing():
            for case, wanted in broken.hidden:
                try:
                    failing += not repair.same(function(*case).data, wanted)
                except ExecutionError:
                    failing += 1
        return failing / len(broken.hidden)

    return Workflow(
        parameters=(function.parameter,),
        forward=forward,
        guide=guide,
        measure=lambda output: float(np.mean(output["failed"])),
        held_out=held_out,
        worst=1.0,
    )


def battleship_workflow(rng: np.random.Generator) -> Workflow:
    """Battleship with a policy of code, which begins with shooting at the cells one after another.

    Args:
        rng: draws the board that is played, and three for ``test``.
    """
    from ..tracing.bundles import bundle
    from ..tracing.nodes import ExecutionError, Node
    from ..tracing.tape import stop_tracing

    fleets = game.draw_boards(rng, 1), game.draw_boards(rng, 3)
    space: dict[str, Any] = {}
    exec(compile(game.START, "<aim>", "exec"), space)  # our own text
    aim = bundle(trainable=True, source=game.START)(space["aim"])

    @bundle(description="[fire] Marks the cell that was shot at as a hit or a miss.")
    def fire(board: Any, cell: Any, fleet: Any) -> Any:
        return game.fire(board, cell, fleet.value)

    @bundle(description="[share] The mean share of ships' cells hit at the end of the games.")
    def share(finals: Any) -> Any:
        return {"share": float(np.mean([game.share_hit(board) for board in finals])), "boards": list(finals)}

    def games(fleets: Any) -> Any:
        finals = []
        for fleet in fleets:
            board: Any = [game.UNKNOWN * game.SIZE] * game.SIZE
            ships = Node(Hidden(fleet.tolist(), "where the ships are"), name="fleet")
            for shot in range(game.SHOTS):
                board = fire(board, aim(board, shot), ships)
            finals.append(board)
        return share(finals)

    def guide(output: Mapping[str, Any]) -> str:
        picture = "\n".join(output["boards"][0])
        return (
            f"score: {output['share']:.4f}, the share of ships' cells hit in {game.SHOTS} shots. The board at the end "
            f"('{game.HIT}' hit, '{game.MISS}' miss, '{game.UNKNOWN}' not shot at):\n{picture}"
        )

    def held_out() -> float:
        with stop_tracing():
            try:
                return float(games(fleets[1]).data["share"])
            except ExecutionError:
                return 0.0

    return Workflow(
        parameters=(aim.parameter,),
        forward=lambda: games(fleets[0]),
        guide=guide,
        measure=lambda output: output["share"],
        held_out=held_out,
        worst=0.0,
    )
