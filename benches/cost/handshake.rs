//! What an EDHOC handshake costs, per side, method and backend, and how much of that is its primitives.
//!
//! ```text
//! BACKEND/METHOD/SIDE     message_1 to message_4 without EAD items, suite -24, raw keys named by kid
//! BACKEND/chains/SIDE     method 0 with chains of two certificates, sent and verified
//! primitives              the same operations on the same backend, one after the other, on texts of the same lengths: those of
//!                         public keys (some 95 in a hundred of the time), hashes, HKDF, AEAD
//! ```
//!
//! Each side is driven with what the other one said in a recorded run. What a backend adds to its library is in `crypto`.

use core::hint::black_box;
use std::rc::Rc;

use remote_provisioning::{
    crypto::{Crypto, EphemeralKey, Group, PublicKey, Secret, Signature},
    edhoc::{ConnectionId, Method, Session, Suite, initiator, responder},
    identity::{Domain, Role},
    sim::{IDENTITY, SeededRng, TODAY, identities as ids},
    trust::{self, Candidates, CredentialId, MemoryAnchors},
};

use crate::{
    parties::{self, Backend, Pair, Side},
    row::Row,
};

const METHODS: [(Method, &str); 4] = [
    (Method::SignSign, "method 0"),
    (Method::SignStatic, "method 1"),
    (Method::StaticSign, "method 2"),
    (Method::StaticStatic, "method 3"),
];

pub(crate) fn rows() -> Vec<Row> {
    let runs = parties::backends().into_iter().flat_map(|backend| {
        let kids = METHODS.map(|(method, name)| Run::new(backend, method, name, Pair::kids(backend), 0));
        kids.into_iter().chain([Run::new(backend, Method::SignSign, "chains", Pair::chains(backend), 2)])
    });
    runs.flat_map(|run| {
        let run = Rc::new(run);
        let goal = if run.backend.name == "rustcrypto" { 1.03 } else { 1.05 };
        let row = |side, role, all: fn(&Run) -> Session| {
            let (name, one, other) = (format!("handshake/{}/{side}", run.name), run.clone(), run.clone());
            Row::new(name, move || drop(all(&one)), move || other.floor(role)).goal(goal)
        };
        [row("initiator", Role::Device, Run::initiator), row("responder", Role::Operator, Run::responder)]
    })
    .collect()
}

struct Run {
    name: String,
    backend: Backend,
    method: Method,
    pair: Pair,
    recorded: [Vec<u8>; 4],
    operands: Operands,
}

/// What the primitives alone are run with.
struct Operands {
    ephemeral: EphemeralKey,
    x: [u8; 32],
    peer: PublicKey,
    signature: Signature,
    /// Signatures in the peer's chain.
    chain: usize,
}

const MESSAGE: [u8; 100] = [7; 100];

impl Run {
    fn new(backend: Backend, method: Method, name: &str, pair: Pair, chain: usize) -> Self {
        let keys = (backend.keys)(ids::raw_device_key());
        let peer = keys.public_key(IDENTITY).unwrap();
        let operands = Operands {
            ephemeral: backend.crypto.generate(Group::P256, &mut SeededRng::new(3)).unwrap(),
            x: peer.x().try_into().unwrap(),
            peer,
            signature: keys.sign(IDENTITY, &MESSAGE).unwrap(),
            chain,
        };
        let name = format!("{}/{name}", backend.name);
        let mut run = Self { name, backend, method, pair, recorded: Default::default(), operands };
        run.recorded = run.handshake();
        run
    }

    fn handshake(&self) -> [Vec<u8>; 4] {
        let (device, message_1) = self.message_1();
        let (operator, message_2) = self.message_2(&message_1);
        let (device, message_3) = self.message_3(device, &message_2);
        let (_, message_4) = self.message_4(operator, &message_3);
        device.read(&message_4, self.backend.crypto).unwrap().complete().unwrap();
        [message_1, message_2, message_3, message_4]
    }

    fn initiator(&self) -> Session {
        let [_, message_2, _, message_4] = &self.recorded;
        let (device, _) = self.message_1();
        let (device, _) = self.message_3(device, message_2);
        device.read(message_4, self.backend.crypto).unwrap().complete().unwrap()
    }

    fn responder(&self) -> Session {
        let [message_1, _, message_3, _] = &self.recorded;
        let (operator, _) = self.message_2(message_1);
        self.message_4(operator, message_3).0
    }

    fn message_1(&self) -> (initiator::AwaitMessage2, Vec<u8>) {
        let mut rng = SeededRng::new(1);
        let c_i = ConnectionId::random(&mut rng, None).unwrap();
        let proposal = initiator::Proposal { method: self.method, suites: &[Suite::GCM], c_i: &c_i, ead_1: &[] };
        initiator::start(&proposal, self.backend.crypto, &mut rng).unwrap()
    }

    fn message_2(&self, message_1: &[u8]) -> (responder::AwaitMessage3, Vec<u8>) {
        let (mut rng, crypto) = (SeededRng::new(2), self.backend.crypto);
        let message = responder::read(message_1, &[self.method], &Suite::ALL, crypto).unwrap();
        let c_r = ConnectionId::random(&mut rng, Some(message.c_i())).unwrap();
        let Side { own, keys, .. } = &self.pair.operator;
        message.write(&c_r, own, &[], &**keys, crypto, &mut rng).unwrap()
    }

    fn message_3(&self, device: initiator::AwaitMessage2, message_2: &[u8]) -> (initiator::AwaitMessage4, Vec<u8>) {
        let (Side { own, keys, anchors }, crypto) = (&self.pair.device, self.backend.crypto);
        let message = device.read(message_2, crypto).unwrap();
        let peer = self.believe(&message.claimed().unwrap(), Role::Operator, anchors);
        message.accept(peer, own, crypto).unwrap().write(own, &[], &**keys, crypto).unwrap()
    }

    fn message_4(&self, operator: responder::AwaitMessage3, message_3: &[u8]) -> (Session, Vec<u8>) {
        let (Side { own, anchors, .. }, crypto) = (&self.pair.operator, self.backend.crypto);
        let message = operator.read(message_3, crypto).unwrap();
        let peer = self.believe(&message.claimed().unwrap(), Role::Device, anchors);
        message.accept(peer, own, crypto).unwrap().write(&[], crypto).unwrap()
    }

    fn believe(&self, claimed: &CredentialId<'_>, role: Role, anchors: &MemoryAnchors) -> Candidates {
        trust::verify(claimed, role, Domain::Test, anchors, self.backend.crypto, Some(TODAY)).unwrap()
    }

    /// What this side cannot do without: its half of the ephemeral exchange, its own proof, the peer's proof and chain, and
    /// the key schedule.
    fn floor(&self, role: Role) {
        self.public_key_operations(role);
        schedule(self.backend.crypto, self.method, &self.recorded, &self.pair);
    }

    fn public_key_operations(&self, role: Role) {
        let (crypto, keys) = (self.backend.crypto, &self.pair.device.keys);
        let Operands { ephemeral, x, peer, signature, chain } = &self.operands;
        let mut shared = Secret::zeroed();
        let signs = |role| {
            use Method::{SignSign, SignStatic, StaticSign};
            let pair = (self.method, role);
            matches!(pair, (SignSign, _) | (SignStatic, Role::Device) | (StaticSign, Role::Operator))
        };
        let other = if role == Role::Device { Role::Operator } else { Role::Device };
        match role {
            Role::Device | Role::Relay => {
                let ephemeral = crypto.generate(Group::P256, &mut SeededRng::new(4)).unwrap();
                crypto.decapsulate(&ephemeral, x, &mut shared).unwrap();
            }
            Role::Operator => drop(crypto.encapsulate(Group::P256, x, &mut SeededRng::new(4), &mut shared).unwrap()),
        }
        if signs(role) {
            black_box(keys.sign(IDENTITY, &MESSAGE).unwrap());
        } else {
            keys.agree(IDENTITY, peer, &mut shared).unwrap();
        }
        if signs(other) {
            crypto.verify(peer, &MESSAGE, signature).unwrap();
        } else {
            crypto.agree(ephemeral, peer, &mut shared).unwrap();
        }
        for _ in 0..*chain {
            crypto.verify(peer, &MESSAGE, signature).unwrap();
        }
        black_box(&shared);
    }
}

/// RFC 9528 §4 and §5: four transcript hashes; an extract for G_XY and each static key; KEYSTREAM_2, two MACs, two
/// keys with nonces, PRK_out and PRK_exporter, a salt for each static key; message_3 and message_4.
pub(crate) fn schedule(crypto: &dyn Crypto, method: Method, messages: &[Vec<u8>], pair: &Pair) {
    let [message_1, message_2, message_3, message_4, ..] = messages else { return };
    let statics = match method {
        Method::SignSign => 0,
        Method::SignStatic | Method::StaticSign => 1,
        Method::StaticStatic => 2,
    };
    let (device, operator) = (pair.device.own.credential(), pair.operator.own.credential());
    for text in
        [&[message_1.as_slice()][..], &[&[0; 66]], &[&[0; 34], message_2, operator], &[&[0; 34], message_3, device]]
    {
        black_box(crypto.sha256(text));
    }
    let mut prk = Secret::zeroed();
    (0..1 + statics).for_each(|_| crypto.hkdf_extract(&[1; 32], &[2; 32], &mut prk));

    let mut okm = vec![0; message_2.len()];
    let mut expand = |info: &[&[u8]], len: usize| {
        crypto.hkdf_expand(&prk, info, okm.get_mut(..len).unwrap()).unwrap();
    };
    // Label, transcript hash and length.
    let short: &[&[u8]] = &[&[0; 38]];
    let mac = if method == Method::SignSign { 32 } else { Suite::GCM.mac_len };
    expand(&[&[0; 48], operator], mac);
    expand(&[&[0; 48], device], mac);
    for len in [message_2.len() - 35, 16, 12, 16, 12, 32, 32] {
        expand(short, len);
    }
    (0..statics).for_each(|_| expand(short, 32));

    for message in [message_3, message_4] {
        let mut text = message.clone();
        crypto.seal(Suite::GCM.aead, &[1; 16], &[2; 12], &[3; 45], &mut text).unwrap();
        black_box(&text);
    }
}
