"""Which devices a supervisor sees, and what it does with children that end."""

import os
import sys
import time
from pathlib import Path

import pytest

from worker.supervisor import Supervisor, visible_devices

TWO = """GPU 0: NVIDIA H200 (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000001)
GPU 1: NVIDIA H200 (UUID: GPU-22222222-aaaa-bbbb-cccc-000000000002)
"""
SLICED = """GPU 0: NVIDIA H200 (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000001)
  MIG 1g.18gb     Device  0: (UUID: MIG-33333333-aaaa-bbbb-cccc-000000000003)
  MIG 1g.18gb     Device  1: (UUID: MIG-44444444-aaaa-bbbb-cccc-000000000004)
GPU 1: NVIDIA H200 (UUID: GPU-22222222-aaaa-bbbb-cccc-000000000002)
"""


def test_devices_that_the_driver_lists() -> None:
    assert visible_devices({}, lambda: TWO) == [
        "GPU-11111111-aaaa-bbbb-cccc-000000000001",
        "GPU-22222222-aaaa-bbbb-cccc-000000000002",
    ]
    assert visible_devices({}, lambda: "") == []


def test_a_split_gpu_stands_for_its_slices() -> None:
    assert visible_devices({}, lambda: SLICED) == [
        "MIG-33333333-aaaa-bbbb-cccc-000000000003",
        "MIG-44444444-aaaa-bbbb-cccc-000000000004",
        "GPU-22222222-aaaa-bbbb-cccc-000000000002",
    ]


@pytest.mark.parametrize(
    ("allowed", "devices"), [("0", ["0"]), ("1, 0", ["1", "0"]), ("", []), ("-1", []), ("0,-1,1", ["0"])]
)
def test_the_environment_decides_before_the_driver(allowed: str, devices: list[str]) -> None:
    assert visible_devices({"CUDA_VISIBLE_DEVICES": allowed}, lambda: TWO) == devices


def child(folder: Path, *lines: str) -> tuple[str, ...]:
    """A child that notes its device, then does as told."""
    script = folder / "child.py"
    note = f"open({str(folder / 'started')!r}, 'a').write(os.environ['CUDA_VISIBLE_DEVICES'] + '\\n')"
    ready = "fd = int(sys.argv[sys.argv.index('--ready-fd') + 1])"
    script.write_text("\n".join(["import os, sys", ready, note, *lines]), encoding="utf-8")
    return (sys.executable, str(script))


def started(folder: Path) -> list[str]:
    return (folder / "started").read_text(encoding="utf-8").split("\n")[:-1]


def test_a_child_that_never_was_ready_means_failed_set_up(tmp_path: Path) -> None:
    supervisor = Supervisor(["one"], os.environ, child(tmp_path, "sys.exit(3)"))
    assert supervisor.run() == 3
    assert started(tmp_path) == ["one"]


def test_a_set_up_that_ends_without_a_word_is_no_success(tmp_path: Path) -> None:
    assert Supervisor(["one"], os.environ, child(tmp_path)).run() != 0


def test_a_child_that_was_ready_is_started_again_even_if_its_set_up_then_fails(tmp_path: Path) -> None:
    first = f"len(open({str(tmp_path / 'started')!r}).readlines()) == 1"
    supervisor = Supervisor(["one"], os.environ, child(tmp_path, f"{first} and os.write(fd, b'1')", "sys.exit(5)"))
    [only] = supervisor._children
    only.start()
    deadline = time.monotonic() + 20
    while only.falls < 2:
        assert supervisor._mind(only) == 0
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert started(tmp_path) == ["one", "one"]


def test_without_devices_one_child_sees_none(tmp_path: Path) -> None:
    assert Supervisor([], os.environ, child(tmp_path, "sys.exit(1)")).run() == 1
    assert started(tmp_path) == [""]


def test_a_restart_takes_one_child_after_another(tmp_path: Path) -> None:
    supervisor = Supervisor(
        ["one", "two"], os.environ, child(tmp_path, "os.write(fd, b'1')", "import time", "time.sleep(60)")
    )
    for each in supervisor._children:
        each.start()
    deadline = time.monotonic() + 20

    def mind_until(lines: int) -> None:
        while not all(each.is_ready for each in supervisor._children) or len(started(tmp_path)) < lines:
            assert [supervisor._mind(each) for each in supervisor._children] == [0, 0]
            assert lines == 2 or sum(each.is_told or not each.is_ready for each in supervisor._children) <= 1
            supervisor._restart_next()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    mind_until(2)
    supervisor._restart(0, None)
    mind_until(4)
    assert started(tmp_path)[2:] == ["one", "two"]
    assert [each.falls for each in supervisor._children] == [0, 0]
    for each in supervisor._children:
        each.signal(9)
        assert each.process is not None
        each.process.wait()


def test_a_child_that_leaves_in_order_after_a_while_is_started_at_once(tmp_path: Path, monkeypatch) -> None:
    supervisor = Supervisor(["one"], os.environ, child(tmp_path, "os.write(fd, b'1')"))
    [only] = supervisor._children
    only.start()
    assert only.process is not None
    only.process.wait()
    monkeypatch.setattr("worker.supervisor._HEALTHY_S", 0.0)
    assert supervisor._mind(only) == 0
    assert only.falls == 0
    assert only.process is not None
    only.process.wait()
    assert started(tmp_path) == ["one", "one"]
