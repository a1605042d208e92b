//! Step 3, where a device gets a new credential: reserved, derived, sealed and logged, and only then offered.

use alloc::{boxed::Box, string::ToString, vec::Vec};

use super::{
    Action, Asked, Desk, Operator, State,
    handshake::Shown,
    session::{self, Link, Sealed, Session},
};
use crate::{
    aka::{self, Milenage},
    attestation::Verdict,
    authority::Permit,
    credential::{
        self, Activation, Algorithm, KeyName, MilenageParameters, Package, Previous, Secrets, ServiceProfile,
    },
    crypto::{Hash, Secret},
    error::{Backend, Code, Error, Misbehaved},
    fault::{Fault, is_seeded},
    provisioning::{
        log::{Offered, What},
        message::{Offer, PackageOffer},
        question::{OwnedPart, Question, Reservation, TOO_LONG, Visitor, Wish},
        receipt::Event,
    },
    wire,
};

/// Longest sealed package and voucher together: what message_4 leaves when txn, heads, padding and tag have their bytes.
const MAX_PACKAGE: usize = wire::MAX_MESSAGE - 160;

/// What makes a device get a credential.
#[derive(Debug)]
pub(super) struct Entitled {
    pub(super) verdict: Verdict,
    pub(super) shown: Shown,
    /// The voucher that it has still to see.
    pub(super) voucher: Option<Vec<u8>>,
    /// On whose account.
    pub(super) account: Option<OnAccount>,
}

/// What a grant makes of a credential.
#[derive(Debug)]
pub(super) struct OnAccount {
    pub(super) hash: Hash,
    pub(super) profile: OwnedPart,
}

impl From<&Permit> for OnAccount {
    fn from(permit: &Permit) -> Self {
        Self { hash: *permit.hash(), profile: OwnedPart::profile(permit.profile()) }
    }
}

/// A credential in the making.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) reservation: Reservation,
    pub(super) epoch: u32,
    pub(super) k: Secret<16>,
}

impl Operator {
    pub(super) fn issue(&mut self, mut session: Box<Session>, desk: &mut Desk<'_>) -> Result<(), Error> {
        let Some(entitled) = session.entitled.take().filter(|entitled| session.may_own(entitled)) else {
            return self.refuse(session.link, session.visitor.txn, Code::NotEntitled, desk);
        };
        let algorithms = &session.visitor.algorithms;
        if !algorithms.iter().any(|number| Algorithm::from_number(*number).is_some()) {
            return self.refuse(session.link, session.visitor.txn, Code::NoCommonAlgorithm, desk);
        }
        let Visitor { device, txn, operation, .. } = &session.visitor;
        let current = session.account.active().map(|active| session::read(&active.supi)).transpose()?;
        let wish = Wish { device: device.device_id(), txn: *txn, operation: *operation, current };
        self.actions.push_back(Action::Ask(Question::Reserve(Box::new(wish))));
        self.state = State::Asking(session, Asked::Subscription(entitled));
        Ok(())
    }

    pub(super) fn reserved(
        &mut self,
        session: Box<Session>,
        entitled: Entitled,
        reservation: Reservation,
        desk: &mut Desk<'_>,
    ) -> Result<(), Error> {
        let Link::Opening(handshake) = &session.link else { return Err(Misbehaved::UnexpectedMessage.into()) };
        let Some(epoch) = session.account.next_epoch(&session.visitor, reservation.core_epoch) else {
            return self.refuse(session.link, session.visitor.txn, Code::Conflict, desk);
        };
        let txn = &session.visitor.txn;
        let name = KeyName { algorithm: Algorithm::Milenage, supi: &reservation.supi, epoch, txn };
        let k = credential::derive_k(&name, handshake.session(), desk.crypto)?;
        self.actions.push_back(Action::Ask(Question::ComputeOpc { k: Secret::from_slice(k.bytes())? }));
        self.state = State::Asking(session, Asked::Opc(entitled, Box::new(Draft { reservation, epoch, k })));
        Ok(())
    }

    pub(super) fn opc(
        &mut self,
        mut session: Box<Session>,
        entitled: Entitled,
        draft: Draft,
        opc: Secret<16>,
        desk: &mut Desk<'_>,
    ) -> Result<(), Error> {
        let Draft { reservation, epoch, k } = draft;
        let Reservation { supi, activation, sqn, management_field, suci, profile, .. } = &reservation;
        let Visitor { txn, operation, state, .. } = &session.visitor;
        let Link::Opening(handshake) = &session.link else { return Err(Misbehaved::UnexpectedMessage.into()) };
        let previous = session.previous(supi, desk.crypto);
        let activation = if previous == Previous::None { *activation } else { Activation::TwoPhase };
        let Entitled { verdict, shown, voucher, account } = entitled;
        // What was granted, and nothing beside it.
        let profile = account.as_ref().map(|account| &account.profile).or(profile.as_ref());
        let profile: Option<ServiceProfile> = profile.map(OwnedPart::read).transpose()?;
        let mut rand = [0; 16];
        desk.rng.fill(&mut rand)?;
        let vector = aka::vector(&Milenage::new(&k, &opc), &rand, *sqn, *management_field);
        let draft = Package {
            epoch,
            supi: *supi,
            algorithm: Algorithm::Milenage,
            parameters: MilenageParameters { opc: opc.bytes() },
            challenge: vector.challenge,
            suci: suci.as_ref().map(OwnedPart::read).transpose()?,
            profile: profile.clone(),
            activation,
            previous,
        };
        let package = credential::seal(&draft, self.config.domain, txn, handshake.session(), desk.crypto)?;
        drop(draft);
        // Before anything is logged: afterwards it would be too late to learn that the offer does not fit.
        if package.len().saturating_add(voucher.as_ref().map_or(0, Vec::len)) > MAX_PACKAGE {
            return Err(TOO_LONG.into());
        }
        let package_hash = credential::package_hash(&package, desk.crypto);
        let fingerprint = credential::fingerprint(&k, desk.crypto);
        let secrets = Secrets { k, opc, sqn: *sqn };
        let offered = What::Offered(Offered {
            txn: *txn,
            operation: *operation,
            request: session.seen(),
            supi: supi.as_str().to_string(),
            epoch,
            activation,
            previous,
            package_hash,
            owner_epoch: shown.owner_epoch(state),
            voucher_head: shown.head,
            grant: account.as_ref().map(|account| account.hash),
            fingerprint,
            wrapped: desk.storage.wrap(&secrets, &package_hash, desk.crypto)?,
            profile: profile.map(Box::new),
            verdict,
        });
        let entry = Box::new(session.account.entry(&session.visitor.device.device_id().to_string(), offered));
        session.package = Some(Box::new(Sealed { package, voucher, xres: vector.keys.res.clone(), refuted: false }));
        if is_seeded(Fault::SendsBeforeLogging) && activation == Activation::TwoPhase {
            session.logged(&entry, desk.crypto)?;
            self.advance(session, desk)?;
            self.ask(Question::Log(entry));
            return Ok(());
        }
        self.actions.push_back(Action::Ask(Question::Log(entry.clone())));
        self.state = State::Asking(session, Asked::Log(entry));
        Ok(())
    }

    pub(super) fn package(&mut self, mut session: Box<Session>, desk: &mut Desk<'_>) -> Result<(), Error> {
        let (Some(sealed), Some(deal)) = (&session.package, session.account.open()) else {
            return Err(Backend::Store.into());
        };
        let expected = match deal.activation {
            Activation::OneShot => Event::Activated,
            Activation::TwoPhase => Event::Prepared,
        };
        let package_hash = deal.credential.package_hash;
        let offer =
            PackageOffer { txn: session.visitor.txn, sealed: &sealed.package, voucher: sealed.voucher.as_deref() };
        let offer = wire::encode(&Offer::Package(offer));
        session.link = self.message_4(session.link, &offer, Some(&package_hash), desk)?;
        self.expect(session, expected);
        Ok(())
    }
}
