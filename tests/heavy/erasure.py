"""Ten thousand calls to one number, and the order to forget it (BARS C13): how long that takes, and whether the number, or a
word of what was asked for or said in its calls, is still found in any file of the data directory, or in any table of PostgreSQL.
Most of them are busy; some are answered, recorded and talk, some are to be tried again tomorrow, some wait for a day to come, some are
a campaign's, and an endpoint that nobody answers at is to be told of all of them.

    python3 tests/heavy/erasure.py [--calls 10000] [--postgres]
"""

import argparse
import collections
import contextlib
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import callees  # noqa: E402
import harness  # noqa: E402
from nodes import CALLER, UNLIMITED, told  # noqa: E402

# Another's calls must stay.
CALLEE, OTHER = "+15551234505", "+15551234606"
SECRET = "xylophonist"
BOUND_S = 60
CLIENTS = 16
# Of so many calls one is answered, to be tried again, for another day.
ANSWERED, TRIED, LATER = 100, 20, 10
ROWS = 5
TALK_S = 3
TO_HOOKS = "[webhooks]\nallow_private = \"on\"\nplain_http = \"on\"\n"


class Telephones(callees.Callees):
    """Busy but for every hundredth call, which is answered and goes on for a while."""

    def plan(self, dialog):
        return callees.BUSY if dialog.turn % ANSWERED else callees.ANSWER

    def handle(self, text, source, at):
        call_id = self.header(text.partition("\r\n\r\n")[0], "Call-ID", "i")
        dialog = self.dialogs.get(call_id)
        if not text.startswith("ACK ") or not dialog or dialog.outcome != "answered_unconfirmed":
            return super().handle(text, source, at)
        dialog.outcome = "answered"
        threading.Timer(TALK_S, lambda: self.send(self.bye(dialog, source), source)).start()


def request(at, to):
    if to == OTHER:
        return {"agent": "desk", "to": to, "from": CALLER, "variables": {"name": "somebody"}}
    more = {"variables": {"name": f"{SECRET} {at}"}, "user_data": f"{SECRET}-{at}", "thread": f"{SECRET}-{at % 100}"}
    if at % LATER == 3:
        more["scheduled_for"] = "2099-01-01T00:00:00Z"
    elif at % TRIED == 7:
        more["retry"] = {"on": ["busy"], "max_attempts": 2, "waits_s": [86400]}
    return {"agent": "desk", "to": to, "from": CALLER, **more}


def place(server, calls):
    """Calls to both numbers; how many to the one that is to be forgotten are dialled at once, and how many are not."""
    left, lock, made = iter(range(calls)), threading.Lock(), collections.Counter()

    def work():
        while True:
            with lock:
                at = next(left, None)
            if at is None:
                return
            body = request(at, OTHER if at % 100 == 0 else CALLEE)
            status, answer = server.api("POST", "/v1/calls", body, timeout=60)
            assert status == 202, answer
            with lock:
                made["later" if "scheduled_for" in body else "retried" if "retry" in body else "other" if body["to"] == OTHER else "once"] += 1

    harness.in_parallel([work] * CLIENTS)
    return made


def enlist(server):
    """Rows of a campaign that is not started."""
    path = f"/v1/campaigns/{server.must('POST', '/v1/campaigns', {'name': 'spring', 'agent': 'desk'})['id']}"
    rows = [{"to": CALLEE, "id": f"{SECRET}-{at}", "variables": {"name": SECRET}} for at in range(ROWS)]
    server.must("POST", f"{path}/callees", {"callees": rows, "duplicates": "call"})


def found(folder, words):
    """How often each word stands in the files of a directory."""
    times = collections.Counter()
    for file in filter(pathlib.Path.is_file, folder.rglob("*")):
        content = file.read_bytes()
        times.update({(word, file.name): content.count(word.encode()) for word in words if word.encode() in content})
    return dict(times)


def found_in(database, words):
    """How many rows of each table of PostgreSQL have each word in any column."""
    times = {}
    for [table] in database.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        for word in words:
            [[rows]] = database.query(f"SELECT COUNT(*) FROM \"{table}\" t WHERE CAST(t AS TEXT) LIKE '%{word}%'")
            times.update({(word, table): int(rows)} if rows != "0" else {})
    return times


def count(server, number):
    """How many calls to a number the account has."""
    cursor, calls = "", 0
    while cursor is not None:
        page = server.must("GET", f"/v1/calls?to={number.replace('+', '%2B')}&limit=200&cursor={cursor}".removesuffix("&cursor="))
        calls, cursor = calls + len(page["calls"]), page["next"]
    return calls


def rung(telephones):
    with telephones.lock:
        return telephones.rung[CALLEE]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--postgres", action="store_true")
    chosen = parser.parse_args()
    telephones, words = Telephones(), (CALLEE.lstrip("+"), SECRET)
    with contextlib.ExitStack() as stack:
        stack.callback(telephones.close)
        database = stack.enter_context(harness.Postgres()) if chosen.postgres else None
        if database:
            server = stack.enter_context(harness.nodes(database, ["a"], UNLIMITED + TO_HOOKS))[0].start()
        else:
            server = stack.enter_context(harness.server(UNLIMITED + TO_HOOKS))
        server.voiced()

        def held():
            return {**found(server.folder / "data", words), **(found_in(database, words) if database else {})}

        limits = {"max_duration_s": 10, "ring_timeout_s": 10}
        server.agent(opening={"greeting": {"text": "Hello {{ name }}."}}, limits=limits, recording="stereo")
        server.trunk("t1", telephones.port)
        server.number(CALLER, "t1", 10_000)
        server.must("PUT", "/v1/rules", {"callee": {"status": "on", "at_most": [{"calls": 1_000_000, "seconds": 60}]}})
        server.must("POST", "/v1/webhooks", {"url": "http://127.0.0.1:1025/", "events": ["*"]})
        enlist(server)
        made = place(server, chosen.calls)
        dialled = made["once"] + made["retried"]
        harness.wait_for("ringing", lambda: rung(telephones) == dialled, 600)
        # With the end of the last one every retry is made: nothing follows to a number that is being erased.
        for status in ("dialing", "ringing", "talking"):
            harness.wait_for("ends", lambda: not server.must("GET", f"/v1/calls?status={status}&limit=1")["calls"], 60)
        # With the next ones of those that are tried again; who answered is not.
        wanted, first = count(server, CALLEE), dialled + made["later"]
        assert first + 0.9 * made["retried"] < wanted <= first + made["retried"], (wanted, made)
        before, began = held(), time.monotonic()
        proof = server.must("POST", "/v1/erasures", {"number": CALLEE}, timeout=10 * BOUND_S)
        while proof["status"] != "finished" and time.monotonic() - began < 10 * BOUND_S:
            time.sleep(0.2)
            proof = server.must("GET", f"/v1/erasures/{proof['id']}")
        took = time.monotonic() - began
        server.process.terminate()
        server.process.wait(60)
        after = held()
        server.start()
        others = server.must("GET", f"/v1/calls?to={OTHER.replace('+', '%2B')}&limit=1")["calls"]
    erased = proof["erased"]
    whole = (erased["calls"], erased["campaign_rows"]) == (wanted, ROWS) and erased["recordings"] > 0 and rung(telephones) == dialled
    good = took <= BOUND_S and whole and before and not after and others
    return told(bool(good), f"{wanted} calls of a number forgotten in {took:.1f} s ({dict(made)}, erased {erased}); found before: "
                            f"{before}, after: {after or 'nothing'}; another's calls are {'there' if others else 'gone'}")


if __name__ == "__main__":
    sys.exit(main())
