"""The process of `tests.s3_server.S3Server`: the folder of its buckets and its address as arguments."""

import sys
from pathlib import Path

import uvicorn
from nanio.app import build_app
from nanio.config import Settings

LISTED_AT_ONCE = 10
"""Few, so that a short listing has pages."""

if __name__ == "__main__":
    folder, host, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    settings = Settings(data_dir=folder, port=port, max_list_keys=LISTED_AT_ONCE)
    uvicorn.run(build_app(settings), host=host, port=port, log_level="error", access_log=False)
