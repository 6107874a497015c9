"""The API as it describes itself; `make openapi` writes it to docs/openapi.json, so that a change shows in review."""

import json
from pathlib import Path
from typing import Any

from api.app import create_app
from config.settings import Settings

FILE = Path(__file__).parents[2] / "docs" / "openapi.json"


def document() -> dict[str, Any]:
    """Neither database nor broker is called for it."""
    settings = Settings(database_url="postgresql://unused/unused", broker_url="redis://unused:1/0")
    return create_app(settings).openapi()


def text() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
