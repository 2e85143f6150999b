"""Two long-lived worker processes, joined by gloo, that run any function of the tests on both ranks."""

from __future__ import annotations

import importlib
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import traceback
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORLD = 2
PATIENCE = 180.0
"""Seconds to wait for an answer: ranks that wait for each other would wait for ever."""


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def rank_environment(rank: int, port: int) -> dict[str, str]:
    """Return the variables with which torchrun starts a rank."""
    return os.environ | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(WORLD),
        "LOCAL_WORLD_SIZE": str(WORLD),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }


class Pool:
    """Start two workers at the first call and keep them; after a failure the next call starts new ones."""

    def __init__(self) -> None:
        self.workers: list[subprocess.Popen[str]] = []
        self.connections: list[Connection] = []

    def __call__(self, function: str, *arguments: Any) -> list[Any]:
        """Run ``module:function`` with these arguments on both ranks; return what each of them returns."""
        if not self.workers:
            self._start()
        for connection in self.connections:
            connection.send((function, arguments))
        answers: list[Any] = []
        for rank, connection in enumerate(self.connections):
            if not connection.poll(PATIENCE):
                self.close()
                raise AssertionError(f"{function}{arguments}: rank {rank} gave no answer in {PATIENCE:.0f} s")
            fine, answer = pickle.loads(connection.recv_bytes())
            if not fine:
                self.close()
                raise AssertionError(f"{function}{arguments} failed on rank {rank}:\n{answer}")
            answers.append(answer)
        return answers

    def _start(self) -> None:
        address = os.path.join(tempfile.mkdtemp(), "pool")
        port = free_port()
        with Listener(address) as listener:
            for rank in range(WORLD):
                command = [sys.executable, "-W", "ignore", "-m", "tests.distributed.pool", address]
                self.workers.append(subprocess.Popen(command, env=rank_environment(rank, port), cwd=ROOT))
            by_rank: dict[int, Connection] = {}
            for _ in range(WORLD):
                connection = listener.accept()
                by_rank[connection.recv()] = connection
        self.connections = [by_rank[rank] for rank in range(WORLD)]

    def close(self) -> None:
        """End both workers."""
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.workers, self.connections = [], []


def work(address: str) -> None:
    """Answer one call after another, until the pool is gone."""
    import torch

    torch.set_num_threads(1)
    connection = Client(address)
    connection.send(int(os.environ["RANK"]))
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            module, _, name = function.partition(":")
            answer = (True, getattr(importlib.import_module(module), name)(*arguments))
        except BaseException:
            answer = (False, traceback.format_exc())
        # `send` would hand tensors over as file descriptors of this process, which may end first.
        connection.send_bytes(pickle.dumps(answer))


if __name__ == "__main__":
    work(sys.argv[1])
