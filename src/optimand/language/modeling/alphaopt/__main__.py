"""A library from the shell: what it holds, whether it is whole, what waits for a decision.

python -m optimand.language.modeling.alphaopt show library.json [--id 3] [--words "trucks"] [--html page.html]
python -m optimand.language.modeling.alphaopt check library.toml
python -m optimand.language.modeling.alphaopt diff before.json after.json
python -m optimand.language.modeling.alphaopt convert library.json library.toml
python -m optimand.language.modeling.alphaopt review library.json [--accept 1 | --reject 1]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from optimand.core.validation import OptimandError

from .library import ExperienceLibrary


def show(args: argparse.Namespace) -> int:
    """Print a library, or the part that is asked for, in Markdown."""
    library = ExperienceLibrary.load(args.library)
    chosen = [library[number] for number in args.id] if args.id else list(library)
    if args.words:
        near = library.retrieve(text=args.words, k=args.most)
        chosen = [insight for insight in near if insight in chosen]
    part = ExperienceLibrary(library.taxonomy, chosen)
    if args.html:
        Path(args.html).write_text(part.to_html(), encoding="utf-8")
        print(args.html)
    else:
        print(part.to_markdown(), end="")
    return 0


def check(args: argparse.Namespace) -> int:
    """Print what is wrong or doubtful; the exit status is 1 where something is."""
    library = ExperienceLibrary.load(args.library)
    faults = library.validate()
    print("\n".join(faults) if faults else f"{len(library)} insights, nothing doubtful")
    return int(bool(faults))


def diff(args: argparse.Namespace) -> int:
    """Print what the second library has otherwise; the exit status is 1 where they differ."""
    found = ExperienceLibrary.load(args.library).diff(ExperienceLibrary.load(args.other))
    lines = [f"+ {insight.insight_id}: {insight.condition}" for insight in found.added]
    lines += [f"- {insight.insight_id}: {insight.condition}" for insight in found.removed]
    lines += [f"~ {number}: {', '.join(parts)}" for number, parts in sorted(found.changed.items())]
    print("\n".join(lines) or "no difference")
    return int(bool(found))


def convert(args: argparse.Namespace) -> int:
    """Write a library in the form that the second name says."""
    ExperienceLibrary.load(args.library).save(args.other)
    print(args.other)
    return 0


def review(args: argparse.Namespace) -> int:
    """Number the proposals, or accept or reject one."""
    library = ExperienceLibrary.load(args.library)
    proposals = list(library.review())
    number = args.accept or args.reject
    if number is None:
        for place, proposal in enumerate(proposals, 1):
            what = "" if proposal.insights or proposal.kind == "remove" else " (a hint: edit the file)"
            print(f"{place}. {proposal.kind} {', '.join(map(str, proposal.ids))}: {proposal.reason}{what}")
            for insight in proposal.insights:
                print("   " + insight.condition.replace("\n", "\n   "))
        return 0
    if not 1 <= number <= len(proposals):
        raise OptimandError(f"there is no proposal {number}; the library has {len(proposals)}")
    proposal = proposals[number - 1]
    if args.reject and proposal not in library.pending:
        raise OptimandError(f"proposal {number} comes from the library's statistics: edit or pin the insight")
    (library.accept if args.accept else library.reject)(proposal)
    library.save(args.library)
    print(f"{'accepted' if args.accept else 'rejected'}: {proposal.kind} {', '.join(map(str, proposal.ids))}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; errors in a file are one line on standard error and exit status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m optimand.language.modeling.alphaopt", description="Read, check and edit a library of insights."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    made = {}
    actions = {
        show: "print it in Markdown",
        check: "say what is doubtful",
        diff: "compare two",
        convert: "between .json and .toml",
        review: "list, accept and reject proposals",
    }
    for action, text in actions.items():
        made[action.__name__] = command = commands.add_parser(action.__name__, help=text)
        command.add_argument("library", help="a .json or .toml file, or the published list")
        command.set_defaults(action=action)
    for name in ("diff", "convert"):
        made[name].add_argument("other", help="the second file")
    made["show"].add_argument("--id", type=int, action="append", help="only this insight; may be repeated")
    made["show"].add_argument("--words", help="only the insights nearest to this text")
    made["show"].add_argument("--most", type=int, default=5, help="how many of these (default 5)")
    made["show"].add_argument("--html", help="write a page instead of printing")
    decision = made["review"].add_mutually_exclusive_group()
    decision.add_argument("--accept", type=int, metavar="N", help="make this change and save")
    decision.add_argument("--reject", type=int, metavar="N", help="drop it and save")
    args = parser.parse_args(argv)
    try:
        return int(args.action(args))
    except (OptimandError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
