#!/usr/bin/env python3
"""Signed requests at the front door, on one core: how many a second, what each costs in CPU, and whether a refusal's time
tells why it was refused.

The server runs on one core, this script on another. Tencent's TC3 scheme; `--limit` pairs of requests are compared. CPU is
the process's own, by thread: the store's thread, which writes, is counted apart; what is read counts with the rest.
"""

import argparse
import hashlib
import hmac
import json
import os
import pathlib
import random
import socket
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
import harness  # noqa: E402

KEY, SECRET = harness.KEY_ID, harness.KEY_SECRET
CALLER = "+15550100"
APPLICATION, AGENT = 1400000000, 15
TICK = os.sysconf("SC_CLK_TCK")


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed(host, action, parameters, key=KEY, secret=SECRET, spoil=None, seconds=None):
    """The bytes of a request. `spoil` is the place of the byte of its signature that is wrong."""
    body = json.dumps({"SdkAppId": APPLICATION, **parameters})
    seconds = int(seconds or time.time())
    date = time.strftime("%Y-%m-%d", time.gmtime(seconds))
    headers = f"content-type:application/json\nhost:{host}\n"
    canonical = f"POST\n/\n\n{headers}\ncontent-type;host\n{hashlib.sha256(body.encode()).hexdigest()}"
    scope = f"{date}/ccc/tc3_request"
    text = f"TC3-HMAC-SHA256\n{seconds}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    made = digest(digest(digest(f"TC3{secret}".encode(), date), "ccc"), "tc3_request")
    signature = hmac.new(made, text.encode(), hashlib.sha256).hexdigest()
    if spoil is not None:
        place = spoil % len(signature)
        wrong = "0" if signature[place] != "0" else "1"
        signature = signature[:place] + wrong + signature[place + 1 :]
    return (
        f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-TC-Action: {action}\r\nX-TC-Version: 2020-02-10\r\nX-TC-Timestamp: {seconds}\r\n"
        f"Authorization: TC3-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders=content-type;host, "
        f"Signature={signature}\r\n\r\n{body}"
    ).encode()


class Line:
    """One connection that is kept."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def ask(self, request):
        """The answer's body."""
        self.socket.sendall(request)
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.more()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        while len(self.rest) < length:
            self.rest += self.more()
        body, self.rest = self.rest[:length], self.rest[length:]
        return body

    def more(self):
        piece = self.socket.recv(65536)
        assert piece, "the server hung up"
        return piece


def cpu(pid):
    """Seconds of CPU of a process: the store's threads, and all others."""
    store = others = 0.0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        # A thread may end while it is looked at.
        try:
            name, fields = (task / "comm").read_text(), (task / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        used = (int(fields[11]) + int(fields[12])) / TICK
        if name.strip() == "store":
            store += used
        else:
            others += used
    return store, others


def code(answer):
    return json.loads(answer)["Response"].get("Error", {}).get("Code", "")


def prepare(server):
    # One call is dialled to nobody; the others wait for its channel, so that accepting is all that is measured.
    server.trunk("nowhere", 9, max_calls=1)
    server.number(CALLER, "nowhere", 10_000)
    server.agent()
    for kind, number, names in [("application", APPLICATION, "main"), ("agent", AGENT, "desk")]:
        server.must("PUT", "/v1/ids", {"dialect": "tencent", "kind": kind, "id": str(number), "names": names})


def paced(server, count):
    """Accepted calls at the rate that one account may have, with CPU a call: more than that is not accepted."""
    line, host, made = Line(server.addresses["http"]), server.addresses["http"], 0
    store, others = cpu(server.process.pid)
    took, began = [], time.monotonic()
    while made < count:
        # A quiet start of each second of the clock; the account's limit is by those.
        request = signed(host, "CreateAIAgentCall", {"AIAgentId": AGENT, "Callee": f"+1555{made:07}"})
        sent = time.monotonic()
        answer = line.ask(request)
        took.append(time.monotonic() - sent)
        if code(answer) == "RequestLimitExceeded":
            took.pop()
            time.sleep(0.02)
            continue
        assert code(answer) == "", answer
        made += 1
    after = cpu(server.process.pid)
    return {
        "calls": made,
        "seconds": round(time.monotonic() - began, 1),
        "latency_ms_median": round(statistics.median(took) * 1000, 2),
        "cpu_ms_a_call_store": round((after[0] - store) / made * 1000, 3),
        "cpu_ms_a_call_rest": round((after[1] - others) / made * 1000, 3),
        "calls_a_second_on_one_core": round(made / sum(took)),
    }


def refused(server, count):
    """Refusals as fast as one connection asks for them."""
    line, host = Line(server.addresses["http"]), server.addresses["http"]
    request = signed(host, "CreateAIAgentCall", {"AIAgentId": AGENT, "Callee": "+15550123"}, spoil=0)
    store, others = cpu(server.process.pid)
    began = time.monotonic()
    for _ in range(count):
        assert code(line.ask(request)) == "AuthFailure.SignatureFailure"
    took, after = time.monotonic() - began, cpu(server.process.pid)
    return {
        "refusals": count,
        "a_second": round(count / took),
        "cpu_ms_a_request_store": round((after[0] - store) / count * 1000, 3),
        "cpu_ms_a_request_rest": round((after[1] - others) / count * 1000, 3),
    }


def compared(server, pairs, first, second):
    """Medians of two kinds of refusals, in turns whose order is drawn, and how far apart they are."""
    line, times, dice = Line(server.addresses["http"]), ([], []), random.Random(7)
    for _ in range(pairs):
        turns = [(0, first), (1, second)]
        dice.shuffle(turns)
        for which, request in turns:
            began = time.perf_counter()
            line.ask(request)
            times[which].append(time.perf_counter() - began)
    medians = [statistics.median(kind) for kind in times]
    return {
        "pairs": pairs,
        "medians_us": [round(median * 1e6, 1) for median in medians],
        "apart_percent": round((medians[0] / medians[1] - 1) * 100, 2),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--limit", type=int, default=2000, help="pairs of requests that are compared")
    arguments.add_argument("--refusals", type=int, default=5000)
    arguments.add_argument("--calls", type=int, default=200)
    asked = arguments.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        # The server's threads inherit the core that it is started on.
        os.sched_setaffinity(0, {cores[0]})
        server = harness.Server(folder).start()
        os.sched_setaffinity(0, {cores[-1]})
        try:
            prepare(server)
            host = server.addresses["http"]
            call = {"AIAgentId": AGENT, "Callee": "+15550123"}
            make = lambda **how: signed(host, "CreateAIAgentCall", call, **how)  # noqa: E731
            figures = {
                "refused": refused(server, asked.refusals),
                "accepted": paced(server, asked.calls),
                "unknown_key_against_bad_signature": compared(
                    server, asked.limit, make(key="nobody"), make(secret="wrong")
                ),
                "first_byte_against_last": compared(server, asked.limit, make(spoil=0), make(spoil=-1)),
            }
            print(json.dumps(figures, indent=2))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
