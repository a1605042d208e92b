//! What a whole first provisioning costs, per side and backend, and how much of that is its public-key operations.
//!
//! ```text
//! BACKEND/device, BACKEND/operator     method 0 with chains of two: handshake, voucher, package, AKA, receipt, records
//! BACKEND/both                         two machines and no link
//! primitives                           the same public-key operations on the same backend, one after the other
//! ```
//!
//! The machines follow from seeds, so one side can be driven with what the other one said in a recorded run. First comes a
//! table with ratios, from runs of both in turn: the figures to quote. Measured is `[profile.bench]`.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a benchmark that panics is wrong")]

mod common;

use core::hint::black_box;
use std::sync::LazyLock;

use common::{Backend, Pair, Side};
use criterion::{BatchSize, Criterion};
use remote_provisioning::{
    attestation::Policy,
    credential::{SoftUsim, StorageKey},
    crypto::{Crypto, Group, PublicKey, Secret, Signature},
    identity::Domain,
    provisioning::{
        Desk, Device, Millis, Operator, Platform,
        device::{self, Action, Goal, Introduction},
        operator,
    },
    sim::{IDENTITY, SeededRng, TODAY, home::Home, maker},
    store::memory::MemoryStore,
};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runs: Vec<Run> = common::backends().into_iter().map(Run::new).collect();
    common::head("first provisioning");
    for run in &runs {
        let name = run.backend.name;
        // The receipt is signed here and verified there.
        common::row(&format!("{name}/device"), &|| drop(run.device(MemoryStore::new())), &|| run.floor(2, 4));
        common::row(&format!("{name}/operator"), &|| drop(run.operator(home())), &|| run.floor(1, 4));
    }
    for run in &runs {
        let mut group = criterion.benchmark_group(run.backend.name);
        let size = BatchSize::SmallInput;
        group.bench_function("device", |bench| bench.iter_batched(MemoryStore::new, |store| run.device(store), size));
        group.bench_function("operator", |bench| bench.iter_batched(home, |home| run.operator(home), size));
        group.bench_function("both", |bench| {
            bench.iter_batched(|| (MemoryStore::new(), home()), |(store, home)| run.both(store, home), size);
        });
        group.finish();
    }
    criterion.final_summary();
}

struct Run {
    backend: Backend,
    pair: Pair,
    recorded: Vec<Vec<u8>>,
    peer: PublicKey,
    signature: Signature,
}

const MESSAGE: [u8; 100] = [7; 100];

impl Run {
    fn new(backend: Backend) -> Self {
        let pair = Pair::chains(backend);
        let keys = &pair.device.keys;
        let (peer, signature) = (keys.public_key(IDENTITY).unwrap(), keys.sign(IDENTITY, &MESSAGE).unwrap());
        let mut run = Self { backend, pair, recorded: Vec::new(), peer, signature };
        run.recorded = run.both(MemoryStore::new(), home());
        run
    }

    /// The messages, the device's and the operator's in turn.
    fn both(&self, store: MemoryStore, home: Home) -> Vec<Vec<u8>> {
        let (mut phone, mut office) = (Phone::new(self, store), Office::new(self, home));
        let mut messages = vec![phone.start()];
        while let Some(answer) = office.take(messages.last().unwrap()) {
            let next = phone.take(&answer);
            messages.push(answer);
            let Some(next) = next else { break };
            messages.push(next);
        }
        assert!(phone.finished && office.finished);
        messages
    }

    fn device(&self, store: MemoryStore) -> MemoryStore {
        let mut phone = Phone::new(self, store);
        phone.start();
        self.recorded.iter().skip(1).step_by(2).for_each(|message| drop(phone.take(message)));
        assert!(phone.finished);
        phone.store
    }

    fn operator(&self, home: Home) -> Home {
        let mut office = Office::new(self, home);
        self.recorded.iter().step_by(2).for_each(|message| drop(office.take(message)));
        assert!(office.finished);
        office.home
    }

    /// Key, product, signatures made and signatures checked.
    fn floor(&self, made: usize, checked: usize) {
        let (crypto, keys) = (self.backend.crypto, &self.pair.device.keys);
        let mut shared = Secret::zeroed();
        black_box(crypto.encapsulate(Group::P256, self.peer.x(), &mut SeededRng::new(4), &mut shared).unwrap());
        for _ in 0..made {
            black_box(keys.sign(IDENTITY, &MESSAGE).unwrap());
        }
        (0..checked).for_each(|_| crypto.verify(&self.peer, &MESSAGE, &self.signature).unwrap());
    }
}

/// An operator's systems, without what they have computed once for all devices.
fn home() -> Home {
    static VOUCHER: LazyLock<Vec<u8>> = LazyLock::new(|| {
        maker::voucher(&maker::device_name().unwrap(), &maker::operator_public_key().unwrap()).unwrap()
    });
    let policy = Policy::without_evidence("bench").unwrap();
    let mut home =
        Home::new("bench".parse().unwrap(), Secret::zeroed(), vec!["001010000000001".parse().unwrap()], policy);
    home.own(maker::device_name().unwrap(), VOUCHER.clone());
    home
}

/// A device and its world.
struct Phone<'a> {
    side: &'a Side,
    crypto: &'static dyn Crypto,
    device: Option<Device>,
    store: MemoryStore,
    rng: SeededRng,
    finished: bool,
}

impl<'a> Phone<'a> {
    fn new(run: &'a Run, store: MemoryStore) -> Self {
        let (side, crypto) = (&run.pair.device, run.backend.crypto);
        Self { side, crypto, device: None, store, rng: SeededRng::new(1), finished: false }
    }

    fn start(&mut self) -> Vec<u8> {
        let introduction = Introduction::VoucherLast { request: false };
        let config =
            device::Config::new(self.side.own.clone(), maker::device_name().unwrap(), Domain::Test, introduction);
        let device = self.with(|_, platform| Device::start(config, Goal::Provision, Millis(0), platform).unwrap());
        self.device = Some(device);
        self.sent().unwrap()
    }

    fn take(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        self.with(|device, platform| device.unwrap().handle_message(message, Millis(0), platform).unwrap());
        self.sent()
    }

    fn sent(&mut self) -> Option<Vec<u8>> {
        let mut sent = None;
        while let Some(action) = self.device.as_mut().and_then(Device::poll) {
            match action {
                Action::Send(bytes) => sent = Some(bytes),
                Action::Finished(result) => self.finished = result.is_ok(),
                _ => {}
            }
        }
        sent
    }

    fn with<T>(&mut self, work: impl FnOnce(Option<&mut Device>, &mut Platform<'_>) -> T) -> T {
        let mut platform = Platform {
            crypto: self.crypto,
            rng: &mut self.rng,
            keys: &*self.side.keys,
            anchors: &self.side.anchors,
            attester: None,
            subscriptions: &mut self.store,
            usim: &mut SoftUsim,
            date: None,
        };
        work(self.device.as_mut(), &mut platform)
    }
}

/// An operator and its systems.
struct Office<'a> {
    side: &'a Side,
    crypto: &'static dyn Crypto,
    operator: Operator,
    home: Home,
    storage: StorageKey,
    rng: SeededRng,
    finished: bool,
}

impl<'a> Office<'a> {
    fn new(run: &'a Run, home: Home) -> Self {
        let (side, crypto) = (&run.pair.operator, run.backend.crypto);
        let operator = Operator::new(operator::Config::new(side.own.clone(), Domain::Test));
        let storage = Home::storage_key().unwrap();
        Self { side, crypto, operator, home, storage, rng: SeededRng::new(2), finished: false }
    }

    fn take(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let mut desk = Desk {
            crypto: self.crypto,
            rng: &mut self.rng,
            keys: &*self.side.keys,
            storage: &self.storage,
            anchors: &self.side.anchors,
            date: TODAY,
        };
        self.operator.handle_message(message, Millis(0), &mut desk).unwrap();
        let mut sent = None;
        while let Some(action) = self.operator.poll() {
            match action {
                operator::Action::Send(bytes) => sent = Some(bytes),
                operator::Action::Ask(question) => {
                    self.operator.answer(self.home.answer(question), &mut desk).unwrap();
                }
                operator::Action::Finished(result) => self.finished = result.is_ok(),
                operator::Action::WakeAt(_) => {}
            }
        }
        sent
    }
}
