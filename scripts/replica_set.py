"""Makes the mongod on a port of 127.0.0.1 the only member, and so the primary, of its replica set.

Run by mongo.py with the Python that has pymongo: `replica_set.py PORT NAME`. Running it again changes
nothing. The set's stored configuration names the port, and a mongod that does not find itself in it
accepts no writes; so data that is reused under another port gets its configuration corrected.
"""

import sys
import time

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

# https://www.mongodb.com/docs/manual/reference/error-codes/
ALREADY_INITIALIZED = 23
NOT_YET_INITIALIZED = 94

SECONDS_TO_PRIMARY = 30


def ensure_member(client: MongoClient, name: str, host: str) -> None:
    """Brings the stored configuration to one member at `host`."""
    members = [{"_id": 0, "host": host}]
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != NOT_YET_INITIALIZED:
            raise
        client.admin.command("replSetInitiate", {"_id": name, "members": members})
        return
    if [member["host"] for member in config["members"]] != [host]:
        config |= {"members": members, "version": config["version"] + 1}
        # There is no primary here, and only a forced change works without one.
        client.admin.command("replSetReconfig", config, force=True)


def main(port: int, name: str) -> None:
    host = f"127.0.0.1:{port}"
    deadline = time.monotonic() + SECONDS_TO_PRIMARY
    with MongoClient(host, directConnection=True, serverSelectionTimeoutMS=SECONDS_TO_PRIMARY * 1000) as client:
        while not client.admin.command("hello").get("isWritablePrimary"):
            try:
                ensure_member(client, name, host)
            except OperationFailure as error:
                # A mongod that is still reading its configuration says "not yet" at first.
                if error.code != ALREADY_INITIALIZED:
                    raise
            if time.monotonic() > deadline:
                sys.exit(f"the mongod on {host} did not become primary in {SECONDS_TO_PRIMARY} seconds")
            time.sleep(0.05)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), sys.argv[2])
    except PyMongoError as error:
        sys.exit(f"could not set up the replica set: {error}")
