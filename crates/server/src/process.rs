//! The whole process: what is started, in which order, and how it ends.
//!
//! Start: the data directory's lock, the ports (so that a mistake is told before anything is read), the disk's threads,
//! a thread for each shard. Connections are accepted once every shard has recovered. End: no new connections, what is in
//! flight is answered, the shards make everything durable, the threads are joined.

use crate::admin::{self, Admin, Request};
use crate::client::{Acceptor, Admission, Doors, Encryption, Target};
use crate::config::{Settings, memory};
use crate::descriptors::Descriptors;
use crate::disk::{Completions, DiskPool};
use crate::internode::{
    Arrival, InternodePorts, PeerBook, PeerCollector, PeerTarget, SeedsError, Wire,
};
use crate::listen::{ListenError, Reserved, reserve};
use crate::lock::{DirectoryLock, LockError};
use crate::metrics::{Counters, Metrics, ShardMetrics};
use crate::panic::AbortOnPanic;
use crate::shard::{Command, Environment, Mailbox, NewConnection};
use crate::tls::TlsError;
use crate::work::{WorkPool, WorkResults};
use model::env::{IoOutcome, IoTag};
use node::effects::WorkDone;
use node::execute::admin::{AdminAnswer, AdminError, AdminWork, Whose};
use node::machine::Machine;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum StartError {
    #[error(transparent)]
    Directory(#[from] LockError),
    #[error(transparent)]
    Port(#[from] ListenError),
    #[error(transparent)]
    Encryption(#[from] TlsError),
    #[error(transparent)]
    Seeds(#[from] SeedsError),
    /// The operating system refuses something that every process may have.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// A shard ended before it was ready; the log says why.
    #[error("a shard could not start")]
    Shard,
}

/// What makes the shards.
pub trait Factory: Send + Sync + 'static {
    /// The state machine of a shard.
    type Shard: Machine;
    /// Makes shard `index` of `shards`, on its own thread.
    fn make(&self, index: u16, shards: u16) -> Self::Shard;
}

/// Where the process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The native transport.
    pub native: SocketAddr,
    /// The port where a client chooses its shard.
    pub shard_aware: Option<SocketAddr>,
    /// The admin API.
    pub admin: Option<SocketAddr>,
    /// What other nodes are told, if there may be any.
    pub internode: Option<SocketAddr>,
}

/// What is told once clients are served.
#[derive(Debug)]
pub struct Serving {
    /// Where.
    pub addresses: Addresses,
    /// Ends the process when something is sent; dropping it does nothing.
    pub stop: oneshot::Sender<()>,
}

/// Runs until a signal ends it. `factory` makes what makes the shards, once the ports are known; `ready` is called once
/// clients are served.
pub fn run<F: Factory>(
    settings: &Settings,
    factory: impl FnOnce(&Addresses) -> F,
    ready: impl FnOnce(Serving),
) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, start(settings, factory, ready))
}

impl Target for Mailbox {
    fn connect(&self, connection: NewConnection) {
        Mailbox::connect(self, connection);
    }
}

/// Where the disk's outcomes go.
struct Mailboxes(Arc<[Arc<Mailbox>]>);

impl Completions for Mailboxes {
    fn complete(&self, shard: u16, tag: IoTag, outcome: IoOutcome) {
        self.0[usize::from(shard)].complete(tag, outcome);
    }
}

impl PeerTarget for Mailbox {
    fn arrive(&self, arrival: Arrival) {
        Mailbox::arrive(self, arrival);
    }
}

impl WorkResults for Mailboxes {
    fn done(&self, shard: u16, number: u64, done: WorkDone) {
        self.0[usize::from(shard)].done(number, done);
    }
}

/// The shards' threads and the ways to them.
struct Shards {
    mailboxes: Arc<[Arc<Mailbox>]>,
    connections: Vec<Arc<AtomicUsize>>,
    metrics: Vec<Arc<ShardMetrics>>,
    peers: Vec<Arc<PeerBook>>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// The ports, taken before anything is started, so that a mistake is told at once.
struct Ports {
    clients: Reserved,
    shard_aware: Option<Reserved>,
    admin: Option<Reserved>,
    internode: Option<InternodePorts>,
}

impl Ports {
    fn take(settings: &Settings) -> Result<Self, StartError> {
        let native = &settings.native;
        let clients = reserve(
            SocketAddr::new(native.address, native.port),
            "native_transport_port",
        )?;
        let shard_aware = match native.shard_aware_port {
            None => None,
            Some(port) => match reserve(
                SocketAddr::new(native.address, port),
                "helenus_shard_aware_port",
            ) {
                Ok(reserved) => Some(reserved),
                // Nobody asked for it, and every client does without.
                Err(error) if native.shard_aware_port_is_default => {
                    tracing::warn!("no shard-aware port: {error}");
                    None
                }
                Err(error) => return Err(error.into()),
            },
        };
        let admin = settings
            .admin
            .map(|address| reserve(address, "helenus_admin_address"))
            .transpose()?;
        let internode = settings
            .internode
            .enabled
            .then(|| InternodePorts::take(settings))
            .transpose()?;
        Ok(Self {
            clients,
            shard_aware,
            admin,
            internode,
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            native: self.clients.address(),
            shard_aware: self.shard_aware.as_ref().map(Reserved::address),
            admin: self.admin.as_ref().map(Reserved::address),
            internode: self.internode.as_ref().map(InternodePorts::announced),
        }
    }
}

async fn start<F: Factory>(
    settings: &Settings,
    factory: impl FnOnce(&Addresses) -> F,
    ready: impl FnOnce(Serving),
) -> Result<(), StartError> {
    let descriptors = Descriptors::raise();
    let _lock = DirectoryLock::take(&settings.data_directory)?;
    let ports = Ports::take(settings)?;
    let addresses = ports.addresses();
    let (stop, stopped) = oneshot::channel();
    let mut signals = Signals::new(stopped)?;

    let mailboxes: Arc<[Arc<Mailbox>]> = (0..settings.shards).map(|_| Arc::default()).collect();
    let completions = Arc::new(Mailboxes(mailboxes.clone()));
    let disk = DiskPool::start(&settings.data_directory, settings.io_threads, &completions)?;
    let work = WorkPool::start(&completions)?;
    let factory = Arc::new(factory(&addresses));
    let pool = disk.pool();
    let wire = ports.internode.as_ref().map(InternodePorts::wire);
    let starting = start_shards(settings, &factory, mailboxes.clone(), &pool, &work, wire);
    // Shards may need other nodes to recover.
    let accepting = match ports.internode {
        Some(internode) => internode.accept(peer_targets(&mailboxes))?,
        None => Vec::new(),
    };
    let Some(shards) = unless_ended(starting, &mailboxes, &mut signals).await? else {
        tracing::info!("ended before it served: there is nothing to drain");
        return Ok(());
    };
    let admission = Admission::new(&settings.native, descriptors);
    let (ask, asked) = mpsc::channel(16);
    if let Some(reserved) = ports.admin {
        let peers = PeerCollector(shards.peers.clone());
        let metrics = Metrics::new(shards.metrics.clone(), admission.clone(), peers);
        let admin = Admin::new(settings, &addresses, metrics, ask);
        admin::start(reserved.listen()?.into_std()?, admin)?;
    }
    let acceptor = acceptor(&shards, admission, settings.native.keepalive);
    let doors = Doors::open(acceptor, ports.clients, ports.shard_aware)?;
    tracing::info!(address = %addresses.native, "serving clients");
    ready(Serving { addresses, stop });

    serve(&shards.mailboxes, doors, accepting, &mut signals, asked).await;
    for thread in shards.threads {
        // A shard that panics ends the process itself.
        let _ = thread.join();
    }
    disk.close();
    tracing::info!("ended");
    Ok(())
}

/// The shards once they have recovered, or nothing if somebody ends the process before. What recovery has done so far is
/// kept or done again, as after a crash.
async fn unless_ended(
    starting: impl Future<Output = Result<Shards, StartError>>,
    mailboxes: &[Arc<Mailbox>],
    signals: &mut Signals,
) -> Result<Option<Shards>, StartError> {
    let mut starting = pin!(starting);
    loop {
        tokio::select! {
            shards = &mut starting => return shards.map(Some),
            signal = signals.next() => match signal {
                Signal::End => return Ok(None),
                Signal::Describe => log_state(mailboxes).await,
            },
        }
    }
}

/// Does what signals and the admin API ask, until the end; then every shard is drained.
async fn serve(
    mailboxes: &[Arc<Mailbox>],
    mut doors: Doors,
    mut accepting: Vec<JoinHandle<()>>,
    signals: &mut Signals,
    mut asked: mpsc::Receiver<Request>,
) {
    let mut serving = true;
    loop {
        let end = tokio::select! {
            signal = signals.next() => match signal {
                Signal::End => None,
                Signal::Describe => {
                    log_state(mailboxes).await;
                    continue;
                }
            },
            Some(request) = asked.recv() => match request {
                Request::Describe(answer) => {
                    // Whoever asked may have gone.
                    let _ = answer.send(describe(mailboxes).await);
                    continue;
                }
                Request::Count(answer) => {
                    let _ = answer.send(count(mailboxes).await);
                    continue;
                }
                Request::Work(_, answer) if !serving => {
                    // Shards that are drained have ended.
                    let error = AdminError::Failed("this node is drained".to_owned());
                    let _ = answer.send(Err(error));
                    continue;
                }
                Request::Work(work, answer) => {
                    spawn_local(answer_work(mailboxes.to_vec(), work, answer));
                    continue;
                }
                Request::IsOpen(answer) => {
                    let _ = answer.send(doors.is_open());
                    continue;
                }
                Request::Open(open, answer) => {
                    let opened = set_open(open, serving, &mut doors, mailboxes).await;
                    let _ = answer.send(opened);
                    continue;
                }
                Request::Drain(answer) => Some(answer),
            },
        };
        if std::mem::take(&mut serving) {
            tracing::info!("draining");
            doors.close();
            accepting.drain(..).for_each(|task| task.abort());
            drain(mailboxes).await;
        }
        match end {
            Some(answer) => {
                let _ = answer.send(());
            }
            None => return,
        }
    }
}

/// Lets clients in, or lets none in and sends those away that are there.
async fn set_open(
    open: bool,
    serving: bool,
    doors: &mut Doors,
    mailboxes: &[Arc<Mailbox>],
) -> Result<(), String> {
    match (open, serving) {
        (true, false) => Err("this node is drained".to_owned()),
        (true, true) => doors.reopen().map_err(|error| error.to_string()),
        (false, _) => {
            doors.close();
            ask(mailboxes, Command::SendAway).await;
            Ok(())
        }
    }
}

fn peer_targets(mailboxes: &[Arc<Mailbox>]) -> Vec<Arc<dyn PeerTarget>> {
    let targets = mailboxes.iter().map(|mailbox| mailbox.clone() as _);
    targets.collect()
}

fn acceptor(shards: &Shards, admission: Arc<Admission>, keepalive: bool) -> Acceptor {
    let targets = shards
        .mailboxes
        .iter()
        .zip(&shards.connections)
        .map(|(mailbox, connections)| (mailbox.clone() as Arc<dyn Target>, connections.clone()))
        .collect();
    Acceptor::new(targets, admission, keepalive)
}

/// Starts a thread for each shard and waits until all have recovered.
async fn start_shards<F: Factory>(
    settings: &Settings,
    factory: &Arc<F>,
    mailboxes: Arc<[Arc<Mailbox>]>,
    disk: &DiskPool,
    work: &WorkPool,
    wire: Option<Arc<Wire>>,
) -> Result<Shards, StartError> {
    let transport = Arc::new(settings.native.clone());
    let encryption = transport
        .encryption
        .as_ref()
        .map(Encryption::load)
        .transpose()?;
    let mut shards = Shards {
        mailboxes,
        connections: Vec::new(),
        metrics: Vec::new(),
        peers: Vec::new(),
        threads: Vec::new(),
    };
    let mut recovered = Vec::new();
    for index in 0..settings.shards {
        let (ready, wait) = oneshot::channel();
        let environment = Environment {
            index,
            mailboxes: shards.mailboxes.clone(),
            disk: disk.clone(),
            work: work.clone(),
            transport: transport.clone(),
            encryption: encryption.clone(),
            waiting_bytes: memory::of_shard(settings, memory::ANSWERS),
            connections: Arc::default(),
            wire: wire.clone(),
            peers: Arc::default(),
            metrics: Arc::default(),
            ready: Some(ready),
        };
        shards.connections.push(environment.connections.clone());
        shards.metrics.push(environment.metrics.clone());
        shards.peers.push(environment.peers.clone());
        recovered.push(wait);
        let (factory, count) = (factory.clone(), settings.shards);
        // Of several nodes in one process each says which it is.
        let node = tracing::Span::current();
        let thread = thread::Builder::new()
            .name(format!("shard-{index}"))
            .spawn(move || {
                let _abort = AbortOnPanic;
                let _node = node.entered();
                if let Err(error) = crate::shard::run(factory.make(index, count), environment) {
                    tracing::error!(shard = index, %error, "the shard's loop ended");
                }
            })?;
        shards.threads.push(thread);
    }
    for wait in recovered {
        wait.await.map_err(|_| StartError::Shard)?;
    }
    Ok(shards)
}

/// Has every shard answer what is in flight, and when all have, make everything durable: a store that is drained refuses
/// what another shard still asks of it.
async fn drain(mailboxes: &[Arc<Mailbox>]) {
    for command in [Command::Quiet, Command::Drain] {
        let waits: Vec<_> = mailboxes
            .iter()
            .map(|mailbox| {
                let (answer, wait) = oneshot::channel();
                mailbox.command(command(answer));
                wait
            })
            .collect();
        for wait in waits {
            // A shard that is gone already has nothing left to drain.
            let _ = wait.await;
        }
    }
}

/// Asks every shard and waits for their answers, each for a second.
async fn ask<T: Default>(
    mailboxes: &[Arc<Mailbox>],
    command: fn(oneshot::Sender<T>) -> Command,
) -> Vec<T> {
    let mut answers = Vec::new();
    for mailbox in mailboxes {
        let (answer, wait) = oneshot::channel();
        mailbox.command(command(answer));
        let answered = tokio::time::timeout(Duration::from_secs(1), wait).await;
        answers.push(answered.ok().and_then(Result::ok).unwrap_or_default());
    }
    answers
}

/// Every shard's description of itself; empty for one that does not answer.
async fn describe(mailboxes: &[Arc<Mailbox>]) -> Vec<String> {
    ask(mailboxes, Command::Describe).await
}

/// What every shard counts.
async fn count(mailboxes: &[Arc<Mailbox>]) -> Vec<Counters> {
    ask(mailboxes, Command::Count).await
}

/// Has the shards that are meant do their part and answers when they have, with the first failure if there is one.
async fn answer_work(
    mailboxes: Vec<Arc<Mailbox>>,
    work: AdminWork,
    answer: oneshot::Sender<Result<Vec<AdminAnswer>, AdminError>>,
) {
    let mut waits = Vec::new();
    let asked = match work.whose() {
        Whose::EveryShards => mailboxes.as_slice(),
        Whose::Shard0s => &mailboxes[..1],
    };
    for mailbox in asked {
        let (done, wait) = oneshot::channel();
        mailbox.command(Command::Admin(work.clone(), done));
        waits.push(wait);
    }
    let mut results = Vec::new();
    for wait in waits {
        let ended = |_| Err(AdminError::Failed("a shard has ended".to_owned()));
        results.push(wait.await.unwrap_or_else(ended));
    }
    // Whoever asked may have gone.
    let _ = answer.send(results.into_iter().collect());
}

async fn log_state(mailboxes: &[Arc<Mailbox>]) {
    for (shard, text) in describe(mailboxes).await.into_iter().enumerate() {
        for line in text.lines() {
            tracing::info!(shard, "{line}");
        }
    }
}

/// What the operator may want by signal.
enum Signal {
    End,
    Describe,
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
    stopped: Option<oneshot::Receiver<()>>,
}

impl Signals {
    fn new(stopped: oneshot::Receiver<()>) -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            stopped: Some(stopped),
        })
    }

    async fn next(&mut self) -> Signal {
        let stopped = async {
            match &mut self.stopped {
                Some(stopped) => stopped.await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            told = stopped => {
                self.stopped = None;
                if told { Signal::End } else { Box::pin(self.next()).await }
            }
            _ = self.interrupt.recv() => Signal::End,
            _ = self.terminate.recv() => Signal::End,
            _ = self.quit.recv() => Signal::Describe,
        }
    }
}
