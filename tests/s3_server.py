"""A real S3 server on a loopback port (package `nanio`): it checks signatures, of headers and of URLs."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from cli.ports import free_port

ACCESS_KEY = "PACKSHOTTESTKEY"
SECRET_KEY = "packshot-test-secret-of-forty-characters"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": "us-east-1"}
_ROOT = Path(__file__).parents[1]
_START_S = 20.0


class S3Server:
    """Its buckets are folders of `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        module: str = "tests.s3_main",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.endpoint = f"http://{host}:{free_port()}"
        keys = {"NANIO_ACCESS_KEY": ACCESS_KEY, "NANIO_SECRET_KEY": SECRET_KEY}
        port = self.endpoint.rsplit(":", 1)[1]
        command = [sys.executable, "-m", module, str(folder), host, port]
        with (folder.parent / "nanio.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=os.environ | keys | dict(environment or {}), cwd=_ROOT, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the S3 server did not start")
            time.sleep(0.05)

    def make_bucket(self, name: str) -> None:
        (self.folder / name).mkdir()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            httpx.get(self.endpoint, timeout=2)
        except httpx.TransportError:
            return False
        return True
