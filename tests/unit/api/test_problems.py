"""Every code is documented, and every code that the code can raise is known."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from api import error_docs
from api.kinds import KINDS
from api.problems import from_job_error
from jobs.errors import FieldError, JobError, pointer_to

ROOT = Path(__file__).parents[3]


def test_the_documentation_is_the_table() -> None:
    """To write it anew: make errors."""
    assert (ROOT / "docs/errors.md").read_text(encoding="utf-8") == error_docs.markdown()
    for code in KINDS:
        assert f"\n### {code}\n" in error_docs.markdown()
        assert f'id="{code}"' in error_docs.html()


def test_every_code_that_is_raised_is_in_the_table() -> None:
    raised: set[str] = set()
    for room in ("api", "jobs", "worker", "vision"):
        for path in (ROOT / room).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            raised.update(re.findall(r'\b(?:JobError|ProblemError|ImageError)\(\s*"([a-z_]+)"', source))
            raised.update(re.findall(r'FieldError\(\s*[^,]+,\s*"([a-z_]+)"', source))
    assert len(raised) > 20
    assert raised <= set(KINDS), raised - set(KINDS)


@pytest.mark.parametrize("code", KINDS)
def test_a_code_says_enough(code: str) -> None:
    kind = KINDS[code]
    assert 400 <= kind.status < 600
    assert re.fullmatch(r"[a-z_]+", code)
    assert all(text.endswith(".") for text in (kind.title, kind.fix))
    assert kind.retryable or kind.status != 503


def test_one_bad_field_gives_its_code_several_share_one() -> None:
    one, two = FieldError("/format", "invalid_format", "a"), FieldError("/model", "unknown_model", "b")
    assert from_job_error(JobError("invalid_options", "a", errors=(one,))).code == "invalid_format"
    assert from_job_error(JobError("invalid_options", "a b", errors=(one, two))).code == "invalid_options"


def test_pointers_are_clean() -> None:
    assert pointer_to("a/b~c") == "/a~1b~0c"
    assert pointer_to("\ud800\n") == "/??"
    assert len(pointer_to("x" * 1000)) == 65


def test_the_api_has_no_torch_in_it() -> None:
    code = "import sys, api.app; print(sorted({m.split('.')[0] for m in sys.modules} & set(sys.argv[1:])))"
    heavy = ("torch", "torchvision", "timm", "cv2", "onnxruntime", "openvino", "segmentation_models_pytorch")
    done = subprocess.run([sys.executable, "-c", code, *heavy], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
