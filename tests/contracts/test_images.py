"""Images hold what their processes import and nothing heavy besides; their files say what containers should."""

import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from config.settings import Settings
from tests.contracts.pins import reached

ROOT = Path(__file__).parents[2]
COMMON = ["cli.main", "cli.services", "cli.health", "cli.keys"]
IMAGES = {
    "api": ["api.app", "db.migrate", "worker.app", "worker.io", "worker.sweep", *COMMON],
    "worker": ["worker.gpu_child", "worker.registry", "worker.decode_child", "vision.segmenters.loading", *COMMON],
}
FILES = {"api": "deploy/Dockerfile.api", "worker": "deploy/Dockerfile.worker"}
HEAVY = {"torch", "torchvision", "timm", "openvino", "numba", "opencv-python-headless", "triton", "onnxruntime"}


def extras_of(image: str) -> list[str]:
    """The extras that an image's Dockerfile installs; the same at each place."""
    text = (ROOT / FILES[image]).read_text(encoding="utf-8")
    [found] = set(re.findall(r"'\.\[([a-z,]+)\]'", text))
    return found.split(",")


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_runs_starts_with_its_packages_alone(image: str) -> None:
    command = [sys.executable, "-m", "tests.contracts.imports_of_image", ",".join(extras_of(image)), *IMAGES[image]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "hypothesis" in done.stdout.split()  # it did hide something


def test_the_api_image_is_slim_and_the_worker_image_serves_no_http() -> None:
    assert reached(frozenset(extras_of("api"))) & HEAVY == set()
    assert {"fastapi", "obstore", "opentelemetry-sdk"} <= reached(frozenset(extras_of("api")))
    assert {"torch", "openvino", "opentelemetry-sdk"} <= reached(frozenset(extras_of("worker")))
    assert reached(frozenset(extras_of("worker"))) & {"fastapi", "uvicorn"} == set()


def test_every_package_of_an_image_is_pinned() -> None:
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    for image in IMAGES:
        assert reached(frozenset(extras_of(image))) - {"packshot", "packshot-client"} <= pinned
    assert all(Requirement(text).url is None for text in requires("packshot") or [])


@pytest.mark.parametrize("file", FILES.values())
def test_hadolint_finds_nothing(file: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", file], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", FILES.values())
def test_an_image_runs_as_nobody_and_knows_its_health(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    final = text[text.rindex("useradd") :]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in final
    assert re.search(r'^HEALTHCHECK .*CMD \["packshot", "health", "(api|gpu)"\]$', final, re.MULTILINE)
    assert text.count("--constraint constraints.txt") == text.count("pip install ") - text.count("--no-deps")
    assert "https://" not in text


def test_only_what_an_image_needs_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert all((ROOT / name).exists() for name in kept)
    text = "".join((ROOT / file).read_text(encoding="utf-8") for file in FILES.values())
    copied = {
        word.removeprefix("./")
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
        for word in line.split()
    }
    assert copied - {"."} <= kept


COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("packshot")}


def test_compose_has_every_process() -> None:
    commands = {name: " ".join(service["command"]) for name, service in OURS.items()}
    assert commands == {
        "migrate": "migrate",
        "api": "api",
        "io": "worker io",
        "sweeper": "worker sweeper",
        "gpu": "worker gpu",
        "cpu": "worker gpu",
    }
    assert {name: SERVICES[name].get("profiles") for name in ("gpu", "cpu")} == {"gpu": ["gpu"], "cpu": ["cpu"]}
    [device] = SERVICES["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_compose_gives_no_more_than_is_needed() -> None:
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in ("gpu", "cpu", "postgres", "valkey", "migrate"):
        assert SERVICES[name]["networks"] == ["inside"]


def test_compose_waits_longer_than_a_worker_takes_to_stop() -> None:
    for name in ("gpu", "cpu", "io", "sweeper"):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= 2 * Settings().shutdown_s


def test_compose_has_room_for_the_largest_upload() -> None:
    [mount] = SERVICES["api"]["tmpfs"]
    megabytes = int(re.findall(r"/tmp:size=(\d+)m,", mount)[0])
    settings = Settings(batch_max_archive_bytes=SERVICES["api"]["environment"]["PACKSHOT_BATCH_MAX_ARCHIVE_BYTES"])
    largest = max(settings.batch_max_archive_bytes, settings.batch_max_manifest_bytes, settings.max_upload_bytes)
    assert largest < megabytes * 2**20


def test_compose_sets_settings_that_exist() -> None:
    names = {name for service in OURS.values() for name in service["environment"] if name.startswith("PACKSHOT_")}
    text = (ROOT / "deploy/example.env").read_text(encoding="utf-8")
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    assert {name.removeprefix("PACKSHOT_").lower() for name in names} <= Settings.model_fields.keys()
    used |= {name for service in OURS.values() for name, value in service["environment"].items() if value is None}
    assert used | {"COMPOSE_FILE"} == set(re.findall(r"^(?:# )?([A-Z_]+)=", text, re.MULTILINE))


def test_compose_passes_on_all_that_a_store_needs() -> None:
    rows = re.findall(r"^\| `(?:s3|gs|az):` \| (.*) \|$", (ROOT / "docs/storage.md").read_text("utf-8"), re.MULTILINE)
    documented = set(re.findall(r"`((?:AWS|GOOGLE|AZURE)_[A-Z_]+)`", " ".join(rows)))
    of_pods = {"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"}
    settings = {f"PACKSHOT_{name.upper()}" for name in Settings.model_fields if name.startswith("storage_")}
    assert len(rows) == 3
    for service in OURS.values():
        assert (documented - of_pods) | settings <= service["environment"].keys()


def test_a_store_outside_is_reached_by_gpu_workers_too() -> None:
    path = re.findall(
        r"^# COMPOSE_FILE=docker-compose.yml:(.*)$", (ROOT / "deploy/example.env").read_text("utf-8"), re.MULTILINE
    )
    over = yaml.safe_load((ROOT / path[0]).read_text(encoding="utf-8"))
    assert over == {"services": {name: {"networks": ["inside", "outside"]} for name in ("gpu", "cpu")}}


def test_the_broker_forgets_nothing_and_asks_for_a_password() -> None:
    command = SERVICES["valkey"]["command"][-1]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "requirepass" in command
