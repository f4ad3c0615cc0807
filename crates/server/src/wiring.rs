//! Makes a running server out of a configuration: opens the store, binds the sockets, hands everything to the engine
//! and the engine to the API. Decides nothing about calls.

use crate::config::{self, Settings};
use crate::descriptors;
use crate::ready::Addresses;
use crate::seeding;
use anyhow::Context;
use callwright_api::{Api, Callbacks, Guard, Limits, SystemLookup};
use callwright_domain::Moment;
use callwright_engine::{Calls, Clock, Engine, Failpoints, NoPeers, Parts, Peers, Policy, Sounds};
use callwright_net::{MediaPlane, MediaSettings, PortRange, SipEndpoint, SipHandle, SipReport, SipSettings};
use callwright_providers::asr::Asr;
use callwright_providers::catalogue::{Catalogue, LocalEntry, LocalParts};
use callwright_providers::llm::Llm;
use callwright_providers::local::LocalModels;
use callwright_providers::tts::Tts;
use callwright_providers::{Outside, ProviderError};
use callwright_store::{Check, Opened, Spool, Store, StoreSettings};
use metrics_exporter_prometheus::PrometheusHandle;
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// How often the gauges of the planes are refreshed.
const GAUGES_EVERY: Duration = Duration::from_millis(500);

/// Largest sound file: they are kept in memory.
const SOUND_BYTES: u64 = 64 << 20;

/// How long connections may take to close once everything is over.
const STOP_PATIENCE: Duration = Duration::from_secs(6);

/// A server that takes calls.
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) addresses: Addresses,
    /// Its audio, for a demo's callee beside it.
    pub(crate) media: MediaPlane,
    /// Its local models.
    pub(crate) models: LocalModels,
    /// What is still to be found out about the database.
    pub(crate) check: Option<Check>,
    engine: Engine,
    store: Store,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The time of the system's clock.
pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Starts a server.
pub(crate) async fn start(settings: &Settings, metrics: PrometheusHandle) -> anyhow::Result<Running> {
    if !settings.server.core_files {
        descriptors::leave_no_core_file();
    }
    let room = descriptors::take(settings.server.max_calls);
    let (Opened { store, reader, recordings, check, .. }, spool) = storage(settings).await?;
    let (models, catalogue) = catalogue(settings)?;
    let media = media(settings)?;
    let tasks = TaskTracker::new();
    let sounds = sounds(settings)?;
    let stop = CancellationToken::new();
    let sip = sip(settings, &tasks, &stop).await?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?;
    seeding::seed(settings, &store, now()).await?;
    let cluster = settings.store.cluster()?;
    let peers: Arc<dyn Peers> = match cluster.clone() {
        Some(cluster) => Arc::new(cluster),
        None => Arc::new(NoPeers),
    };
    let guard = Guard::new(settings.webhooks.egress(), SystemLookup);
    let catalogue = catalogue.guarded(Outside::through(Arc::new(guard.clone())));
    let engine = Engine::start(Parts {
        notifier: Arc::new(Callbacks::new(guard.clone())?),
        store: store.clone(),
        reader,
        spool,
        recordings,
        catalogue,
        sounds: sounds.clone(),
        sip: sip.clone(),
        media: media.clone(),
        peers,
        clock: Clock::new(now),
        policy: Policy {
            max_calls: room.calls,
            drain: Duration::from_secs(settings.server.drain_s),
            media_timeout: Duration::from_secs(settings.media.timeout_s.max(5)),
        },
        seed,
        failpoints: Failpoints::default(),
    })
    .await?;
    prepare_apology(sounds, settings, &models, &tasks);
    let listener = bind("http.listen", settings.http.listen).await?;
    let (doors, door_addresses) = doors(settings).await?;
    let addresses = Addresses {
        http: listener.local_addr()?,
        dialects: door_addresses,
        sip_udp: sip.udp(),
        sip_tcp: sip.tcp(),
        webrtc: media.browser_addresses().first().copied(),
        pid: std::process::id(),
    };
    let flaws = callwright_api::route_flaws();
    anyhow::ensure!(flaws.is_empty(), "the API's routes: {}", flaws.join("; "));
    let api = Api::new(engine.calls(), now, move || metrics.render());
    let api = api.limits(Limits { connections: room.connections, ..Limits::default() });
    let api = api.rates(settings.http.rates.rates()).cluster(cluster).guarded_by(guard);
    serve(api, settings, (listener, doors), (&tasks, &stop))?;
    tasks.spawn(gauges(sip, media.clone(), stop.clone()));
    Ok(Running { addresses, media, models, check, engine, store, stop, tasks })
}

/// A listener at an address that the configuration names under `key`.
async fn bind(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("`{key}`: {address} cannot be used; another program may have it, choose another port"))
}

/// Listeners of a single dialect each, by the dialects' names.
type Doors<'a> = Vec<(&'a str, TcpListener)>;

/// Serves behind all doors.
fn serve(
    api: Api,
    settings: &Settings,
    (listener, doors): (TcpListener, Doors<'_>),
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> anyhow::Result<()> {
    let api = api.origins(settings.http.origins.clone()).hosts(&config::hosts(&settings.dialects));
    for (dialect, listener) in doors {
        let own = api.only(dialect).with_context(|| format!("`dialects.{dialect}`: there is no such dialect"))?;
        tasks.spawn(own.serve(listener, stop.clone()));
    }
    tasks.spawn(api.serve(listener, stop.clone()));
    Ok(())
}

/// The listeners of single dialects, and where they are.
async fn doors(settings: &Settings) -> anyhow::Result<(Doors<'_>, BTreeMap<String, SocketAddr>)> {
    let (mut doors, mut addresses) = (Vec::new(), BTreeMap::new());
    for (dialect, door) in &settings.dialects {
        let Some(listen) = door.listen else { continue };
        let listener = bind(&format!("dialects.{dialect}.listen"), listen).await?;
        addresses.insert(dialect.clone(), listener.local_addr()?);
        doors.push((dialect.as_str(), listener));
    }
    Ok((doors, addresses))
}

/// The database, the recordings, and where events wait while a shared database is away.
async fn storage(settings: &Settings) -> anyhow::Result<(Opened, Option<Spool>)> {
    let (data, node) = (&settings.server.data, &settings.server.node);
    let shared = settings.store.shared();
    let spool = shared.is_some().then(|| Spool::open(data, node)).transpose()?;
    let opened = Store::open(StoreSettings { shared, ..StoreSettings::directory(data, node) }, now()).await?;
    let keys = settings.recordings.keyring().context("`recordings`")?;
    let recordings = opened.recordings.with_keys(keys).context("`recordings.keys`")?;
    let recordings = match settings.recordings.remote()? {
        Some(remote) => recordings.with_remote(remote),
        None => recordings,
    };
    Ok((Opened { recordings, ..opened }, spool))
}

impl Running {
    /// The door into the engine.
    pub(crate) fn calls(&self) -> Calls {
        self.engine.calls()
    }

    /// Lets live calls end, then stops everything. `hurry` cuts the wait short.
    pub(crate) async fn stop(self, hurry: impl Future<Output = ()> + Send) {
        let Self { engine, store, stop, tasks, media, models, .. } = self;
        engine.drain(hurry).await;
        // The SIP endpoint says its last goodbyes and ends when nobody holds it any more: not the engine, not the API.
        drop(engine);
        drop(media);
        stop.cancel();
        tasks.close();
        if timeout(STOP_PATIENCE, tasks.wait()).await.is_err() {
            warn!("some connections did not close in time");
        }
        if let Err(error) = tokio::task::spawn_blocking(move || models.close()).await {
            warn!(%error, "the local models could not be closed");
        }
        store.close().await;
    }
}

fn catalogue(settings: &Settings) -> anyhow::Result<(LocalModels, Catalogue)> {
    let models = LocalModels::new(settings.models.dir.clone());
    for finding in models.check() {
        info!("{finding}");
    }
    let catalogue = Catalogue::build(&settings.vendors(), &InProcess(models.clone()))?;
    Ok((models, catalogue))
}

/// The sounds of the configured folder beside those that are made; the apology is spoken in the background.
fn sounds(settings: &Settings) -> anyhow::Result<Sounds> {
    let mut sounds = Sounds::default();
    if let Some(dir) = &settings.sounds.dir {
        let unreadable = || format!("`sounds.dir`: {} cannot be read; name a folder with WAV files", dir.display());
        for entry in fs::read_dir(dir).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            let is_wav = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("wav"));
            let Some(name) = path.file_stem().and_then(|name| name.to_str()).filter(|_| is_wav) else { continue };
            let unusable = || format!("`sounds.dir`: {} cannot be played", path.display());
            let bytes = fs::metadata(&path).with_context(unusable)?.len();
            anyhow::ensure!(bytes <= SOUND_BYTES, "`sounds.dir`: {} has more than 64 MiB", path.display());
            sounds.add(name, &fs::read(&path).with_context(unusable)?).with_context(unusable)?;
        }
    }
    Ok(sounds)
}

/// Loads the local voice and lets it speak the apology. Begun when the calls of an earlier life have been ended: loading
/// takes a second of a processor, for which their callees would wait.
fn prepare_apology(sounds: Sounds, settings: &Settings, models: &LocalModels, tasks: &TaskTracker) {
    if !models.has_voice() {
        return;
    }
    let (voice, text) = (models.voice("local"), settings.sounds.apology.clone());
    tasks.spawn(async move {
        if let Err(error) = sounds.speak_apology(voice, &text).await {
            warn!(%error, "the apology could not be spoken; tones stand in for it");
        }
    });
}

/// Hands the local models to the catalogue under the configured names.
struct InProcess(LocalModels);

impl LocalParts for InProcess {
    fn ears(&self, name: &str, _entry: &LocalEntry) -> Result<Arc<dyn Asr>, ProviderError> {
        Ok(self.0.ears(name))
    }

    fn brain(&self, name: &str, _entry: &LocalEntry) -> Result<Arc<dyn Llm>, ProviderError> {
        Ok(self.0.brain(name))
    }

    fn voice(&self, name: &str, _entry: &LocalEntry) -> Result<Arc<dyn Tts>, ProviderError> {
        Ok(self.0.voice(name))
    }
}

fn media(settings: &Settings) -> anyhow::Result<MediaPlane> {
    let ports = settings.media.ports;
    let bind = settings.media.address;
    let threads = if settings.media.threads == 0 { MediaSettings::default().threads } else { settings.media.threads };
    let advertise = settings.media.advertise.or_else(|| bind.is_unspecified().then(own_address));
    let range = PortRange::new(ports.first, ports.last).context("`media.ports`")?;
    let browsers = settings.webrtc.settings(own_address);
    MediaPlane::start(MediaSettings { threads, bind, advertise, ports: range, browsers, ..MediaSettings::default() })
        .context("the media plane cannot start")
}

async fn sip(settings: &Settings, tasks: &TaskTracker, stop: &CancellationToken) -> anyhow::Result<SipHandle> {
    let mut wanted = SipSettings::new(settings.sip.udp, settings.sip.tcp);
    wanted.advertise = settings.sip.advertise.clone();
    if wanted.advertise.is_none() && settings.sip.udp.ip().is_unspecified() {
        wanted.advertise = Some(own_address().to_string());
    }
    let (endpoint, handle, reports) = SipEndpoint::bind(wanted).await.with_context(|| {
        format!("`sip.udp`: {} cannot be used; another program may have it, choose another port", settings.sip.udp)
    })?;
    tasks.spawn(endpoint.run());
    tasks.spawn(listen(reports, stop.clone()));
    Ok(handle)
}

/// What happens beside calls. Nobody may call us yet, so a call that comes is let go, which refuses it.
async fn listen(mut reports: mpsc::Receiver<SipReport>, stop: CancellationToken) {
    loop {
        let report = tokio::select! {
            () = stop.cancelled() => return,
            report = reports.recv() => report,
        };
        match report {
            None => return,
            Some(SipReport::Incoming { .. }) => info!("an incoming call was refused"),
        }
    }
}

/// The address that packets to the outside leave from. No packet is sent to find out.
fn own_address() -> IpAddr {
    let documentation = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    let found = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect(documentation).and_then(|()| socket.local_addr()));
    found.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

/// Copies the planes' own counters into the metrics.
async fn gauges(sip: SipHandle, media: MediaPlane, stop: CancellationToken) {
    loop {
        if let Ok(live) = sip.live().await {
            let remembered = live.calls + live.dialogs + live.transactions + live.timers + live.leftovers;
            set("callwright_sip_remembered", remembered);
        }
        let stats = media.stats();
        set("callwright_media_legs", stats.legs);
        metrics::counter!("callwright_media_visits_total").absolute(stats.visits);
        metrics::counter!("callwright_media_late_visits_total").absolute(stats.late_visits);
        metrics::counter!("callwright_media_dropped_chunks_total").absolute(stats.dropped_chunks);
        metrics::counter!("callwright_browser_stray_packets_total").absolute(stats.strangers);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(GAUGES_EVERY) => {}
        }
    }
}

fn set(name: &'static str, value: usize) {
    let value = u32::try_from(value).unwrap_or(u32::MAX);
    metrics::gauge!(name).set(f64::from(value));
}
