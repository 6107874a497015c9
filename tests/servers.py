"""`python -m tests.servers COMMAND...`: run a command with `PACKSHOT_DATABASE_URL` and `PACKSHOT_BROKER_URL` of servers
that last as long as it does."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cli.embedded import EmbeddedBroker, EmbeddedDatabase


def main(command: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="packshot-servers-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        database, broker = EmbeddedDatabase(Path(folder, "postgres")), EmbeddedBroker(Path(folder, "valkey"))
        urls = {"PACKSHOT_DATABASE_URL": database.url, "PACKSHOT_BROKER_URL": broker.url}
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        try:
            return subprocess.run(command, env=inherited | urls, check=False).returncode
        finally:
            broker.stop()
            database.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
