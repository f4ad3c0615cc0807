//! How soon a packet becomes a report, and `play` a packet, over loopback:
//! `cargo run --release -p callwright-net --example response -- [LEGS]` (idle legs beside the measured one).
#![allow(clippy::print_stdout, clippy::disallowed_methods)] // it prints and measures: that is its purpose

use callwright_media::codec::PCMU;
use callwright_media::sdp::{Direction, RemoteMedia, RtcpPath};
use callwright_net::{LegHandle, LegReport, MediaPlane, MediaSettings, OpenLeg};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ROUNDS: u32 = 200;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn remote(address: SocketAddr) -> RemoteMedia {
    let (rtcp, direction) = (RtcpPath::Muxed, Direction::SendRecv);
    RemoteMedia { address, rtcp, codec: PCMU, payload_type: 0, events: None, direction }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let others: usize = std::env::args().nth(1).map_or(Ok(0), |legs| legs.parse())?;
    let plane = MediaPlane::start(MediaSettings { threads: 1, bind: HOME, ..MediaSettings::default() })?;
    let mut idle = Vec::new();
    let nowhere = UdpSocket::bind((HOME, 0))?;
    for _ in 0..others {
        let (leg, mut reports) = plane.open(OpenLeg::telephone()).await?;
        leg.remote(remote(nowhere.local_addr()?)).await?;
        tokio::spawn(async move { while reports.recv().await.is_some() {} });
        idle.push(leg);
    }
    let mut settings = OpenLeg::telephone();
    settings.quiet_chunk = settings.speech_chunk;
    let (leg, mut reports) = plane.open(settings).await?;
    let phone = UdpSocket::bind((HOME, 0))?;
    leg.remote(remote(phone.local_addr()?)).await?;
    println!("with {others} idle legs beside, {ROUNDS} packets, {} sentences", ROUNDS / 2);
    print("packet sent -> report read", arrivals(&phone, &leg, &mut reports).await?);
    tokio::spawn(async move { while reports.recv().await.is_some() {} });
    print("play() -> packet received", sentences(phone, &leg).await?);
    Ok(())
}

/// From sending a loud packet, 20 ms after the one before, until its audio is reported.
async fn arrivals(phone: &UdpSocket, leg: &LegHandle, reports: &mut Receiver<LegReport>) -> Outcome<Vec<Duration>> {
    let mut spans = Vec::new();
    let start = Instant::now();
    for i in 0..ROUNDS {
        tokio::time::sleep_until((start + Duration::from_millis(20) * i).into()).await;
        let mut packet = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        packet[2..4].copy_from_slice(&(i as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&(i * 160).to_be_bytes());
        // Every packet sounds different, so that each report is told from the one before.
        packet.extend([(i % 64) as u8; 160]);
        let sent = Instant::now();
        phone.send_to(&packet, leg.local())?;
        let mut sample = [0_i16];
        (PCMU.decode)(&packet[171..], &mut sample);
        loop {
            match tokio::time::timeout(Duration::from_millis(200), reports.recv()).await {
                Ok(Some(LegReport::Audio(chunk))) if chunk.contains(&sample[0]) => break,
                Ok(Some(_)) => {}
                Ok(None) => return Err("the leg closed".into()),
                Err(_) => return Err("a packet was never reported".into()),
            }
        }
        spans.push(sent.elapsed());
    }
    Ok(spans)
}

/// From ordering a sentence of 60 ms on an idle leg until its first packet is received.
async fn sentences(phone: UdpSocket, leg: &LegHandle) -> Outcome<Vec<Duration>> {
    let (loud, mut heard) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut packet = [0; 2048];
        let mut speaking = false;
        while let Ok((length, _)) = phone.recv_from(&mut packet) {
            // Control packets share the port.
            if length < 12 || packet[1] & 0x7f != 0 {
                continue;
            }
            let now = packet[12..length].iter().any(|byte| *byte != PCMU.silence);
            if now && !speaking && loud.send(Instant::now()).is_err() {
                return;
            }
            speaking = now;
        }
    });
    let mut spans = Vec::new();
    for i in 0..ROUNDS / 2 {
        let ordered = Instant::now();
        leg.play(vec![8000; 480]).await?;
        let came = tokio::time::timeout(Duration::from_secs(1), heard.recv()).await?.ok_or("no receiver")?;
        spans.push(came.saturating_duration_since(ordered));
        // Long enough for silence between two sentences even after a stall; another phase of the cadence each time.
        tokio::time::sleep(Duration::from_millis(200) + Duration::from_micros(u64::from(i) * 1700 % 20_000)).await;
    }
    Ok(spans)
}

fn print(name: &str, mut spans: Vec<Duration>) {
    spans.sort_unstable();
    let at = |part: usize| spans.get((spans.len() * part / 100).min(spans.len() - 1)).copied().unwrap_or_default();
    println!("{name}: p50 {:?}  p95 {:?}  p99 {:?}  most {:?}", at(50), at(95), at(99), at(100));
}
