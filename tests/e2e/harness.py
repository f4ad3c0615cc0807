"""Starts the real server and real foreign peers for one test, on ports the system chose, and stops them by their pid.

Standard library only. Nothing here decides what is right; the tests do.
"""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("CALLWRIGHT_BINARY", ROOT / "target" / "demo" / "callwright"))
MODELS = pathlib.Path(os.environ.get("CALLWRIGHT_MODELS", ROOT / ".callwright" / "models"))
SCENARIOS = ROOT / "tests" / "sipp"
KEY_ID, KEY_SECRET = "testAk", "testSecret"

AGENT = {
    "name": "Front desk",
    "language": "en",
    "opening": {"greeting": {"text": "Hello, this is the front desk. How can I help you?"}},
    "brain": {
        "vendor": "script",
        "system_prompt": "You are the front desk.",
        "script": [
            {"when": ["bye"], "say": "Goodbye then.", "tool": "end_call"},
            {"when": [], "say": "Let me think about that. We are open from nine to five."},
        ],
    },
    "tools": [{"kind": "end_call", "name": "end_call", "description": "Hang up."}],
    "limits": {"max_duration_s": 3, "ring_timeout_s": 4},
}


def wait_for(what, condition, seconds=20.0):
    """Polls until `condition()` is truthy and returns it; fails with `what` in words."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s still no {what}")
        time.sleep(0.02)


# Peers that cannot choose their own port get one below the server's RTP ports and the system's own choices, each once.
# Eight apart: SIPp takes the ports behind its media port too.
# Not 8888 to 8947: every SIPp takes one of them for its control socket.
PEER_PORTS = iter(random.sample([port for port in range(5104, 9900, 8) if not 8880 <= port < 8952], 580))
PEER_PORTS_LOCK = threading.Lock()


def free_udp_port():
    """A port that nobody has, for peers that cannot choose their own."""
    with PEER_PORTS_LOCK:
        for port in PEER_PORTS:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
    raise AssertionError("no port is free")


class Server:
    """One server process over one data directory; may be killed and started again."""

    def __init__(self, folder, extra="", node="node1", listen="127.0.0.1:0", http=""):
        self.folder, self.name = pathlib.Path(folder), node
        self.config = self.folder / "callwright.toml"
        self.config.write_text(
            f"""
[server]
data = "{self.folder / 'data'}"
node = "{node}"
[http]
listen = "{listen}"
{http}
[sip]
udp = "127.0.0.1:0"
tcp = "127.0.0.1:0"
[models]
dir = "{MODELS}"
[keys.{KEY_ID}]
account = "main"
secret = "{KEY_SECRET}"
[media]
address = "127.0.0.1"
{extra}
"""
        )
        self.process = None
        self.addresses = {}

    def start(self):
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        self.log = open(self.folder / "server.log", "ab")
        self.process = subprocess.Popen(
            [str(BINARY), "serve", "--config", str(self.config), "--ready-file", str(ready)],
            stdout=self.log,
            stderr=self.log,
        )

        def up():
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.tail()}")
            return ready.exists() and ready.read_text()

        self.addresses = json.loads(wait_for("server", up, 30))
        return self

    def voiced(self):
        """Waits until the local voice is loaded: it is at every start, and on a busy machine that takes seconds."""
        log = self.folder / "server.log"
        wait_for("local voice", lambda: '"synthesiser"' in log.read_text(errors="replace"), 60)
        return self

    def tail(self):
        return (self.folder / "server.log").read_text(errors="replace")[-4000:]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.kill()

    @property
    def url(self):
        return f"http://{self.addresses['http']}"

    def api(self, method, path, body=None, headers=None, key=f"{KEY_ID}.{KEY_SECRET}", timeout=10):
        """Returns (status, parsed body)."""
        status, _, text = self.raw(method, path, body, headers, key, timeout)
        return status, json.loads(text) if text else None

    def raw(self, method, path, body=None, headers=None, key=f"{KEY_ID}.{KEY_SECRET}", timeout=10):
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Authorization", f"Bearer {key}")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers, answer.read()

    def must(self, method, path, body=None, **rest):
        status, answer = self.api(method, path, body, **rest)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def trunk(self, name, port, **settings):
        """A trunk that leads to a peer on loopback. It is not asked whether it is alive unless the test says so: SIPp
        takes every question for a call of its scenario."""
        settings = {"options_interval_s": 0, **settings}
        self.must("PUT", f"/v1/trunks/{name}", {"host": "127.0.0.1", "port": port, **settings})

    def number(self, number, trunk, max_calls=15):
        self.must("PUT", f"/v1/numbers/{number}", {"trunk": trunk, "max_calls": max_calls})

    def agent(self, name="desk", **changes):
        self.must("PUT", f"/v1/agents/{name}", {**AGENT, **changes})

    def call(self, **request):
        return self.must("POST", "/v1/calls", {"agent": "desk", **request})["id"]

    def ended(self, call, seconds=30):
        def over():
            view = self.must("GET", f"/v1/calls/{call}")
            return view if view["status"] == "ended" else None

        return wait_for(f"end of call {call}", over, seconds)

    def metric(self, name):
        """The value of a metric, all labels added together."""
        text = self.raw("GET", "/metrics")[2].decode()
        lines = [line for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


class Postgres:
    """A PostgreSQL server of its own on a socket in a directory of its own; with `durable` it flushes as in life, with
    `counting` it counts statements."""

    def __init__(self, durable=False, counting=False):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin")) or [shutil.which("initdb")]
        if not found[0]:
            raise AssertionError("PostgreSQL is needed (Debian: apt-get install postgresql)")
        self.bin = pathlib.Path(found[-1]) if pathlib.Path(found[-1]).is_dir() else pathlib.Path(found[-1]).parent
        self.user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        self.folder = tempfile.mkdtemp(prefix="callwright-pg-", dir="/tmp")
        os.chmod(self.folder, 0o777)
        self.run("initdb", "-D", f"{self.folder}/data", "-U", "callwright", "-A", "trust", "-E", "UTF8", "--no-sync")
        settings = [] if durable else ["-c", "fsync=off", "-c", "full_page_writes=off"]
        if counting:
            settings += ["-c", "shared_preload_libraries=pg_stat_statements", "-c", "pg_stat_statements.track_utility=on"]
        self.log = open(f"{self.folder}/log", "ab")
        self.process = subprocess.Popen(
            [str(self.bin / "postgres"), "-D", f"{self.folder}/data", "-k", self.folder, "-c", "listen_addresses=",
             "-c", "max_connections=200", *settings],
            stdout=self.log, stderr=self.log, cwd="/tmp", **self.user)
        wait_for("PostgreSQL", lambda: self.run("pg_isready", "-q", "-h", self.folder, check=False) == 0, 60)
        self.run("createdb", "-h", self.folder, "-U", "callwright", "callwright")
        if counting:
            self.query("CREATE EXTENSION pg_stat_statements")

    def query(self, statement):
        """The rows of a statement, each a list of texts."""
        command = [str(self.bin / "psql"), "-h", self.folder, "-U", "callwright", "-XAtc", statement, "callwright"]
        done = subprocess.run(command, cwd="/tmp", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **self.user)
        assert done.returncode == 0, f"psql: {done.stderr}"
        return [line.split("|") for line in done.stdout.splitlines()]

    def run(self, program, *arguments, check=True):
        done = subprocess.run([str(self.bin / program), *arguments], cwd="/tmp", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **self.user)
        assert not check or done.returncode == 0, f"{program}: {done.stdout.decode(errors='replace')}"
        return done.returncode

    @property
    def url(self):
        return f"postgres://callwright@localhost/callwright?host={self.folder}"

    def all_processes(self):
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], stdout=subprocess.PIPE)
        return [self.process.pid, *map(int, children.stdout.split())]

    def signal(self, which):
        for pid in self.all_processes():
            # A session may end between the look and the signal.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, which)

    def pause(self):
        """The server is still there and answers nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.resume()
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def nodes(database, names, extra=""):
    """Servers of one cluster, not started; stopped at the end."""
    folder = tempfile.mkdtemp(prefix="callwright-e2e-")
    made = []
    try:
        for name in names:
            own = pathlib.Path(folder) / name
            own.mkdir()
            listen = f"127.0.0.1:{free_udp_port()}"
            store = f"""
[store]
url = "{database.url}"
advertise_url = "http://{listen}"
cluster_secret = "a secret that only the nodes of this test know"
{extra}"""
            made.append(Server(own, store, name, listen))
        yield made
    except BaseException:
        for node in made:
            if node.process:
                print(node.folder.name, node.tail())
        raise
    finally:
        for node in made:
            if node.process and node.process.poll() is None:
                node.process.send_signal(signal.SIGCONT)
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def server(extra=""):
    folder = tempfile.mkdtemp(prefix="callwright-e2e-")
    running = Server(folder, extra)
    try:
        yield running.start()
    except BaseException:
        print(running.tail())
        raise
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Sipp:
    """SIPp playing the trunk with one of the scenario files."""

    def __init__(self, scenario, calls=1, extra=()):
        self.port = free_udp_port()
        self.folder = tempfile.mkdtemp(prefix="callwright-sipp-")
        path = scenario if str(scenario).startswith("/") else SCENARIOS / scenario
        self.process = subprocess.Popen(
            ["sipp", "-sf", str(path), "-i", "127.0.0.1", "-p", str(self.port), "-m", str(calls), "-nostdin",
             "-trace_err", "-trace_msg", "-mp", str(free_udp_port()), *extra],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self):
        wait_for("SIPp", self.bound)
        return self

    def bound(self):
        """Whether SIPp has taken its port. Read off the system's table: trying to bind it would take it from SIPp."""
        if self.process.poll() is not None:
            raise AssertionError(f"SIPp ended with {self.process.returncode}: {self.errors()}")
        table = pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]
        ports = {line.split()[1].rsplit(":", 1)[1] for line in table}
        return f"{self.port:04X}" in ports

    def finished(self, seconds=70):
        """SIPp's own verdict: 0 when every call went as the scenario says."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def messages(self):
        """What went over the wire, as SIPp saw it."""
        return "".join(p.read_text(errors="replace") for p in pathlib.Path(self.folder).glob("*messages.log"))

    def errors(self):
        return "".join(p.read_text(errors="replace") for p in pathlib.Path(self.folder).glob("*errors.log"))[:2000]

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def in_parallel(functions):
    """Runs all of them at once; returns their results in order, raises the first failure."""
    results, failures = [None] * len(functions), []

    def one(at, function):
        try:
            results[at] = function()
        except BaseException as failure:  # noqa: BLE001 - handed to the test's own thread
            failures.append(failure)

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


class Client:
    """A vendor's client in a process of its own: one action a line in, one outcome a line out."""

    def __init__(self, name, command, server, defaults=None):
        self.name, self.defaults = name, defaults or {}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([str(part) for part in command], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.common = {"endpoint": server.addresses["http"], "id": KEY_ID, "key": KEY_SECRET}

    def ask(self, do, parameters=None, **more):
        order = {**self.common, "do": do, "with": {**self.defaults, **(parameters or {})}, **more}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"{self.name}: {self.process.stderr.read()[-2000:]}")
        return json.loads(line)

    def must(self, do, parameters=None, **more):
        outcome = self.ask(do, parameters, **more)
        assert "ok" in outcome, f"{self.name} {do}: {outcome}"
        return outcome["ok"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()
        self.process.terminate()
        self.process.wait(10)
