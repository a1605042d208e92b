//! What the operator machine asks, and what it is told.
//!
//! The machine stops with one [`Question`] at a time and goes on when the [`Answer`] is there, so it runs over any
//! database, HSM and core network, under any executor. `sim::home` answers them from memory.

use alloc::{boxed::Box, vec::Vec};

use crate::{
    aka::{Amf, Output, Sqn},
    attestation::Verdict,
    credential::{Algorithm, ServiceProfile, SuciData, Txn},
    crypto::{Hash, Secret},
    edhoc::token::{self, Portable},
    error::{Code, Malformed, Misuse},
    identity::{DeviceId, Supi},
    provisioning::{
        log::{LogEntry, Offered},
        message::{Counter, DeviceState, Operation},
        watch::Admitted,
    },
    trust::{
        Date, Peer,
        concealed::{Concealed, Revealed},
    },
    wire::{self, Reader, Wire, Writer},
};

/// What only the operator's own systems can decide, compute or keep.
#[derive(Debug)]
pub enum Question {
    /// Which device conceals its name here? Find the private key of [`Concealed::key_id`], [reveal](Concealed::reveal) the
    /// name, and look up the device's voucher. Answer [`Answer::Found`]. Anybody can have sent this.
    Find(Box<Concealed>),
    /// Is this device in a secure state, and welcome? Hold it against a [`Watch`](crate::provisioning::Watch) and a
    /// [`Policy`](crate::attestation::Policy), and answer [`Answer::Appraised`]. A resume is logged nowhere else, so make
    /// the watch durable before you let one go on: else two devices that share a store both resume.
    Appraise(Box<Visitor>),
    /// Which subscription is for this transaction? The same txn gets the same SUPI, and a
    /// higher epoch each time. Answer [`Answer::Reserved`].
    Reserve {
        /// The device.
        device: DeviceId,
        /// The transaction.
        txn: Txn,
    },
    /// OPc from this K (TS 35.206 §8.2); OP may live in an HSM. Answer [`Answer::Opc`].
    ComputeOpc {
        /// K.
        k: Secret<16>,
    },
    /// Make this durable. Answer [`Answer::Logged`] when it is.
    Log(LogEntry),
    /// Make the core network accept this credential, in place of what it had for the same SUPI. Answer
    /// [`Answer::CoreReady`] when it does.
    PutIntoCore(Box<CoreCredential>),
    /// What does the log say about this transaction? Answer [`Answer::Recalled`].
    Recall {
        /// The device.
        device: DeviceId,
        /// The transaction.
        txn: Txn,
    },
}

/// An authenticated device and what it asks for.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Who it is, and under which anchor.
    pub device: Peer,
    /// The transaction.
    pub txn: Txn,
    /// What it wants.
    pub operation: Operation,
    /// Its request counter. One that is not above the last one means a clone, or an old session.
    pub counter: Counter,
    /// When this session began: the date at message_1.
    pub since: Date,
    /// What it has.
    pub state: DeviceState,
    /// Evidence of its state.
    pub evidence: Option<Vec<u8>>,
    /// What the evidence has to be bound to: [`attestation::binding`](crate::attestation::binding) of this session.
    pub evidence_nonce: Hash,
    /// Whether it was shown its voucher in message_2. If not, [`Admission::voucher`] has to have it.
    pub entitled: bool,
    /// Its request for a voucher with a nonce, to be passed on to its maker: see
    /// [`VoucherRequest`](crate::trust::voucher::VoucherRequest).
    pub voucher_request: Option<Vec<u8>>,
    /// Numbers of algorithm sets that it runs.
    pub algorithms: Vec<u64>,
    /// Receipts that it holds, not verified yet.
    pub receipts: Vec<Vec<u8>>,
}

/// A device whose name was revealed, and what makes this operator its owner.
#[derive(Debug)]
pub struct Found {
    /// What [`Concealed::reveal`] made of it.
    pub device: Revealed,
    /// The device's voucher chain: see [`voucher`](crate::trust::voucher).
    pub voucher: Vec<u8>,
}

/// A device that may have a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// On what evidence. Only a [`Policy`](crate::attestation::Policy) makes one.
    pub verdict: Verdict,
    /// That there is one such device only. Only a [`Watch`](crate::provisioning::Watch) makes one.
    pub admitted: Admitted,
    /// The device's voucher chain, for one that has not seen it yet.
    pub voucher: Option<Vec<u8>>,
}

/// A credential for the core network (UDM, HSS, AuC).
#[derive(Debug)]
pub struct CoreCredential {
    /// The subscription.
    pub supi: Supi,
    /// The device's request counter: the core's entry must not go back to an older one.
    pub counter: Counter,
    /// The epoch.
    pub epoch: u32,
    /// The algorithm set.
    pub algorithm: Algorithm,
    /// K.
    pub k: Secret<16>,
    /// OPc.
    pub opc: Secret<16>,
    /// The SQN that the activation challenge used: the next one must be above it.
    pub sqn: Sqn,
}

/// A subscription set aside for a transaction.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Its SUPI.
    pub supi: Supi,
    /// Above every epoch offered to this device before; the first is 1.
    pub epoch: u32,
    /// For the activation challenge; used up by it.
    pub sqn: Sqn,
    /// The authentication management field; the separation bit set for 5G and EPS (TS 33.102 Annex H).
    pub management_field: Amf,
    /// SUCI data, encoded, if any: see [`OwnedPart`].
    pub suci: Option<OwnedPart>,
    /// Service profile, encoded, if any: see [`OwnedPart`].
    pub profile: Option<OwnedPart>,
}

/// A part of the package that came from the operator's own systems, encoded and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedPart(Vec<u8>);

impl OwnedPart {
    /// SUCI data.
    pub fn suci(data: &SuciData<'_>) -> Self {
        Self(wire::encode(data))
    }

    /// A service profile.
    pub fn profile(profile: &ServiceProfile) -> Self {
        Self(wire::encode(profile))
    }

    /// Back again; only its length can be wrong.
    pub(super) fn read<'a, T: Wire<'a>>(&'a self) -> Result<T, Misuse> {
        wire::decode(&self.0).map_err(|_| TOO_LONG)
    }
}

/// What the log says about a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// The offer.
    pub offered: Offered,
    /// Whether it was confirmed.
    pub confirmed: bool,
}

/// An answer to a [`Question`].
#[derive(Debug)]
pub enum Answer {
    /// To [`Question::Find`]; `None` if the name is not revealed, or there is no voucher for that device. The peer does not
    /// notice which.
    Found(Option<Found>),
    /// To [`Question::Appraise`]: welcome, or why not.
    Appraised(Result<Admission, Code>),
    /// To [`Question::Reserve`].
    Reserved(Result<Reservation, Code>),
    /// To [`Question::ComputeOpc`], or why there is none.
    Opc(Result<Secret<16>, Code>),
    /// To [`Question::Log`]: durable, or why not.
    Logged(Result<(), Code>),
    /// To [`Question::PutIntoCore`]: accepted, or why not.
    CoreReady(Result<(), Code>),
    /// To [`Question::Recall`]: what the log says, if it knows the transaction; or why it cannot be read.
    Recalled(Result<Option<Recalled>, Code>),
}

/// What does not fit into message_4.
pub(super) const TOO_LONG: Misuse = Misuse::Parameter("SUCI data and service profile do not fit into a message");

token::portable_as_sent!(Supi, Algorithm);

token::portable! {
    Visitor {
        device, txn, operation, counter, since, state, evidence, evidence_nonce, entitled, voucher_request, algorithms,
        receipts
    }
    CoreCredential { supi, counter, epoch, algorithm, k, opc, sqn }
    Reservation { supi, epoch, sqn, management_field, suci, profile }
}

/// As in the log.
impl Portable for Verdict {
    fn save(&self, w: &mut Writer<'_>) {
        let mut bytes = Vec::new();
        // Writing to a vector does not fail.
        let _ = ciborium::into_writer(self, &mut bytes);
        w.bytes(&bytes);
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        ciborium::from_reader(r.bytes()?).map_err(|_| Malformed::Syntax)
    }
}

impl Portable for OwnedPart {
    fn save(&self, w: &mut Writer<'_>) {
        self.0.save(w);
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Vec::load(r).map(Self)
    }
}

impl Portable for Sqn {
    fn save(&self, w: &mut Writer<'_>) {
        self.to_bytes().save(w);
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        <[u8; Self::LEN]>::load(r).map(Self::from_bytes)
    }
}

impl Portable for Output {
    fn save(&self, w: &mut Writer<'_>) {
        w.bytes(self.bytes());
    }
    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::from_slice(r.bytes()?).map_err(|_| Malformed::TooLong)
    }
}
