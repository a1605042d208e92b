//! Load: many devices at once, in memory; or many sessions that nobody goes on with. What it costs the server, the server
//! says itself.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::Instant,
};

use remote_provisioning::{
    Device,
    credential::SoftUsim,
    crypto::rustcrypto::RustCrypto,
    provisioning::{
        Platform,
        device::{Action, Goal},
    },
    store::memory::MemoryStore,
};

use crate::{
    Result, factory,
    link::Link,
    net::{self, SystemRandom},
    session,
};

/// Milliseconds before a request goes out again.
const PAUSE: u64 = 1_000;

/// What the server says of itself: counters by name.
struct Figures(String);

impl Figures {
    fn of(server: SocketAddr) -> Result<Self> {
        let text = Link::new(vec![server], PAUSE, 0.0, 1)?.get(net::METRICS)?;
        Ok(Self(String::from_utf8(text)?))
    }

    fn get(&self, name: &str) -> f64 {
        let pairs = self.0.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok()).unwrap_or_default()
    }
}

pub(crate) fn run(servers: &[SocketAddr], devices: u32, threads: u32, half_open: u32) -> Result<()> {
    let before = Figures::of(servers[0])?;
    let start = Instant::now();
    let (next, failed) = (AtomicU32::new(1), AtomicU32::new(0));
    let work = || {
        let result =
            if half_open > 0 { knock(servers, half_open, &next) } else { provision(servers, devices, &next, &failed) };
        if let Err(error) = result {
            eprintln!("{error}");
            failed.fetch_add(1, Relaxed);
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let after = Figures::of(servers[0])?;
    let more = |name: &str| after.get(name) - before.get(name);
    let done = more(if half_open > 0 { "sessions" } else { "activated" });
    let what = if half_open > 0 { "half-open sessions" } else { "provisionings" };
    println!("{done} {what} in {seconds:.1} s: {:.0} a second, {} failed", done / seconds, failed.load(Relaxed));
    let (user, system) = (more("user_ms"), more("system_ms"));
    println!(
        "server: {:.2} ms of CPU each, {:.2} of it in the kernel: {:.0} a second and core",
        (user + system) / done,
        system / done,
        done * 1_000.0 / (user + system)
    );
    println!(
        "database: {:.1} steps each, {:.1} of them in a transaction, {:.2} ms a transaction, busy {:.0} % of the time",
        more("commits") / done,
        more("commits") / more("batches"),
        more("commit_us") / more("batches") / 1_000.0,
        more("commit_us") / seconds / 10_000.0
    );
    println!(
        "memory: {} KiB before, {} KiB after: {:.0} bytes each",
        before.get("memory_kib"),
        after.get("memory_kib"),
        more("memory_kib") * 1_024.0 / done
    );
    if failed.load(Relaxed) == 0 { Ok(()) } else { Err("some failed".into()) }
}

/// Devices until all have a subscription.
fn provision(servers: &[SocketAddr], devices: u32, next: &AtomicU32, failed: &AtomicU32) -> Result<()> {
    loop {
        let number = next.fetch_add(1, Relaxed);
        if number > devices {
            return Ok(());
        }
        let (made, mut store) = (factory::make(number)?, MemoryStore::new());
        let mut link = Link::new(servers.to_vec(), PAUSE, 0.0, u64::from(number))?;
        let outcome = session::attempt(&made, &mut store, &mut link, Goal::Provision, &mut |_| {})?;
        if let Err(error) = outcome.result {
            eprintln!("{}: {error}", made.name);
            failed.fetch_add(1, Relaxed);
        }
    }
}

/// One message_1, sent again and again: each makes a session, because the server does not know it again.
fn knock(servers: &[SocketAddr], sessions: u32, next: &AtomicU32) -> Result<()> {
    let (made, mut store, mut link) =
        (factory::make(1)?, MemoryStore::new(), Link::new(servers.to_vec(), PAUSE, 0.0, 1)?);
    let mut platform = Platform {
        crypto: &RustCrypto,
        rng: &mut SystemRandom,
        keys: &made.keys,
        anchors: &made.anchors,
        attester: Some(&made.attestation),
        subscriptions: &mut store,
        usim: &mut SoftUsim,
        date: Some(net::today()),
    };
    let mut device = Device::start(made.config.clone(), Goal::Provision, link.now(), &mut platform)?;
    let Some(Action::Send(message)) = device.poll() else { return Err("a device that says nothing".into()) };
    while next.fetch_add(1, Relaxed) <= sessions {
        link.post(&[net::PROVISION.into()], &message)?;
    }
    Ok(())
}
