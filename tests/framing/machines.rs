//! A device and an operator, and between them whatever a test puts there.

use remote_provisioning::{
    Device, Operator,
    credential::SoftUsim,
    crypto::{Hash, rustcrypto::RustCrypto},
    edhoc::OwnCredential,
    error::Error,
    identity::Domain,
    provisioning::{
        Desk, Platform,
        device::{self, Goal, Introduction},
        operator,
    },
    sim::{IDENTITY, SeededRng, TODAY, home::Home, identities, maker},
    store::memory::{MemoryKeyStore, MemoryStore},
    time::Millis,
};

/// Takes a message to the operator, with the hash of the relay that it came through, and gives what the operator says to it.
pub(crate) type Ask<'a> = &'a mut dyn FnMut(&[u8], Option<Hash>) -> Vec<u8>;

/// A first provisioning with chains by value, voucher first. `carry` takes each message of the device to the operator and
/// brings the answer, or nothing. Tells how it ended for the device, if it ended, and whether there is a subscription.
pub(crate) fn provision(
    relay: Option<Hash>,
    mut carry: impl FnMut(&[u8], Ask<'_>) -> Option<Vec<u8>>,
) -> (Option<Result<(), Error>>, bool) {
    let mut device_keys = MemoryKeyStore::new();
    device_keys.insert(IDENTITY, identities::device_key()).unwrap();
    let own = OwnCredential::chain(IDENTITY, &identities::device_chain()).unwrap();
    let introduction = Introduction::VoucherFirst(maker::home_key().unwrap());
    let mut config = device::Config::new(own, maker::device_name().unwrap(), Domain::Test, introduction);
    config.relay = relay;
    let device_anchors = identities::factory_anchors();
    let attestation = maker::Attestation::new(&maker::device_name().unwrap()).unwrap();
    let (mut store, mut usim) = (MemoryStore::new(), SoftUsim);
    let mut operator_keys = MemoryKeyStore::new();
    operator_keys.insert(IDENTITY, identities::operator_key()).unwrap();
    let operator_anchors = identities::maker_anchors();
    let (mut home, storage) = (Home::laboratory().unwrap(), Home::storage_key().unwrap());
    let (mut rng, mut other_rng, now) = (SeededRng::new(1), SeededRng::new(2), Millis(0));
    let mut platform = Platform {
        crypto: &RustCrypto,
        rng: &mut rng,
        keys: &device_keys,
        anchors: &device_anchors,
        attester: Some(&attestation),
        subscriptions: &mut store,
        usim: &mut usim,
        date: None,
    };
    let mut desk = Desk {
        crypto: &RustCrypto,
        rng: &mut other_rng,
        keys: &operator_keys,
        storage: &storage,
        anchors: &operator_anchors,
        date: TODAY,
    };
    let mut operator: Option<Operator> = None;
    let mut ask = |message: &[u8], relay: Option<Hash>| {
        let operator = operator.get_or_insert_with(|| {
            let own = OwnCredential::chain(IDENTITY, &identities::operator_chain()).unwrap();
            let mut config = operator::Config::new(own, Domain::Test);
            config.relay = relay;
            Operator::new(config)
        });
        let _ = operator.handle_message(message, now, &mut desk);
        let mut said = Vec::new();
        while let Some(action) = operator.poll() {
            match action {
                operator::Action::Send(bytes) => said.push(bytes),
                operator::Action::Ask(question) => operator.answer(home.answer(question), &mut desk).unwrap(),
                _ => {}
            }
        }
        assert_eq!(said.len(), 1, "one answer to each message");
        said.remove(0)
    };
    let mut device = Device::start(config, Goal::Provision, now, &mut platform).unwrap();
    let (mut ended, mut installed) = (None, false);
    while let Some(action) = device.poll() {
        match action {
            device::Action::Send(bytes) => {
                if let Some(answer) = carry(&bytes, &mut ask) {
                    let _ = device.handle_message(&answer, now, &mut platform);
                }
            }
            device::Action::Installed(_) => installed = true,
            device::Action::Finished(result) => ended = Some(result),
            _ => {}
        }
    }
    (ended, installed)
}
