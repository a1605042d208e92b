//! An operator's provisioning server: CoAP over UDP, any number of processes over one database, no session in memory.
//!
//! ```text
//! device_client ──UDP/CoAP──▶ Service ──questions──▶ Office ──▶ Core: a table here, or osmo-hlr
//!                               │                      │          │
//!                               └── session token ─────┴──────────┴──▶ one Step ──▶ redb file, or PostgreSQL
//! ```
//!
//! ```text
//! cargo run --example operator_server                                     a database in ./operator.redb
//! cargo run --example operator_server -- --database postgresql://…        shared by any number of these
//! cargo run --example operator_server -- --core hlr.db                    with the core of an osmo-hlr
//! ```
//!
//! SIGINT and SIGTERM end it gracefully. Identities are published test data: this program shows how, and serves no real
//! device. Left out: what operators do by themselves (suspend, revoke and others:
//! `provisioning::Task`), grants, and DTLS or OSCORE, because the exchange protects itself.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    reason = "a program with std that talks to a person"
)]

#[path = "operator_server/core_network.rs"]
mod core_network;
#[path = "operator_server/database.rs"]
mod database;
#[path = "operator_server/embedded.rs"]
mod embedded;
#[path = "operator_server/hlr.rs"]
mod hlr;
#[path = "operator_server/metrics.rs"]
mod metrics;
#[path = "net/mod.rs"]
mod net;
#[path = "operator_server/office.rs"]
mod office;
#[path = "operator_server/postgres.rs"]
mod postgres;
#[path = "operator_server/service.rs"]
mod service;
#[path = "operator_server/sqlite.rs"]
mod sqlite;

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use remote_provisioning::{
    credential::Previous,
    sim::{IDENTITY, home::Home, identities},
    store::KeyStore,
};
use tokio::{
    net::UdpSocket,
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    core_network::{CoreNetwork, TableCore},
    database::{Database, Failure},
    embedded::Embedded,
    hlr::HlrCore,
    metrics::{Metrics, count, log},
    office::Office,
    postgres::Postgres,
    service::Service,
};

/// The primitives, and who holds keys.
#[cfg(feature = "aws-lc-rs")]
use remote_provisioning::{
    crypto::aws_lc::{AgreementKey, AwsLc as Backend},
    store::aws_lc::AwsLcKeyStore as Keys,
};
#[cfg(not(feature = "aws-lc-rs"))]
use remote_provisioning::{
    crypto::rustcrypto::{AgreementKey, RustCrypto as Backend},
    store::memory::MemoryKeyStore as Keys,
};

pub(crate) const BACKEND: Backend = Backend;

const USAGE: &str =
    "usage: operator_server [--listen ADDRESS] [--database FILE or postgresql://…] [--core FILE] [--devices N]
                       [--supis N] [--mode beside|shared] [--calm N] [--metrics SECONDS]
  --listen ADDRESS   UDP address and port (default 127.0.0.1:5683; port 0: any, which the first line of stdout tells)
  --database WHERE   a file (default operator.redb), or the URL of a PostgreSQL that any number of servers share
  --core FILE        the core network is osmo-hlr, and this its database (default: a table stands for one)
  --devices N        knows the test maker's devices 1 to N (default 1000)
  --supis N          puts N SUPIs into the pool in all (default 1000)
  --mode MODE        a new K gets its own SUPI, or the same (default shared)
  --calm N           more sessions in a second: devices show first that they receive (default 200)
  --metrics SECONDS  a line of figures, this often (default 10)";

/// Messages that are worked on at a time. The device repeats what finds no room.
const ROOM: usize = 64;

/// How long a graceful end waits for them.
const GRACE: Duration = Duration::from_secs(5);

struct Options {
    listen: SocketAddr,
    database: String,
    core: Option<PathBuf>,
    devices: u32,
    supis: u32,
    mode: Previous,
    calm: u64,
    metrics: u64,
}

fn options() -> Option<Options> {
    let mut options = Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 5683)),
        database: "operator.redb".into(),
        core: None,
        devices: 1_000,
        supis: 1_000,
        mode: Previous::Shared,
        calm: 200,
        metrics: 10,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--listen" => options.listen = value.parse().ok()?,
            "--database" => options.database = value,
            "--core" => options.core = Some(value.into()),
            "--devices" => options.devices = value.parse().ok()?,
            "--supis" => options.supis = value.parse().ok()?,
            "--mode" if value == "beside" => options.mode = Previous::Beside,
            "--mode" if value == "shared" => options.mode = Previous::Shared,
            "--calm" => options.calm = value.parse().ok()?,
            "--metrics" => options.metrics = value.parse().ok().filter(|seconds| *seconds > 0)?,
            _ => return None,
        }
    }
    Some(options)
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log("fatal", &format!("reason=\"{failure}\""));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Failure> {
    let metrics = Arc::new(Metrics::default());
    let shared = ["postgres://", "postgresql://"].iter().any(|scheme| options.database.starts_with(scheme));
    let database = if shared {
        Database::Postgres(Postgres::open(&options.database, &metrics).await?)
    } else {
        Database::Embedded(Embedded::open(&PathBuf::from(&options.database), &metrics)?)
    };
    let mut keys = Keys::new();
    keys.insert(IDENTITY, identities::operator_key())?;
    Office::fill(&database, options.devices, options.supis, &keys.public_key(IDENTITY)?).await?;
    let core = match &options.core {
        Some(file) => CoreNetwork::Hlr(Box::new(HlrCore::open(file)?)),
        None => CoreNetwork::Table(TableCore { storage: Home::storage_key()? }),
    };
    let office = Office::new(options.devices, options.mode, core, Arc::clone(&metrics))?;
    let service = Arc::new(Service::new(database, office, keys, options.calm, Arc::clone(&metrics))?);

    let socket = Arc::new(UdpSocket::bind(options.listen).await?);
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    println!("listening on {}", socket.local_addr()?);
    let kind = if shared { "postgresql" } else { "file" };
    log("started", &format!("listen={} database={kind} devices={}", socket.local_addr()?, options.devices));

    let room = Arc::new(Semaphore::new(ROOM));
    let mut tick = interval(Duration::from_secs(options.metrics));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut buffer = [0; 2_048];
    let signal = loop {
        let (len, from) = tokio::select! {
            came = socket.recv_from(&mut buffer) => match came {
                Ok(came) => came,
                // An ICMP error about an earlier datagram: nobody is there any more.
                Err(_) => continue,
            },
            _ = tick.tick() => {
                log("metrics", &metrics.line());
                let service = Arc::clone(&service);
                tokio::spawn(async move {
                    if let Err(failure) = service.sweep().await {
                        log("failed", &format!("reason=\"sweep: {failure}\""));
                    }
                });
                continue;
            },
            _ = interrupted.recv() => break "SIGINT",
            _ = terminated.recv() => break "SIGTERM",
        };
        count(&metrics.received);
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            metrics.dropped.fetch_add(1, Relaxed);
            continue;
        };
        let (service, socket, bytes) = (Arc::clone(&service), Arc::clone(&socket), buffer[..len].to_vec());
        tokio::spawn(async move {
            if let Some(response) = service.datagram(&bytes, from).await {
                // What does not get out is lost, as on any network.
                let _ = socket.send_to(&response, from).await;
            }
            drop(place);
        });
    };
    log("stopping", &format!("signal={signal}"));
    let all = u32::try_from(ROOM).unwrap_or(u32::MAX);
    let left = timeout(GRACE, room.acquire_many(all)).await.is_err();
    log("stopped", &format!("unfinished={left} {}", metrics.line()));
    Ok(())
}
