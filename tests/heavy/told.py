"""How long after an event a receiver hears of it (BARS R24): calls that are busy, so many a second that their events come at
the wanted rate, told to one receiver that answers at once. Timed from the event's own moment to the request's arrival.
And what a bad receiver costs the others (R23): the same in turns, with and without one that takes each message and answers
none.

    python3 tests/heavy/told.py [--events 500] [--seconds 10] [--limit-ms 500]
    python3 tests/heavy/told.py --beside-bad [--events 100] [--seconds 10] [--rounds 5]
"""

import argparse
import asyncio
import datetime
import json
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import accept  # noqa: E402
import callees  # noqa: E402
import harness  # noqa: E402

# What a busy call tells: created, dialing, ended.
EVENTS_A_CALL = 3
LOOSE = '[webhooks]\nplain_http = "on"\nallow_private = "on"\n[http.rates]\nper_source = 0\nper_key = 0\n'


class Receiver(threading.Thread):
    def __init__(self, silent=False):
        super().__init__(daemon=True)
        self.took, self.listening, self.port, self.silent = [], threading.Event(), 0, silent
        self.start()
        self.listening.wait()

    def run(self):
        asyncio.run(self.serve())

    async def serve(self):
        server = await asyncio.start_server(self.connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.listening.set()
        await server.serve_forever()

    async def connection(self, reader, writer):
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            arrived = time.time()
            lines = head.decode().lower().split("\r\n")
            body = await reader.readexactly(next(int(line[15:]) for line in lines if line.startswith("content-length:")))
            if not self.silent:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            at = datetime.datetime.fromisoformat(json.loads(body)["timestamp"].replace("Z", "+00:00"))
            self.took.append(arrived - at.timestamp())


class Busy(accept.Load):
    """Calls that are placed now, to telephones that are busy."""

    def request(self):
        self.number += 1
        body = json.dumps({"agent": "desk", "to": f"+1555{self.number * 100:07}", "from": accept.CALLER.format(0)})
        return (f"POST /v1/calls HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {harness.KEY_ID}.{harness.KEY_SECRET}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


def round_of(load, receiver, chosen):
    """How long each event of one round took until it was told."""
    before = len(receiver.took)
    asyncio.run(load.run(chosen.events / EVENTS_A_CALL, chosen.seconds))
    harness.wait_for("everything told", lambda: len(receiver.took) >= EVENTS_A_CALL * len(load.took), 60)
    return receiver.took[before:]


def beside_bad(chosen):
    """The same load in turns, without and with a receiver that keeps each message until it is given up."""
    receiver, bad, telephones = Receiver(), Receiver(silent=True), callees.Callees()
    took = {"alone": [], "beside": []}
    with harness.server(LOOSE) as server:
        server.agent()
        server.trunk("phones", telephones.port)
        server.number(accept.CALLER.format(0), "phones", 10_000)
        server.must("POST", "/v1/webhooks", {"url": f"http://127.0.0.1:{receiver.port}/", "events": ["*"]})
        load = Busy(server, 1)
        for _ in range(chosen.rounds):
            for kind in took:
                if kind == "beside":
                    made = server.must("POST", "/v1/webhooks", {"url": f"http://127.0.0.1:{bad.port}/", "events": ["*"]})
                took[kind] += round_of(load, receiver, chosen)
            server.must("DELETE", f"/v1/webhooks/{made['id']}")
    telephones.close()
    alone, beside = (accept.percentile(took[kind], 0.99) for kind in ("alone", "beside"))
    print(f"{len(took['alone'])} and {len(took['beside'])} events at {chosen.events} a second, {len(load.failures)} calls refused; "
          f"the bad one took {len(bad.took)} and answered none: told after p99 {alone:.0f} ms without it, {beside:.0f} ms with it, "
          f"ratio {beside / alone:.2f}")
    return 0 if not load.failures and bad.took and beside <= 1.1 * alone else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500, help="events a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--limit-ms", type=float, default=500, help="of the 99th percentile")
    parser.add_argument("--beside-bad", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.beside_bad:
        return beside_bad(chosen)
    receiver, telephones = Receiver(), callees.Callees()
    with harness.server(LOOSE) as server:
        server.agent()
        server.trunk("phones", telephones.port)
        server.number(accept.CALLER.format(0), "phones", 10_000)
        server.must("POST", "/v1/webhooks", {"url": f"http://127.0.0.1:{receiver.port}/", "events": ["*"]})
        load, calls = Busy(server, 1), chosen.events / EVENTS_A_CALL
        elapsed = asyncio.run(load.run(calls, chosen.seconds))
        owed = EVENTS_A_CALL * len(load.took)
        harness.wait_for("everything told", lambda: len(receiver.took) >= owed, 60)
    telephones.close()
    p50, p99 = accept.percentile(receiver.took, 0.5), accept.percentile(receiver.took, 0.99)
    print(f"{len(load.took)} calls in {elapsed:.1f} s, {len(load.failures)} refused; {len(receiver.took)} events "
          f"({len(receiver.took) / elapsed:.0f} a second): told after p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    for status, body in load.failures[: accept.SHOWN]:
        print(" ", status, body.decode(errors="replace")[:200])
    return 0 if not load.failures and p99 <= chosen.limit_ms else 1


if __name__ == "__main__":
    sys.exit(main())
