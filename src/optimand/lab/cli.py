"""The command ``optimand``."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._version import __version__
from ..core.validation import OptimandError
from .cli_catalog import USER_ERROR, JsonOption, err, list_, out, papers, print_json, show, split_commas
from .cli_library import library
from .cli_memory import memory
from .cli_solve import solve

if TYPE_CHECKING:
    from ..core.claims import StudySpec
    from .summary import StudySummary

ENDED_BADLY = 3
INTERRUPTED = 130

app = typer.Typer(
    help="Choose, trust and run optimization methods.",
    epilog="Exit codes: 0 all went well; 1 an error in what was asked for; 2 wrong usage; 3 finished, but some runs "
    "diverged or failed, stored files were damaged, the check of a claim broke down, no verified solution "
    "was found, or a library has doubts or differs; 130 interrupted.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table: only the page's path.")]
JobsOption = Annotated[int | None, typer.Option("--jobs", "-j", help="Runs at a time [default: one a core].")]


def _version(value: bool) -> None:
    if value:
        out.print(f"optimand {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def compare(
    problems: Annotated[
        list[str],
        typer.Argument(help="Problems: names ('optimand list problems'), name:key=value,…, or file.py:NAME."),
    ],
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--methods", "-m",
            help="Methods, separated by commas: names ('optimand list methods'), name:key=value,…, or file.py:NAME "
            "[default: the family's standard set].",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", "-s", help="Seeds of each final run.")] = 3,
    tune: Annotated[
        int, typer.Option("--tune", "-t", help="Trials of hyperparameter search for each method, the defaults "
        "being the first; 0: defaults only.")
    ] = 0,
    tuner: Annotated[str, typer.Option(help="qmc (quasi-random), random or tpe.")] = "qmc",
    budget: Annotated[int | None, typer.Option("--budget", "-b", help="In the problems' unit [default: "
        "each problem's own].")] = None,
    root_seed: Annotated[int, typer.Option("--seed", help="The seed that all others derive from.")] = 0,
    jobs: JobsOption = None,
    threads: Annotated[int, typer.Option(help="Threads of each run.")] = 1,
    store: Annotated[Path | None, typer.Option(help="Folder of the study [default: runs/NAME-DIGEST].")] = None,
    executor: Annotated[str, typer.Option(help="local or ray.")] = "local",
    checkpoint_every: Annotated[float, typer.Option(help="Seconds between two checkpoints of a run.")] = 30.0,
    retry_failed: Annotated[bool, typer.Option(help="Make runs again that failed with an error.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:  # fmt: skip
    """Compare methods on problems; ends in a table and a page.

    Same budget, same tuning effort, several seeds, intervals; ties are called ties.

    A study that was interrupted or killed goes on when the same command is given again.

    Example: optimand compare digits-mlp --methods lion,exadam,adamw --tune 8
    """
    from ..core.claims import StudySpec
    from .progress import show_progress
    from .study import Study

    names = split_commas(problems)
    spec = StudySpec(
        problems=names,
        methods=split_commas(methods) if methods else _standard_methods(names),
        seeds=seeds,
        tune=tune,
        tuner=tuner,
        budget=budget,
        root_seed=root_seed,
    )
    with redirect_stdout(sys.stderr):  # users' files may print, and standard output is for the result
        study = Study(
            spec,
            folder=store,
            jobs=jobs,
            threads=threads,
            executor=executor,
            checkpoint_every=checkpoint_every,
            retry_failed=retry_failed,
            command=_command(),
        )
    if not quiet:
        err.print(_announcement(spec, study.planned_runs(), study.jobs), soft_wrap=True)
    with resumable(), redirect_stdout(sys.stderr), show_progress(err, quiet=quiet) as observer:
        study.run(observer)
    for name in study.damaged:
        err.print(f"damaged run file {name} was set aside (….damaged) and its run made again", markup=False)
    _finish(study.store.folder, as_json=as_json, quiet=quiet)
    if study.damaged:
        raise typer.Exit(ENDED_BADLY)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A study's folder, or one that 'reproduce' wrote.")],
    to: Annotated[Path | None, typer.Option("--to", help="Where to write the page [default: in the folder].")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show a stored study again: the table and the page, from the stored runs alone."""
    if (folder / "claims.json").is_file():
        _show_claims(folder, as_json=as_json, quiet=quiet, to=to)
    else:
        _finish(folder, as_json=as_json, quiet=quiet, to=to)


@app.command()
def reproduce(
    paper: Annotated[str, typer.Argument(help="A paper: slug or short name ('optimand list claims').")],
    small: Annotated[bool, typer.Option(help="The small form of each study: seconds instead of minutes.")] = False,
    jobs: JobsOption = None,
    folder: Annotated[Path, typer.Option("--store", help="Folder to keep the studies in.")] = Path("runs"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check a paper's headline claims: its number, ours, and whether it holds."""
    from .progress import show_progress
    from .reproduce import reproduce as run

    def observe(title: str) -> Any:
        if not quiet:
            err.print(f"study: {title}", markup=False)
        return show_progress(err, quiet=quiet)

    with resumable():
        place = run(paper, small=small, folder=folder, jobs=jobs, command=_command(), observe=observe)
    _show_claims(place, as_json=as_json, quiet=quiet)


app.command("list")(list_)
app.command()(show)
app.command()(memory)
app.command()(solve)
app.command()(papers)
app.add_typer(library, name="library")


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C or SIGTERM ends with a word on how to go on, instead of a bare abort."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        err.print("interrupted; the same command goes on from here")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _standard_methods(problems: Sequence[str]) -> tuple[str, ...]:
    from ..core import catalog
    from .study import common_family

    loaded = [catalog.get_problem(problem) for problem in problems]
    family = catalog.get_family(common_family(loaded))
    sets = [getattr(found, "methods", ()) or (family.methods if family else ()) for found in loaded]
    common = tuple(name for name in sets[0] if all(name in other for other in sets))
    if not common:
        raise OptimandError("methods must be named with --methods: there is no standard set for these problems")
    return common


def _command() -> str:
    return shlex.join(["optimand", *sys.argv[1:]])


def _announcement(spec: StudySpec, runs: int, jobs: int) -> str:
    tuning = f"{spec.tune} trials each" if spec.tune else "defaults only (--tune N searches)"
    return (
        f"{len(spec.methods)} methods x {len(spec.problems)} problems, {spec.seeds} seeds, {tuning}: "
        f"{runs} runs, {jobs} at a time"
    )


def _finish(folder: Path, *, as_json: bool, quiet: bool, to: Path | None = None) -> None:
    from .report import write_page
    from .store import Store
    from .summary import summarize
    from .table import print_study

    results = Store(folder).load()
    summary = summarize(results)
    page = write_page(results, to or folder / "report.html")
    if as_json:
        print_json({**summary.to_dict(), "folder": str(folder), "page": str(page)})
    elif quiet:
        out.print(str(page), markup=False, soft_wrap=True)
    else:
        print_study(summary, out)
        out.print(f"page: {page}", markup=False, soft_wrap=True)
    if ended_badly(summary):
        raise typer.Exit(ENDED_BADLY)


def ended_badly(summary: StudySummary) -> bool:
    """Whether a final run diverged or failed, or a stored file was damaged."""
    return bool(summary.damaged) or any(row.diverged or row.failed for p in summary.problems for row in p.rows)


def _show_claims(place: Path, *, as_json: bool, quiet: bool, to: Path | None = None) -> None:
    from ..papers import get_paper
    from .report import write_claims_page
    from .reproduce import read_claims
    from .table import claims_table

    found = read_claims(place)
    paper = get_paper(found.paper)
    page = write_claims_page(paper, found.claims, found.studies, to or place / "report.html", small=found.small)
    if as_json:
        claims = [vars(c) for c in found.claims]
        print_json({"paper": found.paper, "small": found.small, "claims": claims, "page": str(page)})
    elif quiet:
        out.print(str(page), markup=False, soft_wrap=True)
    else:
        out.print(f"{paper.title} ({paper.year}), arXiv {paper.arxiv}", style="bold", markup=False)
        if found.small:
            out.print("small form: claims that rest on a study are not judged, the others are checked in full")
        out.print(claims_table(found.claims))
        out.print(f"page: {page}", markup=False, soft_wrap=True)
    if any(c.verdict == "not checked" for c in found.claims):
        raise typer.Exit(ENDED_BADLY)


def main() -> None:
    """Run the command; a user's error ends with its message and no traceback."""
    try:
        app()
    except (OptimandError, OSError) as error:
        err.print(f"error: {error}", markup=False, soft_wrap=True)
        raise SystemExit(USER_ERROR) from None


if __name__ == "__main__":
    main()
