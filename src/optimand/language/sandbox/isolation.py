"""What a program was kept from, and why where it was not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["none", "limits", "files", "namespaces"]
LEVELS: tuple[Level, ...] = ("none", "limits", "files", "namespaces")


@dataclass(frozen=True)
class Isolation:
    """What the system gave.

    Attributes:
        network: no connection to anything outside the program.
        processes: no view of, no signals to and no survivors among processes: a process tree of its own that dies
            with the program.
        files: reads only the interpreter's folders and writes only its scratch folder.
        limits: time, memory, size of files and number of open files are limited, and the process group is killed.
        layers: the mechanisms in force.
        missing: mechanisms that are not, with the reason.
    """

    network: bool = False
    processes: bool = False
    files: bool = False
    limits: bool = False
    layers: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Isolation:
        """From what a worker reports: ``layers``, and ``missing`` with reasons."""
        layers = frozenset(report["layers"])
        return cls(
            # a network of its own leaves the sockets in the file system, which a root of its own hides
            network="seccomp" in layers or {"network namespace", "private root"} <= layers,
            processes="process namespace" in layers,
            files="landlock" in layers or "private root" in layers,
            limits="limits" in layers,
            layers=tuple(report["layers"]),
            missing=dict(report["missing"]),
        )

    @property
    def level(self) -> Level:
        """``namespaces`` (network, processes, files, limits), ``files`` (files and limits), ``limits`` or ``none``."""
        if not self.limits:
            return "none"
        if not self.files:
            return "limits"
        return "namespaces" if self.processes and self.network else "files"

    def lacks(self, level: Level) -> list[str]:
        """What is missing for a level, each with the reason; empty if it is reached."""
        wanted = LEVELS.index(level)
        parts = {"limits": 1, "files": 2, "processes": 3, "network": 3}
        lacking = [part for part, since in parts.items() if wanted >= since and not getattr(self, part)]
        by = {
            "limits": ("limits",),
            "files": ("landlock", "private root"),
            "processes": ("process namespace",),
            "network": ("seccomp", "network namespace", "private root"),
        }
        return [
            part + "".join(f"; {name}: {self.missing[name]}" for name in by[part] if name in self.missing)
            for part in lacking
        ]

    def __str__(self) -> str:
        if not self.limits:
            return "no isolation"
        kept = [
            name
            for name, has in (
                ("no network", self.network),
                ("its own process tree", self.processes),
                ("no files but the interpreter's and its scratch folder", self.files),
                ("limits on time, memory and files", self.limits),
            )
            if has
        ]
        text = f"{self.level}: " + ", ".join(kept)
        if self.missing:
            text += "; not in force: " + ", ".join(f"{name} ({why})" for name, why in self.missing.items())
        return text
