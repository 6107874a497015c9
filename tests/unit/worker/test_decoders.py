import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.photo_files import bomb_png, exif, quadrants, save, stored_for
from vision.codec.header import Limits
from vision.errors import ImageError
from worker.decoders import DecoderPool, DecoderStartError

ROOT = Path(__file__).parents[3]
CRASHING = (sys.executable, str(Path(__file__).with_name("crashing_child.py")))
MEGABYTE = 1024 * 1024
MEMORY_BYTES = 400 * MEGABYTE
PHOTO = save(stored_for(quadrants(), 6), "PNG", exif=exif(orientation=6))


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(Limits(), children=1, timeout_s=20, memory_bytes=MEMORY_BYTES, command=CRASHING) as pool:
        yield pool


def code_of(pool: DecoderPool, data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        pool.submit(data).result(60)
    return caught.value.code


def assert_decodes(pool: DecoderPool) -> None:
    with pool.submit(PHOTO).result(60) as photo:
        assert np.array_equal(photo.image, quadrants())
        assert photo.alpha is None


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "crashing_child" in " ".join(child.cmdline())]


def peak_bytes(pid: int) -> int:
    """The most memory that a process ever held."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def mapped_pixels() -> int:
    gc.collect()  # of tests before this one
    return Path("/proc/self/maps").read_text().count("packshot-pixels")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_pixels_alpha_and_facts_come_over(pool: DecoderPool) -> None:
    rgba = np.dstack([quadrants(), np.arange(48 * 80).reshape(48, 80).astype(np.uint8)])
    with pool.submit(save(rgba, "PNG")).result(60) as photo:
        assert np.array_equal(photo.image, rgba[..., :3])
        assert photo.alpha is not None
        assert np.array_equal(photo.alpha, rgba[..., 3])
        assert (photo.facts.format, photo.facts.mode, photo.facts.icc) == ("png", "RGBA", "none")
        assert photo.decode_ms > 0
        photo.image[0, 0] = 7
    with pytest.raises(ValueError, match="closed"):
        _ = photo.image


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"%PDF-1.7", "invalid_file_type"),
        (b"", "failed_to_read_image"),
        (PHOTO[:200], "failed_to_read_image"),
        (bomb_png(), "resolution_too_high"),
    ],
)
def test_a_bad_photo_costs_no_child(pool: DecoderPool, data: bytes, code: str) -> None:
    assert_decodes(pool)
    before = [child.pid for child in children()]
    assert code_of(pool, data) == code
    assert_decodes(pool)
    assert [child.pid for child in children()] == before


@pytest.mark.parametrize("word", [b"segfault", b"exit", b"crash-after-allocating"])
def test_a_crash_costs_one_photo(pool: DecoderPool, word: bytes) -> None:
    mapped, files = mapped_pixels(), open_files()
    first, bad, last = pool.submit(PHOTO), pool.submit(word), pool.submit(PHOTO)
    with first.result(60) as photo:
        assert photo.image.shape == (48, 80, 3)
    with pytest.raises(ImageError) as caught:
        bad.result(60)
    assert caught.value.code == "failed_to_read_image"
    with last.result(60) as photo:
        assert np.array_equal(photo.image, quadrants())
    del photo
    assert len(children()) == 1
    assert mapped_pixels() == mapped
    assert open_files() <= files + 2


def test_a_photo_whose_child_was_killed_is_tried_again(pool: DecoderPool, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.with_suffix(".jpg").write_bytes(PHOTO)
    with pool.submit(b"once " + bytes(mark)).result(60) as photo:
        assert np.array_equal(photo.image, quadrants())


def test_a_child_that_dies_while_idle_is_replaced(pool: DecoderPool) -> None:
    assert_decodes(pool)
    children()[0].kill()
    assert_decodes(pool)


def test_a_hang_costs_its_timeout_and_no_second_try() -> None:
    with DecoderPool(Limits(), children=1, timeout_s=3, command=CRASHING) as pool:
        assert_decodes(pool)
        started = time.monotonic()
        assert code_of(pool, b"hang") == "failed_to_read_image"
        assert time.monotonic() - started < 5.5
        assert_decodes(pool)


def test_memory_is_capped_and_the_next_photo_succeeds(pool: DecoderPool) -> None:
    assert code_of(pool, b"hoard") == "failed_to_read_image"
    assert_decodes(pool)
    [child] = children()
    assert peak_bytes(child.pid) < MEMORY_BYTES + 100 * MEGABYTE


def test_arrays_outlive_the_handle_and_let_go_of_their_memory(pool: DecoderPool) -> None:
    mapped = mapped_pixels()
    photo = pool.submit(PHOTO).result(60)
    image = photo.image
    photo.close()
    assert mapped_pixels() == mapped + 1
    assert np.array_equal(image, quadrants())
    del image, photo
    assert mapped_pixels() == mapped


def test_many_threads_share_two_children() -> None:
    photos = [np.full((40, 50, 3), level, np.uint8) for level in range(0, 240, 5)]
    wrong: list[int] = []

    def check(pool: DecoderPool, at: int) -> None:
        with pool.submit(save(photos[at], "PNG")).result(60) as photo:
            if not np.array_equal(photo.image, photos[at]):
                wrong.append(at)

    with DecoderPool(Limits(), children=2, command=CRASHING) as pool:
        threads = [threading.Thread(target=check, args=(pool, at)) for at in range(len(photos))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(children()) <= 3
    assert wrong == []


def test_close_ends_the_children() -> None:
    before = {child.pid for child in psutil.Process().children()}
    pool = DecoderPool(Limits(), children=2)
    assert_decodes(pool)
    pool.close()
    assert {child.pid for child in psutil.Process().children()} <= before
    with pytest.raises(RuntimeError):
        pool.submit(PHOTO)


def test_a_pool_that_cannot_start_says_so() -> None:
    with (
        DecoderPool(Limits(), children=1, command=(sys.executable, "-c", "raise SystemExit(9)")) as pool,
        pytest.raises(DecoderStartError, match="9"),
    ):
        pool.submit(PHOTO).result(60)


def test_children_die_with_a_parent_that_is_killed() -> None:
    script = f"""
        import sys
        from pathlib import Path
        from vision.codec.header import Limits
        from worker.decoders import DecoderPool
        if __name__ == "__main__":
            pool = DecoderPool(Limits(), children=1, command={CRASHING!r})
            pool.submit(b"bad").exception()
            pool.submit(b"hang")
            print("ready", flush=True)
            pool.submit(b"more").result()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        offspring = psutil.Process(parent.pid).children()
        assert len(offspring) == 1
        os.kill(parent.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(offspring, timeout=10)
    assert alive == []


def test_neither_side_imports_torch() -> None:
    code = "import sys, worker.decoders, worker.decode_child; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=ROOT)
    assert done.stdout == "False\n"
