#!/usr/bin/env python3
"""Requests at the front door, on one core: what a refused signature and an accepted call cost in CPU in each dialect, how
many a second that makes, and whether a refusal's time tells why it was refused.

    python3 tests/heavy/signatures.py [--calls 400] [--refusals 4000] [--limit 4000] [--kinds tencent,native]
        [--connections 8] [--profile FOLDER]

The server runs on one core, this script on another. CPU is the server's own, by thread: the store's threads, which write
and read, are counted apart from the rest, and what the server does without any request is taken off. An accepted call is
due at once and is not dialled: the server has room for one call, which rings somebody who never answers, so that accepting
is all that is measured. `native later` is due tomorrow: what it costs less is the dialler's bell. With `--profile` each
kind is measured a second time under `perf`, and its costliest functions are printed.

It fails when a dialect takes more than 1 ms of CPU a request apart from the store, when a signature that is wrong in its first
byte is refused more than 1 % sooner or later than one that is wrong in its last, or an unknown key more than 5 % than a
known one (medians; BARS S30).
"""

import argparse
import contextlib
import datetime
import hashlib
import hmac
import itertools
import json
import os
import pathlib
import random
import secrets
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
import harness  # noqa: E402

KEY, SECRET = harness.KEY_ID, harness.KEY_SECRET
CALLER = "+15550100"
APPLICATION, AGENT = 1400000000, 15
# Accounts that calls are made for in turns: Tencent's dialect takes 20 a second of each.
ACCOUNTS = [(f"account{place}", f"key{place}") for place in range(40)]
# Threads on which the store works: its writer, and those on which it reads.
STORE = "store", "waits-for-disk"
# How long the server is watched without requests, and the CPU of a second of which it is taken for idle.
IDLE_S, QUIET_MS = 3, 40
# What is asked of the figures: milliseconds a request, percent between two medians.
MOST_MS, PLACE_PERCENT, KEY_PERCENT = 1.0, 1.0, 5.0
# Functions of a profile that are printed.
SHOWN = 25


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def spoilt(text, place):
    """With another character at a place, when there is one."""
    if place is None:
        return text
    place %= len(text)
    return text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]


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
    signature = spoilt(signature, spoil)
    return (
        f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-TC-Action: {action}\r\nX-TC-Version: 2020-02-10\r\nX-TC-Timestamp: {seconds}\r\n"
        f"Authorization: TC3-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders=content-type;host, "
        f"Signature={signature}\r\n\r\n{body}"
    ).encode()


def alibaba(host, callee, key, spoil=None):
    """StartAIAgentOutboundCall as the vendor's newer SDKs sign it. `spoil` as in `signed`."""
    query = urllib.parse.urlencode({
        "AIAgentId": "desk", "CallerNumber": CALLER, "CalledNumber": callee, "UserData": '{"order":"17"}',
        "Config": json.dumps({"Greeting": "Hello.", "TtsConfig": {"SpeechRate": 1.1}}),
    }, quote_via=urllib.parse.quote)
    query = "&".join(sorted(query.split("&")))
    headers = {
        "host": host, "x-acs-action": "StartAIAgentOutboundCall", "x-acs-version": "2020-11-09",
        "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "x-acs-signature-nonce": secrets.token_hex(16),
        "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
    }
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"POST\n/\n{query}\n{lines}\n{names}\n{headers['x-acs-content-sha256']}"
    text = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = spoilt(digest(SECRET.encode(), text).hex(), spoil)
    shown = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return (f"POST /?{query} HTTP/1.1\r\n{shown}Content-Length: 0\r\n"
            f"Authorization: ACS3-HMAC-SHA256 Credential={key},SignedHeaders={names},Signature={signature}\r\n\r\n").encode()


def tencent(host, callee, key):
    variables = [{"Key": "order", "Value": "17"}]
    return signed(host, "CreateAIAgentCall", {"AIAgentId": AGENT, "Callee": callee, "Variables": variables}, key=key)


def bearer(host, path, body, key, spoil=None):
    body = json.dumps(body)
    return (f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}.{spoilt(SECRET, spoil)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


def happyrobot(host, callee, key):
    body = {"number_id": outer(key, "number", CALLER), "use_case_id": outer(key, "agent", "desk"),
            "phone_number": callee, "params": {"order": "17"}, "metadata": {"lead": 4}}
    return bearer(host, "/api/v1/dial/outbound", body, key)


def outer(key, kind, inner):
    """This dialect's id of a thing that was given none."""
    account = dict((key, account) for account, key in ACCOUNTS)[key]
    return hashlib.sha256(f"happyrobot/{account}/{kind}/{inner}".encode()).hexdigest()[:24]


def native(host, callee, key, **more):
    body = {"agent": "desk", "to": callee, "from": CALLER, "variables": {"order": "17"}, **more}
    return bearer(host, "/v1/calls", body, key)


def native_later(host, callee, key):
    tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    return native(host, callee, key, scheduled_for=tomorrow.isoformat())


# What is asked for, and the member that the answer of an accepted call has.
KINDS = {
    "alibaba": (alibaba, b'"InstanceId"'),
    "tencent": (tencent, b'"SessionId"'),
    "happyrobot": (happyrobot, b'"id"'),
    "native": (native, b'"id"'),
    "native later": (native_later, b'"id"'),
}


class Line:
    """One connection that is kept."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def fileno(self):
        return self.socket.fileno()

    def ask(self, request):
        """The answer's body."""
        self.socket.sendall(request)
        return self.answer()

    def answer(self):
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
    """Milliseconds of CPU of a process: the store's threads, and all others."""
    store = others = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        # A thread may end while it is looked at.
        try:
            name, used = (task / "comm").read_text(), int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue
        if name.strip() in STORE:
            store += used
        else:
            others += used
    return store / 1e6, others / 1e6


class Watch:
    """The server's CPU from here on, without what it takes in the same time when nobody asks for anything."""

    def __init__(self, server):
        self.pid = server.process.pid
        at, before = time.monotonic(), cpu(self.pid)
        time.sleep(IDLE_S)
        self.idle = [(after - then) / (time.monotonic() - at) for then, after in zip(before, cpu(self.pid))]
        self.begin()

    def begin(self):
        self.began, self.before = time.monotonic(), cpu(self.pid)

    def told(self, count):
        took = time.monotonic() - self.began
        store, rest = (
            (after - then - idle * took) / count for then, after, idle in zip(self.before, cpu(self.pid), self.idle)
        )
        return {
            "requests": count,
            "a_second": round(count / took),
            "a_second_of_cpu": round(1000 / (store + rest)),
            "cpu_ms_store": round(store, 3),
            "cpu_ms_rest": round(rest, 3),
            "idle_cpu_ms_a_second": [round(idle, 1) for idle in self.idle],
        }


def settle(server):
    """Waits until the server has done what it does at its start."""

    def quiet():
        before = sum(cpu(server.process.pid))
        time.sleep(1)
        return sum(cpu(server.process.pid)) - before < QUIET_MS

    harness.wait_for("quiet server", quiet, 60)


def all_of(server, requests, connections, wanted):
    """Asks for everything over so many connections, each of which waits for its answer."""
    left = iter(requests)
    with selectors.DefaultSelector() as lines:
        for request in itertools.islice(left, connections):
            line = Line(server.addresses["http"])
            line.socket.sendall(request)
            lines.register(line, selectors.EVENT_READ)
        while lines.get_map():
            for ready, _ in lines.select():
                answer = ready.fileobj.answer()
                assert wanted in answer, answer
                request = next(left, None)
                if request is None:
                    lines.unregister(ready.fileobj)
                    ready.fileobj.socket.close()
                else:
                    ready.fileobj.socket.sendall(request)


def prepare(server, nobody):
    for account, key in ACCOUNTS:
        put = lambda path, body: server.must("PUT", path, body, key=f"{key}.{SECRET}")  # noqa: E731
        put("/v1/trunks/nowhere", {"host": "127.0.0.1", "port": nobody, "options_interval_s": 0})
        put(f"/v1/numbers/{CALLER}", {"trunk": "nowhere", "max_calls": 10_000})
        put("/v1/agents/desk", harness.AGENT)
        for kind, number, names in [("application", APPLICATION, account), ("agent", AGENT, "desk")]:
            put("/v1/ids", {"dialect": "tencent", "kind": kind, "id": str(number), "names": names})


class Asking:
    """Makes requests for calls of one kind, each to another callee."""

    def __init__(self, server, kind, connections):
        (self.make, self.wanted), self.server, self.connections = KINDS[kind], server, connections
        self.callee, self.warm = itertools.count(2_000_000), False

    def ask(self, count):
        host = self.server.addresses["http"]
        places = [next(self.callee) for _ in range(count)]
        requests = [self.make(host, f"+1555{place}", ACCOUNTS[place % len(ACCOUNTS)][1]) for place in places]
        return lambda: all_of(self.server, requests, self.connections, self.wanted)


def accepted(server, kind, asked):
    """CPU of accepted calls of one kind, and its profile when there is to be one."""
    asking = Asking(server, kind, asked.connections)
    # Connections and statements that are made once.
    asking.ask(len(ACCOUNTS))()
    work, watch = asking.ask(asked.calls), Watch(server)
    watch.begin()
    work()
    told = watch.told(asked.calls)
    if asked.profile:
        profile(server, pathlib.Path(asked.profile) / f"{kind.replace(' ', '-')}.perf", asking.ask(asked.calls))
    return told


def profile(server, file, work):
    """Carries work out under `perf` and prints what took the most."""
    file.parent.mkdir(parents=True, exist_ok=True)
    recording = subprocess.Popen(
        ["perf", "record", "-q", "-F", "1999", "-g", "-o", file, "-p", str(server.process.pid)], stderr=subprocess.DEVNULL)
    time.sleep(1)
    work()
    recording.send_signal(signal.SIGINT)
    recording.wait()
    report = ["perf", "report", "-i", file, "--stdio", "--no-children", "-g", "none", "--sort"]
    for sort in ["comm", "symbol"]:
        lines = subprocess.run([*report, sort], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        lines = [line.rstrip(" -") for line in lines.splitlines() if line.strip() and not line.startswith("#")]
        print(f"{file.stem}, by {sort}:", *lines[:SHOWN], sep="\n  ", flush=True)


def refused(server, asked):
    """Refusals of a wrong signature."""
    host = server.addresses["http"]
    request = signed(host, "CreateAIAgentCall", {"AIAgentId": AGENT, "Callee": "+15550123"}, spoil=0)
    watch = Watch(server)
    all_of(server, [request] * asked.refusals, asked.connections, b"AuthFailure.SignatureFailure")
    return watch.told(asked.refusals)


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


@contextlib.contextmanager
def running(cores):
    """A server on the first core, with room for one call, and a telephone that never answers."""
    extra = "[http.rates]\nper_source = 0\nper_key = 0\n" + "".join(
        f'[keys.{key}]\naccount = "{account}"\nsecret = "{SECRET}"\n' for account, key in ACCOUNTS)
    os.environ["CALLWRIGHT__SERVER__MAX_CALLS"] = "1"
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        # The server's threads inherit the core that it is started on.
        os.sched_setaffinity(0, {cores[0]})
        server = harness.Server(folder, extra).start()
        os.sched_setaffinity(0, {cores[-1]})
        try:
            prepare(server, nobody.getsockname()[1])
            settle(server)
            yield server
        finally:
            server.stop()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--limit", type=int, default=4000, help="pairs of refusals that are compared; 0: none")
    arguments.add_argument("--refusals", type=int, default=4000, help="wrong signatures")
    arguments.add_argument("--calls", type=int, default=400, help="accepted calls of each kind")
    arguments.add_argument("--connections", type=int, default=8, help="requests under way at once")
    arguments.add_argument("--kinds", default=",".join(KINDS), help="what is asked for")
    arguments.add_argument("--profile", help="folder for what perf records of accepted calls")
    asked = arguments.parse_args()
    with running(sorted(os.sched_getaffinity(0))) as server:
        figures = {"refused": refused(server, asked)} if asked.refusals else {}
        for kind in filter(None, asked.kinds.split(",")):
            figures[f"accepted, {kind}"] = accepted(server, kind, asked)
        if asked.limit:
            figures |= timing(server, asked.limit)
        print(json.dumps(figures, indent=2))
    return judged(figures)


def timing(server, pairs):
    """Whether the time of a refusal tells how near the request came."""
    host, call = server.addresses["http"], {"AIAgentId": AGENT, "Callee": "+15550123"}
    tencents = lambda **how: signed(host, "CreateAIAgentCall", call, **how)  # noqa: E731
    wrong_at = {
        "tencent": lambda place: tencents(spoil=place),
        "alibaba": lambda place: alibaba(host, "+15550123", KEY, spoil=place),
        "bearer": lambda place: bearer(host, "/api/v1/dial/outbound", {}, KEY, spoil=place),
    }
    figures = {f"first_byte_against_last, {kind}": compared(server, pairs, make(0), make(-1)) for kind, make in wrong_at.items()}
    figures["unknown_key_against_bad_signature"] = compared(server, pairs, tencents(key="nobody"), tencents(secret="wrong"))
    return figures


def judged(figures):
    broken = [f"{name}: {told['cpu_ms_rest']} ms" for name, told in figures.items() if told.get("cpu_ms_rest", 0) > MOST_MS]
    for name, told in figures.items():
        most = KEY_PERCENT if name.startswith("unknown_key") else PLACE_PERCENT
        if abs(told.get("apart_percent", 0)) > most:
            broken.append(f"{name}: {told['apart_percent']} %")
    print("BROKEN: " + "; ".join(broken) if broken else "holds")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
