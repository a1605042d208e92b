//! What the operator machine asks, and what it is told.
//!
//! The machine stops with one [`Question`] at a time and goes on when the [`Answer`] is there, so it runs over any
//! database, HSM and core network, under any executor. `sim::home` answers them from memory.

use alloc::{boxed::Box, vec::Vec};

use crate::{
    aka::{Amf, Output, Sqn},
    attestation::Verdict,
    authority::Permit,
    credential::{Activation, Algorithm, Secrets, ServiceProfile, SuciData, Txn},
    crypto::{Hash, Secret},
    edhoc::token::{self, Portable},
    error::{Code, Malformed, Misuse},
    identity::{DeviceId, Supi},
    provisioning::{
        account::{Account, Admitted},
        log::{LogEntry, Proof},
        message::{Counter, DeviceState, Operation},
        stored,
    },
    trust::{
        Date, Peer,
        concealed::{Concealed, Revealed},
    },
    wire::{self, Reader, Wire, Writer},
};

/// What only the operator's own systems can decide, compute or keep.
///
/// Answer those about the core network only when nothing that was asked before can still take effect there: a write that
/// arrives after its question was answered with an error would undo a decision.
#[derive(Debug)]
pub enum Question {
    /// Which device conceals its name here? Find the private key of [`Concealed::key_id`], [reveal](Concealed::reveal) the
    /// name, and look up the device's voucher. Answer [`Answer::Found`]. Anybody can have sent this.
    Find(Box<Concealed>),
    /// Is this device in a secure state, and welcome? Hold it against its [`Account`] and a
    /// [`Policy`](crate::attestation::Policy), and answer [`Answer::Appraised`].
    Appraise(Box<Visitor>),
    /// Which subscription is it to be? Answer [`Answer::Reserved`].
    Reserve(Box<Wish>),
    /// OPc from this K (TS 35.206 §8.2); OP may live in an HSM. Answer [`Answer::Opc`].
    ComputeOpc {
        /// K.
        k: Secret<16>,
    },
    /// Make this durable, and [apply](Account::apply) it to the device's account in the same step. Answer
    /// [`Answer::Logged`] when it is; a [`Conflict`](super::account::Conflict) has the code to answer with otherwise.
    Log(Box<LogEntry>),
    /// Make the core network accept this credential, in place of one of a lower epoch that it has for the same SUPI. It has
    /// it already: that is good. It has a higher one, or was told to take this one no more (by [`Question::ReadCore`] or
    /// [`Question::RemoveFromCore`]): that is [`Code::Conflict`]. Answer [`Answer::CoreReady`].
    PutIntoCore(Box<CoreCredential>),
    /// Which K does the core accept for this SUPI? If it is one of a lower epoch than this, **it must not take this one any
    /// more**, from no session: it is going to be called off. Answer [`Answer::CoreHolds`] with the
    /// [fingerprint](crate::credential::fingerprint).
    ReadCore(UpTo),
    /// The log lost a credential. Has the core got it, for this device? Answer [`Answer::Recovered`].
    Recover(Lost),
    /// Bar what the core has under this SUPI, up to this epoch: it accepts none of that from now on, and forgets none. What it
    /// does not know, it is to bar from the moment on in which it does: a credential may be on its way. Answer
    /// [`Answer::CoreReady`].
    BarInCore(UpTo),
    /// Let the core accept it again. Answer [`Answer::CoreReady`].
    AdmitToCore(UpTo),
    /// Let the core forget what it has under this SUPI, up to this epoch: first what lets anybody authenticate, then the rest.
    /// It has nothing, or something newer: that is good. **It must not take any of it again**: a server that was slow may
    /// still come with it. So keep the epoch. Answer [`Answer::CoreReady`].
    RemoveFromCore(UpTo),
}

/// What the core may have under a SUPI, up to an epoch. A question that is carried out late does not touch what came after
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpTo {
    /// The subscription.
    pub supi: Supi,
    /// The highest epoch that is meant.
    pub epoch: u32,
}

/// A device that is to get a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The device.
    pub device: DeviceId,
    /// The transaction. The same one gets the same SUPI, if it is asked again.
    pub txn: Txn,
    /// What it asks for.
    pub operation: Operation,
    /// The SUPI in use here. Answer the same: mode S, one SUPI and another K. Answer another: mode N, beside it.
    pub current: Option<Supi>,
}

/// A credential that the log has lost, and the device says it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The device. **What the core has of any other is none of its business**: it knows no secret of that, and could name it.
    pub device: DeviceId,
    /// The transaction that `supi_hash` was made with.
    pub txn: Txn,
    /// The epoch of the credential.
    pub epoch: u32,
    /// Its SUPI: compare [`supi_hash`](super::receipt::supi_hash) for those that it could be.
    pub supi_hash: Hash,
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
    /// On whose account: see [`grant`](crate::authority::grant). Not verified yet.
    pub grant: Option<Vec<u8>>,
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
    /// That there is one such device only. Only an [`Account`] makes one.
    pub admitted: Admitted,
    /// The device's voucher chain, for one that has not seen it yet.
    pub voucher: Option<Vec<u8>>,
    /// On whose account, if on somebody's: [`grant::verify`](crate::authority::grant::verify) of [`Visitor::grant`]. On demand
    /// there is nothing without one; for the rest it is the operator's policy ([`Code::GrantMissing`]).
    pub permit: Option<Permit>,
}

/// A credential for the core network (UDM, HSS, AuC).
#[derive(Debug)]
pub struct CoreCredential {
    /// The device that has it. Keep it beside the credential, for [`Question::Recover`].
    pub device: DeviceId,
    /// The subscription.
    pub supi: Supi,
    /// The epoch: the core's entry must not go back to an older one. Keep it beside the credential, for
    /// [`Question::Recover`].
    pub epoch: u32,
    /// The algorithm set.
    pub algorithm: Algorithm,
    /// K, OPc, and the SQN that goes with them: one value, never one without the others.
    pub secrets: Secrets,
    /// What it is for, and for how long and how much: the network sees to that. As granted, where it is on somebody's account.
    pub profile: Option<ServiceProfile>,
}

/// A subscription set aside for a transaction.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Its SUPI.
    pub supi: Supi,
    /// The highest epoch that the core has under this SUPI or must not take any more, 0 if there is none: the new one comes
    /// after it, whatever the log knows.
    pub core_epoch: u32,
    /// When the device may rely on it. A device that has a credential already gets [`Activation::TwoPhase`] in any case.
    pub activation: Activation,
    /// For the activation challenge; used up by it. A new K has numbers of its own, from the beginning.
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

/// An answer to a [`Question`].
#[derive(Debug)]
pub enum Answer {
    /// To [`Question::Find`]; `None` if the name is not revealed, or there is no voucher for that device. The peer does not
    /// notice which.
    Found(Option<Found>),
    /// To [`Question::Appraise`]: welcome, or why not.
    Appraised(Result<Box<Admission>, Code>),
    /// To [`Question::Reserve`].
    Reserved(Result<Reservation, Code>),
    /// To [`Question::ComputeOpc`], or why there is none.
    Opc(Result<Secret<16>, Code>),
    /// To [`Question::Log`]: durable, or why not.
    Logged(Result<(), Code>),
    /// To [`Question::PutIntoCore`], [`Question::BarInCore`], [`Question::AdmitToCore`] and
    /// [`Question::RemoveFromCore`]: it is so, or why not.
    CoreReady(Result<(), Code>),
    /// To [`Question::ReadCore`]: the fingerprint of K, if there is one; or why it cannot be read.
    CoreHolds(Result<Option<Hash>, Code>),
    /// To [`Question::Recover`]: the SUPI and the fingerprint of K, if the core has it; or why that cannot be said.
    Recovered(Result<Option<(Supi, Hash)>, Code>),
}

/// What does not fit into message_4.
pub(super) const TOO_LONG: Misuse = Misuse::Parameter("SUCI data and service profile do not fit into a message");

token::portable_as_sent!(Supi, Activation);

token::portable! {
    Visitor {
        device, txn, operation, counter, since, state, evidence, evidence_nonce, entitled, voucher_request, algorithms,
        grant, receipts
    }
    Reservation { supi, core_epoch, activation, sqn, management_field, suci, profile }
}

/// As in the log.
macro_rules! portable_as_logged {
    ($($ty:ty),* $(,)?) => {$(
        impl Portable for $ty {
            fn save(&self, w: &mut Writer<'_>) {
                // Writing to a vector does not fail.
                w.bytes(&stored::to_cbor(self).unwrap_or_default());
            }
            fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
                stored::from_cbor(r.bytes()?)
            }
        }
    )*};
}

portable_as_logged!(Verdict, Account, LogEntry, Proof);

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
