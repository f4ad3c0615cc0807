"""Two thousand connections that send a byte now and then, beside requests that behave: the latter's p99 may double at most,
and each slow connection is closed within 15 seconds. Takes about a minute.

    python3 tests/heavy/slow_connections.py [--connections 2000] [--requests 2000]
"""

import argparse
import http.client
import pathlib
import resource
import selectors
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402

HEAD = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: "
CLOSED_WITHIN = 15.0
# Below this a doubled p99 says more about the machine than about the server.
NOISE = 0.002


def p99(server, requests):
    host, port = server.addresses["http"].rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    took = []
    for _ in range(requests):
        began = time.perf_counter()
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        took.append(time.perf_counter() - began)
    return sorted(took)[int(len(took) * 0.99)]


class Slow(threading.Thread):
    """Connections that drip, each replaced when the server closes it."""

    def __init__(self, address, count):
        super().__init__(daemon=True)
        self.address, self.count, self.stopped = address, count, False
        self.lived, self.open = [], {}
        self.ready = threading.Event()

    def connect(self, selector):
        connection = socket.create_connection(self.address)
        connection.setblocking(False)
        connection.send(HEAD)
        self.open[connection] = time.monotonic()
        selector.register(connection, selectors.EVENT_READ)

    def run(self):
        selector, dripped = selectors.DefaultSelector(), time.monotonic()
        for _ in range(self.count):
            self.connect(selector)
        self.ready.set()
        while not self.stopped:
            for key, _ in selector.select(0.1):
                connection = key.fileobj
                selector.unregister(connection)
                self.lived.append(time.monotonic() - self.open.pop(connection))
                connection.close()
                self.connect(selector)
            if time.monotonic() - dripped > 2:
                dripped = time.monotonic()
                for connection in list(self.open):
                    try:
                        connection.send(b"x")
                    except OSError:
                        pass
        for connection in self.open:
            connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=2000)
    arguments = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 3 * arguments.connections + 500), limit))
    with harness.server() as server:
        p99(server, 200)
        alone = p99(server, arguments.requests)
        host, port = server.addresses["http"].rsplit(":", 1)
        slow = Slow((host, int(port)), arguments.connections)
        slow.start()
        assert slow.ready.wait(30), "the slow connections did not come up"
        beside = p99(server, arguments.requests)
        harness.wait_for("end of a slow connection", lambda: len(slow.lived) >= arguments.connections, 40)
        slow.stopped = True
        slow.join(10)
        longest = max(slow.lived)
        print(f"p99 alone {alone * 1000:.2f} ms, beside {arguments.connections} slow connections {beside * 1000:.2f} ms; "
              f"slow ones lived {min(slow.lived):.1f} to {longest:.1f} s")
        assert longest <= CLOSED_WITHIN, longest
        assert beside <= max(2 * alone, NOISE), (alone, beside)


if __name__ == "__main__":
    main()
