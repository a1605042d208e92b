//! What a device is made with, and what it starts an attempt for.

use alloc::vec::Vec;

use crate::{
    aka::suci::HomeNetworkKey,
    crypto::Hash,
    edhoc::{Method, OwnCredential, Suite},
    identity::{Domain, PeerName},
    provisioning::message::Operation,
    time::Retry,
};

/// How a device runs the exchange.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its identity.
    pub own: OwnCredential,
    /// Its name, as that credential has it: what a voucher for it has to say.
    pub name: PeerName,
    /// Production or test.
    pub domain: Domain,
    /// When the operator shows its voucher.
    pub introduction: Introduction,
    /// SHA-256 over the announcement of the relay that forwards for it, if one does
    /// ([`Announcement::hash`](crate::framing::relay::Announcement::hash)). It goes out in clear: a relay puts
    /// something fresh into each announcement, or the hash tells runs through it from others.
    pub relay: Option<Hash>,
    /// Who authenticates how.
    pub method: Method,
    /// Suites in falling preference, at most eight. The first is proposed; if the operator does not run it, the first that it
    /// does run (RFC 9528 §6.3.1).
    pub suites: Vec<Suite>,
    /// How long and how often to ask.
    pub retry: Retry,
    /// Whether the handshake is an EAP method, so that its keys are wanted: see
    /// [`Device::take_eap_keys`](super::Device::take_eap_keys).
    pub eap_keys: bool,
}

/// What a device starts an attempt for. What is open already comes first: then the attempt is a resume, and the goal is for
/// the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// A first subscription.
    Provision,
    /// A new K.
    Rekey,
    /// A new K for the owner or the number that the operator has in its log.
    Reassociate,
    /// A subscription of the operator that has become the device's owner.
    Transfer,
    /// The same, away from an operator that does not answer any more: what is open with it is given up. Nothing that is in use
    /// is. **Not while it answers**: what it had prepared it will not give again before a person has looked.
    Leave,
    /// A subscription on somebody's account: with a signed [`grant`](crate::authority::grant).
    OnDemand(Vec<u8>),
    /// To hear how things stand, and to hand in receipts.
    Query,
    /// To give the subscription back.
    Retire,
}

impl Goal {
    pub(super) const fn operation(&self, has: bool) -> Operation {
        match self {
            Self::Leave if has => Operation::Transfer,
            Self::Provision | Self::Leave => Operation::Provision,
            Self::Rekey => Operation::Rekey,
            Self::Reassociate => Operation::Reassociate,
            Self::Transfer => Operation::Transfer,
            Self::OnDemand(_) => Operation::OnDemand,
            Self::Query => Operation::Query,
            Self::Retire => Operation::Retire,
        }
    }

    /// Whether a device has to have a subscription for it, must not have one, or either.
    pub(super) const fn fits(&self, has: bool) -> bool {
        match self {
            Self::Provision => !has,
            Self::Rekey | Self::Reassociate | Self::Transfer | Self::Retire => has,
            Self::OnDemand(_) | Self::Query | Self::Leave => true,
        }
    }
}

/// When an operator has to show that it owns this device.
#[derive(Clone, Debug)]
pub enum Introduction {
    /// **Voucher first**, the one to choose: the device names itself in message_1, concealed under this key of its home (its
    /// maker's voucher service, or its operator), and the voucher is in message_2. An operator that is not entitled learns
    /// nothing.
    VoucherFirst(HomeNetworkKey),
    /// **Voucher last**, for devices without such a key: the operator proves to be *an* operator, learns which device this is,
    /// and shows the voucher with its offer. A rogue operator with a valid certificate learns device identities; it can make
    /// the device store nothing.
    VoucherLast {
        /// Whether to ask for a voucher with a fresh nonce. The maker has to be on line to answer.
        request: bool,
    },
}

impl Config {
    /// Method 0, the suites of [`Suite::BUILT`], no relay, two seconds, eight attempts, no keys for EAP.
    pub fn new(own: OwnCredential, name: PeerName, domain: Domain, introduction: Introduction) -> Self {
        let retry = Retry { first: 2_000, attempts: 8 };
        let suites = Suite::BUILT.to_vec();
        let method = Method::SignSign;
        Self { own, name, domain, introduction, relay: None, method, suites, retry, eap_keys: false }
    }
}
