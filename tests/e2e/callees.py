"""Thousands of telephones behind one UDP port, which do by the digits of their number what a plan says, and write down what
reached them and when. Standard library only; knows as much SIP as that takes."""

import collections
import re
import socket
import struct
import threading
import time

# Linux: the kernel stamps each datagram, so that a busy machine does not make calls look closer than they were.
SO_TIMESTAMPNS = 35
BUSY, NO_ANSWER, BUSY_ONCE, ANSWER = "busy", "no_answer", "busy_once", "answer"


def plan_of(number):
    """20 in 100 busy (half of them only at first), 10 in 100 no answer, the others answer and hang up at once."""
    last = int(number[-2:])
    return BUSY if last < 10 else BUSY_ONCE if last < 20 else NO_ANSWER if last < 30 else ANSWER


class Dialog:
    def __init__(self, number, at):
        self.number, self.at, self.outcome, self.invite = number, at, None, None


class Callees:
    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        # Somewhere for the audio to go.
        self.sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sink.bind(("127.0.0.1", 0))
        self.dialogs, self.rung, self.lock = {}, collections.Counter(), threading.Lock()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        self.socket.close()
        self.sink.close()

    def run(self):
        while True:
            try:
                data, ancillary, _, source = self.socket.recvmsg(65535, 256)
            except OSError:
                return
            at = next((s + n / 1e9 for level, kind, value in ancillary
                       if kind == SO_TIMESTAMPNS and len(value) == 16 for s, n in [struct.unpack("qq", value)]), time.time())
            with self.lock:
                self.handle(data.decode(errors="replace"), source, at)

    def handle(self, text, source, at):
        start, _, rest = text.partition("\r\n")
        head = rest.partition("\r\n\r\n")[0]
        call_id = self.header(head, "Call-ID", "i")
        method = start.split(" ")[0]
        if method == "INVITE":
            self.invited(start, head, call_id, source, at)
        elif method == "ACK":
            dialog = self.dialogs.get(call_id)
            if dialog and dialog.outcome == "answered_unconfirmed":
                dialog.outcome = "answered"
                self.send(self.bye(dialog, source), source)
        elif method == "CANCEL":
            self.send(self.reply("200 OK", head), source)
            dialog = self.dialogs.get(call_id)
            if dialog and dialog.invite and dialog.outcome is None:
                dialog.outcome = "cancelled"
                self.send(self.reply("487 Request Terminated", dialog.invite), source)
        elif method in ("BYE", "OPTIONS", "UPDATE", "INFO", "PRACK"):
            self.send(self.reply("200 OK", head), source)

    def invited(self, start, head, call_id, source, at):
        number = re.match(r"INVITE sip:([^@;>\s]+)@", start).group(1)
        dialog = self.dialogs.get(call_id)
        if dialog is None:
            dialog = self.dialogs[call_id] = Dialog(number, at)
            self.rung[number] += 1
            dialog.turn = self.rung[number]
        dialog.invite = head
        plan = self.plan(dialog)
        if plan == BUSY or plan == BUSY_ONCE and dialog.turn == 1:
            dialog.outcome = "busy"
            self.send(self.reply("486 Busy Here", head), source)
        elif plan == NO_ANSWER:
            self.send(self.reply("180 Ringing", head), source)
        else:
            dialog.outcome = dialog.outcome or "answered_unconfirmed"
            body = ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                    f"m=audio {self.sink.getsockname()[1]} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n")
            extra = f"Contact: <sip:callee@127.0.0.1:{self.port}>\r\nContent-Type: application/sdp\r\n"
            self.send(self.reply("200 OK", head, extra, body), source)

    @staticmethod
    def plan(dialog):
        return plan_of(dialog.number)

    @staticmethod
    def header(head, name, short=None):
        names = name if short is None else f"{name}|{short}"
        found = re.search(rf"^(?:{names})\s*:\s*(.*?)\s*$", head, re.M | re.I)
        return found.group(1) if found else ""

    def reply(self, status, head, extra="", body=""):
        lines = [line for line in head.split("\r\n") if re.match(r"(Via|v|From|f|Call-ID|i|CSeq|Record-Route)\s*:", line, re.I)]
        to = self.header(head, "To", "t")
        to = to if "tag=" in to else f"{to};tag=callee"
        return f"SIP/2.0 {status}\r\n" + "\r\n".join(lines) + f"\r\nTo: {to}\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}"

    def bye(self, dialog, source):
        head = dialog.invite
        target = re.search(r"<?(sip:[^>\s;]+)", self.header(head, "Contact", "m"))
        target = target.group(1) if target else f"sip:{source[0]}:{source[1]}"
        return (f"BYE {target} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bKbye{abs(hash(head)):x}\r\n"
                f"Max-Forwards: 70\r\nFrom: {self.header(head, 'To', 't')};tag=callee\r\nTo: {self.header(head, 'From', 'f')}\r\n"
                f"Call-ID: {self.header(head, 'Call-ID', 'i')}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n")

    def send(self, text, source):
        try:
            self.socket.sendto(text.encode(), source)
        except OSError:
            pass  # The server is down at this moment; it will not miss what it did not ask for.

    # What it saw.

    def busiest_second(self):
        """Most calls that began in any second, however it is laid."""
        with self.lock:
            times = sorted(dialog.at for dialog in self.dialogs.values())
        most, first = 0, 0
        for last, at in enumerate(times):
            while at - times[first] >= 1.0:
                first += 1
            most = max(most, last - first + 1)
        return most

    def calls(self):
        with self.lock:
            return len(self.dialogs)

    def outcomes(self):
        """What each dialog came to, by Call-ID."""
        with self.lock:
            return {call_id: (dialog.number, dialog.outcome) for call_id, dialog in self.dialogs.items()}
