"""The server under development: where cargo puts it, and waiting until it is ready.

Used by run.py and with_server.py.
"""

import os
import subprocess
import urllib.request
from pathlib import Path

from processes import wait_until

ROOT = Path(__file__).resolve().parent.parent

# The server is on this machine, so no proxy from the environment applies.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def debug_binary() -> Path:
    """Where `cargo build` leaves the server."""
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "tenantry"


def becomes_ready(server: subprocess.Popen, url: str, seconds: float) -> bool:
    """Waits until the server at `url` reaches its database; False when it ends or takes too long."""
    wait_until(lambda: server.poll() is not None or _is_ready(url), seconds)
    return server.poll() is None and _is_ready(url)


def _is_ready(url: str) -> bool:
    try:
        with _DIRECT.open(f"{url}/health/ready", timeout=2) as answer:
            return answer.status == 200
    except OSError:  # refused, timed out, or an error status such as 503
        return False
