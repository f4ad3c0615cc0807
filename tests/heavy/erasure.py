"""Ten thousand calls to one number, and the order to forget it (BARS C13): how long that takes, and whether the number, or a
word of what was asked for in its calls, is still found in any file of the data directory.

    python3 tests/heavy/erasure.py [--calls 10000]
"""

import argparse
import collections
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import callees  # noqa: E402
import harness  # noqa: E402
from nodes import CALLER, UNLIMITED, told  # noqa: E402

# Ends in digits that are busy, which is over soonest; another's calls must stay.
CALLEE, OTHER = "+15551234505", "+15551234606"
SECRET = "xylophonist"
BOUND_S = 60
CLIENTS = 16


def place(server, calls):
    """Calls to both numbers, each with variables and data of its own; those to the one that is to be forgotten."""
    left, lock, made = iter(range(calls)), threading.Lock(), []

    def work():
        while True:
            with lock:
                at = next(left, None)
            if at is None:
                return
            to = OTHER if at % 100 == 0 else CALLEE
            body = {"agent": "desk", "to": to, "from": CALLER, "variables": {"name": f"{SECRET} {at}"}, "user_data": f"{SECRET}-{at}"}
            if to == OTHER:
                del body["variables"], body["user_data"]
            status, answer = server.api("POST", "/v1/calls", body, timeout=60)
            assert status == 202, answer
            if to == CALLEE:
                with lock:
                    made.append(answer["id"])

    harness.in_parallel([work] * CLIENTS)
    return made


def found(folder, words):
    """How often each word stands in the files of a directory."""
    times = collections.Counter()
    for file in filter(pathlib.Path.is_file, folder.rglob("*")):
        content = file.read_bytes()
        times.update({(word, file.name): content.count(word.encode()) for word in words if word.encode() in content})
    return dict(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    chosen = parser.parse_args()
    telephones, words = callees.Callees(), (CALLEE.lstrip("+"), SECRET)
    with harness.server(UNLIMITED) as server:
        server.agent(opening={"greeting": "none"}, limits={"max_duration_s": 10, "ring_timeout_s": 10})
        server.trunk("t1", telephones.port)
        server.number(CALLER, "t1", 10_000)
        calls = place(server, chosen.calls)
        for call in calls:
            server.ended(call, 600)
        before, began = found(server.folder / "data", words), time.monotonic()
        proof = server.must("POST", "/v1/erasures", {"number": CALLEE})
        while proof["status"] != "finished" and time.monotonic() - began < 10 * BOUND_S:
            time.sleep(0.2)
            proof = server.must("GET", f"/v1/erasures/{proof['id']}")
        took = time.monotonic() - began
        server.process.terminate()
        server.process.wait(60)
        after = found(server.folder / "data", words)
        server.start()
        others = server.must("GET", f"/v1/calls?to={OTHER.replace('+', '%2B')}&limit=1")["calls"]
    telephones.close()
    good = took <= BOUND_S and proof["erased"]["calls"] == len(calls) and before and not after and others
    return told(bool(good), f"{len(calls)} calls of a number forgotten in {took:.1f} s ({proof['erased']}); found in the data directory before: "
                            f"{before}, after: {after or 'nothing'}; another's calls are {'there' if others else 'gone'}")


if __name__ == "__main__":
    sys.exit(main())
