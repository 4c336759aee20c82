#!/usr/bin/env python3
"""Builds and runs the server on this machine, with a MongoDB of its own unless MONGO_URI names one.

Called by `make run`. It keeps its state under .data/ and in .env, so the next run picks up where this one
ended. Ctrl-C stops the server, then MongoDB.

A non-empty MONGO_URI in the environment or in .env names the user's own MongoDB (Atlas, say), and no
mongod is started. In .env.example it is empty.
"""

import contextlib
import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mongo import ReplicaSet, replica_set
from processes import Failed, Stopped, free_port, running, stop_on_signals, wait_until
from server import ROOT, becomes_ready, debug_binary
from tools import ToolError

DATA = ROOT / ".data"
ENV_FILE = ROOT / ".env"
MONGO_PORT_FILE = DATA / "mongo.port"
MONGO_USUAL_PORT = "27017"

SECONDS_TO_READY = 60


def ensure_env_file() -> None:
    """Makes .env, readable by its owner alone, from .env.example, and fills in an empty JWT_SECRET."""
    exists = ENV_FILE.exists()
    if exists and setting("JWT_SECRET"):
        return
    text = (ENV_FILE if exists else ROOT / ".env.example").read_text()
    line = f"JWT_SECRET={secrets.token_urlsafe(48)}"
    text, replaced = re.subn(r"^JWT_SECRET=.*$", line, text, count=1, flags=re.MULTILINE)
    if not replaced:
        text += f"\n{line}\n"
    draft = ENV_FILE.with_name(".env.draft")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(ENV_FILE)
    print("Wrote a random JWT_SECRET to .env")


def setting(name: str, default: str = "") -> str:
    """What the server will see: the environment's value, else that of .env, else the default."""
    if name in os.environ:
        return os.environ[name] or default
    text = ENV_FILE.read_text() if ENV_FILE.exists() else ""
    found = re.search(rf"^(?:export\s+)?{name}\s*=[ \t]*(.*?)(?:\s+#.*)?$", text, flags=re.MULTILINE)
    return (found[1].strip().strip("\"'") if found else "") or default


def require_free_port(host: str, port: str) -> None:
    """Fails before the long build, not after it. An invalid value is left to the server, which explains it."""
    with contextlib.suppress(ValueError, OverflowError, socket.gaierror):
        family, kind, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise Failed(
                    f"cannot listen on port {port} of {host} ({error.strerror}): "
                    f"stop what uses it, or choose another: PORT=8001 make run"
                ) from error


def build() -> Path:
    """Builds without optimizations: that takes half the time, and `make test` uses the same build."""
    try:
        done = subprocess.run(["cargo", "build", "--locked"], cwd=ROOT)
    except FileNotFoundError:
        raise Failed("cargo is not on the PATH: install Rust, https://rustup.rs") from None
    if done.returncode != 0:
        raise Failed("the build failed")
    return debug_binary()


@contextlib.contextmanager
def own_mongo() -> Iterator[ReplicaSet]:
    """Runs a mongod on the port it had last time, unless somebody else has taken it."""
    remembered = MONGO_PORT_FILE.read_text() if MONGO_PORT_FILE.exists() else MONGO_USUAL_PORT
    ports = (int(remembered), free_port(), free_port())
    with replica_set(DATA / "mongo", DATA / "mongod.log", ports) as mongo:
        MONGO_PORT_FILE.write_text(str(mongo.port))
        yield mongo


def serve(binary: Path, url: str) -> int:
    """Runs until the server or the mongod ends; Ctrl-C arrives as an exception."""
    with contextlib.ExitStack() as stack:
        children = []
        environment = {}
        database = "at MONGO_URI"
        if not setting("MONGO_URI"):
            mongo = stack.enter_context(own_mongo())
            children.append(mongo.process)
            environment["MONGO_URI"] = mongo.uri
            database = f"{mongo.uri}, data in {(DATA / 'mongo').relative_to(ROOT)}/"
        # Entered last, so left first: the server still has its database while it finishes requests.
        server = stack.enter_context(running([binary, "serve"], environment=environment, directory=ROOT))
        children.append(server)
        ready = becomes_ready(server, url, SECONDS_TO_READY)
        if server.poll() is None:
            if not ready:
                print(f"\nMongoDB has not answered for {SECONDS_TO_READY} seconds. The server keeps trying.")
            announce(url, database)
        while not wait_until(lambda: any(child.poll() is not None for child in children), 3600):
            pass
        if server.poll() is None:
            raise Failed(f"mongod ended by itself; its log is {DATA / 'mongod.log'}")
        return server.returncode


def announce(url: str, database: str) -> None:
    print(
        f"\n  API          {url}"
        f"\n  to read      {url}/redoc"
        f"\n  to try out   {url}/docs"
        f"\n  MongoDB      {database}"
        f"\n\n  Ctrl-C stops everything.\n",
        flush=True,
    )


def address_for_browsers(host: str, port: str) -> str:
    """`0.0.0.0` and `::` are for listening only; browsers use the loopback address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def main() -> int:
    stop_on_signals()
    try:
        ensure_env_file()
        host, port = setting("HOST", "127.0.0.1"), setting("PORT", "8000")
        require_free_port(host, port)
        return serve(build(), address_for_browsers(host, port))
    except (Failed, ToolError) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    except Stopped:
        print("\nStopped.")
        return 0


if __name__ == "__main__":
    sys.exit(main())
