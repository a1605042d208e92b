//! Each operation with keys alone: algorithm sets, the keys below them, SUCI, texts for core networks, and what is stored.

use remote_provisioning::{
    aka::{
        AlgorithmSet, Answer, Card, Challenge, Ind, Keys, Milenage, Milenage256, Sqn, SqnArray, Subscriber, Tuak,
        authenticate,
        eap::PrimeKeys,
        keys::{AccessType, KAusf, ServingNetworkName, hres_star, res_star},
        milenage, milenage256, resynchronise,
        sqn::Profile,
        suci::{HomeNetworkKey, Identity, Imsi, RoutingIndicator, Suci, conceal},
        tuak, vector,
    },
    cores::{self, Core, Entry, free5gc::Free5gc, open5gs::Open5gs, osmo_hlr::OsmoHlr, srsran},
    cose::{encrypt0, mac0::Mac0},
    credential::{Algorithm, Secrets, ServiceProfile, StorageKey, fingerprint},
    crypto::{
        Aead, Agreement, Crypto as _, Group, Hedged, Rng, Secret,
        rustcrypto::{AgreementKey, RustCrypto},
    },
    error::{Code, Misuse},
    framing::{
        cookie::Baker,
        relay::{Gate, Name, Permit, Relayed, Usage},
    },
    identity::{DeviceId, Domain, Plmn},
    provisioning::{
        Millis, Question,
        question::{CoreCredential, UpTo},
    },
    sim::{SeededRng, maker},
    trust::concealed::{self, Concealed},
    wire::{self, Raw, encode_with},
};
use remote_provisioning_memory::heap::unwatched;

use crate::{
    bench::{call, examined, secret},
    errors,
};

const RAND: [u8; 16] = [0x23; 16];
const AMF: [u8; 2] = [0x80, 0];

/// Bytes that look like a key, others for each number.
fn bytes<const N: usize>(number: u64) -> [u8; N] {
    let mut bytes = [0; N];
    SeededRng::new(number).fill(&mut bytes).unwrap();
    bytes
}

/// A key that has to be gone in the end.
fn key<const N: usize>(name: &'static str, number: u64) -> Secret<N> {
    let key = Secret::from_slice(&bytes::<N>(number)).unwrap();
    secret(name, key.bytes());
    key
}

fn sqn(last: u8) -> Sqn {
    Sqn::from_bytes([0, 0, 0, 0, last, 0])
}

/// CK, IK and RES of a run.
fn told(keys: &Keys) {
    secret("CK", keys.ck.bytes());
    secret("IK", keys.ik.bytes());
    secret("RES", keys.res.bytes());
}

/// A run that succeeds, one that is repeated, one with a wrong MAC-A; AUTS right and wrong; and both ends' stores.
fn run_of_aka<S: AlgorithmSet>(make: impl Fn() -> S) {
    let set = call(&make);
    let made = call(|| vector(&set, &RAND, sqn(1), AMF));
    told(&made.keys);
    let mut array = SqnArray::new(Profile::default());
    let answer = call(|| authenticate(&set, &mut array, &made.challenge));
    assert!(matches!(answer, Answer::Success(_)));
    let Answer::SyncFailure { mut auts } = call(|| authenticate(&set, &mut array, &made.challenge)) else { panic!() };
    call(|| resynchronise(&set, &RAND, &auts)).unwrap();
    auts[13] ^= 1;
    errors::met_as(call(|| resynchronise(&set, &RAND, &auts)).unwrap_err());
    let mut forged = made.challenge.clone();
    forged.autn[15] ^= 1;
    assert!(matches!(call(|| authenticate(&set, &mut array, &forged)), Answer::MacFailure));

    let mut home = Subscriber::adopt(call(&make), Profile::default(), sqn(2));
    let made = call(|| home.vector(&RAND, Ind::default(), AMF, 0)).unwrap();
    told(&made.keys);
    let mut card = Card::new(call(&make), Profile::default());
    assert!(matches!(call(|| card.authenticate(&made.challenge)), Answer::Success(_)));
    let Answer::SyncFailure { auts } = call(|| card.authenticate(&made.challenge)) else { panic!() };
    call(|| home.resynchronise(&RAND, &auts, 0)).unwrap();
    let (mut kept, numbers) = (call(|| home.to_bytes()), call(|| card.to_bytes()));
    call(|| Subscriber::from_bytes(make(), Profile::default(), &kept)).unwrap();
    call(|| Card::from_bytes(make(), Profile::default(), &numbers)).unwrap();
    kept[3] ^= 1;
    errors::met_as(call(|| Subscriber::from_bytes(make(), Profile::default(), &kept)).map(|_| ()).unwrap_err());
}

/// The algorithm sets, and what 5G and EAP-AKA' make of CK and IK.
pub(crate) fn aka() {
    examined("Milenage, own constants", |_| {
        let (k, op) = (key("K", 1), Secret::from_slice(&[0xcd; 16]).unwrap());
        let opc = call(|| milenage::opc(&k, &op));
        secret("OPc", opc.bytes());
        run_of_aka(|| Milenage::new(&k, &opc));
        let constants = [[0; 16], [1; 16], [2; 16], [4; 16], [8; 16]].map(|mut c: [u8; 16]| {
            c[..15].fill(0);
            c
        });
        let constants = milenage::Constants::new(constants, [1, 13, 77, 127, 64]).unwrap();
        run_of_aka(|| Milenage::new(&k, &opc).with_constants(constants.clone()));
    });
    examined("TUAK, K of 16 bytes", |_| {
        let (k, top) = (key::<16>("K", 3), key("TOP", 4));
        let topc = call(|| tuak::topc(&k, &top, tuak::Parameters::default()));
        secret("TOPc", topc.bytes());
        run_of_aka(|| Tuak::new(tuak::Functions::new(&k, &topc, tuak::Parameters::default())).unwrap());
    });
    examined("TUAK, K of 32 bytes, long outputs", |_| {
        let (k, top) = (key::<32>("K", 5), key("TOP", 6));
        let long = tuak::Parameters::default().with_ck_len(32).and_then(|p| p.with_res_len(32)).unwrap();
        let topc = call(|| tuak::topc(&k, &top, long.clone()));
        secret("TOPc", topc.bytes());
        run_of_aka(|| Tuak::new(tuak::Functions::new(&k, &topc, long.clone())).unwrap());
    });
    examined("MILENAGE-256, K of 16 bytes", |_| {
        let (k, op) = (key::<16>("K", 7), key("OP", 8));
        let opc = call(|| milenage256::opc(&k, &op, milenage256::ALGONAME)).unwrap();
        secret("OPc", opc.bytes());
        let default = milenage256::Parameters::default;
        run_of_aka(|| Milenage256::new(milenage256::Functions::new(&k, &opc, default())).unwrap());
    });
    examined("MILENAGE-256, K of 32 bytes, f5**", |_| {
        let (k, op) = (key::<32>("K", 9), key("OP", 10));
        let opc = call(|| milenage256::opc(&k, &op, milenage256::ALGONAME)).unwrap();
        secret("OPc", opc.bytes());
        let with = || milenage256::Parameters::default().with_f5_star_star();
        run_of_aka(|| Milenage256::new(milenage256::Functions::new(&k, &opc, with())).unwrap());
    });
    examined("5G AKA", |_| {
        let set = Milenage::new(&key("K", 11), &key("OPc", 12));
        let made = call(|| vector(&set, &RAND, sqn(1), AMF));
        told(&made.keys);
        let name = ServingNetworkName::new(&network());
        let star = call(|| res_star(&made.keys, &name, &RAND));
        call(|| hres_star(&RAND, &star));
        let k_ausf = call(|| KAusf::new(&made.keys, &name, &made.challenge));
        call(|| k_ausf.sor_mac_i_ausf(&[1], 1, Some(b"list"))).unwrap();
        call(|| k_ausf.sor_mac_i_ue(1));
        call(|| k_ausf.upu_mac_i_ausf(b"list", 1)).unwrap();
        call(|| k_ausf.upu_mac_i_ue(1));
        let k_seaf = call(|| k_ausf.k_seaf(&name));
        let k_amf = call(|| k_seaf.k_amf("001010123456789", &[0, 0])).unwrap();
        let k_gnb = call(|| k_amf.k_gnb(0, AccessType::ThreeGpp));
        for (name, key) in [("K_AUSF", k_ausf.secret()), ("K_SEAF", k_seaf.secret()), ("K_AMF", k_amf.secret())] {
            secret(name, key.bytes());
        }
        secret("K_gNB", k_gnb.secret().bytes());
        let long = unwatched(|| vec![0; 70_000]);
        errors::met_as(call(|| k_seaf.k_amf("", &long)).map(|_| ()).unwrap_err());
        errors::met_as(call(|| k_ausf.upu_mac_i_ausf(&long, 1)).unwrap_err());
        errors::met_as(KAusf::from_slice(&[7; 31]).map(|_| ()).unwrap_err());
    });
    examined("EAP-AKA'", |_| {
        let set = Milenage::new(&key("K", 13), &key("OPc", 14));
        let made = call(|| vector(&set, &RAND, sqn(1), AMF));
        told(&made.keys);
        let prime = call(|| PrimeKeys::new(&made.keys, "5G:mnc001.mcc001.3gppnetwork.org", &made.challenge)).unwrap();
        let keys = call(|| prime.eap_keys("6001010123456789"));
        let again = call(|| keys.reauthenticated("id", 1, &[3; 16]));
        let k_ausf = call(|| keys.k_ausf());
        for (name, key) in [
            ("CK'", prime.ck()),
            ("IK'", prime.ik()),
            ("K_encr", keys.k_encr()),
            ("K_aut", keys.k_aut()),
            ("K_re", keys.k_re()),
            ("MSK", keys.msk()),
            ("EMSK", keys.emsk()),
            ("K_AUSF", k_ausf.secret().bytes()),
            ("MSK again", again.msk()),
            ("EMSK again", again.emsk()),
        ] {
            secret(name, key);
        }
        let long = unwatched(|| "W".repeat(70_000));
        let challenge = Challenge { rand: RAND, autn: [0; 16] };
        errors::met_as(call(|| PrimeKeys::new(&made.keys, &long, &challenge)).map(|_| ()).unwrap_err());
    });
}

fn network() -> Plmn {
    Plmn::new("001", "01").unwrap()
}

fn agreement(group: Group, number: u64) -> AgreementKey {
    let private = key("private key", number);
    call(|| AgreementKey::new(group, private)).unwrap()
}

/// Subscriber names and device names, both profiles.
pub(crate) fn suci() {
    for group in [Group::X25519, Group::P256] {
        examined(&format!("SUCI, {group:?}"), |_| {
            let (home, ephemeral) = (agreement(group, 20), agreement(group, 21));
            let mut shared = Secret::zeroed();
            call(|| ephemeral.agree(home.public_key(), &mut shared)).unwrap();
            secret("shared secret", shared.bytes());
            let derived = call(|| remote_provisioning::aka::suci::EciesKeys::derive(&shared, ephemeral.public_key()));
            secret("encryption key", derived.encryption_key());
            secret("MAC key", derived.mac_key());
            let imsi = Imsi::new("001010123456789".parse().unwrap(), network()).unwrap();
            let public = HomeNetworkKey::new(7, group, home.public_key()).unwrap();
            let made =
                call(|| conceal(&Identity::Imsi(imsi), RoutingIndicator::default(), &public, ephemeral)).unwrap();
            call(|| made.deconceal(|_| Some(&home))).unwrap();
            let mut altered = made.mobile_identity();
            *altered.last_mut().unwrap() ^= 1;
            let altered = Suci::from_mobile_identity(&altered).unwrap();
            errors::met(&call(|| altered.deconceal(|_| Some(&home))).unwrap_err());
            errors::met(&call(|| made.deconceal(|_| None)).unwrap_err());
            let generated = call(|| AgreementKey::generate(group, &mut SeededRng::new(4))).unwrap();
            errors::met(&call(|| generated.agree(&[7; 5], &mut shared)).unwrap_err());
        });
        examined(&format!("a device's name and its voucher, {group:?}"), |crypto| {
            let (home, mut rng) = (agreement(group, 22), SeededRng::new(5));
            let public = HomeNetworkKey::new(7, group, home.public_key()).unwrap();
            let name = maker::device_name().unwrap();
            let (made, opener) = call(|| concealed::conceal(&name, &public, crypto, &mut rng)).unwrap();
            let read = Concealed::read(Raw(&made)).unwrap();
            let revealed = call(|| read.reveal(&home)).unwrap();
            let sealed = call(|| revealed.seal(b"a voucher chain", crypto, &mut rng)).unwrap();
            call(|| opener.open(Raw(&sealed), crypto)).unwrap();
            let (_, other) = call(|| concealed::conceal(&name, &public, crypto, &mut rng)).unwrap();
            errors::met(&call(|| other.open(Raw(&sealed), crypto)).unwrap_err());
            let stranger = agreement(group, 23);
            errors::met(&call(|| read.reveal(&stranger)).map(|_| ()).unwrap_err());
        });
    }
}

fn credential(epoch: u32) -> CoreCredential {
    CoreCredential {
        device: DeviceId::new(None, maker::device_name().unwrap()),
        supi: "001010123456789".parse().unwrap(),
        epoch,
        algorithm: Algorithm::Milenage,
        secrets: Secrets { k: key("K", 30), opc: key("OPc", 31), sqn: sqn(4) },
        profile: None,
    }
}

/// The steps of a core for every question that is about K, and what is answered.
fn asked<C: Core>(core: &C, read: &str) {
    let up_to = UpTo { supi: "001010123456789".parse().unwrap(), epoch: 2 };
    for question in [
        Question::PutIntoCore(Box::new(credential(2))),
        Question::ReadCore(up_to.clone()),
        Question::BarInCore(up_to.clone()),
        Question::RemoveFromCore(up_to.clone()),
    ] {
        drop(call(|| core.steps(&question)).unwrap().unwrap());
        let entry = call(|| Entry::new("001010123456789", 2, 0, Some(read))).unwrap();
        drop(call(|| cores::answer(&question, Ok(&[entry]), &RustCrypto)));
        drop(call(|| cores::answer(&question, Err(Code::TryLater), &RustCrypto)));
        let other = call(|| Entry::new("001010123456789", 1, 0, None)).unwrap();
        drop(call(|| cores::answer(&question, Ok(&[other]), &RustCrypto)));
    }
    drop(call(|| core.serve(&up_to)));
    errors::met_as(call(|| Entry::new("001010123456789", 2, 0, Some("no digits"))).map(|_| ()).unwrap_err());
}

/// K on its way into a core network, and out of it.
pub(crate) fn cores() {
    // What a driver has read is the driver's to wipe.
    let read = || unwatched(|| bytes::<16>(30).iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let profile = ServiceProfile::default();
    examined("osmo-hlr", |_| asked(&OsmoHlr { cs: false, ps: true, profile: &profile }, &read()));
    examined("Open5GS", |_| asked(&Open5gs { management_field: AMF, profile: &profile }, &read()));
    examined("free5GC", |_| asked(&Free5gc { management_field: AMF }, &read()));
    examined("srsRAN", |_| {
        let first = call(|| srsran::put("# a comment\n", &credential(1), AMF, 7)).unwrap();
        let again = call(|| srsran::put(first.as_str(), &credential(1), AMF, 7)).unwrap();
        let next = call(|| srsran::put(again.as_str(), &credential(2), AMF, 7)).unwrap();
        assert!(call(|| srsran::put(next.as_str(), &credential(1), AMF, 7)).is_err());
        call(|| srsran::remove(next.as_str(), &UpTo { supi: "001010123456789".parse().unwrap(), epoch: 2 }));
    });
    examined("K at rest", |crypto| {
        let storage = StorageKey::new(1, key("storage key", 32));
        let secrets = Secrets { k: key("K", 33), opc: key("OPc", 34), sqn: sqn(4) };
        call(|| fingerprint(&secrets.k, crypto));
        let wrapped = call(|| storage.wrap(&secrets, &[5; 32], crypto)).unwrap();
        call(|| storage.unwrap(&wrapped, &[5; 32], crypto)).unwrap();
        errors::met(&call(|| storage.unwrap(&wrapped, &[6; 32], crypto)).map(|_| ()).unwrap_err());
        let other = StorageKey::new(2, key("storage key", 35));
        errors::met(&call(|| other.unwrap(&wrapped, &[5; 32], crypto)).map(|_| ()).unwrap_err());
    });
}

/// AEADs, HKDF, groups, randomness, MACs of cookies and of relays.
pub(crate) fn rest() {
    for aead in [Aead::A128Gcm, Aead::A256Gcm, Aead::Ccm16_64_128, Aead::Ccm16_128_128] {
        examined(&format!("{aead:?}"), |crypto| {
            let (key, nonce) = (key::<32>("key", 40), &[7; 13][..aead.nonce_len()]);
            let key = &key.bytes()[..aead.key_len()];
            let mut text = Vec::with_capacity(100);
            text.extend([3; 50]);
            call(|| crypto.seal(aead, key, nonce, b"aad", &mut text)).unwrap();
            let mut altered = text.clone();
            altered[41] ^= 1;
            call(|| crypto.open(aead, key, nonce, b"aad", &mut text)).unwrap();
            errors::met_as(call(|| crypto.open(aead, key, nonce, b"aad", &mut altered)).unwrap_err());
        });
    }
    examined("a record", |crypto| {
        let (key, text) = (key::<32>("key", 41), key::<64>("text", 42));
        let sealed = call(|| encrypt0::seal(&key, Some(7), b"aad", text.bytes(), crypto)).unwrap();
        let record: encrypt0::Encrypt0<'_> = wire::decode(&sealed).unwrap();
        call(|| record.open(&key, b"aad", crypto)).unwrap();
        errors::met(&call(|| record.open(&key, b"other", crypto)).map(|_| ()).unwrap_err());
    });
    for group in [Group::P256, Group::X25519] {
        examined(&format!("an exchange, {group:?}"), |crypto| {
            let (mut rng, mut one, mut other) = (SeededRng::new(1), Secret::zeroed(), Secret::zeroed());
            let ours = call(|| crypto.generate(group, &mut rng)).unwrap();
            let theirs = call(|| crypto.encapsulate(group, ours.public(), &mut rng, &mut other)).unwrap();
            call(|| crypto.decapsulate(&ours, theirs.public(), &mut one)).unwrap();
            errors::met(&call(|| crypto.decapsulate(&ours, &[0xff; 5], &mut one)).unwrap_err());
        });
    }
    examined("hedged randomness", |crypto| {
        let (mut source, mut out) = (SeededRng::new(1), Secret::<32>::zeroed());
        let device = key::<64>("the device's secret", 43);
        let mut hedged = call(|| Hedged::new(&mut source, device.bytes(), 1, crypto));
        call(|| hedged.fill(out.bytes_mut())).unwrap();
        secret("random numbers", out.bytes());
        drop(hedged);
    });
    examined("a COSE_Mac0", |crypto| {
        let key = key::<32>("key", 44);
        let made = encode_with(|w| {
            w.tag(17);
            w.array(4);
            w.bytes(&[0xa1, 1, 5]);
            w.map(0);
            w.bytes(b"payload");
            w.bytes(&[0; 32]);
        });
        let made = Mac0::foreign(&made).unwrap();
        errors::met_as(call(|| made.verify(key.bytes(), b"", crypto)).unwrap_err());
    });
    examined("cookies", |_| {
        let key = key::<32>("key", 45);
        let baker = Baker::new(&key, 1_000).unwrap();
        let cookie = call(|| baker.bake(b"address", b"", Millis(5)));
        call(|| baker.check(&cookie, b"address", b"", Millis(5))).unwrap();
        errors::met_as(call(|| baker.check(&cookie, b"another", b"", Millis(5))).unwrap_err());
        errors::met_as(call(|| baker.check(&cookie, b"address", b"", Millis(9_999))).unwrap_err());
        errors::met_as(Baker::new(&key, 0).map(|_| ()).err().unwrap_or(Misuse::Parameter("a lifetime")));
    });
    examined("relays", |crypto| {
        let key = key::<32>("key", 46);
        let gate = Gate::new(&key, Domain::Test);
        let relay = Name::new(b"relay").unwrap();
        let permit = Permit { domain: Domain::Test, relay, operations: 1, sessions: 1, bytes: 100, expires: 10 };
        let token = call(|| gate.issue(&permit));
        let admit = |token: &[u8], sender: &[u8], now, message: &[u8]| {
            let relayed = Relayed { session: 1, nonce: [0; 16], token, message };
            call(|| gate.admit(&relayed, sender, true, &mut Usage::default(), now, crypto))
        };
        let admitted = admit(&token, b"relay", 1, b"message").unwrap();
        errors::met(&admitted.check(5).unwrap_err().into());
        let mut altered = token.clone();
        *altered.last_mut().unwrap() ^= 1;
        let elsewhere = call(|| gate.issue(&Permit { domain: Domain::Production, ..permit }));
        for refused in [
            admit(&altered, b"relay", 1, b"message"),
            admit(&token, b"another", 1, b"message"),
            admit(&token, b"relay", 10, b"message"),
            admit(&token, b"relay", 1, &[0; 101]),
            admit(&elsewhere, b"relay", 1, b"message"),
            admit(&token[1..], b"relay", 1, b"message"),
        ] {
            errors::met(&refused.unwrap_err());
        }
    });
}
