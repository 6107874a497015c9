"""What the bench makes of its measurements."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.bench import Report
from cli.peer import Peer, PeerError
from cli.timing import Done
from packshot_client import Job


def _done(number: int, **metrics: int) -> Done:
    start = datetime(2026, 11, 23, 20, tzinfo=UTC)
    ended = start + timedelta(seconds=number)
    job = Job(f"job_{number}", "succeeded", created_at=start, completed_at=ended, metrics=metrics)
    return Done(job, upload_s=0.5)


def test_throughput_comes_first() -> None:
    report = Report(4, 8.0, [_done(n) for n in range(1, 5)], {})
    first, second, *_ = report.lines()
    assert first == "0.50 images/s"
    assert "p50 3.00 s" in second
    assert "(upload to end of job, 4 jobs)" in second


def test_shares_add_up_and_waiting_is_told() -> None:
    done = [_done(1, decode_ms=100, infer_ms=300), _done(1, decode_ms=100, infer_ms=300)]
    lines = list(Report(2, 1.0, done, {"job_1": 100}).lines())
    shares = {line.split()[0]: float(line.split()[1].rstrip("%")) for line in lines[3:]}
    assert shares["decode"] == 10.0
    assert shares["forward"] == 30.0
    assert shares["commit"] == 10.0
    assert shares["waiting"] == 50.0
    assert sum(shares.values()) == pytest.approx(100)


def test_a_remote_service_tells_no_commit() -> None:
    lines = list(Report(1, 1.0, [_done(1, decode_ms=100)], {}).lines())
    assert any("commit" in line and "only in the worker's log" in line for line in lines)


def test_a_missing_peer_says_what_helps(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    with pytest.raises(PeerError, match="pip install"):
        Peer.find("no-such-rembg", None)
    program = tmp_path / "rembg"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    with pytest.raises(PeerError, match=r"there is no .*u2net\.onnx"):
        Peer.find(str(program), None)
    assert Peer.find("no-such-rembg", "http://127.0.0.1:7000/").url == "http://127.0.0.1:7000"
