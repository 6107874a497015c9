"""The README's commands do what it says, on a running service."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from config.settings import Settings
from tests.acceptance import conversions
from tests.acceptance.stack import RunningStack, running_stack
from tests.images import draw

_ROOT = Path(__file__).parents[2]
_README = (_ROOT / "README.md").read_text(encoding="utf-8")
_URL = "http://127.0.0.1:8080"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", _README, flags=re.MULTILINE | re.DOTALL)


def _run(blocks: list[str], folder: Path, **variables: str) -> str:
    data_dir = folder / "cache" / "packshot"
    conversions.lend(data_dir)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=folder,
        env={**os.environ, "PATH": path, "XDG_CACHE_HOME": str(folder / "cache"), **variables},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    conversions.keep(data_dir)
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photo = Image.fromarray(draw("disc", "plain", (400, 600)).image)
    (tmp_path / "photos").mkdir()
    photo.save(tmp_path / "photo.jpg")
    photo.save(tmp_path / "photos" / "mug.jpg")
    return tmp_path


def _shape(value: object) -> object:
    """Keys and nesting of a JSON value, without its leaves."""
    return {name: _shape(each) for name, each in value.items()} if isinstance(value, dict) else None


def _check_job(stack: RunningStack, folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text())
    assert job["status"] == "succeeded"
    with Image.open(folder / "cutout.png") as cutout:
        assert (cutout.mode, cutout.size) == ("RGBA", (600, 400))
    with Image.open(folder / "packshots" / "mug.jpg") as cutout:
        assert cutout.getpixel((0, 0)) == (255, 255, 255)
    assert len(stack.client.get("/v1/jobs").json()["data"]) == 4


def test_curl_reply_poll_and_download(settings: Settings, folder: Path) -> None:
    submit, *others = [block.replace("127.0.0.1:8080", "{host}") for block in _blocks("bash") if _URL in block]
    with running_stack(settings, "api", "gpu") as stack:
        host = stack.url.removeprefix("http://")
        reply = _run([submit.replace("{host}", host)], folder, KEY=stack.key.token)
        assert _shape(json.loads(reply)) == _shape(json.loads(_blocks("json")[0]))
        _run([block.replace("{host}", host) for block in others], folder, KEY=stack.key.token)
        _check_job(stack, folder)


def test_remove_needs_no_service(folder: Path) -> None:
    blocks = [block for block in _blocks("bash") if _URL not in block]
    _run(blocks, folder, PACKSHOT_DATABASE_URL="", PACKSHOT_BROKER_URL="")
    with Image.open(folder / "cutouts" / "mug.jpg") as cutout:
        assert cutout.getpixel((0, 0)) == (255, 255, 255)


def test_the_receiver_verifies() -> None:
    (code,) = _blocks("python")
    secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    names: dict[str, object] = {}
    exec(code.replace("whsec_YOUR_SECRET", secret), names)
    body = '{"type": "job.succeeded", "timestamp": "2026-11-23T20:28:06Z", "data": {"id": "job_1"}}'
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", now, body),
    }
    receive = names["receive"]
    assert callable(receive)
    assert receive(headers, body.encode()) == {"id": "job_1"}
    with pytest.raises(WebhookVerificationError):
        receive(headers, body.replace("succeeded", "failed").encode())


def test_links_lead_to_files() -> None:
    for page in (_ROOT / "README.md", *(_ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(_ROOT)} links to {target}"


def test_every_make_target_exists() -> None:
    makefile = (_ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z-]+)", _README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
