//! Whole provisionings through a relay that may not be trusted with anything: what it does to the packets changes how long
//! it takes, and nothing else; what it sees tells it nothing; and what its token does not cover goes nowhere.

use std::collections::BTreeMap;

use remote_provisioning::{
    Device, Operator,
    credential::Activation,
    crypto::{Secret, rustcrypto::RustCrypto},
    error::{Code, Error, Malformed, Misbehaved, Refused, Relay},
    framing::{
        Profile,
        link::{self, Client, Server},
        relay::{Announcement, Gate, Name, Permit, Relayed, Returned, Usage},
    },
    identity::Domain,
    provisioning::{device::Goal, message::Operation},
    sim::{SeededRng, identities},
    store::{Slot, SubscriptionStore},
    time::{Millis, Retry},
    wire::{decode, encode},
};

use crate::lab::{FromDevice, Lab, from_device};

const NAME: &[u8] = b"relay 7";
const NONCE: [u8; 16] = [9; 16];

fn announcement() -> Announcement<'static> {
    Announcement { domain: Domain::Test, relay: Name::new(NAME).unwrap(), nonce: NONCE }
}

/// For a first subscription and what is left open of one; a day, and plenty of it.
fn permit(lab: &Lab) -> Permit<'static> {
    Permit {
        domain: Domain::Test,
        relay: Name::new(NAME).unwrap(),
        operations: 1 << Operation::Provision.number() | 1 << Operation::Resume.number(),
        sessions: 200,
        bytes: 1_000_000,
        expires: lab.today.0 + 86_400,
    }
}

/// The operator's side: what a caller keeps for its relays.
struct Office {
    lab: Lab,
    key: Secret<32>,
    usage: Usage,
    sessions: BTreeMap<u32, Operator>,
    asked: Vec<&'static str>,
    finished: Vec<Result<(), Error>>,
}

impl Office {
    fn new(mut lab: Lab) -> Self {
        lab.device_config.relay = Some(announcement().hash(&RustCrypto));
        lab.device_config.eap_keys = true;
        let key = Secret::from_slice(&[7; 32]).unwrap();
        let (sessions, asked, finished) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { lab, key, usage: Usage::default(), sessions, asked, finished }
    }

    fn token(&self, change: impl FnOnce(&mut Permit<'static>)) -> Vec<u8> {
        let mut permit = permit(&self.lab);
        change(&mut permit);
        Gate::new(&self.key, Domain::Test).issue(&permit)
    }

    /// The call sequence of the docs of `framing::relay`.
    fn handle_relayed(&mut self, packet: &[u8], sender: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let relayed: Relayed<'_> = decode(packet)?;
        let is_new = !self.sessions.contains_key(&relayed.session);
        let gate = Gate::new(&self.key, Domain::Test);
        let admitted = gate.admit(&relayed, sender, is_new, &mut self.usage, self.lab.today.0, &RustCrypto)?;
        self.lab.operator_config.relay = Some(admitted);
        let mut operator = self.sessions.remove(&relayed.session).unwrap_or_else(|| self.lab.operator());
        // What goes wrong with the device is between the two.
        let _ = self.lab.tell_operator(&mut operator, relayed.message);
        let said = self.lab.serve(&mut operator);
        self.sessions.insert(relayed.session, operator);
        self.asked.extend(said.asked);
        self.finished.extend(said.finished);
        let packets = said.sent.iter();
        Ok(packets.map(|message| Returned { session: relayed.session, message }.packet()).collect::<Result<_, _>>()?)
    }
}

/// What a relay does with what it should forward.
#[derive(Clone, Copy, Default)]
struct Habits {
    lose: f64,
    repeat: f64,
    alter: f64,
    /// Keeps it, and gives it out when something else is due: late, out of order, perhaps never.
    withhold: f64,
}

struct Relaying {
    token: Vec<u8>,
    habits: Habits,
    rng: SeededRng,
    withheld: Vec<Vec<u8>>,
    /// All that it ever saw of messages.
    seen: Vec<u8>,
    up: usize,
    refused: Vec<Error>,
}

impl Relaying {
    fn new(token: Vec<u8>, habits: Habits, seed: u64) -> Self {
        let rng = SeededRng::new(seed);
        Self { token, habits, rng, withheld: Vec::new(), seen: Vec::new(), up: 0, refused: Vec::new() }
    }

    /// What comes of a message: none, one, more; now, later, changed.
    fn forward(&mut self, message: &[u8]) -> Vec<Vec<u8>> {
        let mut message = message.to_vec();
        self.seen.extend_from_slice(&message);
        if self.rng.chance(self.habits.lose) {
            return Vec::new();
        }
        if self.rng.chance(self.habits.alter) {
            let at = self.rng.below(message.len());
            message[at] ^= 1 << self.rng.below(8);
        }
        if self.rng.chance(self.habits.withhold) {
            self.withheld.push(message);
            return Vec::new();
        }
        let mut out = vec![message.clone()];
        if self.rng.chance(self.habits.repeat) {
            out.push(message);
        }
        if self.rng.chance(0.5) {
            // In front of it, or behind.
            let at = self.rng.below(out.len() + 1);
            out.splice(at..at, self.withheld.pop());
        }
        out
    }

    /// Takes a device's message to the operator and brings what comes back.
    fn carry(&mut self, message: &[u8], session: u32, office: &mut Office) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        for message in self.forward(message) {
            self.up += message.len();
            let relayed = Relayed { session, nonce: NONCE, token: &self.token, message: &message };
            match office.handle_relayed(&relayed.packet().unwrap(), NAME) {
                Ok(packets) => {
                    for packet in packets {
                        let Returned { session: which, message } = decode(&packet).unwrap();
                        assert_eq!(which, session);
                        answers.extend(self.forward(message));
                    }
                }
                Err(error) => self.refused.push(error),
            }
        }
        answers
    }
}

/// One attempt of the device through the relay, until it has ended or nobody says anything any more.
fn attempt(office: &mut Office, relay: &mut Relaying, session: u32) -> (Device, FromDevice) {
    let mut device = office.lab.start().unwrap();
    let (mut all, mut wake) = (FromDevice::default(), None);
    loop {
        let out = from_device(&mut device);
        all.finished.extend(out.finished);
        all.installed.extend(out.installed);
        if !all.finished.is_empty() {
            return (device, all);
        }
        let mut answers = Vec::new();
        for message in &out.sent {
            answers.extend(relay.carry(message, session, office));
        }
        if let (true, Some(wake)) = (answers.is_empty(), out.wake.or(wake)) {
            office.lab.now = office.lab.now.max(wake);
            let _ = device.handle_timeout(office.lab.now);
        }
        for answer in answers {
            let _ = office.lab.tell_device(&mut device, &answer);
        }
        wake = out.wake.or(wake);
    }
}

#[test]
fn a_wicked_relay_changes_nothing_but_the_time() {
    let habits = Habits { lose: 0.15, repeat: 0.2, alter: 0.1, withhold: 0.1 };
    let (mut attempts, mut altered) = (0, 0);
    for seed in 0..60 {
        let activation = [Activation::OneShot, Activation::TwoPhase][seed as usize % 2];
        let mut without = Lab::attested(seed);
        without.home.activation = activation;
        assert_eq!(without.run(), Ok(()));
        let expected = without.assert_complete();

        let mut lab = Lab::attested(seed);
        lab.home.activation = activation;
        lab.travelling = (seed % 3 == 0).then_some(0);
        let mut office = Office::new(lab);
        let token = office.token(|_| {});
        let mut relay = Relaying::new(token, habits, seed);
        let mut session = 0;
        while !matches!(office.lab.held(), Some((_, true))) {
            session += 1;
            assert!(session < 100, "seed {seed}: no end");
            let (_, out) = attempt(&mut office, &mut relay, session);
            altered += u32::from(out.finished.iter().any(Result::is_err));
        }
        attempts += session;
        // An offer that did not arrive is made again, under the same SUPI and the next epoch.
        let held = office.lab.assert_complete();
        assert_eq!((held.id.supi, held.algorithm), (expected.id.supi, expected.algorithm), "seed {seed}");
        assert_eq!(office.lab.home.subscribers().count(), 1);
        // Each message that came through is on the relay's account, and only those.
        assert_eq!((office.usage.bytes, relay.refused.len()), (relay.up as u64, 0));
        assert!(office.usage.sessions <= session);
    }
    println!("{attempts} attempts for 60 provisionings, {altered} of them failed");
    assert!(altered > 20, "the relay was not wicked enough: {altered}");
}

/// All that the relay saw: nothing that names device, owner or subscription, and no byte of a key.
#[test]
fn a_relay_learns_neither_identity_nor_keys() {
    let mut office = Office::new(Lab::attested(1));
    office.lab.operator_config.eap_keys = true;
    let mut relay = Relaying::new(office.token(|_| {}), Habits::default(), 1);
    let (mut device, out) = attempt(&mut office, &mut relay, 1);
    assert_eq!((out.finished, out.installed.len()), (vec![Ok(())], 1));
    let held = office.lab.assert_complete();
    let sees = |secret: &[u8]| relay.seen.windows(secret.len()).any(|window| window == secret);
    let chain = identities::device_chain();
    for name in [&b"IOT-0001"[..], held.id.supi.as_str().as_bytes(), b"provisioning.example", b"imsi"] {
        assert!(!sees(name));
    }
    for part in chain[0].windows(24).chain(identities::operator_chain()[0].windows(24)) {
        assert!(!sees(part));
    }
    // K, OPc and all else that the USIM keeps; what the access network would get.
    let slot = [Slot::A, Slot::B].into_iter().find_map(|slot| office.lab.store.slot(slot).unwrap()).unwrap();
    let keys = device.take_eap_keys().unwrap();
    for part in slot.bytes().windows(8).chain(keys.msk().bytes().windows(8)).chain(keys.emsk().bytes().windows(8)) {
        assert!(!sees(part));
    }
    // The test can fail: the relay does see what is in clear.
    assert!(sees(&announcement().hash(&RustCrypto)));
}

/// How a token comes about.
type Issue<'a> = &'a dyn Fn(&Office) -> Vec<u8>;

/// Not this operator's token, another relay's, too late, for another domain, nothing left: nothing gets in, and no machine
/// is made.
#[test]
fn a_relay_without_a_right_gets_nothing_through() {
    let others = Secret::from_slice(&[8; 32]).unwrap();
    let cases: [(Issue<'_>, &[u8], Relay); 6] = [
        (&|office| Gate::new(&others, Domain::Test).issue(&permit(&office.lab)), NAME, Relay::Token),
        (&|office| office.token(|_| {}), b"relay 8", Relay::OtherRelay),
        (&|office| office.token(|permit| permit.expires = office.lab.today.0), NAME, Relay::Expired),
        (&|office| office.token(|permit| permit.domain = Domain::Production), NAME, Relay::Scope),
        (&|office| office.token(|permit| permit.sessions = 0), NAME, Relay::Quota),
        (&|office| office.token(|permit| permit.bytes = 100), NAME, Relay::Quota),
    ];
    for (token, sender, why) in cases {
        let mut office = Office::new(Lab::new(2));
        let token = token(&office);
        let message = from_device(&mut office.lab.start().unwrap()).sent.remove(0);
        let packet = Relayed { session: 1, nonce: NONCE, token: &token, message: &message }.packet().unwrap();
        for _ in 0..3 {
            assert_eq!(office.handle_relayed(&packet, sender), Err(why.into()));
        }
        assert!(office.sessions.is_empty() && office.asked.is_empty(), "{why}");
        assert_eq!(office.usage, Usage::default());
    }
    let mut office = Office::new(Lab::new(2));
    assert_eq!(office.handle_relayed(b"\x85\x02", NAME), Err(Malformed::Truncated.into()));
}

/// A relay that has used up its token in the middle: the device is left alone, and goes on when there is another one.
#[test]
fn a_quota_ends_in_the_middle() {
    // What it takes.
    let mut office = Office::new(Lab::new(3));
    let mut relay = Relaying::new(office.token(|_| {}), Habits::default(), 3);
    attempt(&mut office, &mut relay, 1);
    let needed = relay.up as u64;
    // message_1 and message_3 fit, confirm does not, nor does any further session.
    let mut office = Office::new(Lab::new(3));
    let token = office.token(|permit| (permit.sessions, permit.bytes) = (1, needed - 1));
    let mut relay = Relaying::new(token, Habits::default(), 3);
    let (_, out) = attempt(&mut office, &mut relay, 1);
    assert_eq!((out.finished, out.installed.len()), (vec![Err(Error::Unanswered)], 1));
    assert!(relay.refused.len() >= 8 && relay.refused.iter().all(|error| *error == Relay::Quota.into()));
    assert_eq!(office.lab.held().map(|(_, confirmed)| confirmed), Some(false));
    // Another token, another account.
    office.usage = Usage::default();
    let mut relay = Relaying::new(office.token(|_| {}), Habits::default(), 4);
    let (_, out) = attempt(&mut office, &mut relay, 2);
    assert_eq!(out.finished, [Ok(())]);
    office.lab.assert_complete();
}

/// A token for resumes only: the operator can read what is asked for only when the device has authenticated, and says no
/// then.
#[test]
fn an_operation_outside_of_the_scope_is_refused() {
    let mut office = Office::new(Lab::new(5));
    let resume = office.token(|permit| permit.operations = 1 << Operation::Resume.number());
    let mut relay = Relaying::new(resume, Habits::default(), 5);
    let (mut device, out) = attempt(&mut office, &mut relay, 1);
    assert_eq!(out.finished, [Err(Refused::Code(Code::RelayScope).into())]);
    assert!(device.take_eap_keys().is_none());
    assert_eq!(office.finished, [Err(Error::Declined(Code::RelayScope))]);
    assert_eq!((office.asked.as_slice(), office.lab.logged().len(), office.lab.held()), (&["find"][..], 0, None));

    // Begun without it, it may be ended through it.
    let (relay_hash, mut lab) = (office.lab.device_config.relay.take(), office.lab);
    lab.operator_config.relay = None;
    lab.session(5);
    lab.device_config.relay = relay_hash;
    let mut office = Office::new(lab);
    let resume = office.token(|permit| permit.operations = 1 << Operation::Resume.number());
    let (_, out) = attempt(&mut office, &mut Relaying::new(resume, Habits::default(), 6), 2);
    assert_eq!(out.finished, [Ok(())]);
    office.lab.assert_complete();
    // And nothing but that: a query is another operation.
    office.lab.goal = Goal::Query;
    let resume = office.token(|permit| permit.operations = 1 << Operation::Resume.number());
    let (_, out) = attempt(&mut office, &mut Relaying::new(resume, Habits::default(), 7), 3);
    assert_eq!(out.finished, [Err(Refused::Code(Code::RelayScope).into())]);
}

/// A message that came through another relay than the device named, or in answer to another announcement, or through none.
#[test]
fn a_relay_that_is_not_the_one_named_gets_nothing_through() {
    for other in [
        Announcement { relay: Name::new(b"relay 8").unwrap(), ..announcement() },
        Announcement { nonce: [8; 16], ..announcement() },
    ] {
        let mut office = Office::new(Lab::new(8));
        office.lab.device_config.relay = Some(other.hash(&RustCrypto));
        let mut relay = Relaying::new(office.token(|_| {}), Habits::default(), 8);
        let (_, out) = attempt(&mut office, &mut relay, 1);
        assert_eq!(out.finished, [Err(Refused::Edhoc(1).into())]);
        assert_eq!(office.finished, [Err(Misbehaved::WrongRelay.into())]);
        assert!(office.asked.is_empty());
    }
}

/// The device speaks SMS with the relay, the relay forwards whole messages.
#[test]
fn a_first_provisioning_over_sms_through_a_relay() {
    let mut office = Office::new(Lab::attested(9));
    let mut relay = Relaying::new(office.token(|_| {}), Habits::default(), 9);
    let mut client = Client::new(Profile::SMS, Retry { first: 10_000, attempts: 8 }, 1);
    let mut server = Server::new(Profile::SMS, 60_000, 1);
    let now = Millis(0);
    let mut device = office.lab.start().unwrap();
    let (mut packets, mut ended) = (0, None);
    while ended.is_none() {
        let out = from_device(&mut device);
        out.sent.iter().for_each(|message| client.send(message, now).unwrap());
        ended = out.finished.first().copied();
        while let Some(action) = client.poll() {
            match action {
                link::Action::Send(packet) => {
                    packets += 1;
                    server.handle_packet(&packet, now).unwrap();
                }
                link::Action::Received(answer) => office.lab.tell_device(&mut device, &answer).unwrap(),
                _ => {}
            }
        }
        while let Some(action) = server.poll() {
            match action {
                link::Action::Send(packet) => {
                    packets += 1;
                    client.handle_packet(&packet, now).unwrap();
                }
                link::Action::Received(message) => {
                    let answer = relay.carry(&message, 1, &mut office).remove(0);
                    server.send(&answer).unwrap();
                }
                _ => {}
            }
        }
    }
    assert_eq!(ended, Some(Ok(())));
    office.lab.assert_complete();
    println!("{packets} packets of SMS, {} bytes forwarded", relay.up);
    assert_eq!(office.usage, Usage { sessions: 1, bytes: relay.up as u64 });
    let envelope = encode(&Relayed { session: 1, nonce: NONCE, token: &relay.token, message: &[] }).len();
    assert!(envelope <= 110, "{envelope}");
}
