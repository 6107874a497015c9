"""The npm package `remove.bg`, which nobody here wrote, against this server: python -m tests.acceptance.removebg_node.

Needs Node.js and npm. Not a test: machines that run the tests need neither. The package has its host built in; a
hosts entry of this process's own leads it here, and Node is told to trust the certificate.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from pydantic import SecretStr

from cli.embedded import EmbeddedBroker, EmbeddedDatabase
from config.settings import Settings
from db.migrate import upgrade
from db.session import build_engine, build_sessions
from tests.drop_in import REMOVE_BG, make_app, serving, working, write_authority
from tests.factories import make_key
from tests.gpu_worker import photo
from tests.receivers import Receiver, reply

PACKAGE = "remove.bg@1.3.0"
SCRIPTS = ("removebg_hosts.js", "removebg_calls.js")


def main() -> None:
    """Install the package in a folder of its own, start a server with a worker, run the calls."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", PACKAGE], cwd=folder, check=True)
        for script in SCRIPTS:
            shutil.copy(Path(__file__).with_name(script), folder)
        (folder / "mug.png").write_bytes(photo())
        database, broker = EmbeddedDatabase(folder / "postgres"), EmbeddedBroker(folder)
        try:
            upgrade(database.url)
            _run(folder, database.url, broker.url)
        finally:
            broker.stop()
            database.stop()


def _run(folder: Path, database_url: str, broker_url: str) -> None:
    authority, trusted = write_authority(folder)
    engine = build_engine(database_url)
    with build_sessions(engine).begin() as session:
        token = make_key(session).token
    engine.dispose()
    with Receiver(lambda _: reply(200, photo())) as receiver:
        settings = Settings(
            database_url=SecretStr(database_url),
            broker_url=SecretStr(broker_url),
            data_dir=folder,
            log_level="error",
            model="fake",
            egress_allow=(receiver.allow,),
        )
        with working(settings), serving(make_app(settings), authority=authority) as port:
            environment = {
                "NODE_EXTRA_CA_CERTS": str(trusted),
                "FROM_HOST": REMOVE_BG,
                "TO_PORT": str(port),
                "API_KEY": token,
                "PHOTO": str(folder / "mug.png"),
                "PHOTO_URL": f"http://photos.example:{receiver.port}/mug.png",
            }
            command = ["node", "--no-deprecation", "--require", f"./{SCRIPTS[0]}", SCRIPTS[1]]
            subprocess.run(command, cwd=folder, env=os.environ | environment, check=True, timeout=300)


if __name__ == "__main__":
    main()
