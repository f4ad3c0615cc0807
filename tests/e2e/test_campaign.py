"""A small campaign from its file to its results: every row ends once, the counters are the callees' own, the pace holds; and
what cannot work is refused by name with nothing half-created."""

import pathlib
import sys
import unittest

import harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import campaign  # noqa: E402


class WholeCampaign(unittest.TestCase):
    def test_every_row_ends_once_through_a_pause_and_a_kill(self):
        chosen = campaign.arguments(["--callees", "300", "--cps", "20", "--concurrency", "20", "--channels", "8", "--kills", "1", "--limit", "300"])
        self.assertEqual(campaign.run(chosen), [])


class Refused(unittest.TestCase):
    def test_what_cannot_work_is_refused_by_name(self):
        good = {"name": "trial", "agent": "desk"}
        window = {"from": "09:00", "to": "21:00"}
        cases = [
            ({"concurrency": 0}, 400, "concurrency"),
            ({"cps": 0}, 400, "cps"),
            ({"priority": 11}, 400, "priority"),
            ({"deadline": "2020-01-01T00:00:00Z"}, 400, "deadline"),
            ({"starts_at": "2100-01-02T00:00:00Z", "deadline": "2100-01-01T00:00:00Z"}, 400, "deadline"),
            ({"windows": {"zone": "Mars/Olympus", "weekly": [window]}}, 400, "windows.zone"),
            ({"windows": {"zone": "Europe/Berlin", "weekly": []}}, 400, "windows.weekly"),
            ({"windows": {"zone": "Europe/Berlin", "weekly": [{"from": "21:00", "to": "09:00"}]}}, 400, "windows.weekly[0].to"),
            ({"retry": {"on": [], "max_attempts": 2}}, 400, "retry.on"),
            ({"retry": {"on": ["moon"], "max_attempts": 2}}, 400, "retry"),
            ({"agent": "nobody"}, 404, None),
            ({"from": "+19990000"}, 403, None),
            ({"speed": 3}, 400, "speed"),
        ]
        files = [
            (b"", "csv"),
            (b"name,city\r\nA,B\r\n", "csv"),
            (b"number,name\r\n", "csv"),
            (b"number,name\r\n+15550199,\"open\r\n+15550198,x\r\n", "csv"),
            (b"number,number\r\n+15550199,1\r\n", "csv"),
        ]
        with harness.server() as server:
            server.agent()
            server.trunk("t1", 9)
            server.number("+15550100", "t1")
            for change, status, field in cases:
                got, body = server.api("POST", "/v1/campaigns", {**good, **change})
                self.assertEqual((got, body["error"].get("field")), (status, field), body)
            self.assertEqual(server.must("GET", "/v1/campaigns")["campaigns"], [])
            made = server.must("POST", "/v1/campaigns", good)
            path = f"/v1/campaigns/{made['id']}"
            for text, field in files:
                status, _, _ = server.raw("POST", path + "/callees", text, {"Content-Type": "text/csv"})
                self.assertEqual(status, 400, text)
            status, body = server.api("POST", path + "/start")
            self.assertEqual((status, body["error"]["code"]), (409, "no_callees"))
            self.assertEqual(server.must("GET", path)["progress"]["total"], 0)
            report = server.must("POST", path + "/callees", {"callees": [{"to": "+15550199"}, {"to": "x"}, {"to": "+15550199"}]})
            self.assertEqual((report["added"], report["invalid"], report["duplicates"]), (1, 1, 1))
            self.assertEqual(server.api("POST", path + "/pause")[0], 409)
            self.assertEqual(server.api("POST", "/v1/campaigns/none/start")[0], 404)
            self.assertEqual(server.must("POST", path + "/stop")["state"], "stopped")
            self.assertEqual(server.api("POST", path + "/callees", {"callees": [{"to": "+15550197"}]})[0], 409)
            harness.wait_for("end of the campaign", lambda: server.must("GET", path)["finished_at"])
            self.assertEqual(server.must("GET", path)["progress"]["rows"]["cancelled"], 1)
            self.assertEqual(server.api("DELETE", path)[0], 204)


if __name__ == "__main__":
    unittest.main(verbosity=2)
