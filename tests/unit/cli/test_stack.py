"""One stack a folder, one a port."""

import socket
from pathlib import Path

import pytest

from cli.stack import FolderLock, Stack, StackError
from config.settings import Settings


def test_a_second_stack_is_told_who_is_there(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.describe("process 1, http://127.0.0.1:8080")
    with pytest.raises(StackError, match=r"already runs in .* \(process 1, http://127.0.0.1:8080\)"):
        FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stack = Stack(Settings(data_dir=tmp_path, port=port))
        with pytest.raises(StackError, match=f"Port {port} is taken"):
            stack.start_services()
        assert stack.stop() == []


def test_port_0_is_any_port(tmp_path: Path) -> None:
    stack = Stack(Settings(data_dir=tmp_path, port=0))
    assert stack.settings.port > 0
    assert stack.stop() == []
