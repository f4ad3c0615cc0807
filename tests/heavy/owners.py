"""Whose call it is, over three servers on one PostgreSQL: orders to a call that another of them runs, and the calls of one
that dies or sleeps.

    python3 tests/heavy/owners.py orders [--calls 200]                X2: a hang-up through another server, and when its owner is dead
    python3 tests/heavy/owners.py deaths [--calls 100] [--rounds 3]   R5, X3: the calls of a killed server are ended, others are not
    python3 tests/heavy/owners.py sleep  [--rounds 50] [--seconds 30] X4: a server that was stopped harms nothing when it goes on
"""

import argparse
import collections
import datetime
import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402
from nodes import CALLER, UNLIMITED, Talkers, equip, told  # noqa: E402

# Slots of dead servers come back, and their calls are ended, within so many seconds.
BOUND = 15
WARM_S = 5


class Patient(Talkers):
    """Telephones that talk for a long time, or a short one: by the third-last digits of their number, in tens of seconds."""

    unit = 0.1

    def left(self, number):
        """When the call to this number was over; none: it is not."""
        with self.lock:
            return next((end for other, _, end in self.talked.values() if other.lstrip("+") == number.lstrip("+")), None)

    def dialogs_of(self, number):
        with self.lock:
            return sum(dialog.number.lstrip("+") == number.lstrip("+") for dialog in self.dialogs.values())


class Numbers:
    """Callees who have not been called before."""

    def __init__(self):
        self.next = 0

    def one(self, tens="99"):
        self.next += 1
        return f"+1555{self.next:05}{tens}50"


def place(server, numbers, count):
    ids = {}
    for _ in range(count):
        number = numbers.one()
        ids[server.call(to=number, **{"from": CALLER})] = number
    for call in ids:
        harness.wait_for("answer", lambda: server.must("GET", f"/v1/calls/{call}")["status"] == "talking", 60)
    return ids


def owners(database):
    """Calls that are not over, by who runs them."""
    rows, of = database.query("SELECT id, owner FROM calls WHERE ended IS NULL"), collections.defaultdict(set)
    for call, owner in rows:
        of[owner].add(call)
    return of


def hang_up(server, call):
    began = time.monotonic()
    server.must("POST", f"/v1/calls/{call}/hangup")
    return time.monotonic() - began


def orders(chosen):
    telephones, numbers, spare = Patient(), Numbers(), 20
    with harness.Postgres(durable=True) as database, harness.nodes(database, ["a", "b", "c"], UNLIMITED) as (a, b, c):
        a.start()
        equip(a, telephones.port, max_calls=10_000)
        ids = list(place(a, numbers, chosen.calls + spare))
        b.start()
        c.start()
        # A server that has just started loads its voice, which takes a core for a while.
        time.sleep(WARM_S)
        took = sorted(hang_up((b, c)[at % 2], call) for at, call in enumerate(ids[spare:]))
        causes = collections.Counter(b.ended(call, 30)["cause"] for call in ids[spare:])
        a.kill()
        late = sorted(hang_up((b, c)[at % 2], call) for at, call in enumerate(ids[:spare]))
        ghosts = collections.Counter(b.ended(call, 30)["cause"] for call in ids[:spare])
    telephones.close()
    p99 = took[min(len(took) - 1, int(len(took) * 0.99))]
    good = p99 <= 0.05 and late[-1] <= 2 and set(causes) == {"api_hung_up"} and set(ghosts) == {"server_restarted"}
    return told(good, f"{len(took)} hang-ups through another server: p50 {1e3 * took[len(took) // 2]:.1f} ms, p99 {1e3 * p99:.1f} ms, "
                      f"{dict(causes)}; {spare} with a dead owner: answered in at most {late[-1]:.2f} s, {dict(ghosts)}")


def deaths(chosen):
    telephones, numbers, dice = Patient(), Numbers(), random.Random(chosen.seed)
    ghosts, worst, problems, cap = 0, 0.0, [], 3 * chosen.calls
    with harness.Postgres(durable=True) as database, harness.nodes(database, ["a", "b", "c"], UNLIMITED) as nodes:
        for node in nodes:
            node.start()
        equip(nodes[0], telephones.port, max_calls=cap)
        ids = {}
        for _ in range(chosen.rounds):
            # Whoever accepts a call need not be who runs it.
            for at in range(cap - sum(map(len, owners(database).values()))):
                ids.update(place(nodes[at % 3], numbers, 1))
            of = owners(database)
            victim = dice.choice(nodes)
            other = next(node for node in nodes if node is not victim)
            victim.kill()
            died = time.time()
            dead, alive = of[victim.name], set().union(*of.values()) - of[victim.name]
            for call in dead:
                cause = other.ended(call, 60)["cause"]
                problems += [f"{call} ended as {cause}"] if cause != "server_restarted" else []
            harness.wait_for("the goodbyes", lambda: all(telephones.left(ids[call]) for call in dead), 60)
            took = max(telephones.left(ids[call]) for call in dead) - died
            ghosts, worst = ghosts + len(dead), max(worst, took)
            for call in alive:
                view = other.must("GET", f"/v1/calls/{call}")
                problems += [f"{call} of another server: {view['status']}, {view.get('cause')}"] if view["status"] != "talking" else []
            # Every place of the dead is free again, and no more.
            again = place(other, numbers, len(dead))
            status, _ = other.api("POST", "/v1/calls", {"agent": "desk", "to": numbers.one(), "from": CALLER})
            problems += [f"one call more was answered {status}"] if status != 429 else []
            for call in again:
                hang_up(other, call)
                other.ended(call, 30)
            victim.start()
        rows = database.query("SELECT call, attempt FROM records")
    telephones.close()
    twice = [key for key, times in collections.Counter(map(tuple, rows)).items() if times > 1]
    problems += [f"recorded twice: {twice}"] if twice else []
    for problem in problems[:10]:
        print(f"  {problem}")
    return told(not problems and worst <= BOUND and ghosts >= chosen.calls,
                f"{chosen.rounds} of 3 servers killed with {ghosts} calls up: the last callee was let go {worst:.1f} s after, "
                f"{len(problems)} wrong")


def asleep(chosen):
    telephones, numbers, problems, handed = Patient(), Numbers(), [], 0
    with harness.Postgres(durable=True) as database, harness.nodes(database, ["a", "b"], UNLIMITED) as (a, b):
        a.start()
        b.start()
        equip(a, telephones.port, max_calls=10_000)
        for _ in range(chosen.rounds):
            ids = place(a, numbers, 5)
            due = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=chosen.seconds / 2)
            # Some are due while it sleeps, and answered and over soon.
            for _ in range(10):
                number = numbers.one("00")
                ids[a.call(to=number, scheduled_for=due.isoformat(), **{"from": CALLER})] = number
            sleeping = owners(database)["a"]
            a.process.send_signal(signal.SIGSTOP)
            time.sleep(chosen.seconds)
            a.process.send_signal(signal.SIGCONT)
            for call in ids:
                if call not in sleeping and b.must("GET", f"/v1/calls/{call}")["status"] == "talking":
                    hang_up(b, call)
                cause = b.ended(call, 60)["cause"]
                handed += call in sleeping
                problems += [f"{call} ended as {cause}"] if call in sleeping and cause != "server_restarted" else []
            for call, number in ids.items():
                rung = telephones.dialogs_of(number)
                problems += [f"{call} was dialled {rung} times"] if rung != 1 else []
        rows = database.query("SELECT call FROM records")
    telephones.close()
    twice = [call for call, times in collections.Counter(row[0] for row in rows).items() if times > 1]
    problems += [f"recorded twice: {twice}"] if twice else []
    for problem in problems[:10]:
        print(f"  {problem}")
    return told(not problems and handed > 0,
                f"{chosen.rounds} times asleep for {chosen.seconds} s with calls up ({handed} in all) and others due: {len(problems)} wrong")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["orders", "deaths", "sleep"])
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    chosen.rounds = chosen.rounds or {"orders": 1, "deaths": 3, "sleep": 50}[chosen.what]
    print(f"seed {chosen.seed}", flush=True)
    # These telephones are silent, which would end their calls half a minute after the answer.
    os.environ["CALLWRIGHT__MEDIA__TIMEOUT_S"] = "600"
    return {"orders": orders, "deaths": deaths, "sleep": asleep}[chosen.what](chosen)


if __name__ == "__main__":
    sys.exit(main())
