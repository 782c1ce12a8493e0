//! The composition root: builds every part in dependency order, binds before serving, and runs until the end.

use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use super::activity::Reports;
use super::control::Daemon;
use super::control::Inner;
use super::drain::{self, Signals};
use super::listen::{self, Sockets};
use super::live;
use super::materials::{self, Materials, Stamp, unix_s};
use super::refusals::Refusals;
use super::reload::{self, describe, https_port};
use super::state::{self, World};
use super::supervise::Supervisor;
use super::switches;
use super::upkeep::Upkeep;
use super::{Announce, Start, StartError};
use crate::base::Host;
use crate::config::settings::{ConnectionCaps, Settings};
use crate::config::{self, Loaded};
use crate::edge::accept::Acceptor;
use crate::edge::worker::{self, ARRIVALS_MAX, Inbox};
use crate::edge::{Caps, Drain, Policy, Shared};
use crate::ops::api::{self, Listener, State};
use crate::ops::{self, Control, Door, SocketFile};
use crate::ports::system::{SystemClock, SystemDial, SystemEntropy, SystemResolver};
use crate::ports::{Clock, Resolver};
use crate::sys;
use crate::telemetry::events::Hub;
use crate::telemetry::log::Writer;
use crate::telemetry::originals::Originals;
use crate::telemetry::{Level, Log, Metrics};

/// Threads of the control runtime: one that may wait in a reload, one that answers meanwhile.
const CONTROL_THREADS: usize = 2;
/// Descriptors for everything that is not a proxied connection.
const FILES_RESERVED: u64 = 192;
/// For the control servers to end.
const SERVERS_END: Duration = Duration::from_secs(3);

const NO_TIME: &str = "this machine's clock stands before 1970\n  set it (timedatectl, or a time server), then start \
    palisade again";

/// Runs the daemon until SIGTERM or SIGINT has drained it.
///
/// # Errors
/// Why nothing was started.
pub fn run(mut start: Start) -> Result<(), StartError> {
    let inherited = sys::fds::inherited()
        .map_err(|error| StartError::Failed(format!("the sockets of systemd: {error}")))?;
    let loaded = start.source.load(&start.environment).map_err(StartError::Config)?;
    // Before the first thread: the environment of a running process can be read by others.
    sys::env::remove(&loaded.secret_env);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // TLS counts seconds since 1970 and cannot begin before; the port gives zero for less.
    if clock.unix().is_zero() {
        return Err(StartError::Failed(NO_TIME.to_owned()));
    }
    let settings = &loaded.settings;
    // Before anything is made: a start that the configuration forbids leaves nothing behind.
    materials::check_errors(settings, &start.environment, &*clock).map_err(StartError::Config)?;
    let events = Hub::new(settings.workers, Arc::clone(&clock));
    let (log, writer) = open_log(settings, &clock, &events)?;
    let sockets = [&settings.listen.control, &settings.listen.app];
    if sockets.iter().any(|path| path.starts_with(&settings.state_dir)) {
        // The directory of a socket is open to its group, that of the state is not. What fails here fails again below.
        let _ = sys::files::make_dir(&settings.state_dir, 0o700);
    }
    let sockets = listen::bind(&settings.listen, inherited).map_err(StartError::Failed)?;
    let socket_files = SocketFiles(sockets.made.clone());
    let announce = start.announce.take();
    let daemon = assemble(start, loaded, &sockets, clock, &log, events)?;
    let runtime = control_runtime()?;
    let result = serve(&runtime, &daemon, sockets, announce);
    drop(socket_files);
    runtime.shutdown_timeout(Duration::ZERO);
    // With it the state is closed, after everything that uses it.
    drop(daemon);
    // The panic hook holds a handle to the log, so the writer is not joined but flushed.
    log.flush();
    drop(writer);
    result
}

/// Opens the state and puts the parts of the daemon together; nothing of it runs yet.
fn assemble(
    mut start: Start,
    loaded: Loaded,
    sockets: &Sockets,
    clock: Arc<dyn Clock>,
    log: &Log,
    events: Arc<Hub>,
) -> Result<Arc<Daemon>, StartError> {
    let mut settings = loaded.settings;
    let resolver = Arc::new(SystemResolver::default());
    let world = world(&clock, Arc::<SystemResolver>::clone(&resolver), log);
    let entropy = Arc::clone(&world.entropy);
    let state = state::open(&settings, &start.environment, world)?;
    let switchboard = switches::load(&state, log, &mut settings.capabilities, clock.unix())?;
    // Nothing reads it again: what a dump of this process could show is less by one copy.
    start.environment.forget(&config::MASTER_KEY_VARIABLES);
    let stamp = Stamp::of(&settings);
    let mut materials = Materials::new().map_err(failed("the system's randomness"))?;
    let stored = |site: &Host| state.manager.certificate(site);
    let vault = state.vault(&settings.state_dir, log);
    let keys = materials.load(&settings, &start.environment, &stored, &vault, &*clock);
    let keys = keys.map_err(StartError::Config)?;
    let metrics = hooked_metrics(&settings, log);

    let listeners = shown(sockets, &settings);
    let (limits, lowered) = caps(&settings);
    let of_file = (!loaded.warnings.is_empty()).then(|| loaded.warnings.to_string());
    let warnings = keys.warnings().chain(lowered).chain(of_file).collect();
    let https = https_port(&settings, &listeners, &sockets.inherited);
    let policy = Policy::new(1, settings.clone(), keys.tls, https, keys.peers);
    let shared = Arc::new(Shared {
        policy: ArcSwap::from_pointee(policy),
        caps: Caps::new(limits),
        clock: Arc::clone(&clock),
        epoch: clock.now(),
        entropy,
        dial: Arc::new(SystemDial),
        metrics,
        log: log.clone(),
        events,
        originals: Originals::new(Arc::clone(&clock)),
        actions: state.actions.clone(),
        challenges: Arc::clone(&state.challenges),
        cut: std::sync::atomic::AtomicUsize::new(0),
        collect_memory: sys::memory::collect,
    });
    let inner = Inner {
        state: State::Starting,
        materials,
        certificates: keys.certificates,
        stamp,
        generation: 1,
        loaded_at_s: unix_s(&*clock),
        last_error: None,
        certificates_error: None,
        reloads_refused: 0,
        app_down: std::collections::VecDeque::new(),
        crowd: super::crowd::Crowd::default(),
        warnings,
        listeners,
        inherited: sockets.inherited.clone(),
        acceptor: None,
        settings,
    };
    Ok(Arc::new(Daemon {
        started: clock.now(),
        history: live::begin(&*clock),
        reports: Reports::new(state.store.clone(), Arc::clone(&clock)),
        source: start.source,
        environment: start.environment,
        inner: Mutex::new(inner),
        refusals: Refusals::default(),
        state,
        upkeep: Upkeep::new(resolver, &shared),
        shared,
        switchboard,
    }))
}

/// What is outside.
fn world(clock: &Arc<dyn Clock>, resolver: Arc<dyn Resolver>, log: &Log) -> World {
    World { clock: Arc::clone(clock), entropy: Arc::new(SystemEntropy), resolver, log: log.clone() }
}

/// The counters, panics among what they count.
fn hooked_metrics(settings: &Settings, log: &Log) -> Arc<Metrics> {
    let metrics = Metrics::new(settings.workers);
    hook_panics(log.clone(), Arc::clone(&metrics));
    metrics
}

/// The sockets that were made here. Removed while they are still held, so that each can be told from what somebody else
/// put at its path.
struct SocketFiles(Vec<SocketFile>);

impl Drop for SocketFiles {
    fn drop(&mut self) {
        self.0.iter().for_each(SocketFile::remove);
    }
}

fn control_runtime() -> Result<Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(failed("the control runtime"))
}

fn serve(
    runtime: &Runtime,
    daemon: &Arc<Daemon>,
    sockets: Sockets,
    announce: Option<Announce>,
) -> Result<(), StartError> {
    let (tell, told) = watch::channel(Drain::No);
    let (inboxes, workers) = start_workers(&daemon.shared, &told)?;
    runtime.block_on(async {
        let mut signals = Signals::listen().map_err(failed("signal handlers"))?;
        let (stop, stopped) = watch::channel(false);
        let mut supervisor =
            Supervisor::new(tokio::runtime::Handle::current(), daemon.shared.log.clone());
        serve_unix(&mut supervisor, daemon, (Door::Control, sockets.control), &stopped)
            .map_err(failed("the control socket"))?;
        serve_unix(&mut supervisor, daemon, (Door::App, sockets.app), &stopped)
            .map_err(failed("the app's socket"))?;
        serve_ops(&mut supervisor, daemon, sockets.ops, &stopped)
            .map_err(failed("the ops address"))?;
        watch_live(&mut supervisor, daemon, &stopped);
        let (audit, stop_audit) = (Arc::clone(&daemon.state.audit), stopped.clone());
        supervisor.keep("audit", move || Arc::clone(&audit).run(stop_audit.clone()));
        let (actions, stop_actions) = (Arc::clone(&daemon.state.actions), stopped.clone());
        supervisor.keep("actions", move || Arc::clone(&actions).run(stop_actions.clone()));
        watch_switches(&mut supervisor, daemon, &stopped);
        daemon.upkeep.keep(&mut supervisor, &stopped);
        let (shared, stop_reach) = (Arc::clone(&daemon.shared), stopped.clone());
        supervisor.keep("unreached upstreams", move || {
            super::reach::run(Arc::clone(&shared), stop_reach.clone())
        });
        let watched = Arc::clone(daemon);
        supervisor.keep("certificates", move || {
            reload::watch_certificates(Arc::clone(&watched), stopped.clone())
        });
        let acceptor = Acceptor::start(sockets.edge, Arc::clone(&daemon.shared), inboxes)
            .map_err(failed("the acceptor"))?;
        {
            let mut inner = daemon.inner();
            inner.acceptor = Some(acceptor);
            inner.state = State::Ready;
        }
        // An authority asks for proof as soon as it is told of an order: not before connections are accepted.
        let manager = Arc::clone(&daemon.state.manager);
        let (stop_orders, no_orders) = watch::channel(false);
        supervisor.keep("orders", move || Arc::clone(&manager).run(no_orders.clone()));
        started(daemon, announce);
        signals.until_stop(daemon).await;
        let _ = stop_orders.send(true);
        drain::drain(Arc::clone(daemon), workers, tell, &mut signals).await;
        let _ = stop.send(true);
        supervisor.finish(SERVERS_END).await;
        Ok(())
    })
}

/// What operators look at: the events, the answers that clients did not get, and the history.
fn watch_live(supervisor: &mut Supervisor, daemon: &Arc<Daemon>, stopped: &watch::Receiver<bool>) {
    let (events, stop) = (Arc::clone(&daemon.shared.events), stopped.clone());
    supervisor.keep("events", move || {
        let (events, stop) = (Arc::clone(&events), stop.clone());
        async move { events.run(stop).await }
    });
    let (originals, stop) = (Arc::clone(&daemon.shared.originals), stopped.clone());
    supervisor.keep("originals", move || {
        let (originals, stop) = (Arc::clone(&originals), stop.clone());
        async move { originals.run(stop).await }
    });
    let (daemon, stop) = (Arc::clone(daemon), stopped.clone());
    supervisor.keep("history", move || live::keep_history(Arc::clone(&daemon), stop.clone()));
}

/// What ends switches at their time.
fn watch_switches(
    supervisor: &mut Supervisor,
    daemon: &Arc<Daemon>,
    stopped: &watch::Receiver<bool>,
) {
    let (daemon, stop) = (Arc::clone(daemon), stopped.clone());
    supervisor.keep("switches", move || switches::watch(Arc::clone(&daemon), stop.clone()));
}

/// Says that everything serves: to the log, to systemd, to whoever started it in a terminal.
fn started(daemon: &Daemon, announce: Option<Announce>) {
    tokio::task::block_in_place(|| daemon.record_start());
    let status = daemon.status();
    daemon.shared.log.event(Level::Info, "started", |line| {
        line.text("version", &status.version)
            .number("pid", u64::from(status.pid))
            .number("sites", status.sites_total as u64)
            .number("workers", status.workers as u64);
        for role in ["https", "http", "ops", "control", "app"] {
            let of_role = status.listeners.iter().filter(|listener| listener.role == role);
            line.list(role, of_role.map(|listener| listener.address.as_str()));
        }
    });
    reload::log_switches(&daemon.shared.log, &daemon.inner().settings.capabilities);
    for attention in &status.attention {
        let level = match attention.level {
            api::Level::Fail => Level::Error,
            api::Level::Warn => Level::Warn,
        };
        daemon.shared.log.event(level, "attention", |line| {
            line.text("message", &attention.message).text(
                "next",
                "do what it says; `palisade status` and `palisade cert list` say more",
            );
        });
    }
    let _ = sys::notify::ready(&format!("serving {} sites", status.sites_total));
    if let Some(announce) = announce {
        announce(&status, &daemon.state.notes());
    }
}

fn start_workers(
    shared: &Arc<Shared>,
    told: &watch::Receiver<Drain>,
) -> Result<(Vec<Inbox>, Vec<JoinHandle<()>>), StartError> {
    let count = shared.policy.load().settings.workers;
    let mut inboxes = Vec::new();
    let mut threads = Vec::new();
    for index in 0..count {
        let (arrivals, receiver) = mpsc::channel(ARRIVALS_MAX);
        let load = Arc::default();
        inboxes.push(Inbox { arrivals, load: Arc::clone(&load) });
        let (shared, told) = (Arc::clone(shared), told.clone());
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let log = shared.log.clone();
            if let Err(error) = worker::run(shared, index, receiver, load, told) {
                log.event(Level::Error, "worker_failed", |line| {
                    line.number("worker", index as u64).text("why", &error.to_string());
                });
            }
        });
        threads.push(thread.map_err(failed("a worker thread"))?);
    }
    Ok((inboxes, threads))
}

fn serve_unix(
    supervisor: &mut Supervisor,
    daemon: &Arc<Daemon>,
    (door, socket): (Door, std::os::unix::net::UnixListener),
    stopped: &watch::Receiver<bool>,
) -> std::io::Result<()> {
    socket.set_nonblocking(true)?;
    let (daemon, stopped) = (Arc::clone(daemon), stopped.clone());
    let name = if door == Door::App { "app" } else { "control" };
    supervisor.keep(name, move || {
        let listener = socket.try_clone().and_then(UnixListener::from_std);
        let (control, stopped) = (Arc::clone(&daemon) as Arc<dyn Control>, stopped.clone());
        async move {
            if let Ok(listener) = listener {
                ops::serve_unix(listener, door, control, stopped).await;
            }
        }
    });
    Ok(())
}

fn serve_ops(
    supervisor: &mut Supervisor,
    daemon: &Arc<Daemon>,
    socket: std::net::TcpListener,
    stopped: &watch::Receiver<bool>,
) -> std::io::Result<()> {
    socket.set_nonblocking(true)?;
    let (daemon, stopped) = (Arc::clone(daemon), stopped.clone());
    supervisor.keep("ops", move || {
        let listener = socket.try_clone().and_then(TcpListener::from_std);
        let (control, stopped) = (Arc::clone(&daemon) as Arc<dyn Control>, stopped.clone());
        async move {
            if let Ok(listener) = listener {
                ops::serve_ops(listener, control, stopped).await;
            }
        }
    });
    Ok(())
}

fn open_log(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    events: &Arc<Hub>,
) -> Result<(Log, Writer), StartError> {
    let file = settings.log.file.as_deref();
    let opened = Log::open(file, Arc::clone(clock));
    let shown = opened.map(|(log, writer)| (log.shown_by(Arc::clone(events)), writer));
    shown.map_err(|error| {
        let place = file.map_or_else(|| "standard output".into(), |p| p.display().to_string());
        let remedy = file.and_then(|path| sys::files::disk_remedy(error.kind(), path));
        let remedy = remedy.unwrap_or_else(|| {
            let uid = rustix::process::geteuid().as_raw();
            format!("make its directory and let user id {uid} write there")
        });
        StartError::Failed(format!(
            "cannot write the log to {place}: {error}\n  {remedy}, or choose another file: --log-file \
             (`log.file` in the file)"
        ))
    })
}

/// The listeners as bound, for screens.
fn shown(sockets: &Sockets, settings: &Settings) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = sockets.edge.iter().map(describe).collect();
    let ops = sockets.ops.local_addr().unwrap_or(settings.listen.ops).to_string();
    listeners.push(Listener { role: "ops".into(), address: ops });
    for (role, path) in [("control", &settings.listen.control), ("app", &settings.listen.app)] {
        listeners.push(Listener { role: role.into(), address: path.display().to_string() });
    }
    listeners
}

/// The caps that the number of descriptors allows, and a sentence if that is less than asked for.
pub(super) fn caps(settings: &Settings) -> (ConnectionCaps, Option<String>) {
    let files = sys::limits::raise_nofile();
    let wanted = settings.connections.total;
    // A proxied connection has two descriptors: the client's and the app's.
    let fits = usize::try_from(files.saturating_sub(FILES_RESERVED) / 2).unwrap_or(usize::MAX);
    // A few less show in `status`; a warning is for a limit that somebody forgot.
    let lowered = (fits < wanted / 2).then(|| {
        format!(
            "connections.total is {wanted}, but {files} open files allow {fits}: \
             raise LimitNOFILE of the service"
        )
    });
    (ConnectionCaps { total: wanted.min(fits), ..settings.connections.clone() }, lowered)
}

/// A panic is counted and logged with its place; its message may hold data of a request and is left out.
fn hook_panics(log: Log, metrics: Arc<Metrics>) {
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        metrics.panicked();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        log.event(Level::Error, "panic", |line| {
            line.text("place", &place)
                .text("thread", &thread)
                .text("next", "a defect in palisade; please report it with this line");
        });
    }));
}

fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> StartError {
    move |error| StartError::Failed(format!("cannot set up {what}: {error}"))
}
