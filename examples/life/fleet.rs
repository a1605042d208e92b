//! A new K for a fleet, at a pace, and with an end when too many fail.

use remote_provisioning::{
    credential::Previous,
    error::{Backend, Error, Refused},
    provisioning::message::Operation,
    provisioning::{
        Account, Millis, Task,
        campaign::{Campaign, Next, Outcome, Pace, Progress},
        device::{Goal, subscription},
        log::What,
    },
    sim::{Event, World, maker},
};

use super::Setting;

const MINUTE: u64 = 60_000;

/// One call every ten minutes, two devices at once; half an hour without a word is a failure, and so is a refusal; a second
/// failure stops it.
const PACE: Pace = Pace { at_once: 2, interval: 10 * MINUTE, patience: 30 * MINUTE, failures: 1 };

/// In this one's cellar there is no network.
const SILENT: &str = "meter 2";

/// This one's subscription is suspended.
const SUSPENDED: &str = "meter 3";

/// A device, with an operator of its own: all have the one test identity.
struct Meter {
    name: String,
    world: World,
    /// The epoch of its first credential.
    first: u32,
}

pub(super) fn rekeyed(setting: &Setting) -> Result<(), Error> {
    println!("\n── A fleet of five: each gets a new K");
    let meters = (1..=5).map(|number| Meter::new(number, setting));
    let mut meters = meters.collect::<Result<Vec<_>, _>>()?;
    let mut campaign = Campaign::new(Operation::Rekey, meters.iter().map(|meter| meter.name.clone()), PACE)?;
    let (mut now, mut stops) = (Millis(0), 0);
    loop {
        match campaign.next(now) {
            Next::Call(name) => {
                let meter = meters.iter_mut().find(|meter| meter.name == name).ok_or(Backend::Store)?;
                match meter.called(campaign.operation())? {
                    Some(outcome) => {
                        campaign.report(&name, outcome);
                        told(now, &format!("{name} is called: {}", said(outcome)), campaign.progress());
                    }
                    None => told(now, &format!("{name} is called, and does not answer"), campaign.progress()),
                }
            }
            Next::Wait(moment) => now = moment,
            Next::Stopped => {
                stops += 1;
                told(now, "STOPPED: too many have failed", campaign.progress());
                for (name, outcome) in campaign.failed() {
                    println!("                 a person looks at {name}: {}", said(*outcome));
                }
                campaign.go_on();
                println!("                 and lets it go on");
            }
            Next::Done => break,
        }
    }
    told(now, "done", campaign.progress());
    let as_told = Progress { waiting: 0, under_way: 0, done: 3, failed: 2 };
    let new = |meter: &Meter| meter.epoch().is_some_and(|epoch| epoch > meter.first);
    let right = meters.iter().all(|meter| new(meter) != [SILENT, SUSPENDED].contains(&meter.name.as_str()));
    if (campaign.progress(), stops, right) == (as_told, 1, true) { Ok(()) } else { Err(Backend::Store.into()) }
}

fn told(now: Millis, what: &str, Progress { waiting, under_way, done, failed }: Progress) {
    let minutes = now.0 / MINUTE;
    println!("{minutes:>6} min  {what:<46} {waiting} waiting, {under_way} under way, {done} done, {failed} failed");
}

fn said(outcome: Outcome) -> String {
    match outcome {
        Outcome::Done => "a new K".into(),
        Outcome::Refused(code) => format!("refused with {code}"),
        Outcome::Silent => "nobody has heard of it".into(),
    }
}

impl Meter {
    fn new(number: u64, setting: &Setting) -> Result<Self, Error> {
        let mut world = setting.world(number);
        world.home.mode = Previous::Shared;
        world.go(Goal::Provision, &mut |_, _| {})?;
        let mut meter = Self { name: format!("meter {number}"), world, first: 0 };
        meter.first = meter.epoch().ok_or(Backend::Store)?;
        match meter.name.as_str() {
            SILENT => {
                meter.world = meter.world.losing(1.0);
                meter.world.attempts = 1;
            }
            SUSPENDED => {
                let task = Task::suspend(&maker::device_id()?, &meter.account()?)?;
                meter.world.carry_out(task, &mut |_, _| {})?;
            }
            _ => {}
        }
        Ok(meter)
    }

    fn epoch(&self) -> Option<u32> {
        subscription(&self.world.store).ok().flatten().map(|(held, _)| held.id.epoch)
    }

    fn account(&self) -> Result<Account, Error> {
        Ok(self.world.home.account(&maker::device_id()?).cloned().unwrap_or_default())
    }

    /// The log says what is wanted; the device is woken up, hears of it, and asks. `None` if nobody hears of it.
    fn called(&mut self, operation: Operation) -> Result<Option<Outcome>, Error> {
        let wanted = self.account()?.entry(&maker::device_id()?.to_string(), What::Wanted(operation));
        self.world.home.log(&wanted).map_err(Error::Declined)?;
        let mut heard = None;
        let mut watch = |_, event: &Event<'_>| {
            if let Event::Told(_, wanted) = event {
                heard = *wanted;
            }
        };
        match self.world.go(Goal::Query, &mut watch) {
            Err(Error::Unanswered) => return Ok(None),
            asked => asked?,
        }
        if heard != Some(operation) {
            return Err(Backend::Store.into());
        }
        match self.world.go(Goal::Rekey, &mut |_, _| {}) {
            Err(Error::Refused(Refused::Code(code))) => Ok(Some(code.into())),
            rekeyed => rekeyed.map(|()| Some(Outcome::Done)),
        }
    }
}
