#!/usr/bin/env python3
"""Checks that the Dockerfile and docker-compose.yml still fit the program; needs neither Docker nor a network.

Reports a setting that Compose does not pass on, an included file that the image's build does not get, a different
version of Rust, and a grace period shorter than the server's shutdown.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def text(path: str) -> str:
    return (ROOT / path).read_text()


def found(pattern: str, path: str) -> str:
    match = re.search(pattern, text(path), flags=re.MULTILINE)
    if not match:
        sys.exit(f"check_docker.py: {path} has nothing like {pattern}; correct one of the two")
    return match[1]


def forgotten_settings() -> Iterator[str]:
    read_by_server = set(re.findall(r'(?:reader|self)\s*\.\w+\(\s*"([A-Z_]+)"', text("src/config.rs")))
    passed_on = set(re.findall(r"^      ([A-Z_]+):", text("docker-compose.yml"), flags=re.MULTILINE))
    for name in sorted(read_by_server - passed_on):
        yield f"docker-compose.yml: the server reads {name}, which `environment` does not pass on"


def forgotten_files() -> Iterator[str]:
    copied = [ROOT / folder for folder in re.findall(r"^COPY (\w+) \1$", text("Dockerfile"), flags=re.MULTILINE)]
    sent = set(re.findall(r"^!(.+)$", text(".dockerignore"), flags=re.MULTILINE))
    for folder in copied:
        if folder.name not in sent:
            yield f".dockerignore: the Dockerfile copies {folder.name}, which is not sent"
    for source in sorted((ROOT / "src").rglob("*.rs")):
        for name in re.findall(r'include(?:_str|_bytes)?!\(\s*"([^"]+)"', source.read_text()):
            included = (source.parent / name).resolve()
            if not any(included.is_relative_to(folder) for folder in copied):
                yield f"Dockerfile: {source.relative_to(ROOT)} includes {name}, which is not copied"


def other_rust() -> Iterator[str]:
    image = found(r"^FROM rust:(\d+\.\d+)", "Dockerfile")
    wanted = found(r'^rust-version = "(\d+\.\d+)', "Cargo.toml")
    if image != wanted:
        yield f"Dockerfile: builds with Rust {image}, Cargo.toml wants {wanted}"


def short_grace() -> Iterator[str]:
    # Once for the requests, once for what they left running.
    shutdown = 2 * int(found(r"SHUTDOWN_LIMIT: Duration = Duration::from_secs\((\d+)\)", "src/app.rs"))
    grace = int(found(r"SIGTERM the server (?:.*\n)+?    stop_grace_period: (\d+)s", "docker-compose.yml"))
    if grace <= shutdown:
        yield f"docker-compose.yml: stop_grace_period is {grace} s, the server takes up to {shutdown} s"


def main() -> int:
    problems = [*forgotten_settings(), *forgotten_files(), *other_rust(), *short_grace()]
    print("\n".join(problems) or "The container files fit the program.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
