"""Progress of a study: a bar with time left in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from .scheduler import Observer
from .scheduler import Progress as State

LINE_EVERY = 15.0  # seconds between lines where there is no terminal


@contextmanager
def show_progress(console: Console, quiet: bool = False) -> Iterator[Observer | None]:
    """Yield an observer for :meth:`Study.run` that shows the progress on ``console``."""
    if quiet:
        yield None
    elif console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task("", total=1.0, counts="", left="", current="starting workers")

            def update(state: State) -> None:
                bar.update(
                    task,
                    completed=state.share,
                    counts=f"{state.done}/{state.total} runs",
                    left=format_left(state.seconds_left),
                    current=state.current,
                )

            yield update
    else:
        printed = time.monotonic()

        def line(state: State) -> None:
            nonlocal printed
            if time.monotonic() - printed >= LINE_EVERY:
                printed = time.monotonic()
                left = format_left(state.seconds_left)
                console.print(f"{state.done}/{state.total} runs, {state.share:.0%}{', ' + left if left else ''}")

        yield line


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.fields[counts]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("[dim]{task.fields[current]}"),
        console=console,
        transient=True,
    )


def format_left(seconds: float | None) -> str:
    """``2:05 left``, or nothing while unknown."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left"
