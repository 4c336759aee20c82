"""A private MongoDB server: a mongod on 127.0.0.1 that is a replica set of one member.

Used by run.py and with_server.py. It is a replica set because production is one, and because only
replica sets have transactions and change streams.
"""

import contextlib
import resource
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tools
from processes import Failed, running, wait_until

SET_NAME = "rs0"
SECONDS_TO_LISTEN = 60

# mongod's exit codes, https://www.mongodb.com/docs/manual/reference/exit-codes/
PORT_IN_USE = 48
DATA_IN_USE = 100

# mongod aborts when it runs out of files, and needs about four per organization.
OPEN_FILES = 64_000


@dataclass(frozen=True)
class ReplicaSet:
    port: int
    process: subprocess.Popen

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet={SET_NAME}"


@contextlib.contextmanager
def replica_set(data: Path, log: Path, ports: Iterable[int]) -> Iterator[ReplicaSet]:
    """Runs a mongod on the first free port of `ports`; it accepts writes when the block begins.

    The data directory may be empty, or hold the data of an earlier call, under any port.
    """
    program = tools.mongod()
    python = tools.venv("pymongo")
    data.mkdir(parents=True, exist_ok=True)
    _allow_open_files()
    for port in ports:
        command = [program, "--replSet", SET_NAME, "--bind_ip", "127.0.0.1", "--port", str(port)]
        command += ["--dbpath", data, "--nounixsocket"]
        with open(log, "wb") as output, running(command, output=output) as process:
            if _listens(process, log):
                _make_primary(python, port)
                yield ReplicaSet(port, process)
                return
        if process.returncode == PORT_IN_USE:
            continue
        if process.returncode == DATA_IN_USE:
            raise Failed(f"another mongod uses {data}: stop it first")
        raise Failed(f"mongod did not start (exit code {process.returncode}); its log is {log}")
    raise Failed("found no free port for mongod")


def _listens(process: subprocess.Popen, log: Path) -> bool:
    """Waits until this mongod listens, or ends.

    Its log says so (message 23016 is "Waiting for connections"). An answer on the port would prove
    nothing: that may be somebody else's mongod, which must not be touched.
    """
    wait_until(lambda: process.poll() is not None or b'"id":23016' in log.read_bytes(), SECONDS_TO_LISTEN)
    return process.poll() is None and b'"id":23016' in log.read_bytes()


def _make_primary(python: Path, port: int) -> None:
    script = Path(__file__).with_name("replica_set.py")
    done = subprocess.run([python, script, str(port), SET_NAME], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(done.stderr.strip())


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, OPEN_FILES)), hard))
