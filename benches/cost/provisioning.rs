//! A whole first provisioning, per side: handshake of method 0 with chains of two, voucher, PSA evidence, package, AKA,
//! receipt, records, and the log of an operator whose systems are in memory.
//!
//! ```text
//! device                   floor: transcript, key schedule and AEAD of the handshake; an ephemeral key and a product; three
//!                          signatures made (message_3, evidence, receipt), four checked (two certificates, message_2,
//!                          voucher)
//! operator                 floor: the same of the handshake; an ephemeral key and a product; one signature made, five checked
//!                          (two certificates, message_3, evidence, receipt)
//! operator, issuer known   a certificate less to check
//! operator, voucher first  a key agreement more: the device's name comes concealed
//! token sealed, opened     the operator's session while it waits for message_3; floor: HKDF and A256GCM over the same bytes
//! ```
//!
//! The machines follow from seeds, so one side can be driven with what the other one said in a recorded run.

use core::{cell::RefCell, hint::black_box, mem};
use std::rc::Rc;

use remote_provisioning::{
    aka::suci::HomeNetworkKey,
    attestation::{MemoryEndorsements, Policy, SoftwareAttester},
    credential::{SoftUsim, StorageKey},
    crypto::{Aead, Agreement, Crypto, Group, PublicKey, Secret, Signature},
    edhoc::{Method, Seal},
    error,
    identity::Domain,
    provisioning::{
        Desk, Device, Millis, Operator, Platform,
        device::{self, Action, Goal, Introduction},
        operator,
    },
    sim::{IDENTITY, SeededRng, TODAY, home::Home, maker},
    store::memory::MemoryStore,
    trust::Date,
};

use crate::{
    handshake,
    parties::{self, Backend, Pair, Replaying, Side},
    row::Row,
};

pub(crate) fn rows() -> Vec<Row> {
    parties::backends().into_iter().flat_map(of).collect()
}

fn of(backend: Backend) -> Vec<Row> {
    let last = Rc::new(Run::new(backend, Pair::chains(backend), false));
    let first = Rc::new(Run::new(backend, Pair::chains(backend), true));
    let known = Rc::new(Run::new(backend, Pair::chains(backend).remembering(), false));
    let name = |what: &str| format!("provisioning/{}/{what}", backend.name);
    let row = |run: &Rc<Run>, what, all: fn(&Run), floor: fn(&Run)| {
        let (one, other) = (run.clone(), run.clone());
        Row::new(name(what), move || all(&one), move || floor(&other))
    };
    let goal = if backend.name == "rustcrypto" { 1.09 } else { 1.084 };
    vec![
        row(&last, "device", |run| drop(run.device(MemoryStore::new())), |run| run.floor(3, 4)).goal(goal),
        row(&last, "operator", |run| run.operator(), |run| run.floor(1, 5)).goal(goal),
        row(&known, "operator, issuer known", |run| run.operator(), |run| run.floor(1, 4)).goal(goal),
        row(
            &first,
            "operator, voucher first",
            |run| run.operator(),
            |run| {
                run.floor(1, 5);
                let mut shared = Secret::zeroed();
                run.home_key.agree(black_box(run.home.public_key()), &mut shared).unwrap();
            },
        )
        .goal(goal),
        row(&last, "token sealed", |run| drop(black_box(run.seal())), |run| run.floor_of_token(false)),
        row(&last, "token opened", |run| drop(black_box(run.open())), |run| run.floor_of_token(true)),
    ]
}

pub(crate) struct Run {
    backend: Backend,
    pair: Pair,
    /// The device's root of trust.
    attester: SoftwareAttester<'static>,
    /// What devices conceal their names under, where the voucher comes first, and what they are read with.
    home: HomeNetworkKey,
    home_key: Rc<dyn Agreement>,
    voucher_first: bool,
    recorded: Vec<Vec<u8>>,
    peer: PublicKey,
    signature: Signature,
    policy: Policy,
    voucher: Vec<u8>,
    /// Goes from one home to the next: to make them costs more than a session.
    endorsements: RefCell<MemoryEndorsements>,
    /// A session that waits for message_3, and its token.
    waiting: Option<Operator>,
    token: Vec<u8>,
}

const MESSAGE: [u8; 100] = [7; 100];

/// What tokens are sealed under.
fn token_key() -> Secret<32> {
    Secret::from_slice(&[0x70; 32]).unwrap()
}

impl Run {
    pub(crate) fn new(backend: Backend, pair: Pair, voucher_first: bool) -> Self {
        let keys = &pair.device.keys;
        let (peer, signature) = (keys.public_key(IDENTITY).unwrap(), keys.sign(IDENTITY, &MESSAGE).unwrap());
        let name = maker::device_name().unwrap();
        let private = backend.crypto.sha256(&[b"Published test key for attestation of ", name.as_str().as_bytes()]);
        let keys = Box::leak(Box::new(Replaying::new((backend.keys)(&private))));
        let report = maker::Attestation::new(&name).unwrap().report;
        let mut run = Self {
            backend,
            pair,
            attester: SoftwareAttester::new(keys, IDENTITY, Some(report), None).unwrap(),
            home: maker::home_key().unwrap(),
            home_key: (backend.agreement)(maker::home_scalar().unwrap()).into(),
            voucher_first,
            recorded: Vec::new(),
            peer,
            signature,
            policy: maker::policy().unwrap(),
            voucher: maker::voucher(&name, &maker::operator_public_key().unwrap()).unwrap(),
            endorsements: maker::endorsements(&[maker::device_id().unwrap()]).unwrap().into(),
            waiting: None,
            token: Vec::new(),
        };
        run.recorded = run.both();
        let mut office = Office::new(&run, run.home());
        drop(office.take(run.recorded.first().unwrap()));
        let Office { operator: waiting, home, .. } = office;
        run.waiting = Some(waiting);
        run.endorsements.replace(home.endorsements);
        run.token = run.seal();
        run
    }

    /// The messages, the device's and the operator's in turn.
    fn both(&self) -> Vec<Vec<u8>> {
        let (mut phone, mut office) = (Phone::new(self, MemoryStore::new()), Office::new(self, self.home()));
        let mut messages = vec![phone.start()];
        while let Some(answer) = office.take(messages.last().unwrap()) {
            let next = phone.take(&answer);
            messages.push(answer);
            let Some(next) = next else { break };
            messages.push(next);
        }
        assert!(phone.finished && office.finished);
        self.endorsements.replace(office.home.endorsements);
        messages
    }

    fn device(&self, store: MemoryStore) -> MemoryStore {
        let mut phone = Phone::new(self, store);
        phone.start();
        self.recorded.iter().skip(1).step_by(2).for_each(|message| drop(phone.take(message)));
        assert!(phone.finished);
        phone.store
    }

    pub(crate) fn operator(&self) {
        let mut office = Office::new(self, self.home());
        self.recorded.iter().step_by(2).for_each(|message| drop(office.take(message)));
        assert!(office.finished);
        self.endorsements.replace(office.home.endorsements);
    }

    fn seal(&self) -> Vec<u8> {
        let seal = Seal { key: &token_key(), expires: Date(TODAY.0 + 300) };
        self.waiting.as_ref().unwrap().seal(&seal, self.backend.crypto, &mut SeededRng::new(5)).unwrap()
    }

    /// Another session that waits for message_3.
    pub(crate) fn open(&self) -> Operator {
        let config = operator::Config::new(self.pair.operator.own.clone(), Domain::Test);
        let opened = Operator::open(config, &self.token, &token_key(), TODAY, Millis(0), self.backend.crypto);
        opened.unwrap().first_use(true).unwrap()
    }

    fn floor_of_token(&self, open: bool) {
        let crypto = self.backend.crypto;
        let mut keys = Secret::<44>::zeroed();
        crypto.hkdf_expand(&token_key(), &[&[1; 25]], keys.bytes_mut()).unwrap();
        let (key, nonce) = keys.bytes().split_at(32);
        let mut text = black_box(&self.token).clone();
        if open {
            // The tag is wrong, which is as much work.
            crypto.open(Aead::A256Gcm, key, nonce, &[3; 26], &mut text).unwrap_err();
        } else {
            crypto.seal(Aead::A256Gcm, key, nonce, &[3; 26], &mut text).unwrap();
        }
        black_box(text);
    }

    /// An operator's systems, without what they have computed once for all devices.
    fn home(&self) -> Home {
        let pool = vec!["001010000000001".parse().unwrap()];
        let mut home = Home::new("bench".parse().unwrap(), Secret::zeroed(), pool, self.policy.clone());
        home.crypto = self.backend.crypto;
        home.own(maker::device_name().unwrap(), self.voucher.clone());
        home.endorsements = mem::take(&mut *self.endorsements.borrow_mut());
        home.revealing(self.home.id(), Box::new(Shared(self.home_key.clone())))
    }

    /// Key, product, signatures made and signatures checked, and the transcript and key schedule of the handshake.
    fn floor(&self, made: usize, checked: usize) {
        let (crypto, keys) = (self.backend.crypto, &self.pair.device.keys);
        let mut shared = Secret::zeroed();
        black_box(crypto.encapsulate(Group::P256, self.peer.x(), &mut SeededRng::new(4), &mut shared).unwrap());
        for _ in 0..made {
            black_box(keys.sign(IDENTITY, &MESSAGE).unwrap());
        }
        (0..checked).for_each(|_| crypto.verify(&self.peer, &MESSAGE, &self.signature).unwrap());
        handshake::schedule(crypto, Method::SignSign, &self.recorded, &self.pair);
    }
}

/// A key that several homes have, one after the other.
struct Shared(Rc<dyn Agreement>);

impl Agreement for Shared {
    fn group(&self) -> Group {
        self.0.group()
    }

    fn public_key(&self) -> &[u8] {
        self.0.public_key()
    }

    fn agree(&self, peer: &[u8], shared: &mut Secret<32>) -> error::Result<()> {
        self.0.agree(peer, shared)
    }
}

/// A device and its world.
struct Phone<'a> {
    run: &'a Run,
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
        Self { run, side, crypto, device: None, store, rng: SeededRng::new(1), finished: false }
    }

    fn start(&mut self) -> Vec<u8> {
        let introduction = match self.run.voucher_first {
            true => Introduction::VoucherFirst(self.run.home.clone()),
            false => Introduction::VoucherLast { request: false },
        };
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
            attester: Some(&self.run.attester),
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
