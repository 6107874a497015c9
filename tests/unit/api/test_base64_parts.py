import base64
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.base64_parts import Base64Part
from api.problems import ProblemError


def decode(*chunks: bytes) -> bytes:
    part = Base64Part()
    return b"".join([*(part.feed(chunk) for chunk in chunks), part.end()])


@given(
    st.binary(max_size=400),
    st.lists(st.integers(0, 600), max_size=5),
    st.sampled_from([b"", b"data:image/png;base64,"]),
    st.sampled_from([base64.b64encode, base64.encodebytes]),
)
def test_chunks_of_any_size_make_the_bytes(
    data: bytes, cuts: list[int], prefix: bytes, encode: Callable[[bytes], bytes]
) -> None:
    text = prefix + encode(data)
    edges = [0, *sorted(cuts), len(text)]
    assert decode(*(text[start:end] for start, end in pairwise(edges))) == data


@pytest.mark.parametrize("text", [b"a", b"ab=c", b"====", b"!!!!", b"data:image/png;base64", b"YWJj" * 50 + b"Y"])
def test_what_is_no_base64(text: bytes) -> None:
    with pytest.raises(ProblemError) as raised:
        decode(text)
    assert raised.value.code == "failed_to_read_image"
