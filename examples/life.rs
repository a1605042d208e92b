//! The whole life of a subscription: provisioned, re-keyed, resumed after power cuts, scoped on demand, suspended,
//! re-associated, transferred, revoked, retired. Then a fleet that is re-keyed, and a device that is taken over against the
//! will of its operator. One line for each message, question and durable step.
//!
//!     cargo run --features sim --example life [-- --loss 0.3] [--seed 7]
//!
//! Both sides, their systems and the link are in this process; identities are published test data. What it leaves out: what
//! the messages look like inside, which `provision` shows.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::std_instead_of_alloc,
    reason = "a program that prints, and counts what it prints"
)]

#[path = "life/fleet.rs"]
mod fleet;
#[path = "life/takeover.rs"]
mod takeover;
#[path = "life/teller.rs"]
mod teller;

use std::process::ExitCode;

use arrayvec::ArrayString;
use remote_provisioning::{
    authority::{Association, Grant, Granter, Retirement},
    credential::{Activation, Previous, ServiceProfile},
    crypto::{Crypto, Secret, rustcrypto::RustCrypto},
    edhoc::OwnCredential,
    error::{Backend, Code, Error, Refused},
    identity::{DeviceId, Domain, Role},
    provisioning::{
        Account, Task,
        device::{self, Goal},
        log::What,
        operator,
    },
    sim::{Cut, IDENTITY, Party, TODAY, World, home::Home, identities, maker},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Date, Pinned, voucher},
};

use self::teller::Teller;

const USAGE: &str = "usage: life [--loss 0..0.7] [--seed number]";

fn main() -> ExitCode {
    let Some(setting) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match told(&setting) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nFAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where it happens.
pub(crate) struct Setting {
    /// What both sides compute with.
    pub(crate) crypto: &'static dyn Crypto,
    pub(crate) loss: f64,
    pub(crate) seed: u64,
}

impl Setting {
    /// A device and an operator of its own for each `number`.
    fn world(&self, number: u64) -> World {
        let world = World::new(self.seed.wrapping_add(number)).computing(self.crypto).losing(self.loss);
        world.trusting(identities::device_anchors(), identities::operator_anchors())
    }
}

fn options() -> Option<Setting> {
    let mut setting = Setting { crypto: &RustCrypto, loss: 0.0, seed: 1 };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--loss" => setting.loss = value.parse().ok().filter(|loss| (0.0..=0.7).contains(loss))?,
            "--seed" => setting.seed = value.parse().ok()?,
            _ => return None,
        }
    }
    Some(setting)
}

pub(crate) fn told(setting: &Setting) -> Result<(), Error> {
    Story::new(setting)?.tell()?;
    fleet::rekeyed(setting)?;
    Story::new(setting)?.taken_over()
}

struct Story {
    world: World,
    device: DeviceId,
    teller: Teller,
}

impl Story {
    fn new(setting: &Setting) -> Result<Self, Error> {
        Ok(Self { world: setting.world(0), device: maker::device_id()?, teller: Teller::default() })
    }

    fn tell(mut self) -> Result<(), Error> {
        self.go("Provision, one-shot", Goal::Provision)?;
        self.world.home.mode = Previous::Beside;
        self.go("Re-key, mode N: a new SUPI beside the old one", Goal::Rekey)?;
        self.world.home.mode = Previous::Shared;
        self.go("Re-key, mode S: another K under the same SUPI", Goal::Rekey)?;
        self.power_cuts()?;
        self.on_demand()?;
        self.suspended()?;
        self.associated()?;
        self.transferred()?;
        self.revoked()?;
        self.world.home.activation = Activation::TwoPhase;
        self.go("Provision again, in two phases", Goal::Provision)?;
        self.go("Retire: the device gives it back", Goal::Retire)?;
        println!("\nThe device has its factory identity, and {} subscribers are left.", self.subscribers());
        if self.subscribers() == 0 { Ok(()) } else { Err(Backend::Store.into()) }
    }

    /// A chapter: the device is after something, and what it has afterwards works.
    fn go(&mut self, title: &str, goal: Goal) -> Result<(), Error> {
        self.contact(title, goal)?;
        match device::subscription(&self.world.store)? {
            Some((held, _)) => {
                self.world.attach(&held.id.supi)?;
                println!("          attached with {}, epoch {}", held.id.supi, held.id.epoch);
            }
            None => println!("          nothing to attach with"),
        }
        Ok(())
    }

    fn contact(&mut self, title: &str, goal: Goal) -> Result<(), Error> {
        println!("\n── {title}");
        let teller = core::mem::take(&mut self.teller);
        let mut told = Teller::default();
        let result = self.world.go(goal, &mut |now, event| told.tell(now, event));
        println!("          {} messages, {} B, {} durable writes", told.messages, told.bytes, told.writes);
        self.teller = teller;
        result
    }

    fn carry_out(&mut self, task: Task) -> Result<(), Error> {
        let teller = &mut self.teller;
        self.world.carry_out(task, &mut |now, event| teller.tell(now, event))
    }

    fn account(&self) -> Account {
        self.world.home.account(&self.device).cloned().unwrap_or_default()
    }

    fn subscribers(&self) -> usize {
        self.world.home.subscribers().count()
    }

    /// What was durable decides who does what: a device that comes back resumes, and the operator goes on from its log.
    fn power_cuts(&mut self) -> Result<(), Error> {
        self.world.cut = Some(Cut::Prepared);
        self.go("Re-key, and the power goes when the new K is prepared: the log knows of an offer", Goal::Rekey)?;
        self.world.cut = Some(Cut::Installed);
        self.go("Re-key, and the power goes when the new K is in use: the log knows of a decision", Goal::Rekey)?;
        if self.world.cut.is_none() { Ok(()) } else { Err(Backend::Store.into()) }
    }

    fn on_demand(&mut self) -> Result<(), Error> {
        let (owner, home) = (maker::keys("the owner")?, &mut self.world.home);
        home.granters = vec![Granter::new("owner@example", owner.public_key(KeyId(0))?, Domain::Test)?];
        let scope =
            ServiceProfile { dnn: ArrayString::from("iot").ok(), quota: Some(1_000_000), ..ServiceProfile::default() };
        home.limit = scope.clone();
        let grant = Grant {
            iss: "owner@example",
            device: &self.device,
            operator: &home.name,
            expires: Date(TODAY.0 + 30 * 86_400),
            not_before: None,
            cti: b"the only one",
            scope: &scope,
        };
        let token = grant.sign(maker::signer(&owner))?;
        self.go("On demand: 1 MB to \"iot\", on the account of owner@example", Goal::OnDemand(token.clone()))?;
        let again = self.contact("The same grant again", Goal::OnDemand(token));
        expect(again, Code::GrantUsed)
    }

    fn suspended(&mut self) -> Result<(), Error> {
        println!("\n── Suspend, while the device sleeps");
        self.carry_out(Task::suspend(&self.device, &self.account())?)?;
        self.contact("It asks how things stand", Goal::Query)?;
        expect(self.contact("It asks for a new K", Goal::Rekey), Code::Suspended)?;
        println!("\n── Reinstate");
        self.carry_out(Task::reinstate(&self.device, &self.account())?)
    }

    fn associated(&mut self) -> Result<(), Error> {
        let (seller, buyer) = (maker::keys("the owner")?, maker::keys("the next owner")?);
        let key = |keys: &MemoryKeyStore| keys.public_key(KeyId(0));
        println!("\n── Re-associate: released by the old owner, accepted by the new one; the device sleeps");
        let first = Association::first(&key(&seller)?, ArrayString::from("msisdn-49170").ok())?;
        self.carry_out(Task::associate(&self.device, &self.account(), first.clone()))?;
        let number = ArrayString::from("msisdn-49171").ok();
        let until = Date(TODAY.0 + 86_400);
        let deed = first.deed(&self.device, Domain::Test, &key(&buyer)?, number, until)?;
        let (release, acceptance) = (deed.release(maker::signer(&seller))?, deed.acceptance(maker::signer(&buyer))?);
        let changed = first.change(&release, &acceptance, &self.device, Domain::Test, TODAY, &RustCrypto);
        let changed = changed.map_err(|_| Error::Declined(Code::Conflict))?;
        self.carry_out(Task::associate(&self.device, &self.account(), changed))?;
        self.contact("It asks how things stand", Goal::Query)?;
        self.go("And gets a new K, which the old owner never saw", Goal::Reassociate)
    }

    fn transferred(&mut self) -> Result<(), Error> {
        println!("\n── Transfer: the donor names the next owner in the voucher, and issues nothing more");
        let donor = self.world.operator_keys().public_key(IDENTITY)?;
        let chain = maker::voucher(&self.world.device_config.name, &donor)?;
        let next = recipient()?.keys.public_key(IDENTITY)?.thumbprint(&RustCrypto);
        self.carry_out(Task::hand_on(&self.device, &self.account(), next, 2)?)?;
        let sign = |message: &[u8]| self.world.operator_keys().sign(IDENTITY, message);
        let chain = voucher::extend(&chain, &donor, &next, 2, Domain::Test, sign, &RustCrypto)?;

        let mut recipient = recipient()?;
        recipient.home.own(self.world.device_config.name, chain);
        let donor = self.world.change_operator(recipient);
        self.go("The device asks the recipient", Goal::Transfer)?;

        println!("\n── The donor lets go, on the device's receipt, and says so");
        let receipt = self.last_receipt()?;
        let recipient = self.world.change_operator(donor);
        self.let_go(&receipt)?;
        self.world.change_operator(recipient);
        Ok(())
    }

    /// What the device has signed for last, from the operator's log.
    fn last_receipt(&self) -> Result<Vec<u8>, Error> {
        let entries: Vec<_> = self.world.home.entries().collect();
        let receipt = entries.iter().rev().find_map(|entry| match &entry.what {
            What::Ended(signed) => signed.proof.receipts.last().map(|receipt| receipt.to_vec()),
            _ => None,
        });
        Ok(receipt.ok_or(Backend::Store)?)
    }

    /// The donor's end of it: nothing is let go on anybody's word but the device's.
    fn let_go(&mut self, receipt: &[u8]) -> Result<(), Error> {
        let key = self.world.device_keys().public_key(IDENTITY)?;
        let task = Task::handed_on(&self.device, &self.account(), receipt, (&key, Domain::Test), &RustCrypto)?;
        self.carry_out(task)?;
        let retirement = Retirement::new(Domain::Test, &self.device, 2, RustCrypto.sha256(&[receipt]))?;
        let retirement = retirement.sign(|message| self.world.operator_keys().sign(IDENTITY, message))?;
        let donor = self.world.operator_keys().public_key(IDENTITY)?;
        let told = Retirement::verify(&retirement, &donor, &RustCrypto)?;
        println!("          retirement receipt, {} B; {} subscribers left", retirement.len(), self.subscribers());
        if told.is_about(&self.device) && self.subscribers() == 0 { Ok(()) } else { Err(Backend::Store.into()) }
    }

    fn revoked(&mut self) -> Result<(), Error> {
        println!("\n── Revoke, while the device sleeps");
        self.carry_out(Task::revoke(&self.device, &self.account())?)?;
        println!("          the log says {:?}", self.account().standing());
        self.contact("It asks how things stand", Goal::Query)?;
        println!("          the log says {:?}", self.account().standing());
        expect(self.contact("It asks for another one", Goal::Provision), Code::Revoked)?;
        println!("\n── The operator thinks better of it");
        self.carry_out(Task::reinstate(&self.device, &self.account())?)
    }
}

/// The other operator: a raw key that the device's anchors know, and SUPIs of its own.
fn recipient() -> Result<Party, Error> {
    let pool = (0..4).rev().map(|number| format!("00102000000000{number}").parse()).collect::<Result<_, _>>()?;
    let op = Secret::from_slice(&[0xdc; 16])?;
    let home = Home::new("recipient.example".parse()?, op, pool, maker::policy()?);
    let mut home = home.revealing(maker::home_key()?.id(), Box::new(maker::home_private()?));
    home.endorsements = maker::endorsements(&[maker::device_id()?])?;
    let pinned = Pinned::from_ccs(identities::raw_operator_ccs(), Role::Operator, Domain::Test, &RustCrypto)?;
    let config = operator::Config::new(OwnCredential::pinned(IDENTITY, &pinned)?, Domain::Test);
    Ok(Party { home, config, keys: keys_of(identities::raw_operator_key())? })
}

fn keys_of(private: &[u8; 32]) -> Result<MemoryKeyStore, Error> {
    let mut keys = MemoryKeyStore::new();
    keys.insert(IDENTITY, private)?;
    Ok(keys)
}

/// A chapter that has to end with this refusal.
fn expect(result: Result<(), Error>, code: Code) -> Result<(), Error> {
    match result {
        Err(Error::Refused(Refused::Code(told))) if told == code => Ok(()),
        Err(error) => Err(error),
        Ok(()) => Err(Error::Declined(code)),
    }
}
