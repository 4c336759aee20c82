"""Who sends Schemathesis's requests, and about which organization, so that they can succeed.

Loaded into Schemathesis by contract.py. Random values alone test little: a random name is nobody's, the
email of the document's examples is taken after its first use, and the first DELETE that succeeds ends its
own token. So every value that the examples have ("amazon", "admin@amazon.example") is replaced by one of an
organization that was made for this one request, and what the examples name in an organization (a document,
an index) is put there first. schemathesis.toml gives half of the requests such values.

What Schemathesis knows nothing of, lines of JSON, is made and read in `lines.py`.
"""

import itertools
import os
import uuid
from typing import Any

import lines
import requests
import schemathesis
from schemathesis import AuthContext, Case, HookContext

URL = os.environ["TENANTRY_URL"]
PASSWORD = "a fine password"

# Of the data calls, whose path begins with the organization.
DATA = "/org/{organization_name}/"

# The change that made each organization.
creations: dict[str, str] = {}
# The tokens of the organizations that data calls are about: a link leads to an organization again.
tokens: dict[str, str] = {}
# Those that are only read, by the path of the call: reading changes nothing, so its organization serves again.
read_only: dict[str, str] = {}

# What the document's examples name.
DOCUMENTS = (
    {"_id": {"$oid": "691f2a3b4c5d6e7f80910a1b"}, "name": "Ada", "age": 36, "created": {"$date": "2026-11-25T09:30:00Z"}},
    {"_id": 1, "name": "Grace", "age": 85, "address": {"city": "New York"}},
    {"_id": "x", "name": "Alan", "age": 41, "tags": ["a", 1, None]},
)
INDEX = {"keys": {"email": 1}}
SCHEMAS = itertools.cycle(
    (
        {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 40}}},
        {"required": ["name"], "properties": {"tags": {"items": {"type": ["string", "null"]}}}},
        {"not": {"required": ["address"]}, "properties": {"name": {"pattern": "^[A-Z]", "maxLength": 4}}},
    )
)
# Having no schema is as good a case as having one.
has_schema = itertools.cycle((True, False))


def unused() -> tuple[str, str]:
    """A name that no organization has, and an email that no admin has."""
    name = f"contract-{uuid.uuid4().hex[:12]}"
    return name, f"{name}@example.com"


def new_organization() -> tuple[str, str]:
    """The name of a new organization, and the email of its admin."""
    name, email = unused()
    body = {"organization_name": name, "email": email, "password": PASSWORD}
    answer = requests.post(f"{URL}/org/create", json=body, timeout=30)
    answer.raise_for_status()
    creations[name] = answer.json()["change_id"]
    return name, email


def deleted_organization() -> str:
    """The email of the admin of an organization that can be brought back."""
    name, email = new_organization()
    query, headers = {"organization_name": name}, bearer(log_in(email))
    requests.delete(f"{URL}/org/delete", params=query, headers=headers, timeout=30).raise_for_status()
    return email


def log_in(email: str) -> str:
    answer = requests.post(f"{URL}/admin/login", json={"email": email, "password": PASSWORD}, timeout=30)
    answer.raise_for_status()
    return answer.json()["access_token"]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def call(method: str, name: str, token: str, path: str, **arguments: Any) -> requests.Response:
    """Sends what prepares a request, and has to succeed."""
    url, headers = f"{URL}/org/{name}/{path}", bearer(token) | arguments.pop("headers", {})
    answer = requests.request(method, url, headers=headers, timeout=30, **arguments)
    answer.raise_for_status()
    return answer


def fill(case: Case, name: str, token: str) -> None:
    """Puts into a new organization what the examples of a call name."""
    match case.method, case.path.removeprefix(DATA).split("/")[0]:
        case _, "documents" | "export" | "stats":
            call("POST", name, token, "documents", headers={"Content-Type": lines.NDJSON}, data=lines.joined(DOCUMENTS))
        case "GET" | "DELETE", "indexes":
            call("POST", name, token, "indexes", json=INDEX)
        case _, "names":
            body = {"organization_name": name, "new_organization_name": f"{name}-2", "keep_old_name_days": 1}
            requests.put(f"{URL}/org/update", json=body, headers=bearer(token), timeout=30).raise_for_status()
        case _, "schema" if next(has_schema):
            call("PUT", name, token, "schema", json=next(SCHEMAS))


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


def cursor_of(case: Case, name: str, token: str) -> str:
    """The cursor that goes on after the first document of the query of a case; one of nothing when there is none."""
    query = {field: value for field, value in case.query.items() if field in ("filter", "sort")}
    url, headers = f"{URL}/org/{name}/documents", bearer(token)
    # The query may be a wrong one; then it has no page, and the case finds out.
    answer = requests.get(url, params=query | {"limit": "1"}, headers=headers, timeout=30)
    return answer.json().get("next") or "of nothing"


class Admin:
    """Sends each request as the admin of a new organization, and about that organization."""

    def get(self, case: Case, _context: AuthContext) -> tuple[str, str]:
        known = str((case.path_parameters or {}).get("organization_name"))
        if case.method == "GET":
            known = read_only.get(case.path, known)
        if known in tokens:
            return known, tokens[known]
        name, email = new_organization()
        token = log_in(email)
        if case.path.startswith(DATA):
            tokens[name] = token
            fill(case, name, token)
            if case.method == "GET" and case.path != f"{DATA}schema":
                read_only[case.path] = name
        return name, token

    def set(self, case: Case, data: tuple[str, str], _context: AuthContext) -> None:
        name, token = data
        case.headers["Authorization"] = f"Bearer {token}"
        if case.path.startswith(DATA):
            # A link can also lead to an organization whose admin is not known here.
            if str(case.path_parameters["organization_name"]).startswith(("amazon", "contract-")):
                case.path_parameters = case.path_parameters | {"organization_name": name}
            if case.path_parameters.get("old_name") == "amazon":
                case.path_parameters = case.path_parameters | {"old_name": name}
            if case.path == f"{DATA}changes/{{id}}" and len(str(case.path_parameters["id"])) in (1, 24):
                case.path_parameters = case.path_parameters | {"id": creations[name]}
            if isinstance(case.query, dict) and case.query.get("cursor") == "amazon":
                case.query = case.query | {"cursor": cursor_of(case, name, token)}
            for condition in ("If-Match", "If-None-Match"):
                # What stands in most requests of a phase that can make no text with a quote.
                if case.headers.get(condition) == "0":
                    del case.headers[condition]
            return
        new_name, new_email = unused()
        replace_examples(case, organization_name=name, new_organization_name=new_name, email=new_email)
        # A DELETE names its organization in the query or in the body; if in both, they have to agree.
        if case.meta.generation.mode.is_positive and isinstance(case.body, dict) and case.body.get("organization_name"):
            case.query = {}


if os.environ["CONTRACT_CALLER"] == "admin":
    needs_token = r"^/org/(get|update|delete)$|^/org/\{"
    schemathesis.auth(refresh_interval=None, retry_on=[]).apply_to(path_regex=needs_token)(Admin)


@schemathesis.hook
def map_body(context: HookContext, body: Any) -> Any:
    """Makes half of the objects that are to be a JSON Schema one; a random object never is."""
    is_schema = context.operation.path == f"{DATA}schema" and isinstance(body, dict)
    return next(SCHEMAS) if is_schema and len(str(body)) % 2 == 0 else body


@schemathesis.hook
def before_call(_context: HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """Creates what does not exist yet, and logs in as somebody who exists."""
    if case.path == "/org/create":
        name, email = unused()
        replace_examples(case, organization_name=name, email=email)
    elif case.path == "/admin/login":
        _, email = new_organization()
        replace_examples(case, email=email, username=email)
    elif case.path == "/org/restore":
        new_name, _ = unused()
        email = deleted_organization() if "amazon" in str(case.body) else "nobody@example.com"
        replace_examples(case, email=email, organization_name=new_name)
    if "Idempotency-Key" in (case.headers or {}) and case.meta.generation.mode.is_positive:
        # One that was used before, such as "0", belongs to another request.
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
