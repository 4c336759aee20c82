"""Who sends Schemathesis's requests, and about which organization, so that they can succeed.

Loaded into Schemathesis by contract.py. Random values alone test little: a random name is nobody's, the
email of the document's examples is taken after its first use, and the first DELETE that succeeds ends its
own token. So every value that the examples have ("amazon", "admin@amazon.example") is replaced by one of an
organization that was made for this one request. schemathesis.toml gives half of the requests such values.
"""

import os
import uuid
from typing import Any

import requests
import schemathesis
from schemathesis import AuthContext, Case, HookContext

URL = os.environ["TENANTRY_URL"]
PASSWORD = "a fine password"


def unused() -> tuple[str, str]:
    """A name that no organization has, and an email that no admin has."""
    name = f"contract-{uuid.uuid4().hex[:12]}"
    return name, f"{name}@example.com"


def new_organization() -> tuple[str, str]:
    """The name of a new organization, and the email of its admin."""
    name, email = unused()
    body = {"organization_name": name, "email": email, "password": PASSWORD}
    requests.post(f"{URL}/org/create", json=body, timeout=30).raise_for_status()
    return name, email


def replace_examples(case: Case, **values: str) -> None:
    """Gives these fields of the query and the body other values, where they have an example's."""

    def replaced(fields: dict[str, Any]) -> dict[str, Any]:
        # A new dict, because cases share their examples.
        return {name: values.get(name, value) if "amazon" in str(value) else value for name, value in fields.items()}

    # Only what changes is assigned: an assignment makes Schemathesis judge anew whether the case is valid.
    if isinstance(case.query, dict) and (query := replaced(case.query)) != case.query:
        case.query = query
    if isinstance(case.body, dict) and (body := replaced(case.body)) != case.body:
        case.body = body


class Admin:
    """Sends each request as the admin of a new organization, and about that organization."""

    def get(self, _case: Case, _context: AuthContext) -> tuple[str, str]:
        name, email = new_organization()
        answer = requests.post(f"{URL}/admin/login", json={"email": email, "password": PASSWORD}, timeout=30)
        answer.raise_for_status()
        return name, answer.json()["access_token"]

    def set(self, case: Case, data: tuple[str, str], _context: AuthContext) -> None:
        name, token = data
        case.headers["Authorization"] = f"Bearer {token}"
        new_name, new_email = unused()
        replace_examples(case, organization_name=name, new_organization_name=new_name, email=new_email)
        # A DELETE names its organization in the query or in the body; if in both, they have to agree.
        if case.meta.generation.mode.is_positive and isinstance(case.body, dict) and case.body.get("organization_name"):
            case.query = {}


if os.environ["CONTRACT_CALLER"] == "admin":
    schemathesis.auth(refresh_interval=None, retry_on=[]).apply_to(path_regex="^/org/(get|update|delete)$")(Admin)


@schemathesis.hook
def before_call(_context: HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """Creates what does not exist yet, and logs in as somebody who exists."""
    if case.path == "/org/create":
        name, email = unused()
        replace_examples(case, organization_name=name, email=email)
    elif case.path == "/admin/login":
        _, email = new_organization()
        replace_examples(case, email=email, username=email)
