"""How long the server takes to accept a call, at rising rates (BARS R4). Requests leave at their own times whether or not
earlier ones are answered, and each is timed from the moment it was to leave. Accepted means committed: the calls are
for tomorrow, so that accepting is all that is measured.

    python3 tests/heavy/accept.py [--rates 200,400,800] [--seconds 10] [--limit-ms 25] [--postgres] [--spread 1]
"""

import argparse
import asyncio
import contextlib
import datetime
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402

CALLER = "+1556010{:04}"
# Connections that requests take turns on; one waits only if all are waiting for an answer.
CONNECTIONS = 64
# Failures beyond these are counted, not printed.
SHOWN = 3


class Load:
    def __init__(self, server, spread):
        self.host, port = server.addresses["http"].rsplit(":", 1)
        self.port, self.spread = int(port), spread
        self.free, self.took, self.failures, self.number = asyncio.Queue(), [], [], 0

    def request(self):
        self.number += 1
        tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
        body = json.dumps({"agent": "desk", "to": f"+1555{2_000_000 + self.number % 8_000_000}",
                           "from": CALLER.format(self.number % self.spread), "scheduled_for": tomorrow.isoformat()})
        return (f"POST /v1/calls HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {harness.KEY_ID}.{harness.KEY_SECRET}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()

    async def exchange(self, stream, request):
        reader, writer = stream
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("content-length:"))
        body = await reader.readexactly(length)
        return int(head.split(" ")[1]), body

    async def one(self, due):
        stream = await self.free.get()
        status, body = await self.exchange(stream, self.request())
        self.free.put_nowait(stream)
        if 200 <= status < 300:
            self.took.append(time.monotonic() - due)
        else:
            self.failures.append((status, body))

    async def run(self, rate, seconds):
        for _ in range(CONNECTIONS):
            self.free.put_nowait(await asyncio.open_connection(self.host, self.port))
        began, asked = time.monotonic(), []
        for place in range(int(rate * seconds)):
            due = began + place / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            asked.append(asyncio.ensure_future(self.one(due)))
        await asyncio.gather(*asked)
        elapsed = time.monotonic() - began
        while not self.free.empty():
            self.free.get_nowait()[1].close()
        return elapsed


def percentile(values, share):
    values = sorted(values)
    return 1000 * values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def measure(server, rate, chosen):
    load = Load(server, chosen.spread)
    elapsed = asyncio.run(load.run(rate, chosen.seconds))
    p50, p99 = percentile(load.took, 0.5), percentile(load.took, 0.99)
    print(f"{rate:6} a second: {len(load.took)} accepted in {elapsed:.1f} s ({len(load.took) / elapsed:.0f} a second), "
          f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {len(load.failures)} refused", flush=True)
    for status, body in load.failures[:SHOWN]:
        print(" ", status, body.decode(errors="replace")[:200])
    return not load.failures and p99 <= chosen.limit_ms


@contextlib.contextmanager
def servers(chosen):
    unlimited = "[http.rates]\nper_source = 0\nper_key = 0\n"
    if not chosen.postgres:
        with harness.server(unlimited) as server:
            yield server
        return
    with harness.Postgres(durable=True) as database:
        with harness.server(f'{unlimited}[store]\nurl = "{database.url}"\n') as server:
            yield server


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="200,400,800,1200,1600,2400", help="requests a second, one step each")
    parser.add_argument("--seconds", type=float, default=10, help="how long each step lasts")
    parser.add_argument("--limit-ms", type=float, default=25, help="stop after the first step whose p99 is above it")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL that flushes, not on SQLite")
    parser.add_argument("--spread", type=int, default=1, help="over how many caller numbers the calls go")
    chosen = parser.parse_args()
    passed = 0
    with servers(chosen) as server:
        server.agent()
        server.trunk("nowhere", harness.free_udp_port())
        for place in range(chosen.spread):
            server.number(CALLER.format(place), "nowhere")
        # Connections, caches and statements that are made once.
        measure(server, 50, argparse.Namespace(**{**vars(chosen), "seconds": 2}))
        for rate in map(int, chosen.rates.split(",")):
            if not measure(server, rate, chosen):
                break
            passed = rate
    print(f"largest rate with p99 within {chosen.limit_ms:.0f} ms: {passed} a second")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
