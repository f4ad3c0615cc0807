"""Whether every event is told though the server dies again and again and the receiver fails three times of ten (BARS R20, R21).
The server is killed at random instants while calls are placed; its clock is then moved along the schedule of repeats until
all that is owed was heard. What is owed is read from the calls' own timelines. Prints its seed.

    python3 tests/heavy/webhooks.py [--kills 100] [--events 10000] [--fails 0.3] [--seed N]
"""

import argparse
import collections
import contextlib
import http.server
import json
import pathlib
import random
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import callees  # noqa: E402
import harness  # noqa: E402
import killloop  # noqa: E402
from clock import Wall, faketime  # noqa: E402
from cluster import UNLIMITED, told  # noqa: E402

LOOSE = UNLIMITED + '[webhooks]\nplain_http = "on"\nallow_private = "on"\n'
# The schedule of repeats, a tenth more each, in seconds.
REPEATS = [6, 330, 1980, 7920, 19_800, 39_600, 39_600]
# The receiver hears an event at the latest when it has come so often; the eighth time would be the last.
AT_LAST = 6
# So many seconds without a delivery: all that is due was tried.
SETTLED = 5
# What of a timeline is told to whoever wants everything. Another word here is a mistake of this program's.
TOLD = {"created", "dialing", "ringing", "answered", "spoke", "said", "heard", "turn_taken", "trouble", "recording_kept", "ended"}
UNTOLD = {"attempt_failed"}


class Receiver:
    """Fails as chance has it: with an error, or by hanging up before or after it has read. Keeps what it said yes to."""

    def __init__(self, fails, dice):
        self.lock, self.said_yes, self.tries, self.problems = threading.Lock(), {}, collections.Counter(), []
        self.last, self.repeats, self.heard_at = collections.Counter(), 0, time.monotonic()
        receiver = self

        class Ear(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                how = receiver.judge(self.headers["webhook-id"], body, fails, dice)
                if how == "hang up":
                    self.close_connection = True
                    return
                self.send_response(200 if how == "yes" else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """The other side was killed in the middle of a request."""

        self.server = Server(("127.0.0.1", 0), Ear)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    def judge(self, name, body, fails, dice):
        with self.lock:
            self.heard_at = time.monotonic()
            self.tries[name] += 1
            if self.tries[name] < AT_LAST and dice.random() < fails:
                return dice.choice(["no", "hang up"])
            event = json.loads(body)["data"]
            call, seq = event["call"]["id"], event["event"]["seq"]
            known = self.said_yes.get((call, seq))
            if known is not None:
                self.repeats += 1
                if known != (name, body):
                    self.problems.append(f"event {seq} of call {call} came again with another id or body")
            if seq < self.last[call]:
                self.problems.append(f"event {seq} of call {call} came after {self.last[call]}")
            self.said_yes[call, seq] = (name, body)
            self.last[call] = max(self.last[call], seq)
            return "yes"


def owed(server, accepted, problems):
    """The events that must have been told, as the calls' timelines have them."""
    events = set()
    for call in accepted:
        view = server.ended(call, 120)
        for event in view["timeline"]:
            if event["event"] in TOLD:
                events.add((call, event["seq"]))
            elif event["event"] not in UNTOLD:
                problems.append(f"nobody knows whether {event['event']} is told")
    return events


def die(server, wall, kills, wanted, clients, dice):
    """Kills until it is enough: so often, and until so many calls were accepted."""
    done = 0
    while done < kills or len(clients.accepted) < wanted:
        time.sleep(dice.uniform(0.1, 1.2))
        server.kill()
        done += 1
        with wall.on():
            server.start()
        if done > 4 * kills:
            sys.exit("the machine is too slow to place so many calls")
    return done


def all_told(receiver, wall, events):
    """Moves the clock along the schedule; what is still missing after it. An event waits for those of its call that come
    before it, each of which has a schedule of its own."""
    for pause in REPEATS + REPEATS[-1:] * 20:
        if not events - receiver.said_yes.keys():
            break
        wall.jump(pause)
        receiver.heard_at = time.monotonic()
        while time.monotonic() - receiver.heard_at < SETTLED and events - receiver.said_yes.keys():
            time.sleep(0.1)
    return events - receiver.said_yes.keys()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--fails", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    faketime()
    print(f"seed {chosen.seed}", flush=True)
    dice = random.Random(chosen.seed)
    telephones, receiver, problems = callees.Callees(), Receiver(chosen.fails, random.Random(chosen.seed + 1)), []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="callwright-webhooks-"))
        wall, server = Wall(folder), harness.Server(folder, LOOSE)
        with wall.on():
            server.start()
        stack.callback(server.stop)
        server.agent(limits={"max_duration_s": 2, "ring_timeout_s": 5})
        server.trunk("t1", telephones.port)
        server.number("+15550100", "t1", 1000)
        server.must("POST", "/v1/webhooks", {"url": receiver.url, "events": ["*"]})
        clients = killloop.Clients([server])
        try:
            # At least three events a call: accepted, dialled, over.
            kills = die(server, wall, chosen.kills, chosen.events // 3, clients, dice)
        finally:
            clients.finish()
        events = owed(server, clients.accepted, problems)
        print(f"{kills} kills, {len(clients.accepted)} calls, {len(events)} events owed; {len(receiver.said_yes)} heard so far",
              flush=True)
        missing = all_told(receiver, wall, events)
    telephones.close()
    problems += receiver.problems
    failed = sum(receiver.tries.values()) - len(receiver.said_yes) - receiver.repeats
    print(f"{sum(receiver.tries.values())} deliveries, {failed} of them failed by the receiver, {receiver.repeats} repeats of "
          f"what it had said yes to, all with the same id and body")
    for problem in problems[:10]:
        print(f"  {problem}")
    good = not missing and not problems and len(events) >= chosen.events
    return told(good, f"{len(events)} events over {kills} kills: {len(missing)} lost, {len(problems)} wrong")


if __name__ == "__main__":
    sys.exit(main())
