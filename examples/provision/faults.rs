//! What can go wrong on purpose: `--fault NAME`.

use remote_provisioning::{
    attestation::{Attester, DeviceClass, Digest, Endorsements, PsaReport, Reference, label},
    crypto::{Crypto, rustcrypto::RustCrypto},
    edhoc::OwnCredential,
    error::{Backend, Error},
    identity::Domain,
    provisioning::device::Introduction,
    sim::{
        IDENTITY, TODAY, World, identities,
        maker::{self, Attestation},
    },
    store::memory::MemoryStore,
    trust::{Revocations, voucher::Voucher},
};

/// Milliseconds until the next session begins.
const A_WHILE: u64 = 60_000;

/// A name, what it means, and what makes a world so.
pub(crate) type Fault = (&'static str, &'static str, fn(World) -> Result<World, Error>);

pub(crate) const FAULTS: [Fault; 23] = [
    ("unknown-operator", "the operator's certificate is below no anchor of the device's", |world| {
        Ok(world.trusting(identities::rogue_device_anchors(), identities::maker_anchors()))
    }),
    ("unknown-device", "the device's certificate is below no anchor of the operator's", |world| {
        Ok(world.trusting(identities::factory_anchors(), identities::rogue_operator_anchors()))
    }),
    ("revoked", "the device's certificate is on its maker's revocation list", |mut world| {
        world.device_config.own = OwnCredential::chain(IDENTITY, &identities::revoked_device_chain())?;
        Ok(world.trusting(identities::factory_anchors(), identities::listing_anchors()))
    }),
    ("no-revocation-list", "an operator that wants to see revocation lists, and has none", |world| {
        let mut anchors = identities::maker_anchors();
        *anchors.revocations_mut() = Revocations::demanded();
        Ok(world.trusting(identities::factory_anchors(), anchors))
    }),
    ("production", "the operator is one for production, the device is a test device", |mut world| {
        world.operator_config.domain = Domain::Production;
        Ok(world)
    }),
    ("relay", "the message came through no relay, and names one", |mut world| {
        world.device_config.relay = Some(RustCrypto.sha256(&[b"a relay's announcement"]));
        Ok(world)
    }),
    ("no-voucher", "an operator with a valid certificate that does not own the device", |mut world| {
        world.home.disown();
        Ok(world)
    }),
    ("no-voucher-last", "the same with a device that is shown its voucher last", |mut world| {
        world.device_config.introduction = Introduction::VoucherLast { request: false };
        world.home.disown();
        Ok(world)
    }),
    ("forged-voucher", "a voucher that another maker has signed", |world| {
        with_voucher(world, "Published test key of another maker", |_| {})
    }),
    ("expired-voucher", "a voucher with an end, for a device without a clock", |world| {
        with_voucher(world, maker::MASA, |voucher| voucher.expires_on = Some(TODAY))
    }),
    ("old-voucher", "a voucher with the nonce of somebody else's request", |world| {
        with_voucher(world, maker::MASA, |voucher| voucher.nonce = Some(b"long ago"))
    }),
    ("no-evidence", "a device that cannot attest", |mut world| {
        world.attestation = None;
        Ok(world)
    }),
    ("debug", "a device whose debug port is open", |world| attesting(world, |report| report.life_cycle = 0x4000)),
    ("boot", "a device that has booted what nobody checked", |world| {
        attesting(world, |report| report.life_cycle = 0x5000)
    }),
    ("old-software", "a device that was set back to a version with holes", |world| {
        attesting(world, |report| report.components[0].version = label("1.9.9").ok())
    }),
    ("changed-software", "a device with software that its maker does not know", |world| {
        attesting(world, |report| report.components[1].measurement = Digest::from_bytes(&[0xbd; 32]).ok())
    }),
    ("other-class", "a device that is no IoT device", |mut world| {
        let known = world.home.endorsements.reference(&maker::IMPLEMENTATION)?.ok_or(Backend::Store)?;
        world.home.endorsements.refer(maker::IMPLEMENTATION, Reference { class: DeviceClass::Other, ..known });
        Ok(world)
    }),
    ("borrowed-evidence", "good evidence of another device of the same maker", |mut world| {
        world.attestation = Some(Attestation::new(maker::raw_device_id()?.name())?);
        Ok(world)
    }),
    ("forged-evidence", "evidence that somebody else has signed", |mut world| {
        let mut other = Attestation::new(&"IOT-0001-0000-0666".parse()?)?;
        other.report = Attestation::new(&maker::device_name()?)?.report;
        world.attestation = Some(other);
        Ok(world)
    }),
    ("replayed-evidence", "evidence of an earlier session, before it was unlocked", |mut world| {
        let mut attestation = Attestation::new(&maker::device_name()?)?;
        attestation.replayed = attestation.evidence(&[7; 32], &[1])?;
        world.attestation = Some(attestation);
        Ok(world)
    }),
    ("other-owner", "the device conceals another name than its certificate has", |mut world| {
        world.device_config.name = *maker::raw_device_id()?.name();
        world
            .home
            .own(world.device_config.name, maker::voucher(&world.device_config.name, &maker::operator_public_key()?)?);
        Ok(world)
    }),
    ("clone", "a second device with the same key, factory-new, after the first one was served", |mut world| {
        world.run(&mut |_, _| {})?;
        world.store = MemoryStore::new();
        world.now = world.now.after(A_WHILE);
        Ok(world)
    }),
    ("rollback", "the device's memory was set back to before its first subscription", |mut world| {
        world.attempts = 1;
        let image = world.store.durable_copy();
        world.run(&mut |_, _| {})?;
        world.store = image;
        world.now = world.now.after(A_WHILE);
        Ok(world)
    }),
];

/// The operator has this voucher, signed with the key of this sentence.
fn with_voucher(mut world: World, sentence: &str, change: fn(&mut Voucher<'_>)) -> Result<World, Error> {
    let name = maker::device_name()?;
    let mut voucher = maker::word(&name, &maker::operator_public_key()?);
    change(&mut voucher);
    world.home.own(name, maker::issue(&voucher, sentence)?);
    Ok(world)
}

/// The device's root of trust says this.
fn attesting(mut world: World, change: fn(&mut PsaReport)) -> Result<World, Error> {
    let mut attestation = Attestation::new(&maker::device_name()?)?;
    change(&mut attestation.report);
    world.attestation = Some(attestation);
    Ok(world)
}
