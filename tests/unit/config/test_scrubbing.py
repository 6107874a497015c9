"""Whatever is logged, secrets are not in it."""

import pytest

from config.scrubbing import scrub, scrub_value


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("key pk_live_a1b2c3d4_Zz-9_longsecret used", "key pk_live_a1b2c3d4_[redacted] used"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw.", "whsec_[redacted]."),
        ("signature v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= sent", "signature v1,[redacted] sent"),
        ("{'authorization': 'Bearer abcdefgh.ijk'}", "{'authorization': 'Bearer [redacted]'}"),
        (
            "postgresql://packshot:p@ss:w@db:5432/packshot is away",
            "postgresql://[redacted]db:5432/packshot is away",
        ),
        ("redis://:hunter2@broker/0", "redis://[redacted]broker/0"),
        (
            'connection to "host=db password=hunter2 user=x" failed',
            'connection to "host=db password=[redacted] user=x" failed',
        ),
        (
            "GET https://b.s3.example/a.jpg?X-Amz-Signature=abc&X-Amz-Date=1 403",
            "GET https://b.s3.example/a.jpg?[redacted] 403",
        ),
        (
            '"GET /v1/jobs/job_1/matte?expires=1&signature=ab HTTP/1.1" 200',
            '"GET /v1/jobs/job_1/matte?[redacted] HTTP/1.1" 200',
        ),
        ("(b'https://x.example/?token=abc')", "(b'https://x.example/?[redacted]')"),
    ],
)
def test_secrets_are_taken_out(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "what is this? nothing=to see",
        "mail@example.com asked",
        "The webhook secret of a key, its token and api_key_id=3",
        "https://shop.example/a.jpg",
        "job_0199c0ffee007000800000000000cafe took v1 of it",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert scrub(text) == text


def test_values_are_scrubbed_however_deep() -> None:
    class Odd:
        def __repr__(self) -> str:
            return "Odd(whsec_c2VjcmV0)"

    value = {
        "url": "https://a.example/?k=1",
        "list": ["redis://:pw@b", 3, None, Odd()],
        "Token": 12,
        "n": {"password": "x"},
    }
    assert scrub_value("event", value) == {
        "url": "https://a.example/?[redacted]",
        "list": ["redis://[redacted]b", 3, None, "Odd(whsec_[redacted])"],
        "Token": "[redacted]",
        "n": {"password": "[redacted]"},
    }
