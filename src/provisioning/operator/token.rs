//! The operator machine in a token: see [`Operator::seal`](super::Operator::seal).

use alloc::boxed::Box;

use super::{
    Asked, Case, Draft, Entitled, Greeting, Introduced, OnAccount, Shown, State,
    session::{Core, Link, Sealed, Session},
};
use crate::{
    edhoc::token::{self, Portable},
    error::{Code, Malformed},
    identity::Domain,
    provisioning::account::Line,
    trust::Date,
    wire::{Reader, Writer},
};

token::portable! {
    Greeting { message, c_r, terms, introduced }
    Introduced { since, voucher_first, shown }
    Shown { name, head, epoch, next }
    Case { handshake, visitor, shown }
    Entitled { verdict, shown, voucher, account }
    OnAccount { hash, profile }
    Draft { reservation, epoch, k }
    Sealed { package, voucher, xres, refuted }
    Line { sequence, hash }
    Session {
        domain, link, visitor, account, proof, line, shown, core, entitled, package, expected, over, barred, cleared, foreign,
        steps
    }
}

token::portable_as_sent!(Code, Domain);

impl Portable for Link {
    fn save(&self, w: &mut Writer<'_>) {
        match self {
            Self::Opening(handshake) => {
                w.unsigned(0);
                handshake.save(w);
            }
            Self::Open(channel) => {
                w.unsigned(1);
                channel.save(w);
            }
            Self::Closed => w.unsigned(2),
        }
    }

    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match r.unsigned()? {
            0 => Self::Opening(Box::load(r)?),
            1 => Self::Open(Box::load(r)?),
            2 => Self::Closed,
            _ => return Err(Malformed::OutOfRange),
        })
    }
}

impl Portable for Core {
    fn save(&self, w: &mut Writer<'_>) {
        match self {
            Self::Silent => w.unsigned(0),
            Self::Unsure(code) => {
                w.unsigned(1);
                code.save(w);
            }
            Self::Accepts => w.unsigned(2),
            Self::Lacks(code) => {
                w.unsigned(3);
                code.save(w);
            }
            Self::Recovered(None) => w.unsigned(5),
            Self::Recovered(Some((supi, fingerprint))) => {
                w.unsigned(6);
                supi.save(w);
                fingerprint.save(w);
            }
        }
    }

    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match r.unsigned()? {
            0 => Self::Silent,
            1 => Self::Unsure(Code::load(r)?),
            2 => Self::Accepts,
            3 => Self::Lacks(Code::load(r)?),
            5 => Self::Recovered(None),
            6 => Self::Recovered(Some((Portable::load(r)?, Portable::load(r)?))),
            _ => return Err(Malformed::OutOfRange),
        })
    }
}

impl Portable for Asked {
    fn save(&self, w: &mut Writer<'_>) {
        match self {
            Self::Subscription(entitled) => {
                w.unsigned(0);
                entitled.save(w);
            }
            Self::Opc(entitled, draft) => {
                w.unsigned(1);
                entitled.save(w);
                draft.save(w);
            }
            Self::Log(entry) => {
                w.unsigned(2);
                entry.save(w);
            }
            Self::Put => w.unsigned(3),
            Self::Read(code) => {
                w.unsigned(4);
                code.save(w);
            }
            Self::Recover => w.unsigned(5),
            Self::Bar => w.unsigned(6),
            Self::Remove => w.unsigned(7),
        }
    }

    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match r.unsigned()? {
            0 => Self::Subscription(Entitled::load(r)?),
            1 => Self::Opc(Entitled::load(r)?, Box::load(r)?),
            2 => Self::Log(Box::load(r)?),
            3 => Self::Put,
            4 => Self::Read(Code::load(r)?),
            5 => Self::Recover,
            6 => Self::Bar,
            7 => Self::Remove,
            _ => return Err(Malformed::OutOfRange),
        })
    }
}

impl Portable for State {
    fn save(&self, w: &mut Writer<'_>) {
        match self {
            Self::AwaitMessage1 => w.unsigned(0),
            Self::Finding(message, since) => {
                w.unsigned(1);
                message.save(w);
                since.save(w);
            }
            Self::Greeting(greeting) => {
                w.unsigned(2);
                greeting.save(w);
            }
            Self::AwaitMessage3(handshake, introduced) => {
                w.unsigned(3);
                handshake.save(w);
                introduced.save(w);
            }
            Self::Appraising(case) => {
                w.unsigned(4);
                case.save(w);
            }
            Self::Asking(session, asked) => {
                w.unsigned(5);
                session.save(w);
                asked.save(w);
            }
            Self::AwaitRecord(session) => {
                w.unsigned(6);
                session.save(w);
            }
            Self::Ended => w.unsigned(7),
        }
    }

    fn load(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match r.unsigned()? {
            0 => Self::AwaitMessage1,
            1 => Self::Finding(Box::load(r)?, Date::load(r)?),
            2 => Self::Greeting(Box::load(r)?),
            3 => Self::AwaitMessage3(Box::load(r)?, Introduced::load(r)?),
            4 => Self::Appraising(Box::load(r)?),
            5 => Self::Asking(Box::load(r)?, Asked::load(r)?),
            6 => Self::AwaitRecord(Box::load(r)?),
            7 => Self::Ended,
            _ => return Err(Malformed::OutOfRange),
        })
    }
}
