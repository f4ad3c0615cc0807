"""What several servers on one PostgreSQL must hold, each as long and as hard as BARS says.

    python3 tests/heavy/cluster.py race     [--rounds 1000] [--clients 64]   R8: never 16 calls of one number
    python3 tests/heavy/cluster.py rates    [--seconds 60]                   R12: 20 requests a second of one key
    python3 tests/heavy/cluster.py pace     [--seconds 60]                   X6: 10 calls a second on one trunk, a server killed
    python3 tests/heavy/cluster.py records  [--calls 300]                    R10: records against the telephones' own clocks
    python3 tests/heavy/cluster.py failover                                  X5: the database's primary dies, its standby takes over
    python3 tests/heavy/cluster.py away     [--seconds 60]                   R61: the database answers nobody for a minute
"""

import argparse
import collections
import contextlib
import datetime
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import callees  # noqa: E402
import harness  # noqa: E402
from nodes import CALLER, CAP, UNLIMITED, Talkers, equip, told  # noqa: E402


class Workers:
    """Threads that do the same again and again until they are stopped."""

    def __init__(self, count, work):
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(work, place), daemon=True) for place in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, work, place):
        while not self.stop.is_set():
            work(place)

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def race(chosen):
    """All clients ask at once for a number of 15; every round must give 15, and every place must come back."""
    telephones, wrong, refused = callees.Callees(), collections.Counter(), collections.Counter()
    began, early = time.monotonic(), 0
    with harness.Postgres(durable=True) as database, harness.nodes(database, ["a", "b"], UNLIMITED) as nodes:
        for node in nodes:
            node.start()
        # One of them rings; the others stand in line for the trunk, and are ended there.
        equip(nodes[0], telephones.port, max_calls=CAP)
        nodes[0].trunk("t1", telephones.port, max_calls=1)
        request = {"agent": "desk", "to": "+15550229", "from": CALLER}
        for place in range(chosen.rounds):
            ask = [lambda node=nodes[at % 2]: node.api("POST", "/v1/calls", request, timeout=60) for at in range(chosen.clients)]
            answers = harness.in_parallel(ask)
            accepted = [body["id"] for status, body in answers if status == 202]
            refused.update(body["error"]["code"] for status, body in answers if status != 202)
            wrong[len(accepted)] += 1
            ended = harness.in_parallel([lambda call=call, node=nodes[at % 2]: node.api("POST", f"/v1/calls/{call}/hangup", timeout=60)
                                         for at, call in enumerate(accepted)])
            # On a machine that stands still for long, a node may have lost its lease and the other ended its calls.
            early += sum(status == 409 for status, _ in ended)
            assert all(status < 300 or status == 409 for status, _ in ended), ended
            for call in accepted:
                nodes[0].ended(call, 60)
            if place % 50 == 49:
                print(f"  {place + 1} rounds in {time.monotonic() - began:.0f} s: accepted {dict(wrong)}", flush=True)
    telephones.close()
    return told(set(wrong) == {CAP} and set(refused) <= {"caller_busy"},
                f"{chosen.rounds} rounds of {chosen.clients} clients over 2 servers: accepted at once {dict(wrong)} (times), "
                f"refused {dict(refused)}; {early} calls had ended before they were hung up")


def rates(chosen):
    """Twice as many requests as a key may make, half of them to each server; counted by the second of the answer."""
    limit = 20
    allowed, asked = collections.Counter(), [0]
    with harness.Postgres(durable=True) as database:
        extra = f"[http.rates]\nper_source = 0\n[http.rates.keys]\n{harness.KEY_ID} = {limit}\n"
        with harness.nodes(database, ["a", "b"], extra) as nodes:
            for node in nodes:
                node.start()
            first, lock = time.time() + 1, threading.Lock()

            def ask(place):
                with lock:
                    turn = asked[0]
                    asked[0] += 1
                due = first + turn / (2 * limit)
                if turn >= chosen.seconds * 2 * limit:
                    return time.sleep(0.1)
                time.sleep(max(0.0, due - time.time()))
                status, _ = nodes[turn % 2].api("GET", "/v1/agents")
                if status < 300:
                    with lock:
                        allowed[int(time.time())] += 1

            workers = Workers(16, ask)
            time.sleep(chosen.seconds + 2)
            workers.finish()
    total, most, wanted = sum(allowed.values()), max(allowed.values()), limit * chosen.seconds
    return told(abs(total - wanted) <= 20 and most <= limit + 1,
                f"{total} of {2 * wanted} requests allowed in {chosen.seconds} s (wanted {wanted} +-20), at most {most} in one second")


def pace(chosen):
    """More calls than a trunk takes, on three servers, one of which is killed half-way."""
    cps = 10
    telephones = callees.Callees()
    with harness.Postgres(durable=True) as database, harness.nodes(database, ["a", "b", "c"], UNLIMITED) as nodes:
        for node in nodes:
            node.start()
        equip(nodes[0], telephones.port, max_calls=10_000, cps=cps)
        for at in range(cps * (chosen.seconds + 10)):
            nodes[at % 3].call(to=f"+1555{at:05}05", **{"from": CALLER})
        harness.wait_for("calls", lambda: telephones.calls() >= cps, 30)
        time.sleep(chosen.seconds / 2)
        nodes[2].kill()
        killed = time.time()
        time.sleep(chosen.seconds / 2)
    with telephones.lock:
        times = sorted(dialog.at for dialog in telephones.dialogs.values())
    telephones.close()
    before = [at for at in times if at < killed]
    average = (len(before) - 1) / (before[-1] - before[0])
    after = [at for at in times if killed <= at < killed + chosen.seconds / 2 - 1]
    later = len(after) / (chosen.seconds / 2 - 1)
    most = telephones.busiest_second()
    return told(most <= cps + 1 and average >= 0.95 * cps and later >= 0.95 * cps,
                f"{len(times)} calls of 3 servers on a trunk of {cps} a second: at most {most} in any second, {average:.2f} a second, "
                f"{later:.2f} after one was killed")


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def records(chosen):
    """What the records say people talked, and what the telephones say, while servers are killed and come back."""
    telephones = Talkers()
    with harness.Postgres(durable=True) as database, harness.nodes(database, ["a", "b"], UNLIMITED) as nodes:
        for node in nodes:
            node.start()
        equip(nodes[0], telephones.port, max_calls=10_000, cps=20)
        ids = {}
        for at in range(chosen.calls):
            # Two digits of tenths of a second, and two that mean "answers".
            number = f"+1555{at // 100:03}{at % 100:02}99"
            ids[nodes[at % 2].call(to=number, **{"from": CALLER})] = number
            if at % 100 == 50:
                victim = nodes[at // 100 % 2]
                victim.kill()
                victim.start()
        views = {call: nodes[0].ended(call, 120) for call in ids}
        time.sleep(1)
        rows = database.query("SELECT call, attempt, talked_ms FROM records")
    telephones.close()
    twice = [key for key, times in collections.Counter((row[0], row[1]) for row in rows).items() if times > 1]
    billed = collections.defaultdict(float)
    for call, _, talked in rows:
        billed[call] += int(talked) / 1000
    heard = collections.defaultdict(float)
    for number, begin, end in telephones.talked.values():
        heard[number.lstrip("+")] += (end or time.time()) - begin
    off = {call: (billed[call], heard[number.lstrip("+")]) for call, number in ids.items()
           if abs(billed[call] - heard[number.lstrip("+")]) > 1}
    unrecorded = [call for call in ids if call not in billed]
    causes = collections.Counter(view["cause"] for view in views.values())
    for call, pair in list(off.items())[:5]:
        print(f"  {call}: billed {pair[0]:.2f} s, talked {pair[1]:.2f} s, {views[call]['cause']}")
    return told(not twice and not off and not unrecorded,
                f"{len(ids)} calls ({dict(causes)}): {sum(billed.values()):.1f} s in the records, {sum(heard.values()):.1f} s at the "
                f"telephones, {len(off)} differ by more than a second, {len(twice)} recorded twice, {len(unrecorded)} not at all")


class Proxy:
    """What stands before a primary and its standby: leads to one socket, and to another when it is told."""

    def __init__(self, target):
        self.target, self.pairs = target, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self.target)
            except OSError:
                near.close()
                continue
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pairs.append((near, far))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=pair, daemon=True).start()

    @staticmethod
    def carry(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def switch(self, target):
        self.target = target
        for pair in self.pairs:
            for side in pair:
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
        self.pairs.clear()


def failover(_chosen):
    """Nothing that was acknowledged is lost with a primary whose standby confirms every commit."""
    acked, lock, back = {}, threading.Lock(), []
    telephones = Talkers()
    primary = harness.Postgres(durable=True)
    folder = tempfile.mkdtemp(prefix="callwright-standby-", dir="/tmp")
    standby = None
    try:
        if primary.user:
            shutil.chown(folder, "postgres", "postgres")
        primary.run("pg_basebackup", "-h", primary.folder, "-U", "callwright", "-D", f"{folder}/data", "-R", "-X", "stream")
        standby = harness.subprocess.Popen(
            [str(primary.bin / "postgres"), "-D", f"{folder}/data", "-k", folder, "-c", "listen_addresses=", "-c", "max_connections=200"],
            stdout=primary.log, stderr=primary.log, cwd="/tmp", **primary.user)
        for setting in ("synchronous_standby_names = '*'", "synchronous_commit = on"):
            primary.query(f"ALTER SYSTEM SET {setting}")
        primary.query("SELECT pg_reload_conf()")
        harness.wait_for("a synchronous standby", lambda: primary.query(
            "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')") == [["1"]], 30)
        proxy = Proxy(f"{primary.folder}/.s.PGSQL.5432")

        class Database:
            url = f"postgres://callwright@127.0.0.1:{proxy.port}/callwright?sslmode=disable"

        with harness.nodes(Database, ["a", "b"], UNLIMITED) as nodes:
            for node in nodes:
                node.start()
            equip(nodes[0], telephones.port, max_calls=10_000)
            live = [nodes[at % 2].call(to=f"+1555{at:03}9999", **{"from": CALLER}) for at in range(5)]
            tomorrow = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).isoformat()
            died = []

            def ask(place):
                try:
                    status, body = nodes[place % 2].api("POST", "/v1/calls", {
                        "agent": "desk", "to": "+15550299", "from": CALLER, "scheduled_for": tomorrow}, timeout=10)
                except OSError:
                    return
                if status == 202:
                    with lock:
                        acked[body["id"]] = time.monotonic()
                        if died and not back and time.monotonic() > died[0] + 0.2:
                            back.append(time.monotonic() - died[0])
                else:
                    time.sleep(0.05)

            for call in live:
                harness.wait_for("talk", lambda: nodes[0].must("GET", f"/v1/calls/{call}")["status"] == "talking", 30)
            workers = Workers(8, ask)
            time.sleep(3)
            died.append(time.monotonic())
            primary.signal(harness.signal.SIGKILL)
            primary.process.wait()
            primary.run("pg_ctl", "promote", "-D", f"{folder}/data", "-w")
            proxy.switch(f"{folder}/.s.PGSQL.5432")
            # Nobody confirms the new primary's commits until somebody makes it a standby of its own.
            primary.folder_before, primary.folder = primary.folder, folder
            primary.query("ALTER SYSTEM SET synchronous_standby_names = ''")
            primary.query("SELECT pg_reload_conf()")
            harness.wait_for("an accepted call", lambda: back, 60)
            time.sleep(2)
            workers.finish()
            there = {row[0] for row in primary.query("SELECT id FROM calls")}
            lost = [call for call in acked if call not in there]
            states = collections.Counter(nodes[0].must("GET", f"/v1/calls/{call}")["status"] for call in live)
            causes = collections.Counter(nodes[0].must("GET", f"/v1/calls/{call}").get("cause") for call in live)
            primary.folder = primary.folder_before
    finally:
        if standby:
            standby.send_signal(harness.signal.SIGQUIT)
            standby.wait()
        shutil.rmtree(folder, ignore_errors=True)
        primary.__exit__()
        telephones.close()
    hurt = [cause for cause in causes if cause not in (None, "callee_hung_up")]
    return told(not lost and back and back[0] <= 30 and not hurt,
                f"{len(acked)} calls acknowledged over a fail-over, {len(lost)} lost; accepted again after {back[0]:.1f} s; "
                f"live calls: {dict(states)}, ends {dict(causes)}")


def away(chosen):
    """The database is stopped and goes on: calls end when their people hang up, are written down once, and nobody is rung
    twice. One of the servers is killed while it keeps what it could not write."""
    telephones = Talkers()
    telephones.unit = 1
    # They say nothing for minutes.
    os.environ["CALLWRIGHT__MEDIA__TIMEOUT_S"] = "600"
    asked = []
    with harness.Postgres(durable=True) as database, harness.nodes(database, ["a", "b"], UNLIMITED) as nodes:
        for node in nodes:
            node.start()
        equip(nodes[0], telephones.port, max_calls=10_000, cps=20)
        lengths = [20 + at * (chosen.seconds + 25) // chosen.calls for at in range(chosen.calls)]
        ids = {nodes[at % 2].call(to=f"+1555{at:03}{length:02}99", **{"from": CALLER}): (at % 2, f"+1555{at:03}{length:02}99")
               for at, length in enumerate(lengths)}
        harness.wait_for("talk", lambda: len(telephones.talked) == len(ids), 60)
        owners = dict(database.query("SELECT id, owner FROM calls"))
        rung, database_away = telephones.calls(), time.time()
        database.pause()
        killed = None
        while time.time() < database_away + chosen.seconds:
            began = time.monotonic()
            with contextlib.suppress(OSError):
                status, body = nodes[0].api("POST", "/v1/calls", {"agent": "desk", "to": "+15550299", "from": CALLER}, timeout=30)
                asked.append((status, body.get("error", {}).get("code"), time.monotonic() - began))
            if not killed and time.time() > database_away + chosen.seconds * 3 / 4:
                killed = time.time()
                nodes[1].kill()
        database.resume()
        database_back = time.time()
        nodes[1].start()
        restarted = time.time()
        tomorrow = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).isoformat()
        later = {"agent": "desk", "to": "+15550299", "from": CALLER, "scheduled_for": tomorrow}
        harness.wait_for("an accepted call", lambda: nodes[0].api("POST", "/v1/calls", later)[0] == 202, 30)
        accepted = time.time()
        views = {call: nodes[0].ended(call, 120) for call in ids}
        time.sleep(1)
        rows = database.query("SELECT call, talked_ms, cause FROM records")
        ends = database.query("SELECT call, COUNT(*) FROM events WHERE event LIKE '%\"ended\"%' GROUP BY call HAVING COUNT(*) > 1")
        spools = [file for node in nodes for file in (node.folder / "data").glob("spool-*") if file.stat().st_size > 100]
    telephones.close()
    problems = []
    heard = {number.lstrip("+"): (begin, end) for number, begin, end in telephones.talked.values()}
    meanwhile = collections.Counter()
    for call, (_, number) in ids.items():
        begin, end = heard[number.lstrip("+")]
        billed = [int(talked) / 1000 for of, talked, _ in rows if of == call]
        node, cause = owners[call], views[call]["cause"]
        meanwhile[(node, cause, "meanwhile" if end and database_away < end < database_back else "before or after")] += 1
        hung_up_here = end and (node == "a" or end < killed - 0.5)
        if len(billed) != 1:
            problems.append(f"{call} has {len(billed)} records")
        elif hung_up_here and (cause != "callee_hung_up" or abs(billed[0] - (end - begin)) > 1):
            problems.append(f"{call} of {node}: {cause}, {billed[0]:.1f} s in the record, {end - begin:.1f} s at the telephone")
        elif not end:
            problems.append(f"{call} of {node} was left on the line")
    refusals = collections.Counter((status, code) for status, code, _ in asked)
    if set(refusals) != {(503, "storage")}:
        problems.append(f"answers {dict(refusals)}")
    if telephones.calls() != rung:
        problems.append(f"{telephones.calls() - rung} were rung after the database had gone")
    problems += [f"ended twice: {ends}"] if ends else []
    problems += [f"left in {file}" for file in spools]
    for problem in problems[:10]:
        print(f"  {problem}")
    for (node, cause, when), count in sorted(meanwhile.items()):
        print(f"  {count} calls of {node} ended {when}: {cause}")
    return told(not problems,
                f"{len(ids)} calls of 2 servers, the database away for {chosen.seconds} s: {len(problems)} wrong; {len(asked)} requests "
                f"meanwhile answered {dict(refusals)} in at most {max(one[2] for one in asked):.1f} s; accepted again "
                f"{accepted - database_back:.1f} s after it was back; the killed server was up {restarted - database_back:.1f} s after")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["race", "rates", "pace", "records", "failover", "away"])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--calls", type=int, default=300)
    chosen = parser.parse_args()
    return {"race": race, "rates": rates, "pace": pace, "records": records, "failover": failover,
            "away": away}[chosen.what](chosen)


if __name__ == "__main__":
    sys.exit(main())
