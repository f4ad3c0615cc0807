#!/usr/bin/env python3
"""A whole campaign against the callee simulator: invalid rows, busy and silent callees, retries, a pause in the middle, and
the server (or one of several after the other) killed on the way. Afterwards every row must be in one final state, the counters must be the simulator's own, no
attempt may have been dialled twice, and no second may have held more calls than the campaign's setting."""

import argparse
import collections
import contextlib
import json
import pathlib
import random
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "e2e"))
import callees  # noqa: E402
import harness  # noqa: E402

CALLERS = ["+15550100", "+15550101", "+15550102"]


def number_of(at):
    return f"+1666{at:07}"


def write_callees(count, dice):
    """The file and the numbers in it that are numbers: five lines in a hundred are not."""
    bad = set(dice.sample(range(count), count // 20))
    spoilt = ["", "unknown", "12345678901234567890", "+1 666 CALL ME", "1"]
    lines = ["phone_number,name,callee_id"]
    lines += [f"{dice.choice(spoilt) if at in bad else number_of(at)},\"Callee, {at}\",k{at}" for at in range(count)]
    return "\r\n".join(lines) + "\r\n", [number_of(at) for at in range(count) if at not in bad]


@contextlib.contextmanager
def servers(count):
    """One server with a database of its own, or several on one PostgreSQL."""
    if count == 1:
        with tempfile.TemporaryDirectory(prefix="callwright-campaign-") as folder:
            yield [harness.Server(folder)]
    else:
        names = [f"n{place}" for place in range(count)]
        with harness.Postgres(durable=True) as database, harness.nodes(database, names) as nodes:
            yield nodes


class Run:
    def __init__(self, chosen, nodes):
        self.chosen, self.dice = chosen, random.Random(chosen.seed)
        self.nodes, self.server = nodes, nodes[0]
        self.sim, self.paused, self.killed = callees.Callees(), False, 0

    def start(self):
        chosen, server = self.chosen, self.server
        for node in self.nodes:
            node.start()
        server.agent(opening={"greeting": "none"}, recording="off", limits={"max_duration_s": 5, "ring_timeout_s": chosen.ring})
        server.trunk("t1", self.sim.port, max_calls=chosen.channels)
        for caller in CALLERS:
            server.number(caller, "t1", chosen.concurrency)
        made = server.must("POST", "/v1/campaigns", {
            "name": "trial", "agent": "desk", "from": CALLERS, "concurrency": chosen.concurrency, "cps": chosen.cps,
            "retry": {"on": ["busy", "no_answer", "server_restarted", "trunk_failed", "no_response"], "max_attempts": 3, "waits_s": [1, 2]}})
        self.path = f"/v1/campaigns/{made['id']}"
        text, self.valid = write_callees(chosen.callees, self.dice)
        began = time.monotonic()
        status, _, report = server.raw("POST", self.path + "/callees", text.encode(), {"Content-Type": "text/csv"}, timeout=120)
        report = json.loads(report)
        print(f"{len(text) / 1e6:.1f} MB of callees taken in {time.monotonic() - began:.1f} s: {status}, "
              f"{report['added']} added, {report['invalid']} invalid")
        assert (status, report["added"], report["lines"]) == (200, len(self.valid), chosen.callees), report
        server.must("POST", self.path + "/start")
        return self

    def watch(self):
        """Until it is done: pauses half way, kills at random points."""
        began, points = time.monotonic(), sorted(self.dice.uniform(0.1, 0.9) for _ in range(self.chosen.kills))
        while True:
            view = self.server.must("GET", self.path)
            progress = view["progress"]
            share = progress["finished"] / progress["total"]
            if view["state"] == "done":
                return time.monotonic() - began
            assert view["state"] == "running", view
            assert time.monotonic() - began < self.chosen.limit, f"not done in time: {progress}"
            if not self.paused and share >= 0.5:
                self.pause()
            if self.killed < len(points) and share >= points[self.killed]:
                print(f"killed at {share:.0%}: {progress['rows']['calling']} calls up", flush=True)
                self.kill()
            time.sleep(0.3)

    def kill(self):
        """One server after the other, so that whichever has the campaign is killed once; the others go on for a while."""
        victim, self.server = self.nodes[self.killed % len(self.nodes)], self.nodes[(self.killed + 1) % len(self.nodes)]
        self.killed += 1
        victim.kill()
        if len(self.nodes) > 1:
            time.sleep(20)
        victim.start()

    def pause(self):
        self.paused = True
        waiting = self.server.must("GET", self.path)["progress"]["rows"]["calling"] - self.chosen.channels
        self.server.must("POST", self.path + "/pause")
        # What was about to leave has left; what waits for a channel is not to leave as channels get free.
        time.sleep(1)
        before = self.sim.calls()
        harness.wait_for("end of the calls", lambda: self.server.must("GET", self.path)["progress"]["rows"]["calling"] == 0, 60)
        time.sleep(3)
        assert self.sim.calls() == before, "calls were begun during the pause"
        self.server.must("POST", self.path + "/resume")
        print(f"paused after {before} calls while {max(waiting, 0)} waited for a channel, and resumed", flush=True)

    def judge(self, took):
        _, _, text = self.server.raw("GET", self.path + "/results?format=jsonl", timeout=120)
        rows = [json.loads(line) for line in text.decode().splitlines()]
        progress = self.server.must("GET", self.path)["progress"]
        problems, seen = [], self.sim.outcomes()
        states = collections.Counter(row["state"] for row in rows)
        final = {"answered", "unanswered", "refused", "cancelled", "expired", "invalid", "duplicate"}
        if len(rows) != self.chosen.callees or set(states) - final:
            problems.append(f"{len(rows)} rows in states {dict(states)}")
        if {state: count for state, count in progress["rows"].items() if count} != dict(states):
            problems.append(f"the counters say {progress['rows']}, the rows {dict(states)}")
        self.compare_rows(rows, seen, problems)
        self.compare_calls(rows, seen, problems)
        busiest = self.sim.busiest_second()
        if busiest > self.chosen.cps:
            problems.append(f"a second held {busiest} calls")
        print(f"{took:.0f} s, {len(seen)} calls, {len(seen) / took:.1f} a second; the busiest second held {busiest} of {self.chosen.cps}")
        print(f"rows: {dict(states)}; causes: {progress['causes']}")
        return problems

    def compare_rows(self, rows, seen, problems):
        """Each row against what its number did."""
        answered = {number for number, outcome in seen.values() if outcome in ("answered", "answered_unconfirmed")}
        told = {row["to"] for row in rows if row["state"] == "answered"}
        if told != answered:
            problems.append(f"answered: rows {len(told)}, simulator {len(answered)}, in one only: {sorted(told ^ answered)[:5]}")
        for plan, cause in ((callees.BUSY, "busy"), (callees.NO_ANSWER, "no_answer")):
            expected = {number for number in self.valid if callees.plan_of(number) == plan}
            told = {row["to"] for row in rows if row["state"] == "unanswered" and row["to"] in expected}
            other = [row for row in rows if row["to"] in expected and row["cause"] not in (cause, "server_restarted")]
            if told != expected or other:
                problems.append(f"{cause}: rows {len(told)}, simulator {len(expected)}, {other[:2]}")
        expected = {number for number in self.valid if callees.plan_of(number) in (callees.BUSY_ONCE, callees.ANSWER)}
        if answered != expected:
            problems.append(f"{len(expected)} should have answered, {len(answered)} did: {sorted(expected ^ answered)[:5]}")

    def compare_calls(self, rows, seen, problems):
        """Each attempt against the one dialog it may have been."""
        of_call = collections.defaultdict(set)
        for call_id in seen:
            of_call[call_id[:32]].add(call_id)
        attempts = {attempt["call"]: row["to"] for row in rows for attempt in row["calls"]}
        doubled = [row["row"] for row in rows if [a["attempt"] for a in row["calls"]] != list(range(1, row["attempts"] + 1))]
        twice = [call for call, ids in of_call.items() if len(ids) > 1]
        stray = [call for call in of_call if call not in attempts]
        if doubled or twice or stray:
            problems.append(f"attempts out of order {doubled[:3]}, dialled twice {twice[:3]}, of no row {stray[:3]}")
        words = {"busy": "busy", "cancelled": "no_answer", "answered": "callee_hung_up"}
        wrong, cut, withdrawn = [], 0, 0
        for call, cause in self.causes():
            outcome = next((seen[call_id][1] for call_id in of_call.get(call, ())), None)
            if cause == "server_restarted":
                cut += 1
            elif cause == "cancelled" and outcome is None and call not in attempts:
                withdrawn += 1
            elif words.get(outcome) != cause:
                wrong.append((call, cause, outcome))
        if wrong:
            problems.append(f"{len(wrong)} calls ended otherwise than the simulator says: {wrong[:3]}")
        print(f"{len(attempts)} attempts, {cut} cut by a kill; {withdrawn} calls were withdrawn by the pause before anybody was rung")

    def causes(self):
        cursor = ""
        while cursor is not None:
            page = self.server.must("GET", f"/v1/calls?limit=200&cursor={cursor}" if cursor else "/v1/calls?limit=200")
            yield from ((call["id"], call["cause"]) for call in page["calls"])
            cursor = page["next"]


def run(chosen):
    with servers(chosen.nodes) as nodes:
        trial = Run(chosen, nodes)
        try:
            problems = trial.start().judge(trial.watch())
        except BaseException:
            print(trial.server.tail(), file=sys.stderr)
            raise
        finally:
            for node in nodes:
                node.stop()
            trial.sim.close()
    for problem in problems:
        print("WRONG:", problem)
    return problems


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callees", type=int, default=10_000)
    parser.add_argument("--cps", type=int, default=50)
    parser.add_argument("--concurrency", type=int, default=100, help="of the campaign and of each of its three numbers")
    parser.add_argument("--channels", type=int, default=40, help="of the trunk: fewer than the campaign would use, so that calls wait for one")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--nodes", type=int, default=1, help="servers; several share one PostgreSQL")
    parser.add_argument("--ring", type=int, default=2, help="seconds before a callee who does not answer is given up")
    parser.add_argument("--limit", type=int, default=3600, help="seconds after which it has failed")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    return parser.parse_args(given)


if __name__ == "__main__":
    chosen = arguments()
    print(f"seed {chosen.seed}", flush=True)
    sys.exit(1 if run(chosen) else 0)
