"""How long the server takes to accept a call, at rising rates (BARS R4). Requests leave at their own times whether or not
earlier ones are answered, and each is timed from the moment it was to leave. Accepted means committed: the calls are
for tomorrow, so that accepting is all that is measured.

    python3 tests/heavy/accept.py [--rates 200,400,800] [--seconds 10] [--limit-ms 25] [--postgres] [--spread 1]
        [--processes 2] [--statements]

Beside the times it tells how much of a processor each call cost the server and the database, which other programs on the
machine disturb far less, and with `--statements` what the database was asked for each call (BARS X7).
"""

import argparse
import asyncio
import contextlib
import datetime
import json
import os
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


# What PostgreSQL says of a transaction as a whole is no question.
BRACKETS = "BEGIN", "COMMIT"
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


class Load:
    def __init__(self, servers, spread):
        servers = servers if isinstance(servers, list) else [servers]
        self.hosts, self.spread = [server.addresses["http"].rsplit(":", 1) for server in servers], spread
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

    async def connect(self):
        for place in range(CONNECTIONS):
            host, port = self.hosts[place % len(self.hosts)]
            self.free.put_nowait(await asyncio.open_connection(host, int(port)))

    async def run(self, rate, seconds):
        await self.connect()
        began, asked = time.monotonic(), []
        for place in range(int(rate * seconds)):
            due = began + place / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            asked.append(asyncio.ensure_future(self.one(due)))
        await asyncio.gather(*asked)
        elapsed = time.monotonic() - began
        self.disconnect()
        return elapsed

    def disconnect(self):
        while not self.free.empty():
            self.free.get_nowait()[1].close()


def percentile(values, share):
    values = sorted(values)
    return 1000 * values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def processor_ms(pids):
    """Time of a processor that these processes have taken so far."""
    ticks = 0
    for pid in pids:
        # One of the database's workers may have gone since they were listed.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks * TICK_MS


class Spent:
    """What the processors do between two looks, for each call."""

    def __init__(self, servers, database):
        self.servers, self.database = [server.process.pid for server in servers], database
        self.before = self.look()

    def look(self):
        database = processor_ms(self.database.all_processes()) if self.database else 0.0
        return processor_ms(self.servers), database, 1000 * time.process_time()

    def told(self, calls):
        server, database, client = ((after - before) / max(1, calls) for before, after in zip(self.before, self.look()))
        return f"processor ms a call: server {server:.2f}, database {database:.2f}, this client {client:.2f}"


def measure(servers, database, rate, chosen):
    load, spent = Load(servers, chosen.spread), Spent(servers, database)
    elapsed = asyncio.run(load.run(rate, chosen.seconds))
    p50, p99 = percentile(load.took, 0.5), percentile(load.took, 0.99)
    print(f"{rate:6} a second: {len(load.took)} accepted in {elapsed:.1f} s ({len(load.took) / elapsed:.0f} a second), "
          f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {len(load.failures)} refused; {spent.told(len(load.took))}", flush=True)
    for status, body in load.failures[:SHOWN]:
        print(" ", status, body.decode(errors="replace")[:200])
    return not load.failures and p99 <= chosen.limit_ms, len(load.took)


def asked(database, calls):
    """What the database was asked since the last look, for each call; what a node asks by its own clock is left out."""
    rows = database.query("SELECT calls, total_exec_time + total_plan_time, regexp_replace(query, '\\s+', ' ', 'g') "
                          "FROM pg_stat_statements ORDER BY calls DESC")
    rows = [(int(times) / calls, float(took) / calls, text) for times, took, *words in rows for text in ["|".join(words)]]
    rows = [row for row in rows if row[0] >= 0.01 and "pg_stat_statements" not in row[2]]
    for times, took, text in rows:
        print(f"  {times:6.2f} a call, {took:.3f} ms a call: {text[:110]}")
    questions = sum(times for times, _, text in rows if not text.startswith(BRACKETS))
    brackets = sum(times for times, _, text in rows if text.startswith(BRACKETS))
    print(f"  {questions:.1f} statements and {brackets:.1f} BEGIN or COMMIT a call, "
          f"{sum(took for _, took, _ in rows):.2f} ms of the database's time")


@contextlib.contextmanager
def running(chosen):
    unlimited = "[http.rates]\nper_source = 0\nper_key = 0\n"
    if not chosen.postgres:
        with harness.server(unlimited) as server:
            yield [server], None
        return
    with harness.Postgres(durable=True, counting=chosen.statements) as database:
        with harness.nodes(database, [f"node{place}" for place in range(chosen.processes)], unlimited) as nodes:
            yield [node.start() for node in nodes], database


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="200,400,800,1200,1600,2400", help="requests a second, one step each")
    parser.add_argument("--seconds", type=float, default=10, help="how long each step lasts")
    parser.add_argument("--limit-ms", type=float, default=25, help="stop after the first step whose p99 is above it")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL that flushes, not on SQLite")
    parser.add_argument("--spread", type=int, default=1, help="over how many caller numbers the calls go")
    parser.add_argument("--processes", type=int, default=1, help="servers on one PostgreSQL")
    parser.add_argument("--statements", action="store_true", help="count what PostgreSQL is asked, and how long it takes")
    chosen = parser.parse_args()
    passed = 0
    with running(chosen) as (servers, database):
        server = servers[0]
        server.agent()
        server.trunk("nowhere", harness.free_udp_port())
        for place in range(chosen.spread):
            server.number(CALLER.format(place), "nowhere")
        # Connections, caches and statements that are made once.
        measure(servers, database, 50, argparse.Namespace(**{**vars(chosen), "seconds": 2}))
        for rate in map(int, chosen.rates.split(",")):
            if chosen.statements and database:
                database.query("SELECT pg_stat_statements_reset()")
            within, calls = measure(servers, database, rate, chosen)
            if chosen.statements and database:
                asked(database, calls)
            if not within:
                break
            passed = rate
    print(f"largest rate with p99 within {chosen.limit_ms:.0f} ms: {passed} a second")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
