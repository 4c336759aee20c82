#!/usr/bin/env python3
"""Runs a command against a server and a database of its own.

Called by `make browser` and `make contract`:

    python3 scripts/with_server.py [--binary PATH] COMMAND [ARGUMENT ...]

The command finds the server's address in TENANTRY_URL; its exit code is this script's. Server and
mongod take free ports and a temporary directory, and end with the command, however it ends. When
the command fails, the end of the server's log follows.
"""

import argparse
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from mongo import replica_set
from processes import Failed, free_port, running, stop_on_signals
from server import becomes_ready, debug_binary
from tools import ToolError

SECONDS_TO_READY = 60
LOG_LINES_SHOWN = 100


def run(binary: Path, command: list[str], directory: Path) -> int:
    server_log = directory / "server.log"
    with contextlib.ExitStack() as stack:
        ports = (free_port() for _ in range(3))
        mongo = stack.enter_context(replica_set(directory / "mongo", directory / "mongod.log", ports))
        port = free_port()
        environment = {
            "MONGO_URI": mongo.uri,
            "JWT_SECRET": secrets.token_urlsafe(48),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            # The cheapest hash and no rate limits: this tests the API, not its brakes.
            "SALT_ROUNDS": "4",
            "MIN_FREE_STORAGE_PERCENT": "0",
            "LOGIN_ATTEMPTS_PER_MINUTE": "100000",
            "CREATIONS_PER_MINUTE": "100000",
            "UNKNOWN_NAMES_PER_MINUTE": "100000",
            # So that there is something to restore.
            "DELETE_GRACE_DAYS": "1",
        }
        url = f"http://127.0.0.1:{port}"
        output = stack.enter_context(open(server_log, "wb"))
        # The temporary directory has no .env, so a developer's own settings do not reach the tests.
        server = stack.enter_context(
            running([binary, "serve"], output=output, environment=environment, directory=directory)
        )
        if becomes_ready(server, url, SECONDS_TO_READY):
            # The command's temporary files are removed with ours.
            environment_of_command = os.environ | {"TENANTRY_URL": url, "TMPDIR": str(directory)}
            result = subprocess.run(command, env=environment_of_command).returncode
            if server.poll() is not None:
                print(f"with_server.py: the server ended by itself (exit code {server.returncode})", file=sys.stderr)
                result = result or 1
        else:
            print(f"with_server.py: {binary} was not ready in {SECONDS_TO_READY} seconds", file=sys.stderr)
            result = 1
    if result != 0:
        show_end_of(server_log)
    return result


def show_end_of(log: Path) -> None:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    print("---- the end of the server's log", *lines, "----", sep="\n", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs a command against a server and a database of its own.")
    parser.add_argument("--binary", type=Path, default=debug_binary(), help="the server (default: %(default)s)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run, with its arguments")
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("no command was given")
    if not os.access(arguments.binary, os.X_OK):
        parser.error(f"there is no server at {arguments.binary}: run `make build` first")
    stop_on_signals()
    try:
        with tempfile.TemporaryDirectory(prefix="tenantry-") as directory:
            return run(arguments.binary.resolve(), arguments.command, Path(directory))
    except (Failed, ToolError) as error:
        print(f"with_server.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
