//! Everybody but the device: the factory that makes it, its operator, and the network that it attaches to.

use remote_provisioning::{
    Millis, Operator,
    attestation::{Component, Digest},
    credential::{Previous, StorageKey},
    crypto::{Crypto, HASH_LEN, Rng, rustcrypto::RustCrypto},
    edhoc::OwnCredential,
    error::Error,
    identity::{DeviceId, Domain, PeerName, Role, Supi},
    provisioning::{
        Desk,
        operator::{Action, Config},
    },
    sim::{IDENTITY, SeededRng, TODAY, home::Home, identities, maker},
    store::{KeyStore, memory::MemoryKeyStore},
    trust::{Date, MemoryAnchors, Pinned},
    wire::encode_with,
};

/// The factory, the operator and its core network.
pub(crate) struct Office {
    pub(crate) home: Home,
    pub(crate) rng: SeededRng,
    keys: MemoryKeyStore,
    anchors: MemoryAnchors,
    storage: StorageKey,
    config: Config,
    today: Date,
    /// The session under way.
    operator: Option<Operator>,
}

fn hash(parts: &[&[u8]]) -> [u8; HASH_LEN] {
    RustCrypto.sha256(parts)
}

impl Office {
    /// An operator whose devices have raw keys, as it has.
    pub(crate) fn new(seed: u64) -> Result<Self, Error> {
        let own = Pinned::from_ccs(identities::raw_operator_ccs(), Role::Operator, Domain::Test, &RustCrypto)?;
        let mut keys = MemoryKeyStore::new();
        keys.insert(IDENTITY, identities::raw_operator_key())?;
        let mut home = Home::laboratory()?;
        home.mode = Previous::Shared;
        Ok(Self {
            home,
            rng: SeededRng::new(seed),
            keys,
            anchors: MemoryAnchors::new(),
            storage: Home::storage_key()?,
            config: Config::new(OwnCredential::pinned(IDENTITY, &own)?, Domain::Test),
            today: TODAY,
            operator: None,
        })
    }

    /// Makes the device with this number, sells it to the operator, and gives what its firmware reads.
    pub(crate) fn make(&mut self, number: u8) -> Result<Vec<u8>, Error> {
        let name: PeerName = format!("IOT-0002-0000-{number:04}").parse()?;
        let private = hash(&[b"Published test key of device ", name.as_str().as_bytes()]);
        let attestation = hash(&[b"Published test key for attestation of ", name.as_str().as_bytes()]);
        let public = maker::keys_of(&private)?.public_key(maker_key())?;
        let ccs = encode_with(|w| {
            w.map(2);
            w.unsigned(2);
            w.text(name.as_str());
            w.unsigned(8);
            w.map(1);
            w.unsigned(1);
            w.map(5);
            w.unsigned(1);
            w.unsigned(2);
            w.unsigned(2);
            w.bytes(&[number]);
            w.integer(-1);
            w.unsigned(1);
            w.integer(-2);
            w.bytes(public.x());
            w.integer(-3);
            w.bytes(public.y());
        });
        self.anchors.add_pinned(Pinned::from_ccs(&ccs, Role::Device, Domain::Test, &RustCrypto)?)?;
        self.home.own(name, maker::voucher(&name, &self.keys.public_key(IDENTITY)?)?);
        self.home.endorsements = maker::endorsements(&[DeviceId::new(None, name)])?;

        let report = maker::Attestation::new(&name)?.report;
        let maker = maker::maker()?;
        let home = maker::home_key()?;
        Ok(encode_with(|w| {
            w.array(10);
            w.bytes(&private);
            w.bytes(&ccs);
            w.text(name.as_str());
            w.bytes(identities::raw_operator_ccs());
            w.array(2);
            w.bytes(maker.key().x());
            w.bytes(maker.key().y());
            w.array(2);
            w.unsigned(home.id().into());
            w.bytes(home.public_key());
            w.bytes(&attestation);
            w.bytes(report.instance.as_bytes());
            w.bytes(&report.implementation);
            // As the root of trust says it: RFC 9783 §4.4.1.
            w.array(report.components.len());
            for Component { kind, version, measurement, signer } in &report.components {
                w.map(4);
                w.unsigned(1);
                w.text(kind.as_deref().unwrap_or_default());
                w.unsigned(2);
                w.bytes(measurement.as_ref().map_or(&[], Digest::as_bytes));
                w.unsigned(4);
                w.text(version.as_deref().unwrap_or_default());
                w.unsigned(5);
                w.bytes(signer.as_ref().map_or(&[], Digest::as_bytes));
            }
        }))
    }

    /// The device starts again, and a day has passed.
    pub(crate) fn begin(&mut self) {
        self.operator = Some(Operator::new(self.config.clone()));
        self.today.0 += 86_400;
    }

    /// What the operator answers to a message, if it does.
    pub(crate) fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let Self { home, rng, keys, anchors, storage, operator, today, .. } = self;
        let operator = operator.as_mut()?;
        let mut desk = Desk { crypto: &RustCrypto, rng, keys, storage, anchors, date: *today };
        let mut answer = None;
        // What ends the session comes as an action.
        let _ = operator.handle_message(message, Millis(0), &mut desk);
        while let Some(action) = operator.poll() {
            match action {
                Action::Send(bytes) => answer = Some(bytes),
                Action::Ask(question) => {
                    let _ = operator.answer(home.answer(question), &mut desk);
                }
                Action::Finished(Err(error)) => println!("  the operator's session ended: {error}"),
                Action::Finished(Ok(())) | Action::WakeAt(_) => {}
            }
        }
        answer
    }

    /// A challenge for this subscriber, and the answer to it that lets it in.
    pub(crate) fn challenge(&mut self, supi: &Supi) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let vector = self.home.challenge(supi, &mut self.rng)?;
        Ok(([vector.challenge.rand, vector.challenge.autn].concat(), vector.keys.res.bytes().to_vec()))
    }

    /// What a hardware source gives a device that is switched on.
    pub(crate) fn entropy(&mut self) -> Result<[u8; 32], Error> {
        let mut seed = [0; 32];
        self.rng.fill(&mut seed)?;
        Ok(seed)
    }
}

/// The number of the key in the stores of `sim::maker`.
const fn maker_key() -> remote_provisioning::store::KeyId {
    remote_provisioning::store::KeyId(0)
}
