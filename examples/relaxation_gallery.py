"""Landscapes of iteration counts, and a learner that finds the valleys while it solves.

    python examples/relaxation_gallery.py relaxation.png

Top: SOR on a five-point Laplacian plus a shift. The best omega (line) bends with the shift; ChebCB (dots) sees the
shift and, after each solve, its count, nothing else. Middle: SSOR-preconditioned CG in a heat equation over the fifth
period of a diffusion coefficient that varies by four decades. Bottom: the solution, whose source circles.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from optimand.numerical.linear_systems import ChebCB, FixedOmega, TsallisINF, optimal_omega, prepare, sor, ssor_cg
from optimand.numerical.linear_systems.systems import HeatEquation, ShiftedLaplacians, diffusion, laplacian
from optimand.numerical.linear_systems.theory import laplacian_jacobi_radius

INK, RED = "#30343f", "#d1495b"
OMEGAS = np.linspace(1, 1.95, 39)
LINES = {"ChebCB": (RED, 2.2), "Tsallis-INF": ("#00798c", 2.2), "ω = 1.6": ("#8d99a6", 1.2), "ω = 1.8": (INK, 1.2)}


def shifted_run(tuner: Any) -> np.ndarray:
    """Shift, omega and iterations of each of 6000 systems."""
    sequence, rows = ShiftedLaplacians("high", rng=0), []
    for _ in range(6000):
        system = sequence.next()
        omega = tuner.ask(system.context)
        rows.append((system.context, omega, sor(system.matrix, system.b, omega=omega).cost))
        tuner.tell(rows[-1][2])
    return np.array(rows)


def heat_run(first: int = 4000) -> tuple[np.ndarray, np.ndarray, dict[float, np.ndarray]]:
    """Of the fifth period: choices of ChebCB, counts for each of OMEGAS at every tenth step, snapshots."""
    heat, counts, choices, pictures = HeatEquation(50), [], [], {}
    tuner = ChebCB(context_bounds=heat.context_bounds, rng=0)
    for step in range(first + 1000):
        system = heat.next()
        choices.append(tuner.ask(system.context))
        found = ssor_cg(system.matrix, system.b, system.x0, omega=choices[-1])
        tuner.tell(found.cost)
        if step >= first and step % 10 == 0:
            counts.append([ssor_cg(system.matrix, system.b, system.x0, omega=w).nit for w in OMEGAS])
        if step >= first and step % 200 == 80:
            pictures[(step - first) / 1000] = found.x.reshape(49, 49)
        heat.solved(found.x)
    return np.array(choices[first:]), np.array(counts), pictures


def draw_shifts(landscape: Any, means: Any, figure: Any) -> None:
    """SOR on shifted Laplacians: the landscape, and running means."""
    base, rng = prepare(laplacian(10)), np.random.default_rng(1)
    shifts, b = np.linspace(-0.15, 0.45, 61), rng.standard_normal(100)
    counts = np.array([[sor(base.shifted(c), b, omega=w).nit for c in shifts] for w in OMEGAS])
    mesh = landscape.pcolormesh(shifts, OMEGAS, counts, norm="log", cmap="YlGnBu", shading="gouraud")
    figure.colorbar(mesh, ax=landscape, label="iterations", pad=0.02)
    best = [optimal_omega(laplacian_jacobi_radius(10, c)) for c in shifts]
    landscape.plot(shifts, best, color=INK, linewidth=1.5, label="best by theory")
    tuners = ChebCB(context_bounds=(-0.15, 0.65), rng=0), TsallisINF(rng=0), FixedOmega(1.6), FixedOmega(1.8)
    runs = list(map(shifted_run, tuners))
    landscape.plot(*runs[0][-300:, :2].T, ".", color=RED, markersize=5, label="ChebCB, last 300 of 6000")
    landscape.set(xlabel="shift c", ylabel="ω", title="SOR on A + c I", xlim=(-0.15, 0.45), ylim=(0.98, 1.95))
    landscape.legend(loc="lower left")
    for (label, (color, width)), run in zip(LINES.items(), runs, strict=True):
        smooth = np.convolve(run[:, 2], np.full(500, 1 / 500))[499:6000]
        means.plot(np.arange(500, 6001), smooth, color=color, linewidth=width, label=label)
    means.set(xlabel="systems solved", ylabel="iterations", title="Learning: mean of the last 500", ylim=(0, None))
    means.legend(frameon=False, ncols=2)


def main(target: str) -> None:
    """Draw the gallery into the file ``target``."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(14, 12), facecolor="white", layout="constrained")
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=[1.25, 1, 0.85])
    draw_shifts(*top.subplots(1, 2, width_ratios=[1.25, 1]), top)
    choices, counts, pictures = heat_run()
    axis = middle.subplots()
    mesh = axis.pcolormesh(np.arange(0, 1, 0.01), OMEGAS, counts.T, cmap="YlGnBu", vmin=0, vmax=25, shading="gouraud")
    middle.colorbar(mesh, ax=axis, label="iterations", extend="max", pad=0.01)
    axis.plot(np.arange(len(choices)) / 1000, choices, ".", color=RED, markersize=3)
    title = "SSOR-CG in a heat equation: each time step has its own best ω (dots: ChebCB)"
    axis.set(xlabel="time in periods of the diffusion", ylabel="ω", title=title, xlim=(0, 0.99), ylim=(0.98, 1.95))
    for axis, (time, picture) in zip(bottom.subplots(1, len(pictures)), pictures.items(), strict=True):
        axis.imshow(picture, cmap="inferno", origin="lower", interpolation="bilinear")
        axis.set_title(f"t = {time:.2f}, diffusion {diffusion(time):.2g}")
        axis.set_axis_off()
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "relaxation.png")
