"""Every error code has a test that names it."""

from pathlib import Path

import pytest

from api.kinds import KINDS

_TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def sources() -> str:
    """All tests but those that go through the table itself."""
    return "".join(path.read_text(encoding="utf-8") for path in sorted(_TESTS.rglob("test_*.py")))


@pytest.mark.parametrize("code", KINDS)
def test_a_code_is_named_by_a_test(sources: str, code: str) -> None:
    assert f'"{code}"' in sources
