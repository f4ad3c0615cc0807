#!/usr/bin/env python3
"""Kills the server at random instants while clients place calls; afterwards every accepted call must be there, ended,
and no callee may have been rung by two different dialogs. Prints its seed. With `--nodes 3` it is one of three servers on
one PostgreSQL, chosen by chance each time (BARS R1, R2, X1)."""

import argparse
import collections
import contextlib
import pathlib
import random
import re
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "e2e"))
import harness  # noqa: E402

CLIENTS = 6


class Clients:
    """Places calls with the servers in turn, as fast as they answer, through their deaths; remembers what was acknowledged."""

    def __init__(self, servers):
        self.servers, self.accepted, self.stop, self.count = servers, {}, threading.Event(), 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.stop.is_set():
            with self.lock:
                self.count += 1
                callee, server = f"+1666{self.count:07}", self.servers[self.count % len(self.servers)]
            try:
                status, body = server.api("POST", "/v1/calls", {"agent": "desk", "to": callee, "from": "+15550100"}, timeout=3)
            except OSError:
                time.sleep(0.01)
                continue
            if status == 202:
                with self.lock:
                    self.accepted[body["id"]] = callee
            else:
                time.sleep(0.02)

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def dialogs(messages):
    """For each dialled number the different Call-IDs of its INVITEs, as the trunk saw them."""
    rung = collections.defaultdict(set)
    for message in re.split(r"\n-{40,}", messages):
        line = re.search(r"^INVITE sip:([^@\s]+)@", message, re.M)
        call_id = re.search(r"^Call-ID:\s*(\S+)", message, re.M | re.I)
        if line and call_id and "message received" in message:
            rung[line.group(1)].add(call_id.group(1))
    return rung


@contextlib.contextmanager
def stopped(nodes):
    """Servers that are not started."""
    if nodes == 1:
        with tempfile.TemporaryDirectory(prefix="callwright-kill-") as folder:
            yield [harness.Server(folder)]
        return
    with harness.Postgres(durable=True) as database:
        with harness.nodes(database, [f"node{place}" for place in range(nodes)]) as servers:
            yield servers


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=50)
    arguments.add_argument("--accepted", type=int, default=1, help="go on killing until so many calls were acknowledged")
    arguments.add_argument("--nodes", type=int, default=1, help="servers; more than one share a PostgreSQL")
    arguments.add_argument("--limit", type=int, default=3600, help="seconds after which no more is killed")
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    chosen = arguments.parse_args()
    print(f"seed {chosen.seed}, {chosen.kills} kills of {chosen.nodes} servers, {chosen.accepted} calls", flush=True)
    dice, until = random.Random(chosen.seed), time.monotonic() + chosen.limit
    with stopped(chosen.nodes) as servers, harness.Sipp("answer-briefly.xml", calls=10_000_000) as trunk:
        for server in servers:
            server.start()
        servers[0].agent(limits={"max_duration_s": 1, "ring_timeout_s": 5})
        servers[0].trunk("t1", trunk.port)
        servers[0].number("+15550100", "t1", 200)
        clients, kills = Clients(servers), 0
        try:
            while (kills < chosen.kills or len(clients.accepted) < chosen.accepted) and time.monotonic() < until:
                time.sleep(dice.uniform(0.05, 0.8))
                server = dice.choice(servers)
                server.kill()
                server.start()
                kills += 1
        finally:
            clients.finish()
        print(f"{kills} kills")
        verdict = judge(servers[0], clients.accepted, trunk)
        for server in servers:
            server.stop()
    if kills < chosen.kills or len(clients.accepted) < chosen.accepted:
        print(f"the time was over after {kills} kills")
        return 1
    return verdict


def judge(server, accepted, trunk):
    print(f"{len(accepted)} calls were acknowledged; waiting for their ends", flush=True)
    lost, unended, causes = [], [], collections.Counter()
    deadline = time.monotonic() + 120
    for call in accepted:
        status, view = server.api("GET", f"/v1/calls/{call}")
        while status == 200 and view["status"] != "ended" and time.monotonic() < deadline:
            time.sleep(0.1)
            status, view = server.api("GET", f"/v1/calls/{call}")
        if status != 200:
            lost.append(call)
        elif view["status"] != "ended":
            unended.append((call, view["status"]))
        else:
            causes[view["cause"]] += 1
    rung = dialogs(trunk.messages())
    twice = {number: ids for number, ids in rung.items() if len(ids) > 1}
    print(f"ends: {dict(causes)}; callees rung: {len(rung)}")
    print(f"lost: {len(lost)}, dialled twice: {len(twice)}, not ended: {len(unended)}")
    return 0 if not lost and not twice and not unended and accepted and rung else 1


if __name__ == "__main__":
    sys.exit(main())
