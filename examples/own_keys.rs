//! Keys that live elsewhere: each side of a handshake has a secure element, which is slow, and no private key.
//!
//! ```console
//! cargo run --example own_keys
//! ```
//!
//! An [`Element`] takes a command and gives a response, as a smart card or an HSM does; nothing else leads into it.
//! It is made a [`KeyStore`], for the identity key, and a [`Crypto`] whose ephemeral keys are made and used in there as
//! well: all that this program has of a private key is a number.
//!
//! The element takes its time over the identity key: its first answer is "not yet". The key store says
//! [`Backend::KeyPending`], the step of the handshake stops, and [`Stopped::again`] gives it back to be tried again: see
//! [`patiently`]. A program with more to do would do it in between.
//!
//! Exit code 0: all four methods have completed, and both sides export the same. 1: something failed.
//! The element is pretended, and its identity keys are published test data.
#![allow(
    clippy::print_stdout,
    clippy::std_instead_of_alloc,
    clippy::arithmetic_side_effects,
    reason = "an example on a host talks to a person, and counts what it itself made"
)]

use std::process::ExitCode;

use remote_provisioning::{
    crypto::{
        Aead, Crypto, EphemeralKey, Group, HASH_LEN, Hash, PublicKey, Rng, Secret, SecretBytes, Signature, equal,
        rustcrypto::RustCrypto,
    },
    edhoc::{ConnectionId, Method, OwnCredential, Stopped, Suite, initiator, responder},
    error::{Backend, Error, Misbehaved, Result, Untrusted},
    identity::{Domain, Role},
    sim::identities as ids,
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Pinned, verify},
};

use self::element::{Element, IDENTITY, Instruction, NOT_YET, OK};

fn main() -> ExitCode {
    match all_methods() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn all_methods() -> Result<()> {
    [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic].into_iter().try_for_each(handshake)
}

/// Both sides, message by message. An element is key store and back end to its side.
fn handshake(method: Method) -> Result<()> {
    println!("{method:?}");
    let (d, own_d) = &equipped(Role::Device, ids::raw_device_ccs(), ids::raw_device_key())?;
    let (o, own_o) = &equipped(Role::Operator, ids::raw_operator_ccs(), ids::raw_operator_key())?;
    let (anchors_d, anchors_o) = (ids::device_anchors(), ids::operator_anchors());
    let (c_i, c_r) = (ConnectionId::new(&[1])?, ConnectionId::new(&[2])?);

    let proposal = initiator::Proposal { method, suites: &[Suite::CCM_8], c_i: &c_i, ead_1: &[] };
    let (sent, message_1) = initiator::start(&proposal, d, &mut NoRng)?;

    let read = responder::read(&message_1, &[method], &[Suite::CCM_8], o)?;
    let write = |step: responder::Message1| step.write(&c_r, own_o, &[], o, o, &mut NoRng);
    let (sent_2, message_2) = patiently("operator, message_2", read, write)?;

    let read = sent.read(&message_2, d)?;
    let peer = verify(&read.claimed()?, Role::Operator, Domain::Test, &anchors_d, d, None)?;
    let accepted = read.accept(peer, own_d, d)?;
    let write = |step: initiator::Message2Accepted| step.write(own_d, &[], d, d);
    let (sent_3, message_3) = patiently("device, message_3", accepted, write)?;

    let read = sent_2.read(&message_3, o)?;
    let peer = verify(&read.claimed()?, Role::Device, Domain::Test, &anchors_o, o, None)?;
    let (at_operator, message_4) = read.accept(peer, own_o, o)?.write(&[], o)?;
    let at_device = sent_3.read(&message_4, d)?.complete()?;

    println!("  asked of the device's element:   {}", d.asked());
    println!("  asked of the operator's element: {}", o.asked());
    let (mut one, mut other) = (SecretBytes::zeroed(16), SecretBytes::zeroed(16));
    at_device.export(0x8001, b"own keys", one.bytes_mut(), d)?;
    at_operator.export(0x8001, b"own keys", other.bytes_mut(), o)?;
    if !equal(one.bytes(), other.bytes()) {
        return Err(Untrusted::Authentication.into());
    }
    println!("  done: {} and {} export the same", at_operator.peer().name(), at_device.peer().name());
    Ok(())
}

/// Repeats a step, with the same arguments, for as long as the key store says "not yet".
fn patiently<S, T>(what: &str, mut step: S, call: impl Fn(S) -> Result<T, Stopped<S>>) -> Result<T> {
    loop {
        match call(step) {
            Err(stopped) if stopped.error() == Error::Backend(Backend::KeyPending) => {
                println!("  {what}: the element is not ready, trying again");
                step = stopped.again()?;
            }
            done => return Ok(done?),
        }
    }
}

/// An element as it leaves the factory, and how its identity key is named to the peer.
fn equipped(role: Role, ccs: &[u8], key: &[u8; 32]) -> Result<(Element, OwnCredential)> {
    let ccs = Pinned::from_ccs(ccs, role, Domain::Test, &RustCrypto)?;
    Ok((Element::new(key)?, OwnCredential::pinned(KeyId(IDENTITY), &ccs)?))
}

// ------------------------------------------------------------------------------------------------------------- the driver

impl Element {
    /// One command and its response. `key` is the number of a key in there.
    fn ask(&self, instruction: Instruction, key: u32, data: &[u8]) -> Result<SecretBytes, Backend> {
        let response = self.transmit(instruction, &[&key.to_be_bytes(), data].concat());
        match response.bytes().split_first() {
            Some((&OK, data)) => Ok(SecretBytes::new(data.to_vec())),
            Some((&NOT_YET, _)) => Err(Backend::KeyPending),
            _ => Err(Backend::Key),
        }
    }
}

/// Identity keys in the element.
impl KeyStore for Element {
    fn public_key(&self, key: KeyId) -> Result<PublicKey, Backend> {
        self.point(self.ask(Instruction::PublicKey, key.0, &[])?.bytes()).map_err(|_| Backend::Key)
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Signature, Backend> {
        self.ask(Instruction::Sign, key.0, message)?.bytes().try_into().map_err(|_| Backend::Key)
    }

    fn agree(&self, key: KeyId, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        *shared = Secret::from_slice(self.ask(Instruction::Agree, key.0, peer.bytes())?.bytes())?;
        Ok(())
    }
}

/// Ephemeral keys in the element; in software whatever needs no private key.
impl Crypto for Element {
    /// The private half of what comes back is a number. The element has a random source of its own.
    fn generate(&self, _: Group, _: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        let made = self.ask(Instruction::Generate, 0, &[])?;
        let (number, public) = made.bytes().split_first_chunk::<4>().ok_or(Backend::Key)?;
        Ok(EphemeralKey::from_parts(Group::P256, SecretBytes::new(number.to_vec()), public.into()))
    }

    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        let (peer, key) = (self.point(g_x)?, self.generate(group, rng)?);
        Crypto::agree(self, &key, &peer, shared)?;
        Ok(key)
    }

    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        Ok(Crypto::agree(self, key, &self.point(g_y)?, shared)?)
    }

    fn agree(&self, key: &EphemeralKey, peer: &PublicKey, shared: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        let number = u32::from_be_bytes(key.private().try_into().map_err(|_| Backend::Key)?);
        KeyStore::agree(self, KeyId(number), peer, shared)
    }

    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        RustCrypto.sha256(parts)
    }

    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        RustCrypto.hkdf_extract(salt, ikm, prk);
    }

    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        RustCrypto.hkdf_expand(prk, info, okm)
    }

    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        RustCrypto.seal(aead, key, nonce, aad, text)
    }

    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        RustCrypto.open(aead, key, nonce, aad, text)
    }

    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        RustCrypto.point(encoded)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), Untrusted> {
        RustCrypto.verify(key, message, signature)
    }
}

/// The host needs no random numbers.
struct NoRng;

impl Rng for NoRng {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), Backend> {
        Err(Backend::Random)
    }
}

// ------------------------------------------------------------------------------------------------- the pretended hardware

mod element {
    use std::{collections::BTreeMap, fs::File, io::Read, sync::Mutex};

    use super::{Backend, Crypto, KeyId, KeyStore, MemoryKeyStore, RustCrypto, Secret, SecretBytes};

    /// Status, the first byte of a response.
    pub(crate) const OK: u8 = 0;
    pub(crate) const NOT_YET: u8 = 1;
    const FAILED: u8 = 2;

    /// Where the identity key is. The places after it are for ephemeral keys.
    pub(crate) const IDENTITY: u32 = 0;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) enum Instruction {
        PublicKey,
        Generate,
        Sign,
        Agree,
    }

    pub(crate) struct Element(Mutex<Inside>);

    struct Inside {
        keys: MemoryKeyStore,
        /// The first response to this command was "not yet".
        at_work: Option<(Instruction, Vec<u8>)>,
        asked: BTreeMap<Instruction, u32>,
    }

    impl Element {
        /// As it leaves the factory, with a private key in it.
        pub(crate) fn new(identity: &[u8; 32]) -> Result<Self, Backend> {
            let mut keys = MemoryKeyStore::new();
            keys.insert(KeyId(IDENTITY), identity)?;
            Ok(Self(Mutex::new(Inside { keys, at_work: None, asked: BTreeMap::new() })))
        }

        /// The only way in: the place of a key and data, for a status and data.
        pub(crate) fn transmit(&self, instruction: Instruction, command: &[u8]) -> SecretBytes {
            let response =
                self.0.lock().map_err(|_| Backend::Key).and_then(|mut inside| inside.run(instruction, command));
            SecretBytes::new(match response {
                Ok(data) => [&[OK], data.as_slice()].concat(),
                Err(Backend::KeyPending) => vec![NOT_YET],
                Err(_) => vec![FAILED],
            })
        }

        /// What it was asked for, and how often.
        pub(crate) fn asked(&self) -> String {
            self.0.lock().map(|inside| format!("{:?}", inside.asked)).unwrap_or_default()
        }
    }

    impl Inside {
        fn run(&mut self, instruction: Instruction, command: &[u8]) -> Result<Vec<u8>, Backend> {
            let asked = self.asked.entry(instruction).or_default();
            *asked += 1;
            let (place, data) = command.split_first_chunk().ok_or(Backend::Key)?;
            let key = KeyId(u32::from_be_bytes(*place));
            let slow = key.0 == IDENTITY && matches!(instruction, Instruction::Sign | Instruction::Agree);
            if slow && self.at_work.take_if(|(other, data)| *other == instruction && data == command).is_none() {
                self.at_work = Some((instruction, command.to_vec()));
                return Err(Backend::KeyPending);
            }
            match instruction {
                Instruction::PublicKey => Ok(self.keys.public_key(key)?.bytes().to_vec()),
                Instruction::Generate => {
                    let mut scalar = Secret::zeroed();
                    let noise = File::open("/dev/urandom").and_then(|mut noise| noise.read_exact(scalar.bytes_mut()));
                    noise.map_err(|_| Backend::Random)?;
                    // Four places in turn: nobody tells when an ephemeral key is done with.
                    let place = *asked % 4 + 1;
                    self.keys.insert(KeyId(place), scalar.bytes())?;
                    Ok([&place.to_be_bytes(), self.keys.public_key(KeyId(place))?.x()].concat())
                }
                Instruction::Sign => Ok(self.keys.sign(key, data)?.to_vec()),
                Instruction::Agree => {
                    let mut shared = Secret::zeroed();
                    self.keys.agree(key, &RustCrypto.point(data).map_err(|_| Backend::Key)?, &mut shared)?;
                    Ok(shared.bytes().to_vec())
                }
            }
        }
    }
}
