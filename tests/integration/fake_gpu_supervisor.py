"""`packshot worker gpu` with a list of devices and fake children: arguments are the devices."""

import os
import sys

from config.logging import configure_logging
from config.settings import Settings
from worker.supervisor import Supervisor

if __name__ == "__main__":
    configure_logging(Settings())
    command = (sys.executable, "-m", "tests.integration.fake_gpu_child")
    sys.exit(Supervisor(sys.argv[1:], os.environ, command).run())
