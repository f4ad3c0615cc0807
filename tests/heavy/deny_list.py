"""How long a deny list of ten million numbers takes to come in, and what asking it costs then (BARS C3), on SQLite or
PostgreSQL. The numbers come in no order, in files of two million lines.

    python3 tests/heavy/deny_list.py [--numbers 10000000] [--postgres] [--lookups 2000]
"""

import argparse
import contextlib
import http.client
import pathlib
import random
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402

FILE = 2_000_000
IMPORT_S, LOOKUP_MS = 60, 1.0
# Spreads the numbers over the whole range without a repeat: odd, and prime to the range.
STEP, RANGE = 618_033_989, 1_000_000_000


def number(place):
    return f"+1{2_000_000_000 + place * STEP % RANGE}"


class Client:
    """One connection, so that what is timed is the server."""

    def __init__(self, server):
        host, port = server.addresses["http"].rsplit(":", 1)
        self.connection = http.client.HTTPConnection(host, int(port), timeout=300)
        self.headers = {"Authorization": f"Bearer {harness.KEY_ID}.{harness.KEY_SECRET}"}

    def ask(self, method, path, body=None, kind="application/json"):
        began = time.perf_counter()
        self.connection.request(method, path, body, {**self.headers, "Content-Type": kind})
        answer = self.connection.getresponse()
        text = answer.read().decode()
        return answer.status, text, time.perf_counter() - began


def quantiles(times):
    cuts = statistics.quantiles([1000 * one for one in times], n=100)
    return f"p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms", cuts[49]


def bring(client, total):
    """Seconds that the server took; making the files is not counted."""
    seconds = 0
    for begin in range(0, total, FILE):
        body = "number\n" + "\n".join(number(place) for place in range(begin, min(total, begin + FILE)))
        status, text, took = client.ask("POST", "/v1/denied", body.encode(), "text/csv")
        assert status == 200, (status, text)
        seconds += took
        print(f"  {min(total, begin + FILE)} numbers, {seconds:.1f} s: {text}", flush=True)
    return seconds


def look_up(client, total, count):
    chance = random.Random(7)
    there, not_there, refused = [], [], []
    for _ in range(count):
        status, _, took = client.ask("GET", "/v1/denied/" + number(chance.randrange(total)).replace("+", "%2B"))
        assert status == 200, status
        there.append(took)
        status, _, took = client.ask("GET", f"/v1/denied/%2B1{3_100_000_000 + chance.randrange(10**8)}")
        assert status == 404, status
        not_there.append(took)
    nobody = []
    for _ in range(count):
        status, _, took = client.ask("GET", "/readyz")
        nobody.append(took)
        status, text, took = client.ask("POST", "/v1/calls", f'{{"agent": "desk", "to": "{number(chance.randrange(total))}"}}')
        assert status == 403, (status, text)
        # Some of them are numbers that are never called, list or no list.
        if "callee_blocked" in text:
            refused.append(took)
    assert len(refused) > count / 2, len(refused)
    print(f"  an answer without a look: {quantiles(nobody)[0]}; a call that is refused: {quantiles(refused)[0]}")
    for name, times in (("on the list", there), ("not on it", not_there)):
        print(f"  asked over HTTP for a number {name}: {quantiles(times)[0]}")
    return quantiles(there)[1] - quantiles(nobody)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=10_000_000)
    parser.add_argument("--lookups", type=int, default=2000)
    parser.add_argument("--postgres", action="store_true")
    chosen = parser.parse_args()
    with contextlib.ExitStack() as stack:
        extra = "[http.rates]\nper_source = 0\nper_key = 0\n"
        if chosen.postgres:
            database = stack.enter_context(harness.Postgres(durable=True))
            server = stack.enter_context(harness.nodes(database, ["a"], extra))[0].start()
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="callwright-deny-"))
            server = harness.Server(folder, extra).start()
            stack.callback(server.stop)
        server.agent()
        server.trunk("t", 9)
        server.number("+15560100", "t", 15)
        # The list alone is to refuse them, wherever in North America they are.
        server.must("PUT", "/v1/rules", {"home": "US", "destinations": {"prefixes": ["+1"]}})
        client = Client(server)
        seconds = bring(client, chosen.numbers)
        look = look_up(client, chosen.numbers, chosen.lookups)
    good = seconds <= IMPORT_S * max(1.0, chosen.numbers / 10_000_000) and look <= LOOKUP_MS
    print(f"{'holds' if good else 'BROKEN'}: {chosen.numbers} numbers in {seconds:.1f} s "
          f"({chosen.numbers / seconds:,.0f} a second), a look {look:.2f} ms beside an answer without one")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
