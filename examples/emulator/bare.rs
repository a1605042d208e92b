//! The other side of the firmware's program `method3`: an operator that speaks EDHOC, seals one package, and lets the device
//! in.

use std::path::Path;

use remote_provisioning::{
    aka::{
        self, Milenage, Vector,
        sqn::{Ind, Profile},
    },
    credential::{self, Activation, Algorithm, KeyName, MilenageParameters, Package, Previous},
    crypto::{Rng, Secret, rustcrypto::RustCrypto},
    edhoc::{ConnectionId, EadItem, Method, OwnCredential, Stopped, Suite, responder},
    error::Error,
    identity::{Domain, Role, Supi},
    provisioning::message::{EAD_LABEL, PackageOffer},
    sim::{IDENTITY, SeededRng, identities},
    store::memory::MemoryKeyStore,
    trust::{MemoryAnchors, Pinned, verify},
    wire::{encode, encode_with},
};

use crate::{
    Bill, Result,
    machine::{self, Machine},
};

/// What a handshake with its package costs the device, and what to attach costs.
pub(crate) fn run(firmware: &Path) -> Result<(Bill, Bill)> {
    let directory = firmware.with_extension("device");
    machine::new_flash(&directory)?;
    let mut device = Machine::start(firmware, &directory)?;
    device.send(
        b'i',
        &encode_with(|w| {
            w.array(3);
            w.bytes(identities::raw_device_key());
            w.bytes(identities::raw_device_ccs());
            w.bytes(identities::raw_operator_ccs());
        }),
    )?;
    let mut rng = SeededRng::new(3);
    let mut seed = [0; 32];
    rng.fill(&mut seed)?;
    device.send(b's', &seed)?;
    device.send(b'g', &[])?;
    let (set, vector) = provision(&mut device, &mut rng)?;
    let first = answered(&mut device, &vector)?;
    let vector = challenge(&set, 2, &mut rng)?;
    device.send(b'a', &[vector.challenge.rand, vector.challenge.autn].concat())?;
    Ok((first, answered(&mut device, &vector)?))
}

/// The handshake; gives the subscriber and the challenge in the package.
fn provision(device: &mut Machine, rng: &mut SeededRng) -> Result<(Milenage, Box<Vector>)> {
    let pinned = Pinned::from_ccs(identities::raw_device_ccs(), Role::Device, Domain::Test, &RustCrypto)?;
    let mut anchors = MemoryAnchors::new();
    anchors.add_pinned(pinned)?;
    let own = Pinned::from_ccs(identities::raw_operator_ccs(), Role::Operator, Domain::Test, &RustCrypto)?;
    let own = OwnCredential::pinned(IDENTITY, &own)?;
    let mut keys = MemoryKeyStore::new();
    keys.insert(IDENTITY, identities::raw_operator_key())?;

    let message = responder::read(&heard(device)?, &[Method::StaticStatic], &[Suite::GCM], &RustCrypto)?;
    let (sent, message_2) =
        message.write(&ConnectionId::new(b"op")?, &own, &[], &keys, &RustCrypto, rng).map_err(error)?;
    device.send(b'm', &message_2)?;
    let message = sent.read(&heard(device)?, &RustCrypto).map_err(error)?;
    let peer = verify(&message.claimed()?, Role::Device, Domain::Test, &anchors, &RustCrypto, None)?;
    let mut accepted = message.accept(peer, &own, &RustCrypto).map_err(error)?;
    let txn = accepted.ead().take(EAD_LABEL).and_then(|item| item.value?.try_into().ok()).ok_or("no txn")?;

    let supi: Supi = "001010000000001".parse()?;
    let name = KeyName { algorithm: Algorithm::Milenage, supi: &supi, epoch: 1, txn: &txn };
    let k = credential::derive_k(&name, accepted.session(), &RustCrypto)?;
    let mut opc = Secret::zeroed();
    rng.fill(opc.bytes_mut())?;
    let set = Milenage::new(&k, &opc);
    let vector = challenge(&set, 1, rng)?;
    let package = Package {
        epoch: 1,
        supi,
        algorithm: Algorithm::Milenage,
        parameters: MilenageParameters { opc: opc.bytes() },
        challenge: vector.challenge,
        suci: None,
        profile: None,
        activation: Activation::OneShot,
        previous: Previous::None,
    };
    let sealed = credential::seal(&package, Domain::Test, &txn, accepted.session(), &RustCrypto)?;
    let offer = encode(&PackageOffer { txn, sealed: &sealed, voucher: None });
    let item = EadItem { label: EAD_LABEL, critical: true, value: Some(&offer) };
    let (_, message_4) = accepted.write(&[item], &RustCrypto).map_err(error)?;
    device.send(b'm', &message_4)?;
    Ok((set, vector))
}

/// Why a step did not happen.
fn error<S>(stopped: Stopped<S>) -> Error {
    stopped.error()
}

fn challenge(set: &Milenage, seq: u64, rng: &mut SeededRng) -> Result<Box<Vector>> {
    let mut rand = [0; 16];
    rng.fill(&mut rand)?;
    let sqn = Profile::default().sqn(seq, Ind::default()).ok_or("no such SQN")?;
    Ok(aka::vector(set, &rand, sqn, [0x80, 0]))
}

fn heard(device: &mut Machine) -> Result<Vec<u8>> {
    match device.receive()? {
        (b'm', message) => Ok(message),
        (kind, why) => Err(format!("the firmware stopped: {} {why:02x?}", char::from(kind)).into()),
    }
}

/// The right RES, and the bill.
fn answered(device: &mut Machine, vector: &Vector) -> Result<Bill> {
    match device.receive()? {
        (b'R', res) if res == vector.keys.res.bytes() => {}
        (kind, why) => return Err(format!("no answer to the challenge: {} {why:02x?}", char::from(kind)).into()),
    }
    let (b'B', bill) = device.receive()? else { return Err("no bill".into()) };
    Bill::read(&bill).ok_or_else(|| "a short bill".into())
}
