"""docs/configuration.md tells what the settings are now."""

from tests.contracts.settings_table import PAGE, with_table


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), "run `make settings`"
