//! A run in words, and a no.

use alloc::{format, string::String};

use crate::{
    error::Code,
    provisioning::{
        Answer, Question,
        device::{self, Goal},
        log::What,
        message::Verdict,
    },
};

/// A no to a question that can be answered with one.
pub(super) fn no(question: &Question) -> Option<Answer> {
    let code = Code::TryLater;
    Some(match question {
        Question::Find(_) | Question::Appraise(_) => return None,
        Question::Reserve(_) => Answer::Reserved(Err(code)),
        Question::ComputeOpc { .. } => Answer::Opc(Err(code)),
        Question::Log(_) => Answer::Logged(Err(code)),
        Question::PutIntoCore(_) | Question::BarInCore(_) | Question::AdmitToCore(_) | Question::RemoveFromCore(_) => {
            Answer::CoreReady(Err(code))
        }
        Question::ReadCore(_) => Answer::CoreHolds(Err(code)),
        Question::Recover(_) => Answer::Recovered(Err(code)),
    })
}

pub(super) fn asked(question: &Question) -> String {
    match question {
        Question::Find(_) => "whose name is concealed".into(),
        Question::Appraise(visitor) => format!("appraise, for {:?}", visitor.operation),
        Question::Reserve(_) => "reserve".into(),
        Question::ComputeOpc { .. } => "OPc".into(),
        Question::Log(entry) => format!("log {}: {}", entry.number, logged(&entry.what)),
        Question::PutIntoCore(it) => format!("core takes {} epoch {}", it.supi, it.epoch),
        Question::ReadCore(it) => format!("core is read: {} epoch {}", it.supi, it.epoch),
        Question::Recover(it) => format!("core is searched for epoch {}", it.epoch),
        Question::BarInCore(it) => format!("core bars {} up to {}", it.supi, it.epoch),
        Question::AdmitToCore(it) => format!("core admits {} up to {}", it.supi, it.epoch),
        Question::RemoveFromCore(it) => format!("core forgets {} up to {}", it.supi, it.epoch),
    }
}

pub(super) fn logged(what: &What) -> String {
    match what {
        What::Offered(it) => format!("offered {} epoch {}, {:?}, {:?}", it.supi, it.epoch, it.activation, it.previous),
        What::Prepared(_) => "prepared".into(),
        What::Decided { verdict: Verdict::Commit, .. } => "commit".into(),
        What::Decided { verdict: Verdict::Abort, .. } => "abort".into(),
        What::Ended(it) => format!("ended, {:?}", it.event),
        What::Recovered(it) => format!("recovered {} epoch {}, {:?}", it.supi, it.epoch, it.event),
        What::Restored => "restored".into(),
        What::Received(_) => "receipts".into(),
        What::Cleared(it) => format!("cleared {} up to {}", it.supi, it.epoch),
        What::Barred(it) => format!("barred, {it:?}"),
        What::Reinstated => "reinstated".into(),
        What::Associated(_) => "associated".into(),
        What::Transferred { .. } => "transferred".into(),
        What::Wanted(it) => format!("wanted: {it:?}"),
        What::Released(_) => "released".into(),
        What::Quarantined { alarm, .. } => format!("quarantined: {alarm}"),
        What::Cleaned => "cleaned".into(),
    }
}

pub(super) fn name(goal: &Goal) -> String {
    if let Goal::OnDemand(_) = goal { "on demand".into() } else { format!("{goal:?}") }
}

pub(super) fn event(action: &device::Action) -> String {
    match action {
        device::Action::Authenticated(met) => format!("believes {}", met.operator),
        device::Action::Prepared(it) => format!("holds {} epoch {} in addition", it.id.supi, it.id.epoch),
        device::Action::Installed(it) => format!("uses {} epoch {}", it.id.supi, it.id.epoch),
        device::Action::CalledOff => "lets go of what was prepared".into(),
        device::Action::Told(standing, _) => format!("is told {standing:?}"),
        _ => String::new(),
    }
}
