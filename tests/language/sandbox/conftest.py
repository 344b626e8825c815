"""Shared sandboxes, with a check after every test that nothing is left in them."""

import pytest
from tests.language.sandbox.levels import LEVELS, leaving_nothing, sandbox


@pytest.fixture(scope="module", params=LEVELS)
def guarded(request):
    """A sandbox at each level."""
    with sandbox(request.param) as python:
        yield python


@pytest.fixture(scope="module", params=["full", "limits-only"])
def extreme(request):
    """A sandbox at the strongest and at the weakest level."""
    with sandbox(request.param) as python:
        yield python


@pytest.fixture(autouse=True)
def _nothing_left(request):
    """For every test of a shared sandbox."""
    for name in ("guarded", "extreme"):
        if name in request.fixturenames:
            with leaving_nothing(request.getfixturevalue(name)):
                yield
            return
    yield
