"""Sends the server what /openapi.json allows and what it forbids, and holds every answer against the document.

Run by `make contract`. TENANTRY_URL is the server, CONTRACT_EXAMPLES how many requests are generated for
each call in each phase. The seed is fixed, so a failure comes back with the next run. Prints a line for each
pass that found nothing; of one that found something, all that Schemathesis says.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
URL = os.environ["TENANTRY_URL"]
EXAMPLES = os.environ.get("CONTRACT_EXAMPLES", "20")
SEED = "1"


@dataclass(frozen=True)
class Pass:
    """One run of Schemathesis over the whole document."""

    name: str
    caller: str
    arguments: tuple[str, ...] = ()


PASSES = (
    Pass("without a token", caller="nobody"),
    Pass("as an admin", caller="admin"),
    # Such text may have more bytes than characters, and NULs: the document cannot say what of it is accepted.
    Pass(
        "as an admin, any Unicode text",
        caller="admin",
        arguments=(
            "--generation-codec=utf-8",
            "--generation-allow-x00=true",
            "--exclude-checks=positive_data_acceptance",
        ),
    ),
)


def passes(each: Pass, directory: Path) -> bool:
    """Runs Schemathesis in an empty directory, where it may leave what it likes."""
    report = directory / "report.json"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml"]
    command += ["run", f"{URL}/openapi.json", "--no-color", "--seed", SEED, "--max-examples", EXAMPLES]
    command += ["--report=json", "--report-json-path", report, *each.arguments]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": str(HERE / "callers.py"),
        "PYTHONPATH": str(HERE),
        "CONTRACT_CALLER": each.caller,
        # The server is on this machine, whatever proxy the environment names.
        "NO_PROXY": "*",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        print(f"FAILED {each.name}\n{done.stdout}", flush=True)
        return False
    outcome = json.loads(report.read_text())
    succeeded = [call for call, phases in outcome["valid_rates"].items() if any(p["accepted"] for p in phases.values())]
    if each.caller == "admin" and len(succeeded) < outcome["operations"]["total"]:
        # Then nearly nothing of the others was tested, however right their errors are.
        print(f"FAILED {each.name}: nothing but {', '.join(succeeded)} ever succeeded", flush=True)
        return False
    print(f"ok {each.name}: {outcome['test_cases']['generated']} requests, {outcome['running_time']:.0f} s", flush=True)
    return True


def main() -> int:
    failed = 0
    for each in PASSES:
        with tempfile.TemporaryDirectory(prefix="contract-") as directory:
            failed += not passes(each, Path(directory))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
