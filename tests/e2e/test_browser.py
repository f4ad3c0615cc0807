"""A real browser meets the agent: Chromium without a window, its microphone a steady beep, joins with our own client."""

import contextlib
import datetime
import hashlib
import hmac
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest
import urllib.parse
import urllib.request
import uuid

import harness
from test_webhooks import LOOSE, Receiver

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGE = """<!doctype html><script type="module">
import { CallwrightCall } from "%(server)s/v1/client.js";
const seen = { states: [], texts: [] };
const tell = (extra) => fetch("/told", { method: "POST", body: JSON.stringify({ ...seen, ...extra }) });
let peer;
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...all) { super(...all); peer = this; }
};
try {
  const call = new CallwrightCall({ joinUrl: "%(join)s", token: "%(token)s" });
  call.addEventListener("state", (event) => seen.states.push(event.detail));
  call.addEventListener("agentText", (event) => event.detail.end || seen.texts.push(event.detail.text));
  await call.join();
  let audio = {};
  for (let at = 0; at < 150 && !(audio.energy > 0.001 && audio.sent > 100 && seen.texts.length); at += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (const report of (await peer.getStats()).values()) {
      if (report.type === "inbound-rtp") audio = { ...audio, energy: report.totalAudioEnergy, lost: report.packetsLost };
      if (report.type === "outbound-rtp") audio = { ...audio, sent: report.packetsSent };
      if (report.type === "codec") audio = { ...audio, codec: report.mimeType };
    }
  }
  const message = %(message)s;
  if (message) {
    call.tellServer(message);
    await fetch("/heard");
  }
  await call.leave();
  await tell({ audio });
} catch (error) {
  await tell({ error: `${error.code || error.name}: ${error.message}` });
}
</script>
"""


class Told(http.server.ThreadingHTTPServer):
    """Serves the page, and keeps what the page tells."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Door)
        self.page, self.told, self.came, self.heard = "", None, threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *all_of_it):
        self.shutdown()
        super().__exit__(*all_of_it)


class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/heard":
            self.server.heard.wait(60)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.server.page.encode())

    def do_POST(self):
        self.server.told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.came.set()

    def log_message(self, *_):
        pass


def alibaba(server, action, **parameters):
    """Asks for an operation of Alibaba's, signed by hand as ACS3-HMAC-SHA256 wants it."""
    query = urllib.parse.urlencode(sorted(parameters.items()), quote_via=urllib.parse.quote)
    empty = hashlib.sha256(b"").hexdigest()
    headers = {
        "host": server.addresses["http"],
        "x-acs-action": action,
        "x-acs-content-sha256": empty,
        "x-acs-date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": uuid.uuid4().hex,
        "x-acs-version": "2020-11-09",
    }
    names, lines = ";".join(headers), "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = hashlib.sha256(f"POST\n/\n{query}\n{lines}\n{names}\n{empty}".encode()).hexdigest()
    signature = hmac.new(harness.KEY_SECRET.encode(), f"ACS3-HMAC-SHA256\n{canonical}".encode(), hashlib.sha256)
    headers["Authorization"] = (f"ACS3-HMAC-SHA256 Credential={harness.KEY_ID},SignedHeaders={names},"
                                f"Signature={signature.hexdigest()}")
    asked = urllib.request.Request(f"{server.url}/?{query}", data=b"", headers=headers, method="POST")
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return json.loads(answer.read())


class Browser(unittest.TestCase):
    @contextlib.contextmanager
    def standing(self, more=""):
        """A server that meets browsers, and the door that a page comes from."""
        self.assertTrue(CHROMIUM, "there is no Chromium: install the package `chromium`")
        with Told() as page, tempfile.TemporaryDirectory(prefix="callwright-e2e-") as folder:
            origin = f"http://127.0.0.1:{page.server_port}"
            extra = f'\n[webrtc]\nlisten = "127.0.0.1:0"\n{more}'
            server = harness.Server(folder, extra, http=f'origins = ["{origin}"]')
            server.start()
            self.addCleanup(server.stop)
            server.agent(opening={"greeting": {"text": "Hello, this is the front desk. How can I help you today?"}})
            yield server, page

    @contextlib.contextmanager
    def visiting(self, server, page):
        """A browser that opens the page; at the end the page has told."""
        chromium = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
             "--autoplay-policy=no-user-gesture-required", "--use-fake-ui-for-media-stream",
             "--use-fake-device-for-media-stream", "--allow-loopback-in-peer-connection",
             f"--user-data-dir={server.folder}/chromium", f"http://127.0.0.1:{page.server_port}/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            yield
            self.assertTrue(page.came.wait(60), f"the page told nothing; {server.tail()}")
        finally:
            os.killpg(chromium.pid, 9)
            chromium.wait()

    def test_what_a_page_sends_arrives_as_alibabas_callback(self):
        receiver = Receiver()
        self.addCleanup(receiver.close)
        with self.standing(LOOSE) as (server, page):
            alibaba(server, "SetNotifyConfig", AIAgentId="desk", EnableNotify="true", CallbackUrl=receiver.url, Token="t")
            met = alibaba(server, "GenerateAIAgentCall", AIAgentId="desk", UserId="ann", UserData="as it came")
            message = json.dumps({"cart": ["apples", "Ä"]})
            page.page = PAGE % {"server": server.url, "join": f"{server.url}/v1/join/{met['ChannelId']}",
                                "token": met["Token"], "message": json.dumps(message)}
            events = lambda: [json.loads(body) for _, body in receiver.got]
            data = lambda: [event for event in events() if event["event"] == "client_defined_data"]
            with self.visiting(server, page):
                harness.wait_for("callback", lambda: data() or page.told, 60)
                page.heard.set()
            self.assertNotIn("error", page.told, page.told)
            self.assertEqual([(event["instanceId"], event["aiAgentId"], event["userData"], event["data"]) for event in data()],
                             [(met["InstanceId"], "desk", "as it came", {"message": message})])
            self.assertEqual(receiver.got[0][0]["authorization"], "t")
            self.assertEqual(server.ended(met["InstanceId"])["cause"], "callee_hung_up")
            harness.wait_for("end", lambda: "agent_stop" in [event["event"] for event in events()])

    def test_chromium_talks_with_the_agent(self):
        with self.standing() as (server, page):
            met = server.must("POST", "/v1/browser-calls", {"agent": "desk"})
            page.page = PAGE % {"server": server.url, "join": met["join_url"], "token": met["token"], "message": "null"}
            with self.visiting(server, page):
                pass
            told = page.told
            self.assertNotIn("error", told, told)
            self.assertGreater(told["audio"]["energy"], 0.001, f"the agent is heard: {told}")
            self.assertGreater(told["audio"]["sent"], 100, f"the microphone is sent: {told}")
            self.assertEqual(told["audio"]["codec"], "audio/opus")
            self.assertIn("speaking", told["states"])
            self.assertIn("front desk", " ".join(told["texts"]))
            view = server.ended(met["id"])
            self.assertEqual(view["cause"], "callee_hung_up")
            self.assertEqual(view["browser"]["channel"], met["channel"])
            print(f"a browser: {told['audio']}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
