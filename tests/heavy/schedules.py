"""Scheduled calls among many that are pending (BARS R6, R68): each rings within a second after its time, before and after a
kill; what fell due meanwhile rings inside its deadline only; and the server is ready again within a second.

    python3 tests/heavy/schedules.py [--pending 100000] [--due 60] [--postgres]
"""

import argparse
import asyncio
import collections
import datetime
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import accept  # noqa: E402
import callees  # noqa: E402
import harness  # noqa: E402

CALLER = accept.CALLER
CALLERS = 10
# Due calls are spread over this many seconds.
SPAN = 20.0
# From now to the first of them: they must all be accepted by then.
AHEAD = 5.0
# How long the server is down. Calls that fall due meanwhile have deadlines before and after its return.
DOWN = 4.0


def stamp(moment):
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).isoformat()


class Pending(accept.Load):
    """Calls for tomorrow, as fast as they are taken."""

    async def fill(self, count):
        await self.connect()
        for start in range(0, count, 1000):
            await asyncio.gather(*(self.one(time.monotonic()) for _ in range(min(1000, count - start))))
        self.disconnect()


def schedule(server, number, at, **more):
    caller = CALLER.format(number % CALLERS)
    return server.call(to=f"+1555{number:07}", scheduled_for=stamp(at), **{"from": caller}, **more)


def lateness(telephones, wanted):
    """Seconds from each call's time to its INVITE; negative is too early."""
    with telephones.lock:
        rung = {dialog.number: dialog.at for dialog in telephones.dialogs.values()}
    return [rung[number] - at for number, at in wanted.items() if number in rung]


def ring_in_time(server, telephones, first, count, problems):
    begins = time.time() + AHEAD
    wanted = {}
    for place in range(count):
        number, at = first + place, begins + SPAN * place / count
        schedule(server, number, at)
        wanted[f"+1555{number:07}"] = at
    if time.time() > begins:
        problems.append("the calls were not accepted before the first was due: the machine is too slow to measure")
    time.sleep(max(0.0, begins + SPAN + 2 - time.time()))
    late = lateness(telephones, wanted)
    if len(late) != count:
        problems.append(f"{len(late)} of {count} due calls rang")
    if late:
        print(f"{len(late)} due calls rang {min(late):.3f} to {max(late):.3f} s after their time")
        if min(late) < 0 or max(late) > 1:
            problems.append(f"not within [0, 1] s: {min(late):.3f} to {max(late):.3f}")


def through_a_kill(server, telephones, first, problems):
    now = time.time()
    # Down from now+2 to now+2+DOWN and a little: the first two fall due meanwhile.
    schedule(server, first, now + 3, deadline=stamp(now + 60))
    outside = schedule(server, first + 1, now + 3, deadline=stamp(now + 4))
    time.sleep(max(0.0, now + 2 - time.time()))
    server.kill()
    time.sleep(DOWN)
    began = time.monotonic()
    server.start()
    ready = time.monotonic() - began
    print(f"ready {ready:.2f} s after the start")
    if ready > 1:
        problems.append(f"ready after {ready:.2f} s")
    harness.wait_for("the call that is due", lambda: telephones.rung[f"+1555{first:07}"] == 1, 10)
    view = server.ended(outside)
    if view["cause"] != "expired" or telephones.rung[f"+1555{first + 1:07}"]:
        problems.append(f"a call past its deadline: {view['cause']}, rang {telephones.rung[f'+1555{first + 1:07}']} times")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pending", type=int, default=100_000, help="calls for tomorrow")
    parser.add_argument("--due", type=int, default=60, help="calls that fall due, before and again after the kill")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL that flushes, not on SQLite")
    parser.set_defaults(processes=1, statements=False)
    chosen = parser.parse_args()
    telephones, problems = callees.Callees(), []
    with accept.running(chosen) as ([server], _):
        server.agent()
        server.trunk("phones", telephones.port)
        for place in range(CALLERS):
            server.number(CALLER.format(place), "phones")
        load = Pending(server, CALLERS)
        began = time.monotonic()
        asyncio.run(load.fill(chosen.pending))
        took = time.monotonic() - began
        print(f"{len(load.took)} pending after {took:.0f} s ({len(load.took) / took:.0f} a second)", flush=True)
        if load.failures:
            problems.append(f"{len(load.failures)} were not taken, such as {json.dumps(str(load.failures[0]))}")
        ring_in_time(server, telephones, 100_000, chosen.due, problems)
        through_a_kill(server, telephones, 200_000, problems)
        ring_in_time(server, telephones, 300_000, chosen.due, problems)
        twice = [number for number, times in collections.Counter(telephones.rung).items() if times > 1]
        if twice:
            problems.append(f"rung twice: {twice}")
    telephones.close()
    print("\n".join(["FAIL:", *problems]) if problems else "all in time")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
