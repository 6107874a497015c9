"""How a runtime is chosen by measurement. Fakes take their time on a clock of the test's own."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import structlog

from vision.segmenters.base import SegmenterOutOfMemory
from vision.segmenters.runtimes.base import Batch, BatchLogits
from vision.segmenters.runtimes.trials import Way, quickest

BATCH = np.zeros((4, 3, 8, 8), np.uint8)
EAGER = Way("torch-cuda", channels_last=True)
PLANES = Way("torch-cuda", channels_last=False)
GRAPHS = Way("torch-graphs-cuda", channels_last=True)
COMPILE = Way("torch-compile-cuda", channels_last=True)
ALL = {EAGER: 40.0, PLANES: 50.0, GRAPHS: 20.0, COMPILE: 30.0}


class Device:
    """Builds fakes that take so many milliseconds a microbatch; an exception in place of a time is raised."""

    def __init__(self, ms: dict[Way, float | BaseException], *, logit: dict[Way, float] | None = None) -> None:
        self.ms, self.logit = ms, logit or {}
        self.now = 0.0
        self.built: list[Way] = []
        self.room = len(BATCH)

    def build(self, way: Way) -> "Fake":
        self.built.append(way)
        return Fake(self, way, way.runtime)

    def clock(self) -> float:
        return self.now


@dataclass
class Fake:
    device: Device
    way: Way
    name: str

    def run(self, batch: Batch) -> BatchLogits:
        ms = self.device.ms[self.way]
        if isinstance(ms, BaseException):
            raise ms
        if len(batch) > self.device.room:
            raise SegmenterOutOfMemory(f"no memory for a microbatch of {len(batch)}")
        self.device.now += ms / 1000
        return np.full((len(batch), 1, 8, 8), self.device.logit.get(self.way, 0.0), np.float32)


def choose(device: Device, kept: Path | None = None) -> Way:
    chosen = quickest(device.build, BATCH, kept=kept, clock=device.clock)
    assert isinstance(chosen, Fake)
    return chosen.way


def test_the_quickest_way_is_taken_and_the_log_tells_every_time():
    device = Device(dict(ALL))
    with structlog.testing.capture_logs() as logs:
        assert choose(device) == GRAPHS
    [line] = [line for line in logs if line["event"] == "runtime_chosen"]
    assert line["ms_per_photo"] == {
        "torch-cuda": 10.0,
        "torch-cuda, planes": 12.5,
        "torch-graphs-cuda": 5.0,
        "torch-compile-cuda": 7.5,
    }
    assert (line["runtime"], line["channels_last"], line["microbatch"]) == ("torch-graphs-cuda", True, 4)


def test_the_other_ways_use_the_better_layout():
    device = Device({EAGER: 50.0, PLANES: 40.0, Way(GRAPHS.runtime, False): 20.0, Way(COMPILE.runtime, False): 30.0})
    assert choose(device) == Way(GRAPHS.runtime, channels_last=False)


def test_a_way_that_is_hardly_quicker_is_not_taken():
    assert choose(Device({EAGER: 40.0, PLANES: 39.0, GRAPHS: 39.0, COMPILE: 38.5})) == EAGER


@pytest.mark.parametrize(
    "error",
    [RuntimeError("no compiler"), SegmenterOutOfMemory("no memory"), OSError("no cache"), ImportError("no Triton")],
)
def test_a_way_that_does_not_work_here_is_left_out_and_named(error: Exception):
    with structlog.testing.capture_logs() as logs:
        assert choose(Device({**ALL, GRAPHS: error})) == COMPILE
    [line] = [line for line in logs if line["event"] == "runtime_does_not_work_here"]
    assert line["runtime"] == "torch-graphs-cuda"
    assert str(error) in line["error"]


@pytest.mark.parametrize("logit", [1.0, float("nan")])
def test_a_way_that_computes_something_else_is_left_out(logit: float):
    with structlog.testing.capture_logs() as logs:
        assert choose(Device(dict(ALL), logit={GRAPHS: logit})) == COMPILE
    assert [line["runtime"] for line in logs if line["event"] == "runtime_computes_something_else_here"] == [
        "torch-graphs-cuda"
    ]


def test_what_eager_raises_is_the_callers():
    with pytest.raises(SegmenterOutOfMemory):
        choose(Device({**ALL, EAGER: SegmenterOutOfMemory("no memory for a microbatch of 4")}))


def test_a_kept_choice_is_not_measured_again(tmp_path: Path):
    kept = tmp_path / "models" / "quickest-1.json"
    assert choose(Device(dict(ALL)), kept) == GRAPHS
    later = Device({**ALL, EAGER: 1.0})
    assert choose(later, kept) == GRAPHS
    assert later.built == [GRAPHS]


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"runtime": "torch-cuda"}), '{"runtime": "rm"}', "\x00"])
def test_a_damaged_choice_is_measured_again_and_replaced(text: str, tmp_path: Path):
    kept = tmp_path / "quickest-1.json"
    kept.write_text(text)
    assert choose(Device(dict(ALL)), kept) == GRAPHS
    assert json.loads(kept.read_text()) == {"runtime": "torch-graphs-cuda", "channels_last": True}


def test_a_kept_choice_that_works_no_more_is_measured_again(tmp_path: Path):
    kept = tmp_path / "quickest-1.json"
    assert choose(Device(dict(ALL)), kept) == GRAPHS
    assert choose(Device({**ALL, GRAPHS: RuntimeError("another driver")}), kept) == COMPILE
    assert json.loads(kept.read_text())["runtime"] == COMPILE.runtime


def test_where_the_microbatch_does_not_fit_ways_are_measured_on_half_of_it():
    device = Device(dict(ALL))
    device.room = 2
    with structlog.testing.capture_logs() as logs:
        assert choose(device) == GRAPHS
    [line] = [line for line in logs if line["event"] == "runtime_chosen"]
    assert line["microbatch"] == 2


def test_who_is_ended_in_mid_trial_has_a_choice_when_it_starts_again(tmp_path: Path):
    kept = tmp_path / "quickest-1.json"
    with pytest.raises(KeyboardInterrupt):
        choose(Device({**ALL, COMPILE: KeyboardInterrupt()}), kept)
    assert choose(Device(dict(ALL)), kept) == GRAPHS


def test_a_choice_that_cannot_be_kept_is_taken_all_the_same(tmp_path: Path):
    (tmp_path / "models").write_text("no folder")
    with structlog.testing.capture_logs() as logs:
        assert choose(Device(dict(ALL)), tmp_path / "models" / "quickest-1.json") == GRAPHS
    assert [line["event"] for line in logs].count("choice_is_not_kept") == 4
