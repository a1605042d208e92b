//! A device that gets its subscription over UDP/CoAP and keeps it in a directory.
//!
//! ```text
//! cargo run --example device_client -- provision --state /tmp/device
//! cargo run --example device_client -- attach --state /tmp/device
//! cargo run --example device_client -- rekey --state /tmp/device --loss 0.2
//! ```
//!
//! What is durable decides what comes next: after `kill -9` at any moment, the same command goes on from there. Exit code 0:
//! done. 1: failed. 2: wrong usage. Its identity is published test data; see `operator_server` for the other side.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    reason = "a program with std that talks to a person"
)]

#[path = "device_client/factory.rs"]
mod factory;
#[path = "device_client/file_store.rs"]
mod file_store;
#[path = "device_client/link.rs"]
mod link;
#[path = "device_client/load.rs"]
mod load;
#[path = "net/mod.rs"]
mod net;
#[path = "device_client/session.rs"]
mod session;

use std::{
    error::Error as StdError,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use coap_lite::ResponseType;
use remote_provisioning::{
    aka::{self, Challenge},
    credential::SoftUsim,
    provisioning::device::{self, Goal, Subscription},
    store::{Slot, SubscriptionStore},
};

use crate::{
    factory::Made,
    file_store::FileStore,
    link::{Link, Trouble},
};

const USAGE: &str = "usage: device_client COMMAND [--server HOST:PORT]… [--state DIR] [--number N] [--loss SHARE] [--seed N]
                     [--pause MS] [--hurry N] [--patience SECONDS] [--quiet]
       device_client load [--server HOST:PORT] [--devices N] [--threads N] [--half-open N]
  provision          get a subscription, or finish getting one
  rekey              get a new K
  query              ask how the subscription stands
  attach             attach with it: a real AKA run against the operator's core
  status             what the device has; asks nobody
  load               many devices in memory, as fast as they go; or sessions that nobody goes on with
  --server HOST:PORT an operator's server (default 127.0.0.1:5683); with several, the next one is asked when one is silent
  --state DIR        where the device keeps what it has (default device-state)
  --number N         which of the maker's devices it is (default 1); written down at its first start
  --loss SHARE       datagrams that get lost each way, 0 to 0.9 (default 0)
  --seed N           which ones (default 1)
  --pause MS         asks again after so long, then twice as long, and so on (default 1000)
  --hurry N          the device's pauses between attempts are this many times as short (default 1)
  --patience SECONDS gives up after so long (default 600)
  --quiet            says the result only";

struct Options {
    command: String,
    servers: Vec<SocketAddr>,
    state: PathBuf,
    number: Option<u32>,
    loss: f64,
    seed: u64,
    pause: u64,
    hurry: u64,
    patience: u64,
    quiet: bool,
    devices: u32,
    threads: u32,
    half_open: u32,
}

fn options() -> Option<Options> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options {
        command: arguments.next()?,
        servers: Vec::new(),
        state: "device-state".into(),
        number: None,
        loss: 0.0,
        seed: 1,
        pause: 1_000,
        hurry: 1,
        patience: 600,
        quiet: false,
        devices: 100,
        threads: 2,
        half_open: 0,
    };
    while let Some(name) = arguments.next() {
        if name == "--quiet" {
            options.quiet = true;
            continue;
        }
        let value = arguments.next()?;
        match name.as_str() {
            "--server" => options.servers.push(value.to_socket_addrs().ok()?.next()?),
            "--state" => options.state = value.into(),
            "--number" => options.number = Some(value.parse().ok()?),
            "--loss" => options.loss = value.parse().ok().filter(|loss| (0.0..=0.9).contains(loss))?,
            "--seed" => options.seed = value.parse().ok()?,
            "--pause" => options.pause = value.parse().ok().filter(|pause| *pause > 0)?,
            "--hurry" => options.hurry = value.parse().ok().filter(|hurry| *hurry > 0)?,
            "--patience" => options.patience = value.parse().ok()?,
            "--devices" => options.devices = value.parse().ok()?,
            "--threads" => options.threads = value.parse().ok().filter(|threads| *threads > 0)?,
            "--half-open" => options.half_open = value.parse().ok()?,
            _ => return None,
        }
    }
    if options.servers.is_empty() {
        options.servers.push(SocketAddr::from(([127, 0, 0, 1], 5683)));
    }
    Some(options)
}

type Result<T> = std::result::Result<T, Box<dyn StdError>>;

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let result = match options.command.as_str() {
        "load" => load::run(&options.servers, options.devices, options.threads, options.half_open),
        "provision" | "rekey" | "query" | "attach" | "status" => run(&options),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let (store, number) = FileStore::open(&options.state, options.number)?;
    let mut unit = Unit {
        made: factory::make(number)?,
        store,
        link: Link::new(options.servers.clone(), options.pause, options.loss, options.seed)?,
        until: Instant::now() + Duration::from_secs(options.patience),
        hurry: options.hurry,
        quiet: options.quiet,
    };
    match options.command.as_str() {
        "provision" => unit.provision()?,
        "rekey" => unit.rekey()?,
        "query" => unit.finish(&Goal::Query, |_, _| true)?,
        "attach" => unit.attach()?,
        _ => {}
    }
    unit.status()
}

/// The device, at its link.
struct Unit {
    made: Made,
    store: FileStore,
    link: Link,
    until: Instant,
    hurry: u64,
    quiet: bool,
}

/// What the store says: the subscription, and whether the operator has said that it is complete.
type Have = Option<(Subscription, bool)>;

impl Unit {
    fn provision(&mut self) -> Result<()> {
        if let Some((_, true)) = device::subscription(&self.store)? {
            return Ok(());
        }
        self.finish(&Goal::Provision, |_, have| matches!(have, Some((_, true))))
    }

    /// If one was open, to finish that is what was asked for.
    fn rekey(&mut self) -> Result<()> {
        self.finish(&Goal::Rekey, |before, have| match (before, have) {
            (Some((_, false)), Some((_, true))) => true,
            (Some((before, _)), Some((have, true))) => have.id.epoch > before.id.epoch,
            _ => false,
        })
    }

    /// Attempts until it is `done`, in view of what there was before; or until nothing helps.
    fn finish(&mut self, goal: &Goal, done: impl Fn(&Have, &Have) -> bool) -> Result<()> {
        let before = device::subscription(&self.store)?;
        for number in 1.. {
            let quiet = self.quiet;
            let mut tell = |line: &str| {
                if !quiet {
                    println!("{line}");
                }
            };
            tell(&format!("── {} attempt {number}: {goal:?}", self.made.name));
            let outcome = session::attempt(&self.made, &mut self.store, &mut self.link, goal.clone(), &mut tell)?;
            let ended = match outcome.result {
                Ok(()) if done(&before, &device::subscription(&self.store)?) => return Ok(()),
                // What was open came first.
                Ok(()) => continue,
                Err(error) => error,
            };
            let Some(again) = outcome.again else { return Err(ended.into()) };
            let pause = again.0.saturating_sub(self.link.now().0) / self.hurry;
            // A pause of its own, if the device names none.
            let pause = Duration::from_millis(pause.max(200));
            tell(&format!("                   {ended}; again in {:.1} s", pause.as_secs_f64()));
            if Instant::now() + pause > self.until {
                return Err(ended.into());
            }
            std::thread::sleep(pause);
        }
        Ok(())
    }

    /// The network's challenge, answered by the USIM; once more after a resynchronisation.
    fn attach(&mut self) -> Result<()> {
        let mut resynchronised = false;
        while Instant::now() < self.until {
            let held = device::in_use(&self.store)?.ok_or("there is no subscription to attach with")?;
            let supi = held.id.supi.as_str().as_bytes();
            let mut answer = match self.link.post(&[net::ATTACH.into()], supi) {
                Err(Trouble::Silence) => continue,
                other => other?,
            };
            while answer.code == ResponseType::Created {
                let location = answer.location.take().ok_or("a challenge without a place to answer it")?;
                let (rand, autn) = answer.payload.split_at_checked(16).ok_or("a short challenge")?;
                let challenge = Challenge { rand: rand.try_into()?, autn: autn.try_into()? };
                let reply = match device::authenticate(&challenge, &mut self.store, &mut SoftUsim)? {
                    aka::Answer::Success(keys) => [&[net::RES], keys.res.bytes()].concat(),
                    aka::Answer::SyncFailure { auts } => {
                        resynchronised = true;
                        [&[net::AUTS], &auts[..]].concat()
                    }
                    aka::Answer::MacFailure => {
                        return Err("the challenge is not from this subscription's network".into());
                    }
                };
                if !self.quiet {
                    println!("device ◀── network  RAND, AUTN");
                    println!("device ──▶ network  {}", if reply[0] == net::RES { "RES" } else { "AUTS" });
                }
                answer = match self.link.post(&location, &reply) {
                    Err(Trouble::Silence) => break,
                    other => other?,
                };
            }
            match answer.code {
                ResponseType::Changed => {
                    let how = if resynchronised { ", after a resynchronisation" } else { "" };
                    println!("attached with {}, epoch {}{how}", held.id.supi, held.id.epoch);
                    return Ok(());
                }
                ResponseType::Created => {}
                other => return Err(format!("the network does not let the device in: {other:?}").into()),
            }
        }
        Err("nobody answered".into())
    }

    fn status(&self) -> Result<()> {
        let Link { sent, received, lost, .. } = &self.link;
        if sent.0 > 0 && !self.quiet {
            println!(
                "{} datagrams out ({} B), {} in ({} B), {lost} lost on purpose",
                sent.0, sent.1, received.0, received.1
            );
        }
        match device::subscription(&self.store)? {
            None => println!("{} has its factory identity, and no subscription", self.made.name),
            Some((held, complete)) => {
                let complete = if complete { "complete" } else { "not confirmed yet" };
                println!("{} has {}, epoch {}, {complete}", self.made.name, held.id.supi, held.id.epoch);
            }
        }
        for slot in [Slot::A, Slot::B] {
            if let Some(content) = self.store.slot(slot)?
                && !self.quiet
            {
                let card = SoftUsim::card(&content)?;
                let dnn = card.profile.and_then(|profile| profile.dnn).unwrap_or_default();
                println!("  slot {slot:?}: {}, epoch {}, DNN {dnn}", card.supi, card.epoch);
            }
        }
        Ok(())
    }
}
