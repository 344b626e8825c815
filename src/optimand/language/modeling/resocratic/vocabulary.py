"""Subjects and names for templates, drawn so that items of one template differ in what they are about."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np


@functools.cache
def vocabulary() -> dict[str, Any]:
    """The lists of ``vocabulary.toml``."""
    text = resources.files(__package__).joinpath("vocabulary.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


class VocabularySampler:
    """The words of one item.

    Args:
        seed: of the generator; it fixes the order in which subjects come.
        turn: how many items of the same template came before: subjects rotate with it, so that the next item of a
            template has another subject, and another part of its nouns when the subject comes round again.
        rng: the item's random numbers.
        salt: of the template, so that templates do not take the same subjects at the same time.
    """

    def __init__(self, seed: int, turn: int, rng: np.random.Generator, salt: int = 0) -> None:
        self.seed, self.turn, self.rng, self.salt = seed, turn, rng, salt
        self._used: set[str] = set()

    def subject(self, kind: str, without: str = "") -> tuple[dict[str, Any], int]:
        """A table of the vocabulary that is not marked ``without``, and the round in which it comes."""
        tables = [table for table in vocabulary()[kind] if not table.get(without)]
        round_, position = divmod(self.turn, len(tables))
        order = np.random.default_rng([self.seed, self.salt, 7, round_]).permutation(len(tables))
        return tables[order[position]], round_

    def some(self, listed: Sequence[str], number: int, round_: int) -> list[str]:
        """Different words of a list; those of consecutive rounds are different where the list is long enough."""
        key = sum(ord(letter) * (k + 1) for k, letter in enumerate("".join(listed)))
        order = np.random.default_rng([self.seed, self.salt, key]).permutation(len(listed))
        start = (round_ * 4 + round_ // 2) % len(listed)
        chosen = [listed[order[(start + k) % len(listed)]] for k in range(number)]
        return [chosen[k] for k in self.rng.permutation(number)]

    def rotating(self, name: str, number: int) -> list[str]:
        """Words of one of the plain lists, rotating with the turn, all different."""
        listed = vocabulary()[name]
        rounds, start = divmod(self.turn * number, len(listed))
        order = np.random.default_rng([self.seed, self.salt, len(name), rounds]).permutation(len(listed))
        chosen: list[str] = []
        k = start
        while len(chosen) < number:
            word = listed[order[k % len(listed)]]
            if word not in chosen:
                chosen.append(word)
            k += 1
        return chosen

    def tagged(self, listed: Sequence[str], name: str = "") -> list[str]:
        """Each word with a name of its own before it, so that two items seldom speak of the same thing."""
        return [f"{self._fresh(name)} {word}" for word in listed]

    def town(self) -> str:
        """A place not named before in this item."""
        return self._fresh("towns")

    def person(self) -> str:
        """A first name not used before in this item."""
        return self._fresh("people")

    def firm(self) -> str:
        """The name of a firm."""
        kind = self.rng.choice(["Works", "Brothers", "Company", "Partners", "Group", "Union", "Trading", "House"])
        return f"{self._fresh('firms')} {kind}"

    def _fresh(self, name: str) -> str:
        lists = [vocabulary()[name]] if name else [vocabulary()["towns"], vocabulary()["firms"]]
        listed = [word for each in lists for word in each if word not in self._used]
        word = str(self.rng.choice(listed))
        self._used.add(word)
        return word

    def goods(self, number: int, *, wares: bool = False) -> tuple[str, list[str], list[tuple[str, str]]]:
        """A maker, names of what it makes, and its inputs with units; ``wares`` asks for small things in numbers."""
        subject, round_ = self.subject("sector", "large" if wares else "")
        nouns = self.some(subject["goods"], number, round_)
        styles = self.some(subject["styles"], number, round_)
        inputs = [tuple(entry.split(":")) for entry in self.some(subject["inputs"], len(subject["inputs"]), round_)]
        # A name in place of a style for about half of them: there are more names than styles.
        named = [style if self.rng.integers(2) else self._fresh("") for style in styles]
        return subject["maker"], [f"{a} {b}" for a, b in zip(named, nouns, strict=True)], inputs  # type: ignore[return-value]

    def pick(self, *phrases: str) -> str:
        """One of several ways to say something."""
        return str(self.rng.choice(phrases))

    def number(self, low: int, high: int, step: int = 1) -> int:
        """A whole number in ``[low, high]`` on a grid."""
        return int(low + step * self.rng.integers(0, (high - low) // step + 1))
