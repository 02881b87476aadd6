"""A real Ray cluster of two nodes on this machine, and photos that crash its workers."""

import contextlib
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

POISON = b"POISON"
"""Start of a file that kills the worker that reads it."""
HIDDEN = b"HIDDEN"
"""Start of a file that workers cannot see."""

AT_THE_NODES = f"""
import errno, hashlib, os
real = hashlib.file_digest
def file_digest(file, name):
    begins = file.read({len(POISON)})
    if begins == {POISON!r}:
        os.kill(os.getpid(), 9)
    if begins == {HIDDEN!r}:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    file.seek(0)
    return real(file, name)
hashlib.file_digest = file_digest
"""


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class TwoNodes:
    """A head and a second node, one CPU each."""

    def __init__(self, environment: dict[str, str]) -> None:
        from ray.cluster_utils import Cluster

        sizes = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
        self._client_port = free_port()
        head = {
            **sizes,
            "include_dashboard": False,
            "ray_client_server_port": self._client_port,
        }
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # Ray leaves a log of its own open
            for name, value in environment.items():  # a node's workers have its environment
                patch.setenv(name, value)
            self._cluster = Cluster(initialize_head=True, head_node_args=head)
            self._second = self._cluster.add_node(**sizes)

    @property
    def on(self) -> str:
        """Return the address, as `--on` takes it."""
        return f"ray:{self._cluster.address}"

    @property
    def from_outside(self) -> str:
        """Return the address for a machine outside the cluster."""
        return f"ray://127.0.0.1:{self._client_port}"

    def kill_second(self) -> None:
        """Kill the second node's daemon and workers at once, as a power failure does."""
        raylet = psutil.Process(self._second.all_processes["raylet"][0].process.pid)
        for process in [raylet, *raylet.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._cluster.remove_node(self._second, allow_graceful=False)

    def close(self) -> None:
        """Stop all nodes."""
        self._cluster.shutdown()


@contextlib.contextmanager
def two_nodes(folder: Path, environment: dict[str, str]) -> Iterator[TwoNodes]:
    """Start the cluster with an environment; poison and hidden files affect only its workers."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(AT_THE_NODES)
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    nodes = TwoNodes({**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))})
    try:
        yield nodes
    finally:
        nodes.close()
