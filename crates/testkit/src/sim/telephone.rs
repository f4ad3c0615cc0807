//! A trunk with telephones behind it, as far as one call sees it: a scripted peer that speaks SIP by hand, so that a
//! mistake of our own parser or transactions cannot hide behind itself. A value: what it hears and when, it answers.
//! Never knows whether the network lost what it said.

use super::dice::Dice;
use std::fmt::Write;
use std::net::SocketAddr;

/// SIP's round-trip estimate, and the longest pause between repeats (RFC 3261 section 17).
const T1: u64 = 500;
const T2: u64 = 4_000;
/// How long anything is repeated.
const PATIENCE: u64 = 32_000;
/// Packets of twenty milliseconds that a callee speaks at a time, and is silent after.
const WORDS: u32 = 25;
const PAUSE: u32 = 30;

/// How a callee behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Temper {
    /// It refuses with a status after so long.
    Refuses(u16, u64),
    /// It rings for ever.
    RingsOn,
    /// Nothing comes back at all.
    Mute,
    /// It rings, answers, speaks now and then, and perhaps hangs up.
    Talks {
        /// How long it rings.
        ring: u64,
        /// How long it talks; none: until we hang up.
        talk: Option<u64>,
        /// Whether it says words.
        words: bool,
    },
    /// It answers and is never heard of again.
    Vanishes(u64),
    /// It answers with a session description that is of no use.
    Nonsense(u64),
    /// It sends rubbish, then rings and answers.
    Rubbish(u64),
}

impl Temper {
    /// One that talks.
    pub(super) const fn talks(ring: u64, talk: Option<u64>) -> Self {
        Self::Talks { ring, talk, words: true }
    }

    /// The temper of a throw of the dice.
    pub(super) fn of(dice: &mut Dice) -> Self {
        let ring = dice.from(20, 3_000);
        match dice.from(0, 11) {
            0 => Self::Refuses(486, ring),
            1 => Self::Refuses(dice.pick(&[404, 480, 500, 503, 603]), ring),
            2 => Self::RingsOn,
            3 => Self::Mute,
            4 => Self::Vanishes(ring),
            5 => Self::Nonsense(ring),
            6 => Self::Rubbish(ring),
            _ => {
                let talk = dice.chance(60).then(|| dice.from(0, 8_000));
                Self::Talks { ring, talk, words: dice.chance(50) }
            }
        }
    }
}

/// A SIP message cut into its lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) start: String,
    lines: Vec<(String, String)>,
    body: String,
}

impl Head {
    /// Cuts a message.
    pub(super) fn cut(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let lines = lines.filter_map(|line| line.split_once(':'));
        let lines = lines.map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned())).collect();
        Self { start, lines, body: body.to_owned() }
    }

    /// The first header of a name; empty when there is none.
    pub(super) fn of(&self, name: &str) -> &str {
        self.lines.iter().find(|(is, _)| is == name).map_or("", |(_, value)| value)
    }

    /// The method of a request; empty for a response.
    pub(super) fn method(&self) -> &str {
        if self.start.starts_with("SIP/2.0") { "" } else { self.start.split(' ').next().unwrap_or_default() }
    }

    /// The user whom a request is for.
    pub(super) fn user(&self) -> &str {
        let uri = self.start.split(' ').nth(1).unwrap_or_default();
        uri.trim_start_matches("sip:").split(['@', ';']).next().unwrap_or_default()
    }

    /// An answer to this request, with our tag.
    pub(super) fn answer(&self, status: u16, tag: &str, own: SocketAddr, body: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status} As it is\r\n");
        for (_, via) in self.lines.iter().filter(|(name, _)| name == "via") {
            write!(text, "Via: {via}\r\n").expect("a string takes everything");
        }
        let to = self.of("to");
        let to = if to.contains(";tag=") { to.to_owned() } else { format!("{to};tag={tag}") };
        let (from, id, cseq) = (self.of("from"), self.of("call-id"), self.of("cseq"));
        write!(text, "From: {from}\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq}\r\nContact: <sip:{own}>\r\n")
            .expect("a string takes everything");
        if !body.is_empty() {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("a string takes everything");
        text.into_bytes()
    }

    /// Where the sender of this session description hears.
    fn media(&self) -> Option<SocketAddr> {
        let line = |start: &str| self.body.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
        let host = line("c=IN IP4 ")?;
        let port = line("m=audio ")?;
        format!("{host}:{}", port.split(' ').next()?).parse().ok()
    }
}

/// What a telephone does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// It sends a SIP message.
    Send(Vec<u8>),
    /// It sends a media packet.
    Speak(SocketAddr, Vec<u8>),
    /// It looks again after so long.
    Later(u64, Timer),
}

/// Why a telephone looks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// It begins to ring.
    Ring,
    /// It answers or refuses.
    Decide,
    /// The final answer was not acknowledged; the pause since its last repeat and the time since the first.
    RepeatFinal(u64, u64),
    /// It hangs up.
    HangUp,
    /// Its BYE was not answered.
    RepeatBye(u64, u64),
    /// It says its next packet.
    Speak(u32),
}

/// Where a telephone's call stands, for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody decided yet.
    Ringing,
    /// It is up.
    Up,
    /// It is over.
    Over,
}

/// One call at the far end.
#[derive(Debug, Clone)]
pub(super) struct Telephone {
    pub(super) temper: Temper,
    pub(super) stage: Stage,
    own: SocketAddr,
    media: SocketAddr,
    invite: Head,
    tag: String,
    /// Its last answer to the INVITE.
    last: Vec<u8>,
    acknowledged: bool,
    /// Its BYE, until it is answered.
    bye: Vec<u8>,
    packets: u32,
}

impl Telephone {
    /// A telephone that is being called for the first time.
    pub(super) fn called(temper: Temper, invite: Head, (own, media): (SocketAddr, SocketAddr)) -> (Self, Vec<Act>) {
        let tag = tag_of(invite.of("call-id"));
        let begins = match temper {
            Temper::Mute => Vec::new(),
            Temper::Refuses(_, after) => vec![Act::Later(after, Timer::Decide)],
            _ => vec![Act::Later(5, Timer::Ring)],
        };
        let telephone = Self {
            temper,
            stage: Stage::Ringing,
            own,
            media,
            invite,
            tag,
            last: Vec::new(),
            acknowledged: false,
            bye: Vec::new(),
            packets: 0,
        };
        (telephone, begins)
    }

    /// Hears a message of its call.
    pub(super) fn hear(&mut self, head: &Head) -> Vec<Act> {
        match head.method() {
            "INVITE" if head.of("to").contains(";tag=") => self.reply(head, 200, &self.answer_body()),
            "INVITE" if self.last.is_empty() => Vec::new(),
            "INVITE" => vec![Act::Send(self.last.clone())],
            "ACK" => {
                self.acknowledged = true;
                Vec::new()
            }
            "CANCEL" => {
                let mut acts = self.reply(head, 200, "");
                if self.temper == Temper::Mute {
                    return Vec::new();
                }
                if self.stage == Stage::Ringing {
                    self.stage = Stage::Over;
                    acts.extend(self.decide(487, ""));
                }
                acts
            }
            "BYE" => {
                if matches!(self.temper, Temper::Vanishes(_)) {
                    return Vec::new();
                }
                self.stage = Stage::Over;
                self.reply(head, 200, "")
            }
            "" => {
                if head.of("cseq").ends_with("BYE") {
                    self.bye.clear();
                }
                Vec::new()
            }
            _ => self.reply(head, 200, ""),
        }
    }

    /// Does what it set itself to do.
    pub(super) fn wake(&mut self, timer: Timer) -> Vec<Act> {
        match timer {
            Timer::Ring => self.ring(),
            Timer::Decide if self.stage == Stage::Ringing => self.make_up_its_mind(),
            Timer::RepeatFinal(pause, since) if !self.acknowledged && since < PATIENCE => {
                let next = (pause * 2).min(T2);
                vec![Act::Send(self.last.clone()), Act::Later(next, Timer::RepeatFinal(next, since + next))]
            }
            // An answer that nobody acknowledged is taken back (RFC 3261 section 13.3.1.4).
            Timer::RepeatFinal(..) if !self.acknowledged && self.stage == Stage::Up => self.hang_up(),
            Timer::HangUp if self.stage == Stage::Up => self.hang_up(),
            Timer::RepeatBye(pause, since) if !self.bye.is_empty() && since < PATIENCE => {
                let next = (pause * 2).min(T2);
                vec![Act::Send(self.bye.clone()), Act::Later(next, Timer::RepeatBye(next, since + next))]
            }
            Timer::Speak(packet) if self.stage == Stage::Up => self.speak(packet),
            Timer::Decide | Timer::RepeatFinal(..) | Timer::HangUp | Timer::RepeatBye(..) | Timer::Speak(_) => {
                Vec::new()
            }
        }
    }

    fn ring(&mut self) -> Vec<Act> {
        if self.stage != Stage::Ringing {
            return Vec::new();
        }
        let mut acts = Vec::new();
        let decides = match self.temper {
            Temper::Rubbish(ring) => {
                acts.extend(
                    [&b"\r\n\r\n"[..], b"SIP/2.0 200 OK\r\n\r\n", b"\xff\xfe\x00", b"BYE sip: SIP/2.0\r\n\r\n"]
                        .map(|bytes| Act::Send(bytes.to_vec())),
                );
                Some(ring)
            }
            Temper::Talks { ring, .. } | Temper::Vanishes(ring) | Temper::Nonsense(ring) => Some(ring),
            Temper::Refuses(..) | Temper::RingsOn | Temper::Mute => None,
        };
        self.last = self.invite.answer(180, &self.tag, self.own, "");
        acts.push(Act::Send(self.last.clone()));
        acts.extend(decides.map(|after| Act::Later(after, Timer::Decide)));
        acts
    }

    fn make_up_its_mind(&mut self) -> Vec<Act> {
        match self.temper.clone() {
            Temper::Refuses(status, _) => {
                self.stage = Stage::Over;
                self.decide(status, "")
            }
            Temper::Nonsense(_) => {
                self.stage = Stage::Up;
                self.decide(200, "v=0\r\no=- 0 0 IN IP4 10.0.0.2\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n")
            }
            Temper::Talks { talk, words, .. } => {
                self.stage = Stage::Up;
                let mut acts = self.decide(200, &self.answer_body());
                acts.push(Act::Later(800, Timer::Speak(if words { 0 } else { WORDS + PAUSE })));
                acts.extend(talk.map(|talk| Act::Later(talk, Timer::HangUp)));
                acts
            }
            Temper::Vanishes(_) | Temper::Rubbish(_) => {
                self.stage = Stage::Up;
                self.decide(200, &self.answer_body())
            }
            Temper::RingsOn | Temper::Mute => Vec::new(),
        }
    }

    fn decide(&mut self, status: u16, body: &str) -> Vec<Act> {
        self.last = self.invite.answer(status, &self.tag, self.own, body);
        vec![Act::Send(self.last.clone()), Act::Later(T1, Timer::RepeatFinal(T1, T1))]
    }

    fn reply(&self, head: &Head, status: u16, body: &str) -> Vec<Act> {
        vec![Act::Send(head.answer(status, &self.tag, self.own, body))]
    }

    fn hang_up(&mut self) -> Vec<Act> {
        self.stage = Stage::Over;
        let contact = self.invite.of("contact").trim_start_matches('<').split('>').next().unwrap_or_default();
        let (from, to, id) = (self.invite.of("to"), self.invite.of("from"), self.invite.of("call-id"));
        let (own, tag) = (self.own, &self.tag);
        let text = format!(
            "BYE {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{tag}\r\nMax-Forwards: 70\r\nFrom: {from};tag={tag}\r\n\
             To: {to}\r\nCall-ID: {id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        );
        self.bye = text.into_bytes();
        vec![Act::Send(self.bye.clone()), Act::Later(T1, Timer::RepeatBye(T1, T1))]
    }

    fn answer_body(&self) -> String {
        let (host, port) = (self.media.ip(), self.media.port());
        format!(
            "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
             a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
        )
    }

    /// A loud packet while it speaks, then silence, then one packet a second as a sign of life.
    fn speak(&mut self, packet: u32) -> Vec<Act> {
        let Some(to) = self.invite.media() else { return Vec::new() };
        let loud = packet < WORDS;
        let pause = if packet < WORDS + PAUSE { 20 } else { 1_000 };
        let mut bytes = vec![0x80, 0x00];
        let sequence = u16::try_from(self.packets % 65_536).unwrap_or_default();
        bytes.extend(sequence.to_be_bytes());
        let behind = packet.saturating_sub(WORDS + PAUSE);
        let stamp = packet.min(WORDS + PAUSE) * 160 + behind * 8_000;
        bytes.extend(stamp.to_be_bytes());
        bytes.extend([0, 0, 0, 9]);
        bytes.extend((0..160_u8).map(|sample| {
            if !loud {
                0xff
            } else if sample % 8 < 4 {
                0x10
            } else {
                0x90
            }
        }));
        self.packets += 1;
        vec![Act::Speak(to, bytes), Act::Later(pause, Timer::Speak(packet + 1))]
    }
}

/// The telephone's tag in a call of that name.
fn tag_of(call: &str) -> String {
    format!("t{}", call.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))))
}

#[cfg(test)]
mod tests {
    use super::tag_of;

    #[test]
    fn every_name_of_a_call_makes_a_tag() {
        // The sum of this one passes the largest number by an addition.
        assert_eq!(tag_of("96a33ez"), "t18");
    }
}
