"""`packshot remove` as its user sees it: files, folders, a bad one among them, again, and for the web."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance import conversions
from tests.images import draw


def _command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "cli", "remove", *map(str, arguments)]


def _run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    conversions.lend(folder / "data")
    done = subprocess.run(
        _command(*arguments),
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200", "PACKSHOT_DATA_DIR": str(folder / "data")},
        timeout=240,
        check=False,
    )
    conversions.keep(folder / "data")
    return done


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "shoes").mkdir(parents=True)
    Image.fromarray(draw("disc", "plain", (300, 400)).image).save(folder / "mug.jpg", quality=95)
    Image.fromarray(draw("ring", "white", (320, 240)).image).save(folder / "shoes" / "ring.png")
    # A plain wall has no product: written all the same, with the verdict `fail`.
    Image.new("RGB", (200, 160), (128, 128, 128)).save(folder / "wall.webp")
    (folder / "broken.jpg").write_bytes((folder / "mug.jpg").read_bytes()[:900])
    return folder


def test_a_folder_with_a_bad_file(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "cutouts"
    first = _run(photos, "-o", out, folder=tmp_path)
    assert first.returncode == 1, first.stdout + first.stderr
    made = {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert made.keys() == {"mug.png", "shoes/ring.png", "wall.png"}
    assert "failed_to_read_image" in first.stdout
    assert "no_foreground" in first.stdout
    assert "1 failed" in first.stdout
    with Image.open(out / "mug.png") as cutout:
        assert (cutout.mode, cutout.size) == ("RGBA", (400, 300))

    (photos / "broken.jpg").unlink()
    again = _run(photos, "-o", out, folder=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "3 done before" in again.stdout
    assert {name: (out / name).stat().st_mtime_ns for name in made} == made


def test_jpg_on_a_colour(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "web"
    options = ("--format", "jpg", "--background", "white")
    done = _run(photos / "mug.jpg", photos / "wall.webp", "-o", out, *options, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("mug.jpg", "wall.jpg"):
        with Image.open(out / name) as flat:
            assert flat.mode == "RGB"
            assert flat.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--format", "gif"), "format is one of"),
        (("--background", "reddish"), "'reddish' is not a colour"),
        (("--format", "jpg", "--background", "transparent"), "can't be transparent"),
        (("--model", "nobody"), "model is one of"),
    ],
)
def test_bad_options_are_told_before_any_work(
    photos: Path, tmp_path: Path, options: tuple[str, ...], complaint: str
) -> None:
    done = _run(photos, "-o", tmp_path / "out", *options, folder=tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_whole_files_only(photos: Path, tmp_path: Path) -> None:
    # Enough work to be far from done when the first file is seen, on any machine.
    Image.fromarray(draw("disc", "plain", (1500, 2000)).image).save(photos / "copy-00.jpg", quality=95)
    for number in range(1, 60):
        (photos / f"copy-{number:02}.jpg").hardlink_to(photos / "copy-00.jpg")
    out = tmp_path / "out"
    conversions.lend(tmp_path / "data")
    process = subprocess.Popen(
        _command(photos, "-o", out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PACKSHOT_DATA_DIR": str(tmp_path / "data")},
        # A shell's background jobs ignore SIGINT, and so would everything that this run starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("*.png")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert "Traceback" not in complaint
    names = [path.name for path in out.iterdir() if path.is_file()]
    assert 0 < len(names) < 62
    for name in names:
        with Image.open(out / name) as cutout:
            cutout.load()
