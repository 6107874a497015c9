"""What is left out of a plain run: it takes root and minutes."""

import os

collect_ignore = [] if os.environ.get("PACKSHOT_TEST_HOSTS") else ["test_two_hosts.py"]
