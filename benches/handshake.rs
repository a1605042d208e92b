//! What a handshake and a provisioning cost, per side, and how much of it is P-256.
//!
//! ```text
//! floor/METHOD              the P-256 operations that one side cannot do without, straight from the `p256` crate
//! edhoc/METHOD/SIDE         EDHOC with message_4 and without EAD: method 0 with chains of two, method 3 with `kid`
//! provisioning/SIDE         the whole exchange, method 0 with chains of two; `both` is two machines and no link
//! ```
//!
//! Both sides follow from seeds, so one side can be driven with what the other one said in a recorded run. First comes
//! a table with ratios, from runs of floor and contender in turn: the figure to quote. Measured is `[profile.bench]`.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a benchmark that panics is wrong")]

use core::{hint::black_box, time::Duration};
use std::time::Instant;

use criterion::{BatchSize, Criterion};
use p256::{
    ecdsa::{
        Signature, SigningKey, VerifyingKey,
        signature::{Signer, Verifier},
    },
    elliptic_curve::ecdh::diffie_hellman,
};
use remote_provisioning::{
    credential::SoftUsim,
    crypto::{Secret, rustcrypto::RustCrypto},
    edhoc::{ConnectionId, Method, OwnCredential, Session, Suite, initiator, responder},
    identity::{Domain, Role},
    provisioning::{
        Desk, Device, Millis, Operator, Platform,
        device::{self, Action},
        operator,
    },
    sim::{IDENTITY, SeededRng, TODAY, home::Home, identities as ids},
    store::memory::{MemoryKeyStore, MemoryStore},
    trust::{self, Candidates, CredentialId, MemoryAnchors, Pinned},
};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let testing = std::env::args().any(|argument| argument == "--test");
    summary(if testing { 20 } else { 200 });
    handshakes(&mut criterion);
    provisioning(&mut criterion);
    criterion.final_summary();
}

fn handshakes(criterion: &mut Criterion) {
    for pair in [Pair::chains(), Pair::kids()] {
        let floor = Floor::new();
        criterion
            .bench_function(&format!("floor/{}", pair.name), |bench| bench.iter(|| floor.one_side(pair.method, 0)));
        let recorded = pair.handshake();
        let mut group = criterion.benchmark_group(format!("edhoc/{}", pair.name));
        group.bench_function("initiator", |bench| bench.iter(|| pair.initiator(&recorded)));
        group.bench_function("responder", |bench| bench.iter(|| pair.responder(&recorded)));
        group.finish();
    }
}

fn provisioning(criterion: &mut Criterion) {
    let pair = Pair::chains();
    let recorded = pair.provision(MemoryStore::new(), home());
    let mut group = criterion.benchmark_group("provisioning");
    let size = BatchSize::SmallInput;
    group.bench_function("both", |bench| {
        bench.iter_batched(|| (MemoryStore::new(), home()), |(store, home)| pair.provision(store, home), size);
    });
    group.bench_function("device", |bench| {
        bench.iter_batched(MemoryStore::new, |store| pair.device_alone(store, &recorded), size);
    });
    group.bench_function("operator", |bench| {
        bench.iter_batched(home, |home| pair.operator_alone(home, &recorded), size);
    });
    group.finish();
}

// ----------------------------------------------------------------------------------------------------- ratios

fn summary(rounds: usize) {
    let floor = Floor::new();
    eprintln!("{:<28} {:>9} {:>9}  over the floor   (medians of {rounds}, in turn)", "", "µs", "floor");
    for pair in [Pair::chains(), Pair::kids()] {
        let recorded = pair.handshake();
        let side = |name: &str, run: &dyn Fn()| {
            let name = format!("edhoc/{}/{name}", pair.name);
            report(&name, rounds, run, &|| floor.one_side(pair.method, 0));
        };
        side("initiator", &|| drop(pair.initiator(&recorded)));
        side("responder", &|| drop(pair.responder(&recorded)));
    }
    let pair = Pair::chains();
    let recorded = pair.provision(MemoryStore::new(), home());
    // One more operation than the handshake: the receipt is signed here and verified there.
    report("provisioning/device", rounds, &|| drop(pair.device_alone(MemoryStore::new(), &recorded)), &|| {
        floor.one_side(pair.method, 0);
        floor.sign();
    });
    report("provisioning/operator", rounds, &|| drop(pair.operator_alone(home(), &recorded)), &|| {
        floor.one_side(pair.method, 1);
    });
}

fn report(name: &str, rounds: usize, run: &dyn Fn(), floor: &dyn Fn()) {
    let time = |work: &dyn Fn()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let (mut ours, mut least): (Vec<_>, Vec<_>) = (0..rounds).map(|_| (time(run), time(floor))).unzip();
    let micros = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times.get(times.len() / 2).unwrap().as_secs_f64() * 1e6
    };
    let (ours, least) = (micros(&mut ours), micros(&mut least));
    eprintln!("{name:<28} {ours:>9.1} {least:>9.1}  {:>+13.1} %", (ours / least - 1.0) * 100.0);
}

/// What the operations need.
struct Floor {
    key: SigningKey,
    public: [u8; 65],
    message: [u8; 64],
    signature: Signature,
    x: [u8; 33],
}

impl Floor {
    fn new() -> Self {
        let key = SigningKey::from_bytes(ids::device_key().into()).unwrap();
        let peer = SigningKey::from_bytes(ids::operator_key().into()).unwrap();
        let message = [7; 64];
        Self {
            public: key.verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap(),
            signature: key.sign(&message),
            x: peer.verifying_key().to_sec1_point(true).as_bytes().try_into().unwrap(),
            message,
            key,
        }
    }

    /// Method 0: a key, a product, a signature, a chain of two and the peer's signature. Method 3: a key, three products.
    fn one_side(&self, method: Method, more_signatures: usize) {
        self.generate();
        let (products, signatures) = if method == Method::SignSign { (1, 3 + more_signatures) } else { (3, 0) };
        (0..products).for_each(|_| self.agree());
        (0..signatures).for_each(|_| self.verify());
        if method == Method::SignSign {
            self.sign();
        }
    }

    fn generate(&self) {
        black_box(p256::PublicKey::from_secret_scalar(black_box(self.key.as_nonzero_scalar())));
    }

    fn agree(&self) {
        let peer = p256::PublicKey::from_sec1_bytes(black_box(&self.x)).unwrap();
        black_box(diffie_hellman(self.key.as_nonzero_scalar(), peer.as_affine()));
    }

    fn sign(&self) {
        let signature: Signature = self.key.sign(black_box(&self.message));
        black_box(signature);
    }

    fn verify(&self) {
        let key = VerifyingKey::from_sec1_bytes(black_box(&self.public)).unwrap();
        key.verify(&self.message, black_box(&self.signature)).unwrap();
    }
}

// ----------------------------------------------------------------------------------------------------- both sides

/// A party, and whom it believes.
struct Side {
    own: OwnCredential,
    keys: MemoryKeyStore,
    anchors: MemoryAnchors,
}

impl Side {
    fn new(own: OwnCredential, key: &[u8; 32], anchors: MemoryAnchors) -> Self {
        let mut keys = MemoryKeyStore::new();
        keys.insert(IDENTITY, key).unwrap();
        Self { own, keys, anchors }
    }
}

struct Pair {
    name: &'static str,
    method: Method,
    device: Side,
    operator: Side,
}

impl Pair {
    fn chains() -> Self {
        let own = |chain: [&[u8]; 2]| OwnCredential::chain(IDENTITY, &chain).unwrap();
        Self {
            name: "method-0",
            method: Method::SignSign,
            device: Side::new(own(ids::device_chain()), ids::device_key(), ids::device_anchors()),
            operator: Side::new(own(ids::operator_chain()), ids::operator_key(), ids::operator_anchors()),
        }
    }

    fn kids() -> Self {
        let own = |ccs, role| {
            OwnCredential::pinned(IDENTITY, &Pinned::from_ccs(ccs, role, Domain::Test, &RustCrypto).unwrap()).unwrap()
        };
        let device = own(ids::raw_device_ccs(), Role::Device);
        let operator = own(ids::raw_operator_ccs(), Role::Operator);
        Self {
            name: "method-3",
            method: Method::StaticStatic,
            device: Side::new(device, ids::raw_device_key(), ids::device_anchors()),
            operator: Side::new(operator, ids::raw_operator_key(), ids::operator_anchors()),
        }
    }

    // ------------------------------------------------------------------------------------------------- EDHOC

    fn handshake(&self) -> [Vec<u8>; 4] {
        let (device, message_1) = self.message_1();
        let (operator, message_2) = self.message_2(&message_1);
        let (device, message_3) = self.message_3(device, &message_2);
        let (_, message_4) = self.message_4(operator, &message_3);
        device.read(&message_4, &RustCrypto).unwrap().complete().unwrap();
        [message_1, message_2, message_3, message_4]
    }

    fn initiator(&self, [_, message_2, _, message_4]: &[Vec<u8>; 4]) -> Session {
        let (device, _) = self.message_1();
        let (device, _) = self.message_3(device, message_2);
        device.read(message_4, &RustCrypto).unwrap().complete().unwrap()
    }

    fn responder(&self, [message_1, _, message_3, _]: &[Vec<u8>; 4]) -> Session {
        let (operator, _) = self.message_2(message_1);
        self.message_4(operator, message_3).0
    }

    fn message_1(&self) -> (initiator::AwaitMessage2, Vec<u8>) {
        let mut rng = SeededRng::new(1);
        let c_i = ConnectionId::random(&mut rng, None).unwrap();
        let proposal = initiator::Proposal { method: self.method, suites: &[Suite::GCM], c_i: &c_i, ead_1: &[] };
        initiator::start(&proposal, &RustCrypto, &mut rng).unwrap()
    }

    fn message_2(&self, message_1: &[u8]) -> (responder::AwaitMessage3, Vec<u8>) {
        let mut rng = SeededRng::new(2);
        let message = responder::read(message_1, &[self.method], &Suite::ALL, &RustCrypto).unwrap();
        let c_r = ConnectionId::random(&mut rng, Some(message.c_i())).unwrap();
        let Side { own, keys, .. } = &self.operator;
        message.write(&c_r, own, &[], keys, &RustCrypto, &mut rng).unwrap()
    }

    fn message_3(&self, device: initiator::AwaitMessage2, message_2: &[u8]) -> (initiator::AwaitMessage4, Vec<u8>) {
        let Side { own, keys, anchors } = &self.device;
        let message = device.read(message_2, &RustCrypto).unwrap();
        let peer = believe(&message.claimed().unwrap(), Role::Operator, anchors);
        message.accept(peer, own, &RustCrypto).unwrap().write(own, &[], keys, &RustCrypto).unwrap()
    }

    fn message_4(&self, operator: responder::AwaitMessage3, message_3: &[u8]) -> (Session, Vec<u8>) {
        let Side { own, anchors, .. } = &self.operator;
        let message = operator.read(message_3, &RustCrypto).unwrap();
        let peer = believe(&message.claimed().unwrap(), Role::Device, anchors);
        message.accept(peer, own, &RustCrypto).unwrap().write(&[], &RustCrypto).unwrap()
    }

    // ------------------------------------------------------------------------------------------------- provisioning

    /// The whole exchange: the messages, the device's and the operator's in turn.
    fn provision(&self, store: MemoryStore, home: Home) -> Vec<Vec<u8>> {
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

    fn device_alone(&self, store: MemoryStore, recorded: &[Vec<u8>]) -> MemoryStore {
        let mut phone = Phone::new(self, store);
        phone.start();
        recorded.iter().skip(1).step_by(2).for_each(|message| drop(phone.take(message)));
        assert!(phone.finished);
        phone.store
    }

    fn operator_alone(&self, home: Home, recorded: &[Vec<u8>]) -> Home {
        let mut office = Office::new(self, home);
        recorded.iter().step_by(2).for_each(|message| drop(office.take(message)));
        assert!(office.finished);
        office.home
    }
}

fn believe(claimed: &CredentialId<'_>, role: Role, anchors: &MemoryAnchors) -> Candidates {
    trust::verify(claimed, role, Domain::Test, anchors, &RustCrypto, Some(TODAY)).unwrap()
}

fn home() -> Home {
    Home::new(Secret::zeroed(), vec!["001010000000001".parse().unwrap()])
}

/// A device and its world.
struct Phone<'a> {
    side: &'a Side,
    device: Option<Device>,
    store: MemoryStore,
    rng: SeededRng,
    finished: bool,
}

impl<'a> Phone<'a> {
    const fn new(pair: &'a Pair, store: MemoryStore) -> Self {
        Self { side: &pair.device, device: None, store, rng: SeededRng::new(1), finished: false }
    }

    fn start(&mut self) -> Vec<u8> {
        let config = device::Config::new(self.side.own.clone(), Domain::Test);
        let device = self.with(|_, platform| Device::start(config, Millis(0), platform).unwrap());
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
                Action::WakeAt(_) | Action::Authenticated(_) | Action::Installed(_) | Action::Completed { .. } => {}
            }
        }
        sent
    }

    fn with<T>(&mut self, work: impl FnOnce(Option<&mut Device>, &mut Platform<'_>) -> T) -> T {
        let mut platform = Platform {
            crypto: &RustCrypto,
            rng: &mut self.rng,
            keys: &self.side.keys,
            anchors: &self.side.anchors,
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
    operator: Operator,
    home: Home,
    rng: SeededRng,
    finished: bool,
}

impl<'a> Office<'a> {
    fn new(pair: &'a Pair, home: Home) -> Self {
        let operator = Operator::new(operator::Config::new(pair.operator.own.clone(), Domain::Test));
        Self { side: &pair.operator, operator, home, rng: SeededRng::new(2), finished: false }
    }

    fn take(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let mut desk = Desk {
            crypto: &RustCrypto,
            rng: &mut self.rng,
            keys: &self.side.keys,
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
