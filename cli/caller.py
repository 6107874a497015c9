"""Where a running service is, and with which key it is called."""

import json
import os
from urllib.parse import urlsplit

from cli.keys import KEY_FILE
from cli.output import fail
from config.settings import Settings

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def service_url(given: str | None, settings: Settings) -> str:
    """`--url` or PACKSHOT_URL; otherwise what the settings say, which is this machine by default."""
    found = given or os.environ.get("PACKSHOT_URL") or settings.public_url or f"http://127.0.0.1:{settings.port}"
    return found.rstrip("/")


def service_key(given: str | None, settings: Settings) -> str:
    """`--key` or PACKSHOT_KEY; otherwise that of `packshot up` in the data folder. Exits where there is none."""
    found = given or os.environ.get("PACKSHOT_KEY")
    if found:
        return found
    file = settings.data_dir / KEY_FILE
    if file.is_file():
        stored: str = json.loads(file.read_text(encoding="utf-8"))["key"]
        return stored
    raise fail("Give a key with --key or PACKSHOT_KEY; in the data folder there is none of `packshot up`.")


def is_this_machine(url: str) -> bool:
    """A proxy of the environment has no business between a machine and itself."""
    return urlsplit(url).hostname in _LOOPBACK
