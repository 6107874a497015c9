"""A quarter of a minute of Atheris on the codec; `make fuzz` goes on for longer and keeps what it finds."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.corpus.damaged import FAMILIES

ROOT = Path(__file__).parents[4]
SECONDS = 15
TOLD = 4000


@pytest.mark.skipif(find_spec("atheris") is None, reason="Atheris has no wheel for this Python on this machine")
def test_bytes_led_by_the_lines_that_they_reach_give_a_picture_or_a_code(tmp_path: Path) -> None:
    """-timeout is of one input, and long: other tests run beside."""
    options = [f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/", "-max_len=20000", "-timeout=60"]
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.codec", str(tmp_path / "corpus"), *options, "-rss_limit_mb=3000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    found = {path.name: path.read_bytes().hex()[:TOLD] for path in tmp_path.glob("*-*")}
    assert (run.returncode, found) == (0, {}), run.stderr[-TOLD:]
    done = re.search(r"^Done (\d+) runs in", run.stderr, re.MULTILINE)
    assert done is not None, run.stderr[-TOLD:]
    seeds = {sample.data for samples in FAMILIES.values() for sample in samples() if 0 < len(sample.data) <= 20_000}
    assert int(done[1]) > len(seeds)
