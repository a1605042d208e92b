//! A factory-new device becomes a subscriber, both sides in one process, over a simulated link.
//!
//! The plot: a device that holds an IDevID key, its certificate chain, one operator anchor and its maker's key meets its
//! home operator, which holds a chain of its own, one manufacturer anchor, the maker's voucher for the device, an OP value
//! and eight free SUPIs. They run EDHOC method 0 in suite -24; the operator shows the voucher, the device evidence of its
//! state; they derive K on both sides, prove with a real AKA run that they hold the same one, and the device attaches.
//!
//! ```text
//! cargo run --example provision
//! cargo run --example provision -- --loss 0.3 --seed 7     a link that loses messages; it still ends well
//! cargo run --example provision -- --tamper 4              one byte of message 4 is flipped; it ends with an error
//! cargo run --example provision -- --fault list            what else can be wrong, and is refused
//! cargo run --example provision -- --fault clone           one of them
//! cargo run --example provision -- --ambient               a device without evidence, under a policy that says so
//! ```
//!
//! Exit code 0: the device is a subscriber and has attached. 1: the exchange failed. 2: wrong usage.
//! Left out: everything that `sim::World` does for its two machines; the quick start in the crate's documentation shows
//! that loop in plain. The identities are published test data.
#![allow(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "an example talks to a person, and counts what it itself made"
)]

#[path = "provision/faults.rs"]
pub(crate) mod faults;

use std::process::ExitCode;

use faults::{FAULTS, Fault};

use remote_provisioning::{
    aka::{self, keys},
    attestation::Policy,
    cose::encrypt0::Encrypt0,
    credential::SoftUsim,
    crypto::{Crypto, equal, rustcrypto::RustCrypto},
    edhoc::is_error_message,
    error::{Backend, Error},
    identity::{Plmn, Role},
    provisioning::{
        Millis, Question, device,
        log::What,
        message::{Hello, Operation, VERSION},
        receipt::Receipt,
    },
    sim::{Event, SeededRng, World, identities, link::Fate},
    store::{KeyStore, Slot, SubscriptionStore},
    wire::{self, Kind, Reader},
};

const USAGE: &str = "usage: provision [--loss SHARE] [--seed NUMBER] [--tamper MESSAGE] [--fault NAME] [--ambient]
  --loss SHARE      the link loses this share of the messages, 0 to 0.7 (default 0)
  --seed NUMBER     the run follows from this number (default 1)
  --tamper MESSAGE  one byte of this message is flipped whenever it is sent, 1 to 6
  --fault NAME      something is wrong, and is refused; `--fault list` lists what
  --ambient         the device cannot attest, and the policy says that it need not";

pub(crate) struct Options {
    /// What both sides compute with.
    pub(crate) crypto: &'static dyn Crypto,
    pub(crate) loss: f64,
    pub(crate) seed: u64,
    pub(crate) tamper: Option<usize>,
    pub(crate) fault: Option<&'static Fault>,
    pub(crate) list: bool,
    pub(crate) ambient: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { crypto: &RustCrypto, loss: 0.0, seed: 1, tamper: None, fault: None, list: false, ambient: false }
    }
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("provision: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.list {
        FAULTS.iter().for_each(|(name, meaning, _)| println!("{name:<18} {meaning}"));
        return ExitCode::SUCCESS;
    }
    match story(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nFAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(name) = arguments.next() {
        if name == "--ambient" {
            options.ambient = true;
            continue;
        }
        if !["--loss", "--seed", "--tamper", "--fault"].contains(&name.as_str()) {
            return Err(format!("unknown option {name}"));
        }
        let value = arguments.next().ok_or(format!("{name} needs a value"))?;
        let bad = || format!("{name} {value}: not a number in its range");
        match name.as_str() {
            "--loss" => options.loss = value.parse().ok().filter(|loss| (0.0..=0.7).contains(loss)).ok_or_else(bad)?,
            "--fault" if value == "list" => options.list = true,
            "--fault" => {
                let unknown = || format!("--fault {value}: no such fault; see --fault list");
                options.fault = Some(FAULTS.iter().find(|(name, ..)| *name == value).ok_or_else(unknown)?);
            }
            "--seed" => options.seed = value.parse().map_err(|_| bad())?,
            _ => options.tamper = Some(value.parse().ok().filter(|number| (1..=6).contains(number)).ok_or_else(bad)?),
        }
    }
    Ok(options)
}

pub(crate) fn story(options: &Options) -> Result<(), Error> {
    let mut world = World::new(options.seed).computing(options.crypto).losing(options.loss);
    if let Some(number) = options.tamper {
        world = world.tampering(number);
    }
    if options.ambient {
        world.attestation = None;
        world.home.policy = Policy::without_evidence("ambient tags")?;
    }
    cast(&world);
    if let Some((name, meaning, make)) = options.fault {
        println!("FAULT     {name}: {meaning}\n");
        world.attempts = 1;
        world = make(world)?;
    }
    let before = world.store.fingerprint();
    let mut teller = Teller::default();
    let result = world.run(&mut |now, event| teller.tell(now, event));
    teller.total(world.now);

    let held = device::subscription(&world.store)?;
    let subscription = match result {
        Ok(subscription) => subscription,
        Err(error) => {
            match held {
                None if world.store.slot(Slot::A)?.is_none() => {
                    println!("The device holds its factory identity, an open request and no credential.");
                }
                None => println!("The device's slot is not empty: this must not be."),
                Some((subscription, _)) => {
                    println!(
                        "The device holds {} whole, not yet confirmed; it resumes at its next start.",
                        subscription.id.supi
                    );
                }
            }
            if world.store.fingerprint() == before {
                println!("Its store is as it was.");
            }
            return Err(teller.first_error.unwrap_or(error));
        }
    };
    println!(
        "\nNew subscription: {}, epoch {}, {:?}",
        subscription.id.supi, subscription.id.epoch, subscription.algorithm
    );
    let content = world.store.slot(Slot::A)?.ok_or(Backend::Store)?;
    let card = SoftUsim::card(&content)?;
    if let Some(suci) = &card.suci {
        let schemes: Vec<u8> = suci.keys.iter().map(|key| key.scheme).collect();
        println!(
            "  SUCI     routing indicator {}, home keys for protection schemes {schemes:?}",
            suci.routing_indicator
        );
    }
    println!("  service  DNN {}", card.profile.and_then(|profile| profile.dnn).unwrap_or_default());
    attach(&mut world, &subscription, options.seed)
}

fn cast(world: &World) {
    let size = |chain: &[&[u8]]| chain.iter().map(|certificate| certificate.len()).sum::<usize>();
    let (device, operator) = (size(&identities::device_chain()), size(&identities::operator_chain()));
    println!(
        "Device    IDevID key, chain of 2 certificates ({device} B), 1 operator anchor, its maker's key, no clock"
    );
    println!("Operator  key, chain of 2 certificates ({operator} B), 1 manufacturer anchor, the device's voucher,");
    println!("          OP, 8 free SUPIs, policy \"{}\"", world.home.policy.name());
    println!("Profile   EDHOC method 0 (both sign), suite -24, test domain; identities are published test data\n");
}

/// The device attaches with its new credential: 5G AKA (TS 33.501 §6.1.3.2) as far as RES*.
fn attach(world: &mut World, subscription: &device::Subscription, seed: u64) -> Result<(), Error> {
    println!("\nFirst attach with it:");
    let vector = world.home.challenge(&subscription.id.supi, &mut SeededRng::new(seed ^ 0xa77a))?;
    println!("  network ─▶ device   RAND {}  AUTN {}", hex(&vector.challenge.rand), hex(&vector.challenge.autn));
    let network = keys::ServingNetworkName::new(&Plmn::new("001", "01")?);
    let rand = &vector.challenge.rand;
    let answer = device::authenticate(&vector.challenge, &mut world.store, &mut SoftUsim)?;
    let aka::Answer::Success(usim) = answer else {
        println!("  the device refuses the challenge: {answer:?}");
        return Err(remote_provisioning::error::Untrusted::Authentication.into());
    };
    let res_star = keys::res_star(&usim, &network, rand);
    let xres_star = keys::res_star(&vector.keys, &network, rand);
    println!("  device  ─▶ network  RES* ({} B), for {network}; its SQN is durable", res_star.len());
    if !equal(&res_star, &xres_star) {
        return Err(remote_provisioning::error::Untrusted::Authentication.into());
    }
    println!("  network             RES* = XRES*: the subscriber is attached");
    Ok(())
}

/// Tells what happens, and keeps count.
#[derive(Default)]
struct Teller {
    attempts: u32,
    from_device: u32,
    from_operator: u32,
    device_knows: bool,
    operator_knows: bool,
    resuming: bool,
    commits: usize,
    sizes: Vec<usize>,
    transmissions: u32,
    transmitted: usize,
    lost: u32,
    damaged: u32,
    first_error: Option<Error>,
}

impl Teller {
    fn tell(&mut self, now: Millis, event: &Event<'_>) {
        match event {
            Event::Started { session } => {
                self.attempts += 1;
                (self.from_device, self.from_operator) = (0, 0);
                (self.device_knows, self.operator_knows) = (false, false);
                println!("{} ── attempt {session} ──", clock(now));
            }
            Event::Sent { from, number, again, bytes, fate } => self.sent(now, *from, *number, *again, bytes, *fate),
            Event::Received { result: Ok(()), .. } => {}
            Event::Received { by, result: Err(error) } => {
                note(*by, &format!("notices: {error}"));
                self.first_error.get_or_insert(*error);
            }
            Event::Authenticated(met) => {
                self.device_knows = true;
                note(Role::Device, &format!("the operator has proved to be {}", met.operator));
                if met.voucher {
                    note(Role::Device, "its voucher opens and verifies: the maker says that this operator owns me");
                }
                note(Role::Device, &format!("terms: evidence formats asked for {:?}", met.evidence_formats));
            }
            Event::Asked(question) => self.asked(question),
            Event::Committed { commits } => {
                let what = match self.from_device {
                    0 => "record: the request and its counter",
                    2 if !self.resuming => "slot and record: the credential, in one step",
                    _ => "record: confirmed, the receipt need not be kept",
                };
                self.commits = *commits;
                note(Role::Device, &format!("DURABLE {what} (write {commits})"));
            }
            // No power goes here: examples/life.rs shows that.
            Event::PowerCut => {}
            Event::Installed(subscription) => note(
                Role::Device,
                &format!(
                    "package opened, challenge answered: {}, epoch {}",
                    subscription.id.supi, subscription.id.epoch
                ),
            ),
            Event::Completed { acknowledged } => {
                note(Role::Device, &format!("told complete: the operator has the receipts up to {acknowledged}"));
            }
            Event::Prepared(subscription) => note(
                Role::Device,
                &format!("prepared, beside the one in use: {}, epoch {}", subscription.id.supi, subscription.id.epoch),
            ),
            Event::CalledOff => note(Role::Device, "what was prepared is gone"),
            Event::Erased => note(Role::Device, "every credential is gone"),
            Event::Told(standing, wanted) => {
                note(Role::Device, &format!("told: {standing:?}, wanted: {wanted:?}"));
            }
            Event::Finished { by, result: Ok(()) } => note(*by, "done"),
            Event::Finished { by, result: Err(error) } => {
                note(*by, &format!("ends: {error}"));
                self.first_error.get_or_insert(*error);
            }
        }
    }

    fn sent(&mut self, now: Millis, from: Role, number: usize, again: bool, bytes: &[u8], fate: Fate) {
        self.transmissions += 1;
        self.transmitted += bytes.len();
        let fate = match fate {
            Fate::Delivered(1) => String::new(),
            Fate::Delivered(copies) => format!("  arrives {copies} times"),
            Fate::Lost => {
                self.lost += 1;
                "  ✗ LOST".into()
            }
            Fate::Damaged(at) => {
                self.damaged += 1;
                format!("  ✗ byte {at} FLIPPED")
            }
        };
        let arrow = if from == Role::Device { "D ──▶ H" } else { "D ◀── H" };
        if again {
            println!("{} {arrow}  message {number} again, {} B{fate}", clock(now), bytes.len());
            return;
        }
        let count = if from == Role::Device { &mut self.from_device } else { &mut self.from_operator };
        *count += 1;
        let count = *count;
        self.sizes.push(bytes.len());
        let known = match (self.device_knows, self.operator_knows) {
            (false, false) => "nobody authenticated",
            (true, false) => "operator authenticated",
            (false, true) => "device authenticated",
            (true, true) => "both authenticated",
        };
        let is_error = is_error_message(bytes) && (from == Role::Operator || count > 1);
        let (name, content) = if is_error { ("error", describe_error(bytes)) } else { describe(from, count, bytes) };
        println!("{} {arrow}  {number} {name:<10} {:>4} B   [{known}]{fate}", clock(now), bytes.len());
        content.iter().for_each(|line| println!("{:22}{line}", ""));
    }

    fn asked(&mut self, question: &Question) {
        match question {
            Question::Find(concealed) => {
                let key = concealed.key_id();
                note(Role::Operator, &format!("a concealed name, under home key {key}: looks it up, and its voucher"));
            }
            Question::Appraise(visitor) => {
                self.operator_knows = true;
                self.resuming = visitor.operation == Operation::Resume;
                let (name, certificate) = (visitor.device.name(), visitor.device.credential().len());
                note(Role::Operator, &format!("the device has proved to be {name}, CRED_I of {certificate} B"));
                note(
                    Role::Operator,
                    &format!(
                        "request: {:?}, txn {}, counter {}.{}, algorithms {:?}, active {:?}, {} receipts held, {} B of evidence",
                        visitor.operation,
                        hex(&visitor.txn[..4]),
                        visitor.counter.request,
                        visitor.counter.retry,
                        visitor.algorithms,
                        visitor.state.active,
                        visitor.receipts.len(),
                        visitor.evidence.as_ref().map_or(0, Vec::len)
                    ),
                );
            }
            Question::Reserve(_) => note(Role::Operator, "sets a SUPI aside for this txn"),
            Question::ComputeOpc { .. } => note(Role::Operator, "K derived from the session; OPc from OP"),
            Question::Log(entry) => self.logged(&entry.what),
            Question::PutIntoCore(credential) => {
                note(Role::Operator, &format!("the core accepts {}", credential.supi));
            }
            Question::ReadCore(_) | Question::Recover(_) => note(Role::Operator, "looks into the core"),
            Question::BarInCore(it) => note(Role::Operator, &format!("the core bars {}", it.supi)),
            Question::AdmitToCore(it) => note(Role::Operator, &format!("the core admits {} again", it.supi)),
            Question::RemoveFromCore(it) => note(Role::Operator, &format!("the core forgets {}", it.supi)),
        }
    }

    fn logged(&self, what: &What) {
        match what {
            What::Offered(offered) => {
                let verdict = offered.verdict.to_string();
                verdict.lines().for_each(|line| note(Role::Operator, line.trim_start()));
                let package = hex(&offered.package_hash[..4]);
                note(
                    Role::Operator,
                    &format!(
                        "DURABLE offered, with this verdict: imsi-{}, epoch {}, owner epoch {}, package {package}…",
                        offered.supi, offered.epoch, offered.owner_epoch
                    ),
                );
            }
            What::Ended(ended) => {
                let receipt = ended.proof.receipts.last().map(|receipt| describe_receipt(receipt));
                note(Role::Operator, &format!("DURABLE confirmed: {}", receipt.unwrap_or_default()));
            }
            other => note(Role::Operator, &format!("DURABLE {other:?}")),
        }
    }

    fn total(&self, now: Millis) {
        let bytes: usize = self.sizes.iter().sum();
        println!(
            "\nTotal: {} round trips, {} messages, {bytes} B, largest {} B, {} durable writes on the device",
            self.sizes.len() / 2,
            self.sizes.len(),
            self.sizes.iter().max().unwrap_or(&0),
            self.commits,
        );
        if self.lost + self.damaged > 0 {
            println!(
                "With repetitions: {} transmissions ({} B), {} lost, {} damaged, {} attempts; simulated time {}",
                self.transmissions,
                self.transmitted,
                self.lost,
                self.damaged,
                self.attempts,
                clock(now).trim()
            );
        }
    }
}

fn clock(Millis(now): Millis) -> String {
    format!("{:>4}.{:03} s", now / 1000, now % 1000)
}

fn note(by: Role, what: &str) {
    println!("{:11}{} {what}", "", if by == Role::Device { "D:" } else { "         H:" });
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What anybody can read of a message. What is encrypted in it is told when its receiver has decoded it.
fn describe(from: Role, count: u32, bytes: &[u8]) -> (&'static str, Vec<String>) {
    let name = match (from, count) {
        (Role::Device, 1) => return ("message_1", describe_message_1(bytes).unwrap_or_default()),
        (Role::Operator, 1) => "message_2",
        (Role::Device, 2) => "message_3",
        (Role::Operator, 2) => "message_4",
        (Role::Device, _) => "confirm",
        (Role::Operator | Role::Relay, _) => "complete",
    };
    let visible = match (wire::decode::<&[u8]>(bytes), wire::decode::<Encrypt0<'_>>(bytes)) {
        (Ok(text), _) if name == "message_2" => format!("G_Y 32 B, {} B encrypted", text.len() - 32),
        (Ok(text), _) => format!("{} B encrypted and authenticated", text.len()),
        (_, Ok(record)) => format!("record {}, encrypted and authenticated", record.partial_iv.unwrap_or_default()),
        (Err(error), _) => error.to_string(),
    };
    (name, vec![visible])
}

fn describe_message_1(bytes: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader::new(bytes).ok()?;
    let method = reader.integer().ok()?;
    let suites = match reader.peek().ok()? {
        Kind::Array => format!("{} B of suites", reader.raw().ok()?.len()),
        _ => reader.integer().ok()?.to_string(),
    };
    let g_x = reader.bytes().ok()?.len();
    let c_i = hex(reader.raw().ok()?);
    let label = reader.integer().ok()?;
    let hello: Hello<'_> = wire::decode(reader.bytes().ok()?).ok()?;
    Some(vec![
        format!("METHOD {method}, SUITES_I {suites}, G_X {g_x} B, C_I {c_i}"),
        format!(
            "EAD_1 {label} hello: version {VERSION}, {:?} domain, {}, {}",
            hello.domain,
            if hello.concealed_id.is_some() { "concealed id" } else { "no concealed id" },
            if hello.relay.is_some() { "through a relay" } else { "no relay" },
        ),
    ])
}

fn describe_error(bytes: &[u8]) -> Vec<String> {
    vec![
        remote_provisioning::edhoc::read_error(bytes)
            .map_or_else(|error| error.to_string(), |told| told.refused.to_string()),
    ]
}

fn describe_receipt(receipt: &[u8]) -> String {
    let mut keys = remote_provisioning::store::memory::MemoryKeyStore::new();
    let id = remote_provisioning::sim::IDENTITY;
    let key = keys.insert(id, identities::device_key()).and_then(|()| keys.public_key(id));
    match key.map_err(Error::from).and_then(|key| Receipt::verify(receipt, &key, &RustCrypto)) {
        Ok(receipt) => format!(
            "RES = XRES; receipt {} ({:?}, epoch {}, package {}…) signed by the device",
            receipt.sequence,
            receipt.event,
            receipt.epoch,
            hex(&receipt.package_hash[..4])
        ),
        Err(error) => error.to_string(),
    }
}
