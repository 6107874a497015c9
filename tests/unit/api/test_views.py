"""Rows to the objects of replies."""

import pytest

from api.views import shown_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (None, None),
        ("https://shop.example/a%20b.jpg", "https://shop.example/a%20b.jpg"),
        ("https://b.example:8443/a.jpg?X-Amz-Signature=abc&x=1", "https://b.example:8443/a.jpg?[redacted]"),
        ("https://user:secret@b.example/a.jpg", "https://b.example/a.jpg"),
        ("http://[::1]:80/a?k", "http://[::1]:80/a?[redacted]"),
    ],
)
def test_a_photos_url_is_shown_without_what_opens_it(url: str | None, shown: str | None) -> None:
    assert shown_url(url) == shown
