//! The least that a device can do with the library, to see what that costs: EDHOC with static keys on both sides (method 3), a
//! package, Milenage. No voucher, evidence, receipts or commit record; so nothing that survives a power cut.
//!
//! ```text
//! made = [ private key: bstr .size 32, its CCS: bstr, the operator's CCS: bstr ]
//! device ── message_1 ──▶ operator
//!        ◀─ message_2 ──
//!        ── message_3 ──▶            EAD_3: txn
//!        ◀─ message_4 ──             EAD_4: package-offer
//! ```
#![no_std]
#![no_main]

extern crate alloc;

#[path = "../board.rs"]
#[allow(dead_code, reason = "of the heap and the stack only the peaks are asked for")]
mod board;
#[cfg(feature = "cm4")]
#[path = "../cm4.rs"]
#[allow(dead_code, reason = "nothing is signed here")]
mod cm4;
#[path = "../drbg.rs"]
mod drbg;

use alloc::{boxed::Box, vec::Vec};
use core::{convert::Infallible, panic::PanicInfo};

use remote_provisioning::{
    aka::{Answer, Challenge},
    credential::{Offered, SoftUsim, Txn, Usim},
    crypto::{Aead, Crypto, EphemeralKey, Group, HASH_LEN, Hash, PublicKey, Rng, Secret, SecretBytes, Signature},
    edhoc::{
        ConnectionId, EadItem, Method, OwnCredential, Session, Suite,
        initiator::{self, Proposal},
    },
    error::{Backend, Misbehaved, Result, Untrusted},
    identity::{Domain, Role},
    provisioning::message::{EAD_LABEL, PackageOffer},
    store::{KeyId, KeyStore, Slot},
    trust::{Pinned, Verified},
    wire::{self, Reader},
};

#[cfg(feature = "cm4")]
use cm4::Cm4 as Library;
#[cfg(not(feature = "cm4"))]
use remote_provisioning::crypto::rustcrypto::RustCrypto as Library;

use crate::{board::Heap, drbg::Drbg};

#[global_allocator]
static HEAP: Heap = Heap::empty();

/// The number of the only key.
const IDENTITY: KeyId = KeyId(1);

const FRAME_LEN: usize = 1024;

// What the laboratory asks, and what it hears.
const MAKE: u8 = b'i';
const SEED: u8 = b's';
const ATTEMPT: u8 = b'g';
const CHALLENGE: u8 = b'a';
const MESSAGE: u8 = b'm';
const RESPONSE: u8 = b'R';
const BILL: u8 = b'B';

#[cortex_m_rt::entry]
fn main() -> ! {
    // The runtime lends both to this function, once.
    static mut FRAME: [u8; FRAME_LEN] = [0; FRAME_LEN];
    static mut MADE: [u8; FRAME_LEN] = [0; FRAME_LEN];
    board::start_timer();
    board::start_line();
    HEAP.start();
    let Err(_) = run(FRAME, MADE);
    board::halt(b'E')
}

fn run(frame: &mut [u8], made: &mut [u8]) -> Result<Infallible> {
    let (MAKE, made) = board::receive(made) else { board::halt(b'?') };
    let mut rng = Drbg::new([0; 32], &NoSignatures(Library));
    let mut slot = None;
    loop {
        let (kind, content) = board::receive(frame);
        match kind {
            SEED => rng = Drbg::new(*content.first_chunk().ok_or(Backend::Random)?, &NoSignatures(Library)),
            ATTEMPT => {
                let bill = Bill::open();
                slot = Some(provision(made, frame, &mut rng)?);
                bill.send();
            }
            CHALLENGE => {
                let bill = Bill::open();
                slot = Some(attach(content, slot.take().ok_or(Backend::Usim)?)?);
                bill.send();
            }
            _ => board::halt(b'?'),
        }
    }
}

/// The handshake, and what comes of it: the content of a slot.
fn provision(made: &[u8], frame: &mut [u8], rng: &mut Drbg) -> Result<SecretBytes> {
    let mut txn = [0; 16];
    rng.fill(&mut txn)?;
    let (session, sealed) = shake_hands(made, &txn, frame, rng)?;
    let offered = Offered { domain: Domain::Test, txn: &txn, sealed: &sealed, exporter: &*session };
    let installed = SoftUsim.install(Slot::A, &offered, &NoSignatures(Library))?;
    board::send(RESPONSE, installed.res.bytes());
    Ok(installed.content)
}

/// The session, and the sealed package of its message_4.
#[inline(never)]
fn shake_hands(made: &[u8], txn: &Txn, frame: &mut [u8], rng: &mut Drbg) -> Result<(Box<Session>, Vec<u8>)> {
    let crypto = &NoSignatures(Library);
    let mut reader = Reader::new(made)?;
    reader.array_of(3)?;
    let key = StaticKey::new(reader.bytes()?);
    let own = Pinned::from_ccs(reader.bytes()?, Role::Device, Domain::Test, crypto)?;
    let own = OwnCredential::pinned(IDENTITY, &own)?;
    let operator = Pinned::from_ccs(reader.bytes()?, Role::Operator, Domain::Test, crypto)?;

    let c_i = ConnectionId::random(rng, None)?;
    let proposal = Proposal { method: Method::StaticStatic, suites: &[Suite::GCM], c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, crypto, rng)?;
    let message = sent.read(exchange(&message_1, frame), crypto)?;
    if !operator.is_for(Role::Operator, Domain::Test, &message.claimed()?) {
        return Err(Untrusted::UnknownCredential.into());
    }
    // It is the one that the factory pinned; and the MAC is looked at here.
    let accepted = message.accept(Verified::assertion(operator.peer().clone()), &own, crypto)?;
    let item = EadItem { label: EAD_LABEL, critical: true, value: Some(txn) };
    let (sent, message_3) = accepted.write(&own, &[item], &key, crypto)?;
    let mut message = sent.read(exchange(&message_3, frame), crypto)?;
    let item = message.ead().take(EAD_LABEL).and_then(|item| item.value).ok_or(Misbehaved::MissingEad)?;
    let offer: PackageOffer<'_> = wire::decode(item)?;
    if offer.txn != *txn {
        return Err(Misbehaved::WrongTransaction.into());
    }
    let sealed = offer.sealed.to_vec();
    Ok((Box::new(message.complete()?), sealed))
}

/// Says this, and hears the answer.
fn exchange<'f>(message: &[u8], frame: &'f mut [u8]) -> &'f [u8] {
    board::send(MESSAGE, message);
    match board::receive(frame) {
        (MESSAGE, answer) => answer,
        _ => board::halt(b'?'),
    }
}

/// Answers the network, and gives what the slot holds afterwards.
#[inline(never)]
fn attach(challenge: &[u8], content: SecretBytes) -> Result<SecretBytes> {
    let (rand, rest) = challenge.split_first_chunk().ok_or(Backend::Usim)?;
    let challenge = Challenge { rand: *rand, autn: *rest.first_chunk().ok_or(Backend::Usim)? };
    match SoftUsim.authenticate(Slot::A, &content, &challenge)? {
        (Answer::Success(keys), Some(content)) => {
            board::send(RESPONSE, keys.res.bytes());
            Ok(content)
        }
        _ => Err(Backend::Usim.into()),
    }
}

/// What something has cost, waiting for the other side included, which takes no instruction.
struct Bill {
    start: u32,
}

impl Bill {
    fn open() -> Self {
        HEAP.restart();
        board::paint_stack();
        Self { start: board::ticks() }
    }

    fn send(&self) {
        let ticks = board::ticks().wrapping_sub(self.start);
        let mut content = [0; 88];
        let rows = [ticks, 0, 0, 0, 0, board::stack_peak(), HEAP.peak(), HEAP.calls()];
        for (place, row) in content.chunks_exact_mut(8).zip(rows) {
            place.iter_mut().zip(row.to_le_bytes()).for_each(|(byte, new)| *byte = new);
        }
        board::send(BILL, &content);
    }
}

/// The identity key, which agrees and does not sign. In the form of an ephemeral one, which the backend agrees with.
struct StaticKey(EphemeralKey);

impl StaticKey {
    fn new(private: &[u8]) -> Self {
        Self(EphemeralKey::from_parts(Group::P256, SecretBytes::new(private.to_vec()), Box::default()))
    }
}

impl KeyStore for StaticKey {
    fn public_key(&self, _: KeyId) -> Result<PublicKey, Backend> {
        Err(Backend::Key)
    }

    fn sign(&self, _: KeyId, _: &[u8]) -> Result<Signature, Backend> {
        Err(Backend::Key)
    }

    fn agree(&self, _: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        Library.agree(&self.0, peer, shared)
    }
}

/// The backend without the one thing that nobody asks it for here, so that the linker leaves that out.
struct NoSignatures(Library);

impl Crypto for NoSignatures {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        self.0.sha256(parts)
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        self.0.hkdf_extract(salt, ikm, prk);
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        self.0.hkdf_expand(prk, info, okm)
    }

    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        self.0.seal(aead, key, nonce, aad, text)
    }

    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        self.0.open(aead, key, nonce, aad, text)
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        self.0.point(encoded)
    }

    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        self.0.generate(group, rng)
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        self.0.encapsulate(group, g_x, rng, shared)
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        self.0.decapsulate(key, g_y, shared)
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        self.0.agree(key, peer, shared)
    }

    fn verify(&self, _: &PublicKey, _: &[u8], _: &Signature) -> Result<(), Untrusted> {
        Err(Untrusted::Authentication)
    }
}

#[panic_handler]
fn panicked(_: &PanicInfo<'_>) -> ! {
    board::halt(b'!')
}
