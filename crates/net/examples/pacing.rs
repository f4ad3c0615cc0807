//! How evenly a media thread sends, and what a leg costs: N legs on one thread, all speaking, each packet sent back.
//! `cargo run --release -p callwright-net --example pacing -- [LEGS] [SECONDS]`
#![allow(clippy::print_stdout, reason = "a measuring tool prints its figures")]

use callwright_media::codec::PCMU;
use callwright_media::sdp::{Direction, RemoteMedia, RtcpPath};
use callwright_net::{LegHandle, LegReport, MediaPlane, MediaSettings, OpenLeg};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let legs: usize = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let plane = MediaPlane::start(MediaSettings { threads: 1, bind: HOME, ..MediaSettings::default() })?;
    let idle = media_cpu();
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("idle, no legs: {:.3} % of a core", percent(media_cpu().saturating_sub(idle), Duration::from_secs(1)));
    let reflector = UdpSocket::bind((HOME, 0))?;
    reflector.set_read_timeout(Some(Duration::from_millis(200)))?;
    let target = reflector.local_addr()?;
    let until = Instant::now() + Duration::from_secs(seconds + 2);
    let listening = std::thread::spawn(move || reflect(&reflector, until));
    let mut open = Vec::new();
    for _ in 0..legs {
        let (leg, reports) = plane.open(OpenLeg::telephone()).await?;
        leg.remote(remote(target)).await?;
        tokio::spawn(listen(reports));
        tokio::spawn(speak(leg.clone(), seconds + 3));
        open.push(leg);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, started, wakes) = (media_cpu(), Instant::now(), plane.stats().wakes);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (cpu, spent) = (media_cpu().saturating_sub(before), started.elapsed());
    let stats = plane.stats();
    println!("{legs} legs: {:.2} % of a core, {:.4} % a leg", percent(cpu, spent), percent(cpu, spent) / legs as f64);
    println!("{:.0} wakes a second", (stats.wakes - wakes) as f64 / spent.as_secs_f64());
    let deviations = listening.join().map_err(|_| "the reflector failed")?;
    for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
        let index = ((deviations.len().saturating_sub(1)) as f64 * share) as usize;
        println!("{name} deviation from 20 ms: {:?}", deviations.get(index).copied().unwrap_or_default());
    }
    println!("{stats:?}");
    Ok(())
}

fn remote(address: SocketAddr) -> RemoteMedia {
    RemoteMedia {
        address,
        rtcp: RtcpPath::Muxed,
        codec: PCMU,
        payload_type: 0,
        events: None,
        direction: Direction::SendRecv,
    }
}

/// Sends every packet back and notes how far each gap between packets of a stream is from 20 ms, sorted.
fn reflect(socket: &UdpSocket, until: Instant) -> Vec<Duration> {
    let mut last: HashMap<[u8; 4], Instant> = HashMap::new();
    let mut deviations = Vec::new();
    let mut packet = [0; 2048];
    while Instant::now() < until {
        let Ok((length, source)) = socket.recv_from(&mut packet) else { continue };
        let now = Instant::now();
        if length < 12 || packet[1] & 0x7f >= 72 {
            continue;
        }
        if socket.send_to(&packet[..length], source).is_err() {
            continue;
        }
        let stream = [packet[8], packet[9], packet[10], packet[11]];
        if let Some(before) = last.insert(stream, now) {
            deviations.push(now.duration_since(before).abs_diff(Duration::from_millis(20)));
        }
    }
    deviations.sort_unstable();
    deviations
}

async fn listen(mut reports: Receiver<LegReport>) {
    while reports.recv().await.is_some() {}
}

async fn speak(leg: LegHandle, seconds: u64) {
    for _ in 0..2 * seconds {
        if leg.play(vec![1000; 4000]).await.is_err() {
            return;
        }
    }
}

fn percent(cpu: Duration, of: Duration) -> f64 {
    100.0 * cpu.as_secs_f64() / of.as_secs_f64()
}

/// Processor time of the media threads so far; zero where the system does not tell.
fn media_cpu() -> Duration {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let nanos = tasks.flatten().filter_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let spent = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        name.starts_with("media-").then(|| spent.split(' ').next()?.parse::<u64>().ok()).flatten()
    });
    Duration::from_nanos(nanos.sum())
}
