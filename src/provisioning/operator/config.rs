//! How an operator is set up.

use alloc::vec::Vec;

use crate::{
    attestation::Format,
    edhoc::{Method, OwnCredential, Suite},
    framing::relay::Admitted,
    identity::Domain,
};

/// How an operator runs the exchange.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its identity.
    pub own: OwnCredential,
    /// Production or test.
    pub domain: Domain,
    /// The methods it runs.
    pub methods: Vec<Method>,
    /// The suites it runs.
    pub suites: Vec<Suite>,
    /// What the relay may do that this session came through, if it came through one: see
    /// [`Gate::admit`](crate::framing::relay::Gate::admit). A message_1 that names another is refused, so nobody is taken for
    /// forwarding what it did not; and an operation that the relay's token is not for is
    /// [`Code::RelayScope`](crate::error::Code::RelayScope).
    pub relay: Option<Admitted>,
    /// Whether the handshake is an EAP method, so that its keys are wanted: see
    /// [`Operator::take_eap_keys`](super::Operator::take_eap_keys).
    pub eap_keys: bool,
    /// Evidence formats that it asks for, at most eight: numbers of [`Format`].
    pub evidence_formats: Vec<u64>,
    /// Milliseconds after which a session that nobody goes on with is given up.
    pub patience: u64,
    /// Seconds after which a device that is refused with a code of class RETRY is to ask again.
    pub retry_after: u32,
}

impl Config {
    /// Method 0, the suites of [`Suite::BUILT`], no relay, no keys for EAP, evidence in every format, five minutes for either.
    pub fn new(own: OwnCredential, domain: Domain) -> Self {
        Self {
            own,
            domain,
            methods: alloc::vec![Method::SignSign],
            suites: Suite::BUILT.to_vec(),
            relay: None,
            eap_keys: false,
            evidence_formats: [Format::Psa, Format::Eat].map(|format| u64::from(format.number())).to_vec(),
            patience: 300_000,
            retry_after: 300,
        }
    }
}
