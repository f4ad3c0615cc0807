"""A real browser meets the agent: Chromium without a window, its microphone a steady beep, joins with our own client."""

import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest

import harness

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
        self.page, self.told, self.came = "", None, threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *all_of_it):
        self.shutdown()
        super().__exit__(*all_of_it)


class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
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


class Browser(unittest.TestCase):
    def test_chromium_talks_with_the_agent(self):
        self.assertTrue(CHROMIUM, "there is no Chromium: install the package `chromium`")
        with Told() as page, tempfile.TemporaryDirectory(prefix="callwright-e2e-") as folder:
            origin = f"http://127.0.0.1:{page.server_port}"
            server = harness.Server(folder, '\n[webrtc]\nlisten = "127.0.0.1:0"\n', http=f'origins = ["{origin}"]')
            server.start()
            self.addCleanup(server.stop)
            server.agent(opening={"greeting": {"text": "Hello, this is the front desk. How can I help you today?"}})
            met = server.must("POST", "/v1/browser-calls", {"agent": "desk"})
            page.page = PAGE % {"server": server.url, "join": met["join_url"], "token": met["token"]}
            chromium = subprocess.Popen(
                [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
                 "--autoplay-policy=no-user-gesture-required", "--use-fake-ui-for-media-stream",
                 "--use-fake-device-for-media-stream", "--allow-loopback-in-peer-connection",
                 f"--user-data-dir={folder}/chromium", f"{origin}/"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            try:
                self.assertTrue(page.came.wait(60), f"the page told nothing; {server.tail()}")
            finally:
                os.killpg(chromium.pid, 9)
                chromium.wait()
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
