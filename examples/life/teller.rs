//! One line for each message, question and durable step.

use remote_provisioning::{
    identity::Role,
    provisioning::{Millis, Question, log::What, question::UpTo},
    sim::{Event, link::Fate},
};

/// What went over the link, chapter by chapter.
#[derive(Default)]
pub(crate) struct Teller {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) writes: usize,
    /// Whether the device is without power.
    dark: bool,
}

impl Teller {
    pub(crate) fn tell(&mut self, now: Millis, event: &Event<'_>) {
        let at = format!("{:>6}.{} s", now.0 / 1_000, now.0 % 1_000 / 100);
        match event {
            Event::Sent { from, bytes, fate, again, .. } => {
                let arrow = if *from == Role::Device { "D ──▶ H" } else { "D ◀── H" };
                let again = if *again { "  again" } else { "" };
                let lost = if *fate == Fate::Lost { "  ✗ LOST" } else { "" };
                println!("{at}  {arrow}  {:>4} B{again}{lost}", bytes.len());
                self.messages += 1;
                self.bytes += bytes.len();
            }
            Event::Committed { .. } => {
                println!("{at}  D        durable");
                self.writes += 1;
            }
            Event::Prepared(it) => println!("{at}  D        holds {} beside the one in use", it.id.supi),
            Event::CalledOff => println!("{at}  D        lets go of what was prepared"),
            Event::Installed(it) => println!("{at}  D        uses {}, epoch {}", it.id.supi, it.id.epoch),
            Event::PowerCut => {
                println!("{at}  D        ✗ POWER GONE, before it could send anything");
                self.dark = true;
            }
            Event::Started { .. } if self.dark => {
                println!("{at}  D        power is back: it starts from its store, under the same transaction");
                self.dark = false;
            }
            Event::Erased => println!("{at}  D        has no credential any more"),
            Event::Told(standing, wanted) => println!("{at}  D        is told: {standing:?}, wanted: {wanted:?}"),
            Event::Asked(question) => println!("{at}        H  {}", asked(question)),
            Event::Finished { by, result: Err(error) } => println!("{at}  {by:?} ends: {error}"),
            _ => {}
        }
    }
}

fn asked(question: &Question) -> String {
    match question {
        Question::Find(_) => "whose name is concealed here?".into(),
        Question::Appraise(visitor) => format!("is {} welcome, for {:?}?", visitor.device.name(), visitor.operation),
        Question::Reserve(wish) => format!("a SUPI; in use is {:?}", wish.current.map(|supi| supi.to_string())),
        Question::ComputeOpc { .. } => "OPc".into(),
        Question::Log(entry) => format!("log {}: {}", entry.number, logged(&entry.what)),
        Question::PutIntoCore(credential) => format!("core: {} epoch {}", credential.supi, credential.epoch),
        Question::ReadCore(it) => format!("core: what is under {}?", it.supi),
        Question::Recover(_) => "core: what is left of a lost credential?".into(),
        Question::BarInCore(UpTo { supi, .. }) => format!("core: {supi} is barred"),
        Question::AdmitToCore(UpTo { supi, .. }) => format!("core: {supi} is let in again"),
        Question::RemoveFromCore(UpTo { supi, .. }) => format!("core: {supi} is forgotten"),
    }
}

fn logged(what: &What) -> String {
    match what {
        What::Offered(it) => format!("offered {}, epoch {}, {:?}, {:?}", it.supi, it.epoch, it.activation, it.previous),
        What::Prepared(_) => "prepared, signed by the device".into(),
        What::Decided { verdict, .. } => format!("decided: {verdict:?}"),
        What::Ended(signed) => format!("ended: {:?}, receipt {}", signed.event, signed.proof.head.sequence),
        What::Associated(it) => format!("associated: number {}, {:?}", it.number(), it.gpsi()),
        What::Barred(barred) => format!("barred: {barred:?}"),
        What::Released(it) => format!("released to the owner of epoch {}", it.owner_epoch),
        What::Transferred { owner_epoch, .. } => format!("transferred: the device has signed for epoch {owner_epoch}"),
        What::Cleared(leftover) => format!("cleared {}", leftover.supi),
        What::Wanted(operation) => format!("wanted: {operation:?}"),
        other => format!("{other:?}"),
    }
}
