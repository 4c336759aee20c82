"""Child processes that never outlive the script that started them.

Used by the scripts that start a mongod or the server.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

_POLL_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Failed(Exception):
    """The script cannot go on; the message is for the person who ran it."""


@contextlib.contextmanager
def running(
    command: list[str | Path],
    *,
    output: IO | None = None,
    environment: dict[str, str] | None = None,
    directory: Path | None = None,
    seconds_to_stop: float = 20,
) -> Iterator[subprocess.Popen]:
    """Runs a program during the `with` block; at the block's end it gets SIGTERM, then SIGKILL.

    The program has a session of its own, so that Ctrl-C in the terminal reaches only this script,
    which then stops its programs in order. If this script is killed outright, Linux sends the program
    a SIGTERM; other systems do not, so there it keeps running.
    """
    script = os.getpid()

    def die_with_script() -> None:
        if _LIBC:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            # The script may already have died.
            if os.getppid() != script:
                os._exit(1)

    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        env=os.environ | (environment or {}),
        cwd=directory,
        start_new_session=True,
        preexec_fn=die_with_script,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(seconds_to_stop)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Stopped(SystemExit):
    """Somebody asked the script to stop. A SystemExit, so that no `except Exception` catches it."""


def stop_on_signals() -> None:
    """Makes Ctrl-C, SIGTERM and a closed terminal raise Stopped, so that every `finally` block runs."""

    def stop(number: int, _frame: object) -> None:
        # A second signal must not interrupt the cleanup.
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)


def wait_until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Polls until it is so or the time is up, and returns whether it is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
