"""A library, an extractor's insight and a learner in small, for tests with scripted replies."""

from dataclasses import replace

from optimand.language.llm import Scripted
from optimand.language.modeling.alphaopt import AlphaOPT, ExperienceLibrary, Insight, Task
from optimand.language.modeling.alphaopt.running import Runner
from optimand.papers.alphaopt.scenarios import number_printed

LABEL = {"General Formulation": {"Variable Definition": ("Explicit Bounds",)}}
TASK = Task.of("t", "Find the largest value below four.", 3.0)


def made(number=0, taxonomy=LABEL, **more):
    return Insight(taxonomy, f"This insight applies when case {number}.", "When the problem …", **more)


def entry(text, **more):
    """An extractor's insight."""
    parts = {"stage": "General Formulation", "level1": "Variable Definition", "level2": ["Explicit Bounds"]}
    return {**parts, "new_labels": [], "condition": f"This insight applies when {text}.", "explanation": text,
            "example": "", **more}  # fmt: skip


def alpha(world, library=None, **options):
    return AlphaOPT(Scripted(world), library=library, runner=Runner(number_printed), workers=1, **options)


def library_of(count):
    return ExperienceLibrary(insights=[made(n, sources=("t",)) for n in range(1, count + 1)])


GOLD = replace(TASK, program="print(3)")
