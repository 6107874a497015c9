"""Files of the corpus, damaged at random: a picture of the size that the header claims, or a coded error."""

import warnings

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.corpus.damaged import FAMILIES
from tests.corpus.gifs import Frame, gif
from tests.corpus.old_files import BLOCKS, COLOURS
from tests.corpus.oracle import read_anything

FILES = sorted({sample.data for samples in FAMILIES.values() for sample in samples() if 0 < len(sample.data) < 20_000})
AT = st.floats(0, 1, exclude_max=True)
EDITS = st.one_of(
    st.tuples(st.just("set"), AT, st.binary(min_size=1, max_size=4)),
    st.tuples(st.just("insert"), AT, st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("drop"), AT, st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("cut"), AT, st.just(b"")),
    st.tuples(st.just("extreme"), AT, st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0"])),
)


def edited(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    """Half of the edits meet the first 400 bytes, where the header is."""
    out = bytearray(data)
    for number, (kind, share, body) in enumerate(edits):
        at = int(share * (len(out) if number % 2 else min(len(out), 400)))
        if kind == "cut":
            del out[max(at, 1) :]
        elif kind == "drop":
            del out[at : at + len(body)]
        elif kind == "insert":
            out[at:at] = body
        else:
            out[at : at + len(body)] = body
    return bytes(out)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FILES), st.lists(EDITS, min_size=1, max_size=6))
def test_damage_anywhere_gives_a_picture_or_a_code(data: bytes, edits: list[tuple[str, float, bytes]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_anything(edited(data, edits))


def test_the_oracle_tells_pictures_from_errors() -> None:
    picture, damaged = gif([Frame(BLOCKS)], BLOCKS.shape, COLOURS), gif([], BLOCKS.shape, COLOURS)
    assert read_anything(picture)
    assert not read_anything(damaged)
