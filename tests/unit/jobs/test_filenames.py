"""Whatever a caller names a file, no path and no header is bent by it."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.filenames import MAX_LENGTH, clean_filename, content_disposition, filename_of_url, stem_of


@pytest.mark.parametrize(
    ("given_name", "cleaned"),
    [
        ("mug.jpg", "mug.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\fakepath\\mug.jpg", "mug.jpg"),
        ("/absolute/", None),
        ("..", None),
        ("", None),
        (None, None),
        ("a\x00b\r\nc.png", "abc.png"),
        ("CON.png", "_CON.png"),
        ("nul", "_nul"),
        ('a<b>:"|?*.png', "a_b______.png"),
        ("  .hidden. ", "hidden"),
        ("evil\u202egpj.exe", "evilgpj.exe"),
        ("half\ud800.png", "half.png"),
        ("Größe.jpg", "Größe.jpg"),
        ("x" * 300 + ".jpeg", "x" * (MAX_LENGTH - 5) + ".jpeg"),
        ("x" * 300, "x" * MAX_LENGTH),
    ],
)
def test_names_are_cleaned(given_name: str | None, cleaned: str | None) -> None:
    assert clean_filename(given_name) == cleaned


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_any_name_is_safe(name: str) -> None:
    cleaned = clean_filename(name)
    if cleaned is None:
        return
    assert 0 < len(cleaned) <= MAX_LENGTH
    assert not set('/\\<>:"|?*\r\n\x00') & set(cleaned)
    assert clean_filename(cleaned) == cleaned
    header = content_disposition(cleaned)
    assert header.isascii()
    assert header.isprintable()
    plain, exact = header.removeprefix('attachment; filename="').split("\"; filename*=UTF-8''")
    assert '"' not in plain
    assert unquote(exact) == cleaned


def test_names_of_urls_and_stems() -> None:
    assert filename_of_url("https://a.example/p/red%20mug.jpg?x=/y.png") == "red mug.jpg"
    assert filename_of_url("https://a.example/p/..%2F..%2Fx.jpg") == "x.jpg"
    assert filename_of_url("https://a.example/") is None
    assert stem_of("a.b.jpg", otherwise="job") == "a.b"
    assert stem_of("mug", otherwise="job") == "mug"
    assert stem_of("model 3.5 litres", otherwise="job") == "model 3.5 litres"
    assert stem_of(None, otherwise="job") == "job"
