"""Names of nodes count from 0 in every test, whatever ran before it."""

from collections.abc import Iterator

import pytest

from optimand.language.workflows import Tape


@pytest.fixture(autouse=True)
def _fresh_names() -> Iterator[None]:
    with Tape(fresh=True):
        yield
