"""Robots in MuJoCo: bodies for a fixed gait (ant), controllers for a fixed body (hopper).

Both are exact: a simulation from a fixed start without noise, so that a design has one value on one machine. Contacts
make the value jump, and another version of MuJoCo, or another processor, may give other digits; data and oracle come
from the same one. The data are computed on first use and kept in the cache folder.

Design-Bench's tasks of these names (Trabucco et al., arXiv 2202.08450) differ: there a trained policy moves the ant,
and 5126 weights of a network come from the training of a policy. Ours need no files but the robots' models, which
Gymnasium brings along.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np

from optimand.core.validation import OptimandError, check_int

from .base import OfflineData, Task, worst_part
from .encoding import Floats
from .stored import stored

# What is scaled on a leg of the ant, and how far: factors, and for the hip an angle in radians.
LEG = ("hip distance", "hip angle", "thigh length", "shank length", "leg radius")
LEG_LOW = np.array([0.5, -0.5, 0.5, 0.5, 0.6])
LEG_HIGH = np.array([1.5, 0.5, 1.8, 1.8, 1.6])
LEG_UNCHANGED = np.array([1.0, 0.0, 1.0, 1.0, 1.0])
# A design has the left front and the left hind leg; the right ones mirror them, so that no ant walks in a circle.
MIRROR = np.array([1.0, -1.0, 1.0, 1.0, 1.0])
LEGS = 4
# The gait: targets of the joints are sines at 2 Hz, followed by torques in proportion. Found by random search for the
# distance of the unchanged ant and of five others. Legs in the order of the model file: left front, left hind, right
# hind, right front. Left and right hip angles count in the same sense of rotation, so mirrored legs are half a turn
# apart.
FREQUENCY, HIP_SWING, ANKLE_SWING, STIFFNESS, DAMPING = 2.035, 0.345, 0.289, 1.049, 0.1
HIP_PHASE = np.array([1.25, 0.647, 0.647 + math.pi, 1.25 + math.pi])
ANKLE_PHASE = np.array([0.346, 5.176, 5.176, 0.346])
ANKLE_SIDE = np.array([1, -1, -1, 1])
ANKLE_REST = math.radians(50)
ANT_START = np.array([0, 0, 0.55, 1, 0, 0, 0, 0, 1, 0, -1, 0, -1, 0, 1.0])
ANT_HEIGHT = (0.2, 1.6)  # beyond, it lies or flies: the run ends
FRAMES = 5

HOPPER_HIDDEN = 8
HOPPER_SHAPE = (11, HOPPER_HIDDEN, 3)
HOPPER_WEIGHTS = (11 + 1) * HOPPER_HIDDEN + (HOPPER_HIDDEN + 1) * 3
WEIGHT_BOUND = 3.0


def ant_morphology(rows: int = 1000, steps: int = 100, seed: int = 0) -> Task:
    """Legs for the ant (10 numbers): how far it walks in x, in metres, with a gait that is not adapted to them.

    Args:
        rows: bodies drawn evenly inside the bounds; the worse half is offline.
        steps: control steps of 0.05 s, at least 1.
        seed: of the bodies.

    Raises:
        OptimandError: MuJoCo is not installed.
    """
    check_int("rows", rows, low=4)
    check_int("steps", steps, low=1)
    walk = AntWalk(steps)
    low, high = np.tile(LEG_LOW, 2), np.tile(LEG_HIGH, 2)
    x = np.random.default_rng(check_int("seed", seed, low=0)).uniform(low, high, (rows, len(low)))
    facts = {"rows": rows, "steps": steps, "seed": seed, **_recipe(walk.mujoco)}
    y = stored("ant-morphology", facts, lambda: {"y": walk(x)})["y"]
    part = worst_part(y)
    data = OfflineData(x[part], y[part], False, bounds=(low, high), name="ant-morphology")
    return Task(
        data, walk, y_min=float(y.min()), y_max=float(y.max()),
        summary=f"10 measures of an ant's legs, distance walked in {steps * 0.05:g} s by a fixed gait",
    )  # fmt: skip


def hopper_controller(rows: int = 2000, steps: int = 200, percentile: float = 80.0, seed: int = 0) -> Task:
    """Weights of a small network that moves the hopper (123 numbers): return of Hopper-v5 over the steps.

    The data are what an evolution strategy evaluated on its way up, without the best of it.

    Args:
        rows: controllers evaluated.
        steps: control steps of 0.008 s; the run ends when the hopper falls.
        percentile: offline are the controllers with at most this percentile of the returns: in the worse half all
            fall at once.
        seed: of the evolution.

    Raises:
        OptimandError: MuJoCo is not installed.
    """
    check_int("rows", rows, low=64)
    check_int("steps", steps, low=1)
    check_int("seed", seed, low=0)
    hop = HopperReturn(steps)
    facts = {"rows": rows, "steps": steps, "seed": seed, **_recipe(hop.mujoco)}
    found = stored("hopper-controller", facts, lambda: evolve(hop, rows, seed))
    x, y = found["x"], found["y"]
    part = worst_part(y, percentile)
    data = OfflineData(x[part], y[part], False, bounds=(-WEIGHT_BOUND, WEIGHT_BOUND), name="hopper-controller")
    return Task(
        data, hop, y_min=float(y.min()), y_max=float(y.max()),
        summary=f"{HOPPER_WEIGHTS} weights of a hopper's controller, return over {steps} steps",
    )  # fmt: skip


class AntWalk:
    """How far ants walk: ``walk(designs)`` with designs of shape ``(n, 10)`` gives metres, shape ``(n,)``."""

    def __init__(self, steps: int) -> None:
        self.mujoco = _mujoco()
        self.steps = steps
        self.text = _model_file("ant.xml").read_text()

    def __call__(self, designs: Floats) -> Floats:
        return np.array([self.distance(design) for design in designs])

    def distance(self, design: Floats) -> float:
        """Metres in x of one body."""
        legs = mirrored(design)
        model = self.mujoco.MjModel.from_xml_string(ant_model(self.text, legs))
        # A quarter of the time of the file's Runge-Kutta at the same step, and stable.
        model.opt.integrator = self.mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        data = self.mujoco.MjData(model)
        data.qpos[:] = ANT_START
        # Longer legs start higher: the body must not begin in the floor.
        data.qpos[2] += 0.57 * max(0.0, float(legs[:, 3].max()) - 1)
        motors = np.roll(np.arange(2 * LEGS), 2)  # the file's motors begin with the last leg
        time, target = FRAMES * model.opt.timestep, np.empty(2 * LEGS)
        for step in range(self.steps):
            turn = 2 * np.pi * FREQUENCY * step * time
            target[0::2] = HIP_SWING * np.sin(turn + HIP_PHASE)
            target[1::2] = ANKLE_SIDE * (ANKLE_REST + ANKLE_SWING * np.sin(turn + ANKLE_PHASE))
            torque = np.clip(STIFFNESS * (target - data.qpos[7:]) - DAMPING * data.qvel[6:], -1, 1)
            data.ctrl[:] = torque[motors]
            self.mujoco.mj_step(model, data, FRAMES)
            if not ANT_HEIGHT[0] <= data.qpos[2] <= ANT_HEIGHT[1]:
                break
        return float(data.qpos[0]) if math.isfinite(data.qpos[0]) else 0.0


def mirrored(design: Floats) -> Floats:
    """The four legs, shape ``(4, 5)``, of a design with two."""
    front, hind = design.reshape(2, -1)
    return np.array([front, hind * MIRROR, hind, front * MIRROR])


def ant_model(text: str, legs: Floats) -> str:
    """The ant's model with its legs changed.

    Args:
        text: the XML of the unchanged ant.
        legs: shape ``(4, 5)``, see ``LEG``; ``LEG_UNCHANGED`` in each row gives the same robot.
    """
    root = ET.fromstring(text)
    torso = root.find("./worldbody/body[@name='torso']")
    assert torso is not None
    for body, (distance, angle, thigh, shank, radius) in zip(torso.findall("body"), legs, strict=True):
        hip = body.find("body")
        assert hip is not None
        knee = hip.find("body")
        assert knee is not None
        c, s = math.cos(angle), math.sin(angle)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        for part, factor in ((body, distance), (hip, thigh), (knee, shank)):
            geom = part.find("geom")
            assert geom is not None
            ends = np.array(geom.get("fromto", "").split(), dtype=float).reshape(2, 3)
            geom.set("fromto", _numbers(factor * ends @ turn.T))
            geom.set("size", _numbers(radius * float(geom.get("size", ""))))
        for part, factor in ((hip, distance), (knee, thigh)):
            part.set("pos", _numbers(factor * turn @ np.array(part.get("pos", "").split(), dtype=float)))
        axis = knee.find("joint")
        assert axis is not None
        axis.set("axis", _numbers(turn @ np.array(axis.get("axis", "").split(), dtype=float)))
    return ET.tostring(root, encoding="unicode")


def _numbers(values: Any) -> str:
    return " ".join(f"{value:.9g}" for value in np.ravel(values))


class HopperReturn:
    """Returns of controllers: ``hop(designs)`` with designs of shape ``(n, 123)``."""

    def __init__(self, steps: int) -> None:
        self.mujoco = _mujoco()
        self.steps = steps
        self.model = self.mujoco.MjModel.from_xml_path(str(_model_file("hopper.xml")))

    def __call__(self, designs: Floats) -> Floats:
        return np.array([self.episode(design) for design in designs])

    def episode(self, weights: Floats) -> float:
        """Return of one controller: 1 and the speed in each step, less a thousandth of the squared torques."""
        inputs, hidden, outputs = HOPPER_SHAPE
        cut = inputs * hidden
        W1, b1 = weights[:cut].reshape(hidden, inputs), weights[cut : cut + hidden]
        rest = weights[cut + hidden :]
        W2, b2 = rest[: hidden * outputs].reshape(outputs, hidden), rest[hidden * outputs :]
        data = self.mujoco.MjData(self.model)
        self.mujoco.mj_resetData(self.model, data)
        time, total, before = 4 * self.model.opt.timestep, 0.0, 0.0
        for _ in range(self.steps):
            seen = np.concatenate([data.qpos[1:], np.clip(data.qvel, -10, 10)])
            action = np.tanh(W2 @ np.tanh(W1 @ seen + b1) + b2)
            data.ctrl[:] = action
            self.mujoco.mj_step(self.model, data, 4)
            x, height, lean = (float(v) for v in data.qpos[:3])
            state = np.concatenate([data.qpos[2:], data.qvel])
            upright = height > 0.7 and abs(lean) < 0.2 and bool((np.abs(state) < 100).all())
            total += upright + (x - before) / time - 1e-3 * float(action @ action)
            before = x
            if not upright:
                break
        return total if math.isfinite(total) else 0.0


def evolve(hop: HopperReturn, rows: int, seed: int) -> dict[str, Floats]:
    """What a simple evolution strategy evaluates: half of it random controllers, then children of the best ones."""
    rng = np.random.default_rng(seed)
    n = HOPPER_WEIGHTS
    x = np.clip(rng.normal(0, 0.6, (rows // 2, n)), -WEIGHT_BOUND, WEIGHT_BOUND)
    y = hop(x)
    while len(x) < rows:
        parents = x[np.argsort(-y, kind="stable")[:16]]
        size = min(32, rows - len(x))
        mates = parents[rng.integers(len(parents), size=(size, 2))]
        mixed = np.where(rng.random((size, n)) < 0.5, mates[:, 0], mates[:, 1])
        children = np.clip(mixed + rng.normal(0, 0.1, (size, n)), -WEIGHT_BOUND, WEIGHT_BOUND)
        x, y = np.concatenate([x, children]), np.concatenate([y, hop(children)])
    return {"x": x, "y": y}


def _recipe(mujoco: Any) -> dict[str, str]:
    # All that a simulation depends on besides its arguments: MuJoCo, and this module with its gait and its bodies.
    return {"version": str(mujoco.__version__), "code": hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}


def _mujoco() -> Any:
    try:
        return importlib.import_module("mujoco")
    except ImportError as error:
        raise OptimandError("robots are simulated by MuJoCo: python -m pip install mujoco") from error


def _model_file(name: str) -> Path:
    spec = importlib.util.find_spec("gymnasium")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    path = Path(folders[0]) / "envs" / "mujoco" / "assets" / name if folders else Path(name)
    if not path.is_file():
        raise OptimandError(f"the robot's model {name} comes with Gymnasium: python -m pip install gymnasium")
    return path
