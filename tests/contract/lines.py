"""Lines of JSON (`application/x-ndjson`), which Schemathesis can neither make nor read.

Imported by callers.py; being imported registers them.
"""

import json
from collections.abc import Iterable
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis import DeserializationContext, HookContext, Response, SerializationContext

NDJSON = "application/x-ndjson"


def joined(documents: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


# Documents, and what is none: whatever stands in a line, the import goes on.
VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(), inner, max_size=3),
    max_leaves=5,
)
DOCUMENTS = strategies.dictionaries(strategies.text("abc_.$", max_size=3), VALUES, max_size=3)
LINES = strategies.lists((DOCUMENTS | VALUES).map(json.dumps).map(str.encode) | strategies.binary(), max_size=5)

schemathesis.openapi.media_type(NDJSON, LINES.map(b"\n".join))


@schemathesis.hook
def before_load_schema(_context: HookContext, document: dict[str, Any]) -> None:
    """Takes the example of an import away: it is text, and Schemathesis wants bytes where bytes are made."""
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        operation.get("requestBody", {}).get("content", {}).get(NDJSON, {}).pop("example", None)


@schemathesis.serializer(NDJSON)
def as_it_is(_context: SerializationContext, body: Any) -> dict[str, Any]:
    """Bytes as they were made above; what is to be wrong is something else, and becomes text."""
    return {"data": body if isinstance(body, bytes) else str(body).encode()}


@schemathesis.deserializer(NDJSON)
def last_line(_context: DeserializationContext, response: Response) -> Any:
    """The line that an import ends with, and the text of an export; each line of both must be a JSON object."""
    documents = [json.loads(line) for line in response.content.split(b"\n") if line]
    if not all(isinstance(document, dict) for document in documents):
        raise ValueError("a line is no JSON object")
    return documents[-1] if response.request.method == "POST" else response.text
