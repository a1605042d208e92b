//! What is run under valgrind: each with secrets of its own, up to what depends on them and is still secret.

use std::hint::black_box;

use remote_provisioning::{
    Device, Millis, Operator,
    aka::{AlgorithmSet, Keys, authenticate},
    aka::{
        Answer, Card, Challenge, Ind, Milenage, Milenage256, Sqn, SqnArray, Subscriber, SubscriberKey, Tuak,
        eap::PrimeKeys,
        keys::{AccessType, KAusf, ServingNetworkName, hres_star, res_star},
        milenage, milenage256, resynchronise,
        sqn::Profile,
        suci::{HomeNetworkKey, Identity, Imsi, RoutingIndicator, Suci, conceal},
        tuak, vector,
    },
    cores::{self, Entry, srsran},
    cose::{encrypt0, mac0::Mac0},
    credential::{Algorithm, Secrets, SoftUsim, StorageKey, fingerprint},
    crypto::{Aead, Agreement, Crypto, Group, Hedged, KeyKind, Rng, Secret, equal, rustcrypto::RustCrypto},
    edhoc::{ConnectionId, Method, OwnCredential, Seal, Session, Suite, initiator, responder},
    error::Error,
    framing::{
        cookie::Baker,
        relay::{Gate, Name, Permit, Relayed, Usage},
    },
    identity::{DeviceId, Domain, Plmn, Role},
    provisioning::{
        Answer as OperatorAnswer, Desk, Platform, Question,
        device::{self, Goal, Introduction},
        operator,
        question::CoreCredential,
    },
    sim::{IDENTITY, SeededRng, TODAY, home::Home, identities, maker},
    store::{KeyId, KeyStore, Slot, SubscriptionStore, memory::MemoryStore},
    trust::{
        MemoryAnchors, Pinned,
        concealed::{self, Concealed},
        verify,
    },
    wire::{Raw, Writer, encode_with},
};

use crate::taint::{
    Hidden, Watched, WatchedAgreement, WatchedKeys, hide, hide_text, is_secret, key, reveal, revealed, secret,
};

/// A harness: its name, what is secret in it, and what it does.
pub struct Harness {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is secret, and what of what comes out is public.
    pub what: &'static str,
    /// The harness.
    pub run: fn(),
}

macro_rules! harnesses {
    ($($(#[doc = $what:literal])+ fn $name:ident() $body:block)+) => {
        $(fn $name() $body)+
        /// All of them.
        pub const ALL: &[Harness] = &[$(Harness {
            name: stringify!($name),
            what: concat!($($what),+),
            run: $name,
        }),+];
    };
}

const RAND: [u8; 16] = [0x23; 16];
const AMF: [u8; 2] = [0x80, 0];

/// The result of a computation on secrets. One that is not secret any more has lost them on the way, and nothing was seen.
fn still_secret(bytes: &[u8]) {
    assert!(is_secret(bytes), "what came out does not depend on a secret");
    black_box(bytes);
}

/// Whether something was accepted.
fn public(accepted: bool) -> bool {
    let mut accepted = [u8::from(accepted)];
    reveal(&mut accepted);
    accepted == [1]
}

fn sqn(seed: u64) -> Sqn {
    let [.., low] = secret::<6>(seed);
    let mut bytes = [0, 0, 0, 0, 1, low & 0xe0];
    hide(&mut bytes);
    Sqn::from_bytes(bytes)
}

fn milenage() -> Milenage {
    Milenage::new(&key(1), &key(2))
}

fn tuak(k: SubscriberKey<'_>) -> Tuak {
    Tuak::new(tuak::Functions::new(k, &key(2), tuak::Parameters::default())).expect("MAC of 8 bytes")
}

fn milenage256(k: SubscriberKey<'_>, parameters: milenage256::Parameters) -> Milenage256 {
    Milenage256::new(milenage256::Functions::new(k, &key(2), parameters)).expect("MAC of 8 bytes")
}

fn made(set: &impl AlgorithmSet, sqn: Sqn) -> (Challenge, Box<Keys>) {
    let vector = vector(set, &RAND, sqn, AMF);
    still_secret(&vector.challenge.autn);
    still_secret(vector.keys.ck.bytes());
    still_secret(vector.keys.ik.bytes());
    still_secret(vector.keys.res.bytes());
    still_secret(&vector.keys.ak);
    // AUTN is for the air.
    let autn = revealed(&vector.challenge.autn).try_into().expect("as long as it was");
    (Challenge { rand: RAND, autn }, Box::new(vector.keys.clone()))
}

/// A run that succeeds, one that is repeated, one with a wrong MAC-A; AUTS right and wrong.
fn run_of_aka(set: &impl AlgorithmSet) {
    let mut array = SqnArray::new(Profile::default());
    let (challenge, _) = made(set, sqn(3));
    let Answer::Success(keys) = authenticate(set, &mut array, &challenge) else { panic!("refused") };
    still_secret(keys.ck.bytes());
    let Answer::SyncFailure { auts } = authenticate(set, &mut array, &challenge) else { panic!("taken twice") };
    still_secret(&auts);
    // AUTS is for the air.
    let mut auts: [u8; 14] = revealed(&auts).try_into().expect("as long as it was");
    still_secret(&resynchronise(set, &RAND, &auts).expect("genuine").to_bytes());
    auts[13] ^= 1;
    assert!(resynchronise(set, &RAND, &auts).is_err());
    let mut forged = challenge;
    forged.autn[15] ^= 1;
    let Answer::MacFailure = authenticate(set, &mut array, &forged) else { panic!("forged") };
}

fn network() -> Plmn {
    Plmn::new("001", "01").expect("a network")
}

fn suci(group: Group, home: &WatchedAgreement) -> Suci {
    let imsi = Imsi::new("001010123456789".parse().expect("digits"), network()).expect("of this network");
    let home = HomeNetworkKey::new(7, group, home.public_key()).expect("a key");
    let ephemeral = WatchedAgreement::new(group, 20);
    let suci = conceal(&Identity::Imsi(imsi), RoutingIndicator::default(), &home, ephemeral).expect("concealed");
    still_secret(suci.scheme_output());
    // A SUCI is for the air: its text, of public digits.
    let mut identity = suci.mobile_identity();
    reveal(&mut identity);
    Suci::from_mobile_identity(&identity).expect("a SUCI")
}

fn deconceal(group: Group) {
    let home = WatchedAgreement::new(group, 10);
    let suci = suci(group, &home);
    let identity = suci.deconceal(|_| Some(&home)).expect("of this home");
    black_box(identity);
    let mut altered = suci.mobile_identity();
    altered.last_mut().into_iter().for_each(|byte| *byte ^= 1);
    let altered = Suci::from_mobile_identity(&altered).expect("still well-formed");
    assert!(altered.deconceal(|_| Some(&home)).is_err());
}

fn sealed_and_opened(aead: Aead) {
    let (mut text, key) = (secret::<40>(1).to_vec(), secret::<32>(2));
    let (key, nonce) = (&key[..aead.key_len()], &[7; 13][..aead.nonce_len()]);
    text.reserve(aead.tag_len());
    RustCrypto.seal(aead, key, nonce, b"aad", &mut text).expect("sealed");
    still_secret(&text);
    // A ciphertext is for the wire.
    reveal(&mut text);
    let mut altered = text.clone();
    RustCrypto.open(aead, key, nonce, b"aad", &mut text).expect("genuine");
    still_secret(&text);
    altered[41] ^= 1;
    RustCrypto.open(aead, key, nonce, b"aad", &mut altered).expect_err("altered");
}

// ---------------------------------------------------------------------------------------------------------- handshake

struct Party {
    own: OwnCredential,
    keys: WatchedKeys,
    anchors: MemoryAnchors,
}

const KEY: KeyId = KeyId(3);

/// Credentials by `kid`; each party has the other's pinned.
fn parties() -> [Party; 2] {
    let pin = |ccs, role| Pinned::from_ccs(ccs, role, Domain::Test, &RustCrypto).expect("a CCS");
    let (device, operator) =
        (pin(identities::raw_device_ccs(), Role::Device), pin(identities::raw_operator_ccs(), Role::Operator));
    let party = |own: &Pinned, private: &[u8; 32], peer: Pinned| {
        let mut anchors = MemoryAnchors::new();
        anchors.add_pinned(peer).expect("one");
        Party {
            own: OwnCredential::pinned(KEY, own).expect("a kid"),
            keys: WatchedKeys::new(KEY, KeyKind::P256, private),
            anchors,
        }
    };
    [
        party(&device, identities::raw_device_key(), operator.clone()),
        party(&operator, identities::raw_operator_key(), device),
    ]
}

/// The same with keys of Curve25519.
fn parties_25519(kind: KeyKind) -> [Party; 2] {
    let ccs = |name: &str, kid: u8, x: &[u8]| {
        encode_with(|w: &mut Writer<'_>| {
            w.map(2);
            w.integer(2);
            w.text(name);
            w.integer(8);
            w.map(1);
            w.integer(1);
            w.map(4);
            w.integer(1);
            w.unsigned(1);
            w.integer(2);
            w.bytes(&[kid]);
            w.integer(-1);
            w.unsigned(if kind == KeyKind::X25519 { 4 } else { 6 });
            w.integer(-2);
            w.bytes(x);
        })
    };
    let made = |role, name: &str, number: u8| {
        let keys = WatchedKeys::new(KEY, kind, &[number; 32]);
        let ccs = ccs(name, number, &revealed(keys.public_key(KEY).expect("a key").bytes()));
        (Pinned::from_ccs(&ccs, role, Domain::Test, &RustCrypto).expect("a CCS"), keys)
    };
    let (device, device_keys) = made(Role::Device, "device", 1);
    let (operator, operator_keys) = made(Role::Operator, "operator", 2);
    let party = |own: &Pinned, keys, peer: Pinned| {
        let mut anchors = MemoryAnchors::new();
        anchors.add_pinned(peer).expect("one");
        Party { own: OwnCredential::pinned(KEY, own).expect("a kid"), keys, anchors }
    };
    [party(&device, device_keys, operator.clone()), party(&operator, operator_keys, device)]
}

const METHODS: [Method; 4] = [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic];

fn handshake(method: Method, suite: Suite, [device, operator]: &[Party; 2]) -> Result<[Session; 2], Error> {
    let crypto = &Watched { kept: Vec::new() };
    let (c_i, c_r) = (ConnectionId::new(&[1])?, ConnectionId::new(&[2])?);
    let (mut rng, mut other) = (SeededRng::new(1), SeededRng::new(2));
    // A message on the wire is public.
    let on_the_wire = |mut message: Vec<u8>| {
        reveal(&mut message);
        message
    };

    let proposal = initiator::Proposal { method, suites: &[suite], c_i: &c_i, ead_1: &[] };
    let (sent, message) = initiator::start(&proposal, crypto, &mut rng)?;
    let read = responder::read(&on_the_wire(message), &METHODS, &[suite], crypto)?;
    let (sent_2, message) = read.write(&c_r, &operator.own, &[], &operator.keys, crypto, &mut other)?;
    let read = sent.read(&on_the_wire(message), crypto)?;
    let peer = verify(&read.claimed()?, Role::Operator, Domain::Test, &device.anchors, crypto, None)?;
    let accepted = read.accept(peer, &device.own, crypto)?;
    let (sent_3, message) = accepted.write(&device.own, &[], &device.keys, crypto)?;
    let read = sent_2.read(&on_the_wire(message), crypto)?;
    let peer = verify(&read.claimed()?, Role::Device, Domain::Test, &operator.anchors, crypto, None)?;
    let accepted = read.accept(peer, &operator.own, crypto)?;
    let (session, message) = accepted.write(&[], crypto)?;
    Ok([sent_3.read(&on_the_wire(message), crypto)?.complete()?, session])
}

fn exported(session: &Session) -> [u8; 32] {
    let mut out = [0; 32];
    session.export(32768, b"context", &mut out, &RustCrypto).expect("short");
    still_secret(&out);
    out
}

fn whole_handshake(method: Method, suite: Suite, parties: &[Party; 2]) {
    let [device, operator] = handshake(method, suite, parties).expect("both are genuine");
    assert_eq!(revealed(&exported(&device)), revealed(&exported(&operator)));
}

harnesses! {
    /// K and OP; OPc
    fn milenage_opc() {
        still_secret(milenage::opc(&key(1), &key(2)).bytes());
    }

    /// K, OPc and SQN, with the standard constants; every output
    fn milenage_functions() {
        let (set, mut keys) = (milenage(), Keys::default());
        still_secret(&set.f1(&RAND, sqn(3), AMF));
        still_secret(&set.f1_star(&RAND, sqn(3), AMF));
        still_secret(&set.f5_star(&RAND));
        set.f2_to_f5(&RAND, &mut keys);
        still_secret(keys.ck.bytes());
        let set = set.with_res_len(4).expect("allowed");
        set.f2_to_f5(&RAND, &mut keys);
        still_secret(keys.res.bytes());
    }

    /// K, OPc and SQN, with an operator's own rotations and constants; every output
    fn milenage_own_constants() {
        let c = [[0; 16], [1; 16], [2; 16], [4; 16], [8; 16]].map(|mut c: [u8; 16]| { c[..15].fill(0); c });
        let constants = milenage::Constants::new(c, [1, 13, 77, 127, 64]).expect("allowed");
        run_of_aka(&milenage().with_constants(constants));
    }

    /// K, OPc, SQN and the USIM's numbers. AUTN, AUTS and whether they are genuine and fresh are public
    fn milenage_aka() {
        run_of_aka(&milenage());
    }

    /// K of 128 bits and TOP; TOPc
    fn tuak_topc() {
        still_secret(tuak::topc(&key::<16>(1), &key(2), tuak::Parameters::default()).bytes());
    }

    /// K of 128 bits, TOPc and SQN. AUTN, AUTS and whether they are genuine and fresh are public
    fn tuak_aka_128() {
        run_of_aka(&tuak((&key::<16>(1)).into()));
    }

    /// K of 256 bits, TOPc and SQN; outputs of 32 bytes
    fn tuak_aka_256() {
        run_of_aka(&tuak((&key::<32>(1)).into()));
        let lengths = tuak::Parameters::default().with_ck_len(32).and_then(|p| p.with_res_len(32)).expect("allowed");
        let functions = tuak::Functions::new(&key::<32>(1), &key(2), lengths);
        let mut keys = Keys::default();
        functions.f2_to_f5(&RAND, &mut keys);
        still_secret(keys.ck.bytes());
        still_secret(keys.res.bytes());
    }

    /// K of 256 bits and OP; OPc
    fn milenage256_opc() {
        still_secret(milenage256::opc(&key::<32>(1), &key(2), milenage256::ALGONAME).expect("a name").bytes());
    }

    /// K of 128 bits, OPc and SQN. AUTN, AUTS and whether they are genuine and fresh are public
    fn milenage256_aka_128() {
        run_of_aka(&milenage256((&key::<16>(1)).into(), milenage256::Parameters::default()));
    }

    /// K of 256 bits, OPc and SQN, with f5**. AUTN, AUTS and whether they are genuine and fresh are public
    fn milenage256_aka_256() {
        run_of_aka(&milenage256((&key::<32>(1)).into(), milenage256::Parameters::default().with_f5_star_star()));
    }

    /// SQN and the numbers accepted, with an age limit. Whether it is fresh is public
    fn sqn_fresh() {
        let mut array = SqnArray::new(Profile::default().with_age_limit(1 << 20).expect("allowed"));
        assert!(public(array.accept(sqn(1))));
        assert!(!public(array.accept(sqn(1))));
        still_secret(&array.highest().to_bytes());
    }

    /// SQN_HE, at the AuC, with a clock and without; the next one
    fn sqn_next() {
        for profile in [Profile::NOT_TIME_BASED, Profile::PARTLY_TIME_BASED] {
            still_secret(&profile.next(sqn(1), Ind::default(), 77).expect("there are more").to_bytes());
        }
    }

    /// K, OPc and the numbers of both sides, from and to the store. Whether they belong together is public, and which
    /// INDs are in use
    fn subscriber_and_card() {
        let mut subscriber = Subscriber::adopt(milenage(), Profile::default(), sqn(3));
        let vector = subscriber.vector(&RAND, Ind::default(), AMF, 0).expect("there are more");
        let autn = revealed(&vector.challenge.autn).try_into().expect("as long as it was");
        let mut card = Card::new(milenage(), Profile::default());
        let Answer::Success(keys) = card.authenticate(&Challenge { rand: RAND, autn }) else { panic!("refused") };
        still_secret(keys.ck.bytes());
        let (mut stored, numbers) = (subscriber.to_bytes(), card.to_bytes());
        still_secret(&stored);
        still_secret(&numbers);
        assert!(Subscriber::from_bytes(milenage(), Profile::default(), &stored).is_ok());
        stored[21] ^= 1;
        assert!(Subscriber::from_bytes(milenage(), Profile::default(), &stored).is_err());
        assert!(Card::from_bytes(milenage(), Profile::default(), &numbers).is_ok());
    }

    /// CK, IK and RES, down to K_gNB, and the MACs under K_AUSF
    fn five_g_keys() {
        let (challenge, keys) = made(&milenage(), sqn(3));
        let name = ServingNetworkName::new(&network());
        let res_star = res_star(&keys, &name, &RAND);
        still_secret(&res_star);
        still_secret(&hres_star(&RAND, &res_star));
        let k_ausf = KAusf::new(&keys, &name, &challenge);
        still_secret(&k_ausf.sor_mac_i_ausf(&[1], 1, Some(b"list")).expect("short"));
        still_secret(&k_ausf.upu_mac_i_ue(1));
        let k_amf = k_ausf.k_seaf(&name).k_amf("001010123456789", &[0, 0]).expect("short");
        still_secret(k_amf.k_gnb(0, AccessType::ThreeGpp).secret().bytes());
    }

    /// CK and IK, to MK's keys and those of a fast re-authentication
    fn eap_aka_prime_keys() {
        let (challenge, keys) = made(&milenage(), sqn(3));
        let keys = PrimeKeys::new(&keys, "5G:mnc001.mcc001.3gppnetwork.org", &challenge).expect("short");
        let keys = keys.eap_keys("6001010123456789");
        still_secret(keys.msk());
        still_secret(keys.reauthenticated("id", 1, &[3; 16]).emsk());
    }

    /// The home network's and the ephemeral private key, Profile A. The SUCI is public, and whether it is genuine; the
    /// SUPI, which is no key, is read digit by digit
    fn suci_profile_a() {
        deconceal(Group::X25519);
    }

    /// The same with Profile B
    fn suci_profile_b() {
        deconceal(Group::P256);
    }

    /// The home's private key, and what both sides share. The concealed name is public, and whether it is genuine
    fn concealed_name() {
        let home = WatchedAgreement::new(Group::P256, 10);
        let public = HomeNetworkKey::new(1, Group::P256, home.public_key()).expect("a key");
        let (crypto, mut rng) = (Watched { kept: Vec::new() }, SeededRng::new(5));
        let name = maker::device_name().expect("a name");
        let (mut concealed, secret) = concealed::conceal(&name, &public, &crypto, &mut rng).expect("concealed");
        reveal(&mut concealed);
        let revealed = Concealed::read(Raw(&concealed)).and_then(|read| Ok(read.reveal(&home))).expect("well-formed");
        let revealed = revealed.expect("of this home");
        let sealed = revealed.seal(b"a voucher chain", &crypto, &mut rng).expect("sealed");
        assert_eq!(secret.open(Raw(&sealed), &crypto).expect("for us"), b"a voucher chain");
    }

    /// Both arguments. The answer is public
    fn compare() {
        let (a, b) = (secret::<32>(1), secret::<32>(2));
        for len in [4, 6, 8, 16, 32] {
            assert!(public(equal(&a[..len], &a[..len])));
            assert!(!public(equal(&a[..len], &b[..len])));
        }
    }

    /// Salt, input and output of HKDF
    fn hkdf() {
        let (mut prk, mut okm) = (Secret::zeroed(), [0; 100]);
        RustCrypto.hkdf_extract(&secret::<32>(1), &secret::<32>(2), &mut prk);
        RustCrypto.hkdf_expand(&prk, &[b"info"], &mut okm).expect("short");
        still_secret(&okm);
    }

    /// What a device's hedged random source is made of
    fn hedged_random() {
        let mut source = SeededRng::new(1);
        let mut out = [0; 32];
        let (mut source, device) = (Hidden(&mut source), secret::<64>(2));
        Hedged::new(&mut source, &device, 1, &RustCrypto).fill(&mut out).expect("never fails");
        still_secret(&out);
    }

    /// Key and text, AES-128-GCM. The ciphertext is public, and whether it is genuine
    fn aes_128_gcm() {
        sealed_and_opened(Aead::A128Gcm);
    }

    /// The same, AES-256-GCM
    fn aes_256_gcm() {
        sealed_and_opened(Aead::A256Gcm);
    }

    /// The same, AES-CCM with a tag of 8 bytes
    fn aes_ccm_8() {
        sealed_and_opened(Aead::Ccm16_64_128);
    }

    /// The same, AES-CCM with a tag of 16 bytes
    fn aes_ccm_16() {
        sealed_and_opened(Aead::Ccm16_128_128);
    }

    /// Private keys of P-256. Public keys are public
    fn p256_exchange() {
        let crypto = Watched { kept: Vec::new() };
        let (mut rng, mut shared, mut answered) = (SeededRng::new(1), Secret::zeroed(), Secret::zeroed());
        let ours = crypto.generate(Group::P256, &mut rng).expect("a key");
        let theirs = crypto.encapsulate(Group::P256, ours.public(), &mut rng, &mut answered).expect("a point");
        crypto.decapsulate(&ours, theirs.public(), &mut shared).expect("a point");
        still_secret(shared.bytes());
        still_secret(answered.bytes());
        let peer = crypto.read_key(KeyKind::P256, theirs.public()).expect("a point");
        crypto.agree(&ours, &peer, &mut shared).expect("of one group");
        still_secret(shared.bytes());
    }

    /// The private key of ES256, and the hash of the message. The signature is public
    fn es256_sign() {
        let keys = WatchedKeys::new(KEY, KeyKind::P256, identities::raw_device_key());
        assert!(!is_secret(&keys.sign(KEY, b"a message").expect("a key")));
        keys.sign(KEY, &secret::<40>(1)).expect("a key");
    }

    /// Private keys of X25519. Public keys are public, and whether the product is zero
    fn x25519_exchange() {
        let crypto = Watched { kept: Vec::new() };
        let (mut rng, mut shared, mut answered) = (SeededRng::new(1), Secret::zeroed(), Secret::zeroed());
        let ours = crypto.generate(Group::X25519, &mut rng).expect("a key");
        let theirs = crypto.encapsulate(Group::X25519, ours.public(), &mut rng, &mut answered).expect("a point");
        crypto.decapsulate(&ours, theirs.public(), &mut shared).expect("a point");
        still_secret(shared.bytes());
        still_secret(answered.bytes());
    }

    /// The private key of Ed25519. The signature is public
    fn ed25519_sign() {
        let keys = WatchedKeys::new(KEY, KeyKind::Ed25519, &[9; 32]);
        keys.sign(KEY, b"a message").expect("a key");
    }

    /// The key of a COSE_Mac0. Whether the tag is genuine is public
    fn mac0_verify() {
        let made = |tag: &[u8]| encode_with(|w| {
            w.tag(17);
            w.array(4);
            w.bytes(&[0xa1, 1, 5]);
            w.map(0);
            w.bytes(b"payload");
            w.bytes(tag);
        });
        let wrong = made(&[0; 32]);
        assert!(Mac0::foreign(&wrong).expect("well-formed").verify(&secret::<32>(1), b"", &RustCrypto).is_err());
    }

    /// The key and text of a record. The ciphertext is public, and whether it is genuine
    fn record_open() {
        let (key, text) = (key::<32>(1), secret::<50>(2));
        let mut sealed = encrypt0::seal(&key, Some(7), b"aad", &text, &RustCrypto).expect("sealed");
        reveal(&mut sealed);
        let record: encrypt0::Encrypt0<'_> = remote_provisioning::wire::decode(&sealed).expect("well-formed");
        still_secret(record.open(&key, b"aad", &RustCrypto).expect("genuine").bytes());
        assert!(record.open(&key, b"other", &RustCrypto).is_err());
    }

    /// The storage key, K, OPc and SQN. The ciphertext is public
    fn wrapped_credential() {
        let storage = StorageKey::new(1, key(1));
        let secrets = Secrets { k: key(2), opc: key(3), sqn: sqn(4) };
        still_secret(&fingerprint(&secrets.k, &RustCrypto));
        let kept = vec![revealed(secrets.k.bytes()), revealed(secrets.opc.bytes())];
        let crypto = Watched { kept: kept.into_iter().map(|kept| kept.try_into().expect("16 bytes")).collect() };
        let wrapped = storage.wrap(&secrets, &[5; 32], &crypto).expect("wrapped");
        let opened = storage.unwrap(&wrapped, &[5; 32], &crypto).expect("genuine");
        still_secret(opened.k.bytes());
        still_secret(opened.opc.bytes());
        assert!(storage.unwrap(&wrapped, &[6; 32], &crypto).is_err());
    }

    /// K, OPc and SQN on their way into a core's file, and K on the way out. Whether it is the same is public
    fn core_text() {
        let credential = CoreCredential {
            device: DeviceId::new(None, maker::device_name().expect("a name")),
            supi: "001010123456789".parse().expect("digits"),
            epoch: 1,
            algorithm: Algorithm::Milenage,
            secrets: Secrets { k: key(2), opc: key(3), sqn: sqn(4) },
            profile: None,
        };
        let text = srsran::put("", &credential, AMF, 7).expect("put");
        still_secret(text.as_str().as_bytes());
        // Of a row, only the digits of K are secret.
        let row = String::from_utf8(revealed(text.as_str().as_bytes())).expect("ASCII");
        let mut k = row.split(',').nth(3).expect("K").to_owned();
        hide_text(&mut k);
        let entry = Entry::new("001010123456789", 1, 0, Some(&k)).expect("K");
        let question = Question::PutIntoCore(Box::new(credential));
        let answer = cores::answer(&question, Ok(&[entry]), &RustCrypto);
        assert!(public(matches!(answer, Some(OperatorAnswer::CoreReady(Ok(()))))));
    }

    /// The key of cookies. The cookie is public, and whether it is genuine
    fn cookie_check() {
        let key = key(1);
        let baker = Baker::new(&key, 1000).expect("allowed");
        let mut cookie = baker.bake(b"address", b"", Millis(5));
        reveal(&mut cookie);
        assert!(public(baker.check(&cookie, b"address", b"", Millis(5)).is_ok()));
        assert!(!public(baker.check(&cookie, b"another", b"", Millis(5)).is_ok()));
    }

    /// The key of relay tokens. The token is public, and whether it is genuine
    fn relay_token() {
        let key = key(1);
        let gate = Gate::new(&key, Domain::Test);
        let relay = Name::new(b"relay").expect("short");
        let permit = Permit { domain: Domain::Test, relay, operations: 1, sessions: 1, bytes: 100, expires: 10 };
        let mut token = gate.issue(&permit);
        reveal(&mut token);
        let relayed = Relayed { session: 1, nonce: [0; 16], token: &token, message: b"message" };
        assert!(gate.admit(&relayed, b"relay", true, &mut Usage::default(), 1, &RustCrypto).is_ok());
        let mut altered = token.clone();
        altered.last_mut().into_iter().for_each(|byte| *byte ^= 1);
        let relayed = Relayed { token: &altered, ..relayed };
        assert!(gate.admit(&relayed, b"relay", true, &mut Usage::default(), 1, &RustCrypto).is_err());
    }

    /// Every key of both sides, method 0, suite -24. Messages are public, what is in them for the one who parses it, and
    /// whether a proof holds
    fn handshake_method_0() {
        whole_handshake(Method::SignSign, Suite::GCM, &parties());
    }

    /// The same, method 1, suite 2
    fn handshake_method_1() {
        whole_handshake(Method::SignStatic, Suite::CCM_8, &parties());
    }

    /// The same, method 2, suite 3
    fn handshake_method_2() {
        whole_handshake(Method::StaticSign, Suite::CCM_16, &parties());
    }

    /// The same, method 3, suite -24
    fn handshake_method_3() {
        whole_handshake(Method::StaticStatic, Suite::GCM, &parties());
    }

    /// The same, method 0, suite 0: X25519 and Ed25519
    fn handshake_suite_0() {
        whole_handshake(Method::SignSign, Suite::X25519, &parties_25519(KeyKind::Ed25519));
    }

    /// The same, method 3, suite 0
    fn handshake_suite_0_static() {
        whole_handshake(Method::StaticStatic, Suite::X25519, &parties_25519(KeyKind::X25519));
    }

    /// The keys of a session: exporter, key update, OSCORE, EAP; and the token that it is sealed into
    fn session_keys() {
        let [mut device, operator] = handshake(Method::SignSign, Suite::GCM, &parties()).expect("genuine");
        let eap = operator.eap_keys(&RustCrypto).expect("made");
        still_secret(eap.msk().bytes());
        still_secret(eap.k_ausf().expect("made").secret().bytes());
        still_secret(operator.oscore(&RustCrypto).expect("made").master_secret.bytes());
        let (crypto, key) = (Watched { kept: Vec::new() }, key(9));
        let seal = Seal { key: &key, expires: TODAY };
        let token = operator.seal(&seal, &crypto, &mut SeededRng::new(9)).expect("sealed");
        let before = remote_provisioning::trust::Date(TODAY.0 - 1);
        // Not `crypto`: what a token holds is read without a branch on it.
        let opened = Session::open(&token, &key, before, &crypto).expect("genuine").first_use(true).expect("first");
        black_box(opened);
        device.update(b"context", &RustCrypto).expect("made");
        exported(&device);
    }

    /// A whole first provisioning, both machines: every private key, every key of the session, K, OPc and the storage key
    fn provisioning() {
        provision().expect("both are genuine");
    }
}

/// One-shot, voucher first, chains of two, evidence: the quick start of the crate's docs.
fn provision() -> Result<(), Error> {
    let device_keys = WatchedKeys::new(IDENTITY, KeyKind::P256, identities::device_key());
    let operator_keys = WatchedKeys::new(IDENTITY, KeyKind::P256, identities::operator_key());
    let own = OwnCredential::chain(IDENTITY, &identities::device_chain())?;
    let introduction = Introduction::VoucherFirst(maker::home_key()?);
    let config = device::Config::new(own, maker::device_name()?, Domain::Test, introduction);
    let own = OwnCredential::chain(IDENTITY, &identities::operator_chain())?;
    let (anchors, operator_anchors) = (identities::factory_anchors(), identities::maker_anchors());
    let attestation = maker::Attestation::new(&maker::device_name()?)?;
    let (mut store, mut usim, mut home) = (MemoryStore::new(), SoftUsim, Home::laboratory()?);
    let storage = StorageKey::new(1, key(77));
    let (mut rng, mut other_rng, now) = (SeededRng::new(1), SeededRng::new(2), Millis(0));
    let mut crypto = Watched { kept: Vec::new() };

    let mut to_operator = Vec::new();
    let mut to_device: Vec<Vec<u8>> = Vec::new();
    let mut operator = Operator::new(operator::Config::new(own, Domain::Test));
    let mut machine: Option<Device> = None;
    loop {
        {
            let mut platform = Platform {
                crypto: &crypto,
                rng: &mut rng,
                keys: &device_keys,
                anchors: &anchors,
                attester: Some(&attestation),
                subscriptions: &mut store,
                usim: &mut usim,
                date: None,
            };
            let device = match &mut machine {
                None => machine.insert(Device::start(config.clone(), Goal::Provision, now, &mut platform)?),
                Some(device) => device,
            };
            for mut message in to_device.drain(..) {
                reveal(&mut message);
                device.handle_message(&message, now, &mut platform)?;
            }
            while let Some(action) = device.poll() {
                match action {
                    device::Action::Send(bytes) => to_operator.push(bytes),
                    device::Action::Finished(result) => {
                        result?;
                        let slot = store.slot(Slot::A)?.or(store.slot(Slot::B)?).expect("a subscription");
                        still_secret(slot.bytes());
                        return Ok(());
                    }
                    _ => {}
                }
            }
        }
        for mut message in to_operator.drain(..) {
            reveal(&mut message);
            let mut questions = Vec::new();
            {
                let mut desk = desk(&crypto, &mut other_rng, &operator_keys, &storage, &operator_anchors);
                operator.handle_message(&message, now, &mut desk)?;
            }
            loop {
                while let Some(action) = operator.poll() {
                    match action {
                        operator::Action::Send(bytes) => to_device.push(bytes),
                        operator::Action::Ask(question) => questions.push(question),
                        operator::Action::WakeAt(_) => {}
                        operator::Action::Finished(result) => result?,
                    }
                }
                let Some(question) = questions.pop() else { break };
                let is_opc = matches!(question, Question::ComputeOpc { .. });
                let answer = home.answer(question);
                if let (true, OperatorAnswer::Opc(Ok(opc))) = (is_opc, &answer) {
                    crypto.kept.push(revealed(opc.bytes()).try_into().expect("16 bytes"));
                }
                let mut desk = desk(&crypto, &mut other_rng, &operator_keys, &storage, &operator_anchors);
                operator.answer(answer, &mut desk)?;
            }
        }
    }
}

fn desk<'a>(
    crypto: &'a Watched,
    rng: &'a mut SeededRng,
    keys: &'a WatchedKeys,
    storage: &'a StorageKey,
    anchors: &'a MemoryAnchors,
) -> Desk<'a> {
    Desk { crypto, rng, keys, storage, anchors, date: TODAY }
}
