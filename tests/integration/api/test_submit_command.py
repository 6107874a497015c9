"""`packshot submit` against the real API: folders, a bad file, again, after a stop, and what it says."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from fastapi.testclient import TestClient
from PIL import Image
from typer.testing import CliRunner

from cli.main import app as command
from cli.submissions import FILE
from config.settings import Settings
from db.session import Sessions
from jobs.keys import IssuedKey
from tests.integration.api.support import CUTOUT, photo, working

Run = Callable[..., Result]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "shoes").mkdir(parents=True)
    (folder / "mug.jpg").write_bytes(photo())
    (folder / "shoes" / "left.png").write_bytes(photo("PNG", (30, 30)))
    return folder


@pytest.fixture
def run(url: str, key: IssuedKey, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command on the folder, in the environment that a user has."""
    monkeypatch.setenv("PACKSHOT_URL", url)
    monkeypatch.setenv("PACKSHOT_KEY", key.token)
    monkeypatch.setenv("COLUMNS", "200")

    def run_on(*options: str, wait: bool = True) -> Result:
        arguments = ["submit", str(photos), "-o", str(tmp_path / "out"), *(["--wait"] if wait else []), *options]
        return CliRunner().invoke(command, arguments)

    return run_on


def jobs_of(client: TestClient) -> list[dict]:
    return client.get("/v1/jobs", params={"limit": 100}).json()["data"]


def made(tmp_path: Path) -> list[str]:
    out = tmp_path / "out"
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def test_folders_a_bad_file_and_again(
    run: Run, photos: Path, tmp_path: Path, client: TestClient, sessions: Sessions, settings: Settings
) -> None:
    (photos / "broken.jpg").write_bytes(b"no photo")
    with working(sessions, settings):
        first = run("--format", "webp", "--background", "white")
    assert first.exit_code == 1, first.output
    assert made(tmp_path) == [FILE, "mug.webp", "shoes/left.webp"]
    assert (tmp_path / "out" / "mug.webp").read_bytes() == CUTOUT
    assert "invalid_file_type" in first.output
    assert "2 pass, 1 failed" in first.output
    jobs = jobs_of(client)
    assert {job["input"]["filename"] for job in jobs} == {"mug.jpg", "left.png"}
    assert {(o["format"], o["background"]) for job in jobs for o in job["params"]["outputs"]} == {("webp", "#ffffff")}

    (photos / "broken.jpg").unlink()
    again = run("--format", "webp", "--background", "white")
    assert (again.exit_code, again.output.splitlines()[-1]) == (0, "2 done before")
    os.utime(photos / "mug.jpg", (2e9, 2e9))  # a newer photo is done again, by itself
    with working(sessions, settings):
        assert "1 pass, 1 done before" in run("--format", "webp", "--background", "white").output
    assert len(jobs_of(client)) == 3


def test_what_was_submitted_is_waited_for_and_not_sent_twice(
    run: Run, tmp_path: Path, client: TestClient, sessions: Sessions, settings: Settings
) -> None:
    sent = run(wait=False)
    assert (sent.exit_code, "2 submitted" in sent.output) == (0, True)
    planned = run("--dry-run")
    assert (planned.output.count("go on"), "2 to do, 0 done before" in planned.output) == (2, True)
    assert made(tmp_path) == [FILE]
    with working(sessions, settings):
        assert "2 pass" in run().output
    assert len(jobs_of(client)) == 2
    # Without the journal the keys say the same: a run that was killed before it could write makes no second job.
    for name in made(tmp_path):
        (tmp_path / "out" / name).unlink()
    assert "2 pass" in run().output
    assert len(jobs_of(client)) == 2
    with working(sessions, settings):
        assert "2 pass" in run("--force").output
        assert "2 pass" in run("--format", "jpg").output
    assert len(jobs_of(client)) == 6


def test_jobs_that_failed_or_are_gone_are_submitted_anew(
    run: Run, client: TestClient, sessions: Sessions, settings: Settings
) -> None:
    run(wait=False)
    first, second = jobs_of(client)
    assert client.delete(first["urls"]["self"]).status_code == 204
    assert client.post(second["urls"]["cancel"]).status_code == 200
    with working(sessions, settings):
        ended = run()
        assert (ended.exit_code, "1 pass, 1 failed" in ended.output) == (1, True)
        assert "canceled" in ended.output
        assert "1 pass, 1 done before" in run().output


def test_a_photo_that_takes_too_long_is_left_for_later(run: Run) -> None:
    late = run("--timeout", "1")
    assert (late.exit_code, late.output.count("is queued after 1 s")) == (1, 2)


def test_a_dry_run_needs_no_service(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("PACKSHOT_KEY")
    planned = run("--dry-run")
    assert (planned.exit_code, planned.output.count("submit")) == (0, 2)
    assert not (tmp_path / "out").exists()


def test_of_an_animation_the_first_frame_where_that_is_asked_for(
    run: Run, photos: Path, tmp_path: Path, client: TestClient, sessions: Sessions, settings: Settings
) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "navy")]
    frames[0].save(photos / "moves.gif", save_all=True, append_images=frames[1:])
    with working(sessions, settings):
        refused = run()
        assert (refused.exit_code, "animated_image" in refused.output) == (1, True), refused.output
        assert "moves.png" not in made(tmp_path)
        taken = run("--animated", "first_frame")
    assert taken.exit_code == 0, taken.output
    assert (tmp_path / "out" / "moves.png").read_bytes() == CUTOUT
    [job] = [job for job in jobs_of(client) if job["input"]["filename"] == "moves.gif"]
    assert job["params"]["animated"] == "first_frame"
    wrong = run("--animated", "both")
    assert (wrong.exit_code, "animated is one of" in wrong.output) == (2, True), wrong.output


def test_what_meets_all_photos_stops_at_once(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bad = run("--background", "no colour", "--model", "none")
    assert (bad.exit_code, bad.output.count("model is one of"), "background" in bad.output) == (2, 1, True)
    monkeypatch.setenv("PACKSHOT_KEY", "pk_live_unknown_key")
    unknown = run()
    assert (unknown.exit_code, "401" in unknown.output) == (1, True)
    monkeypatch.setenv("PACKSHOT_URL", "packshot.example")
    assert "The URL of Packshot is http" in run().output
    assert not (tmp_path / "out").exists()
