"""Where the families of this package are registered."""

from __future__ import annotations

# Modules whose import registers a family's methods, problems and claims.
FAMILY_MODULES: dict[str, tuple[str, ...]] = {
    "training": (
        "optimand.training.family",
        "optimand.training.problems",
        "optimand.training.claims",
        "optimand.optim.methods",
        "optimand.optim.claims",
        "optimand.online.convex.training_methods",
    ),
    **{
        family: tuple(f"optimand.numerical.{room}.{part}" for part in ("family", "problems", "methods", "claims"))
        for family, room in (
            ("linear-systems", "linear_systems"),
            ("constrained", "constrained"),
            ("bilevel", "bilevel"),
            ("monotone", "monotone"),
        )
    },
    "bandits": (
        *(f"optimand.online.bandits.{part}" for part in ("family", "problems", "methods")),
        "optimand.online.linear_bandits.regret_problems",
        "optimand.online.linear_bandits.regret_methods",
    ),
    **{
        family: tuple(f"optimand.online.{room}.{part}" for part in ("family", "problems", "methods", "claims"))
        for family, room in (
            ("streaming-bandits", "streaming"),
            ("best-action", "linear_bandits"),
            ("online-convex", "convex"),
        )
    },
    **{
        family: tuple(f"optimand.{room}.{part}" for part in ("family", "problems", "methods", "claims"))
        for family, room in (
            ("submodular", "combinatorial.submodular"),
            ("memory-mapping", "combinatorial.memory_mapping"),
            ("offline", "offline"),
        )
    },
    "workflows": tuple(f"optimand.language.workflows.{part}" for part in ("family", "problems", "methods", "claims")),
    "modeling": (
        *(f"optimand.language.modeling.{part}" for part in ("family", "problems", "methods", "claims")),
        "optimand.language.modeling.resocratic.claims",
        *(f"optimand.language.modeling.alphaopt.{part}" for part in ("method", "claims")),
    ),
}
