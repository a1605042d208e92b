//! A firmware with the device side of the library, on an emulated Cortex-M4F, against the operator side in this process:
//! first provisioning, a power cut in the middle, resume, re-key, attach. And what all of it costs.
//!
//! ```text
//! cargo run --example emulator                     builds, runs, prints, and fails where a budget is exceeded
//! cargo run --example emulator -- --cuts 200       with more power cuts
//! cargo run --example emulator -- --features       what each feature of the library costs in flash; builds six more
//! cargo run --example emulator -- --symbols 40     where the bytes go, further down
//! ```
//!
//! Wants the Rust target `thumbv7em-none-eabihf` and `qemu-system-arm` (Debian's package has that name). The firmware is a
//! Cargo project of its own, in `examples/firmware`. Figures of time are instructions, which the emulator counts exactly;
//! it knows nothing of cycles.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    reason = "a program with std that talks to a person"
)]

#[path = "emulator/bare.rs"]
mod bare;
#[path = "emulator/elf.rs"]
mod elf;
#[path = "emulator/machine.rs"]
mod machine;
#[path = "emulator/office.rs"]
mod office;

use std::{
    error::Error as StdError,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use remote_provisioning::identity::Supi;

use crate::{machine::Machine, office::Office};

type Result<T> = std::result::Result<T, Box<dyn StdError>>;

const USAGE: &str = "usage: emulator [--cuts N] [--features] [--symbols N]
  --cuts N     power cuts in the flash's work, spread over the first provisioning and the re-key (default 8)
  --features   prints what each feature of the library costs, and ends
  --symbols N  how many of the longest functions to print (default 20)";

struct Options {
    cuts: u32,
    features: bool,
    symbols: usize,
    column: Option<String>,
}

fn options() -> Option<Options> {
    let mut options = Options { cuts: 8, features: false, symbols: 20, column: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--features" => options.features = true,
            "--cuts" => options.cuts = arguments.next()?.parse().ok().filter(|cuts| *cuts > 0)?,
            "--symbols" => options.symbols = arguments.next()?.parse().ok()?,
            "--column" => options.column = arguments.next(),
            _ => return None,
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let outcome = if options.features { features() } else { story(&options) };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

// ------------------------------------------------------------------------------------------------------- building

const TARGET: &str = "thumbv7em-none-eabihf";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds a program of the firmware project with these features, and gives the place of its image.
fn build(program: &str, features: &str) -> Result<PathBuf> {
    let target = root().join("target/firmware");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root().join("examples/firmware")).env("CARGO_TARGET_DIR", &target);
    cargo.args(["build", "--release", "--quiet", "--locked", "--no-default-features", "--features", features]);
    // What this program was run with is for this program.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(name);
    }
    if !cargo.args(["--bin", program]).status()?.success() {
        return Err(format!("the firmware does not build; is there a target {TARGET}?").into());
    }
    let image = target.join(format!("{program}-{}.elf", features.replace(',', "-")));
    fs::write(&image, emulable(fs::read(target.join(TARGET).join("release").join(program))?))?;
    Ok(image)
}

/// LLVM makes `ldm.w r4, {r6}` of a line of `p256-cm4`'s. Arm's manual calls LDM of one register unpredictable (Armv7-M,
/// A7.7.41); processors load it, QEMU does not know it. So it gets the same load in the encoding of LDR, as long.
fn emulable(mut image: Vec<u8>) -> Vec<u8> {
    // With the umaal after it, so that it is no other place.
    const LDM: [u8; 8] = [0x94, 0xe8, 0x40, 0x00, 0xe5, 0xfb, 0x6e, 0x36];
    const LDR: [u8; 4] = [0xd4, 0xf8, 0x00, 0x60];
    let found = image.windows(LDM.len()).position(|bytes| bytes == LDM);
    if let Some(at) = found {
        image[at..at + 4].copy_from_slice(&LDR);
    }
    image
}

// -------------------------------------------------------------------------------------------------------- devices

/// What an operation has cost the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bill {
    instructions: u64,
    /// Of those, in operations with points of P-256 and a secret.
    secret: u64,
    /// With points, and without a secret.
    public: u64,
    /// In hashes and ciphers.
    symmetric: u64,
    calls: u64,
    stack: u64,
    heap: u64,
    allocations: u64,
    commits: u64,
    words: u64,
    pages: u64,
}

impl Bill {
    fn read(content: &[u8]) -> Option<Self> {
        let mut rows = content.as_chunks::<8>().0.iter().map(|row| u64::from_le_bytes(*row));
        let mut next = || rows.next();
        // An instruction takes 256 ns, a tick 40.
        let instructions = |ticks: u64| (ticks * 40 + 128) / 256;
        Some(Self {
            instructions: instructions(next()?),
            secret: instructions(next()?),
            public: instructions(next()?),
            symmetric: instructions(next()?),
            calls: next()?,
            stack: next()?,
            heap: next()?,
            allocations: next()?,
            commits: next()?,
            words: next()?,
            pages: next()?,
        })
    }

    /// What is no operation with points.
    const fn other(&self) -> u64 {
        self.instructions - self.secret - self.public
    }

    /// Steps that the flash takes: it can be cut off at each.
    const fn steps(&self) -> u64 {
        self.words + 2 * self.pages
    }
}

/// When the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Never,
    /// When this message of the device has left.
    Message(usize),
    /// When the flash has taken this many steps.
    Flash(u32),
}

#[derive(Clone, Copy)]
enum Goal {
    Provision = 0,
    Rekey = 1,
}

/// What the device says it has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Status {
    supi: Supi,
    epoch: u32,
    complete: bool,
}

/// A device, its operator, and what it has been through.
struct World {
    firmware: PathBuf,
    directory: PathBuf,
    office: Office,
    machine: Option<Machine>,
}

impl World {
    /// A device that leaves the factory.
    fn new(firmware: &Path, number: u8) -> Result<Self> {
        let directory = firmware.with_extension(format!("device{number}"));
        machine::new_flash(&directory)?;
        let mut office = Office::new(number.into())?;
        let made = office.make(number)?;
        let mut world = Self { firmware: firmware.to_owned(), directory, office, machine: None };
        world.switch_on(Some(&made))?;
        Ok(world)
    }

    fn switch_on(&mut self, made: Option<&[u8]>) -> Result<()> {
        self.machine = None;
        let machine = self.machine.insert(Machine::start(&self.firmware, &self.directory)?);
        if let Some(made) = made {
            machine.send(b'i', made)?;
        }
        machine.send(b'b', &[])?;
        machine.send(b's', &self.office.entropy()?)?;
        Ok(())
    }

    fn send(&mut self, kind: u8, content: &[u8]) -> Result<()> {
        Ok(self.machine.as_mut().ok_or("the device is off")?.send(kind, content)?)
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>)> {
        Ok(self.machine.as_mut().ok_or("the device is off")?.receive()?)
    }

    /// One attempt; `None` if it ended with the power.
    fn attempt(&mut self, goal: Goal, cut: Cut) -> Result<Option<Bill>> {
        if let Cut::Flash(steps) = cut {
            self.send(b'c', &steps.to_le_bytes())?;
        }
        self.office.begin();
        self.send(b'g', &[goal as u8])?;
        let mut sent = 0;
        loop {
            match self.receive()? {
                (b'm', message) => {
                    sent += 1;
                    if cut == Cut::Message(sent) {
                        self.machine = None;
                        return Ok(None);
                    }
                    match self.office.answer(&message) {
                        Some(answer) => self.send(b'm', &answer)?,
                        None => self.send(b't', &[])?,
                    }
                }
                (b'C', _) => {
                    self.machine = None;
                    return Ok(None);
                }
                (b'F', result) if result != [0] => return Err("the attempt failed".into()),
                (b'I' | b'F', _) => {}
                (b'B', bill) => return Ok(Some(Bill::read(&bill).ok_or("a short bill")?)),
                (kind, why) => return Err(format!("the firmware stopped: {} {why:02x?}", char::from(kind)).into()),
            }
        }
    }

    fn status(&mut self) -> Result<Option<Status>> {
        self.send(b'q', &[])?;
        let (b'Q', content) = self.receive()? else { return Err("no status".into()) };
        let Some((complete, rest)) = content.split_first() else { return Ok(None) };
        let (epoch, supi) = rest.split_first_chunk().ok_or("a short status")?;
        let supi = std::str::from_utf8(supi)?.parse()?;
        Ok(Some(Status { supi, epoch: u32::from_le_bytes(*epoch), complete: *complete == 1 }))
    }

    /// The device attaches to its operator's network.
    fn attach(&mut self) -> Result<Bill> {
        let status = self.status()?.ok_or("no subscription to attach with")?;
        let (challenge, expected) = self.office.challenge(&status.supi)?;
        self.send(b'a', &challenge)?;
        match self.receive()? {
            (b'R', res) if res == expected => {}
            (b'R', _) => return Err("the network does not let the device in".into()),
            (kind, why) => return Err(format!("the firmware stopped: {} {why:02x?}", char::from(kind)).into()),
        }
        let (b'B', bill) = self.receive()? else { return Err("no bill".into()) };
        Bill::read(&bill).ok_or_else(|| "a short bill".into())
    }

    /// Goes for `goal` with the power cut once, and goes on until there is a complete subscription of this epoch or a later one: an
    /// offer that was lost may be made again in the next. Gives the bill of what came last.
    fn interrupted(&mut self, goal: Goal, cut: Cut, epoch: u32) -> Result<Bill> {
        let mut bill = self.attempt(goal, cut)?;
        let done = |status: &Option<Status>| status.as_ref().is_some_and(|s| s.complete && s.epoch >= epoch);
        for _ in 0..3 {
            if bill.is_none() {
                self.switch_on(None)?;
            }
            let status = self.status()?;
            // At no moment is there less than there was.
            if status.is_some() {
                self.attach()?;
            } else if epoch > 1 {
                return Err("the device has lost its subscription".into());
            }
            // The power can fail when all is done.
            if done(&status) {
                return Ok(bill.unwrap_or_default());
            }
            bill = Some(self.attempt(goal, Cut::Never)?.ok_or("a cut too many")?);
        }
        Err("the device does not get on".into())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.machine = None;
        let _ = fs::remove_dir_all(&self.directory);
    }
}

// ---------------------------------------------------------------------------------------------------------- story

/// A backend, and what a firmware with it may cost.
struct Column {
    name: &'static str,
    feature: &'static str,
    budget: Budget,
}

/// What something ought to cost at most, and what it costs at most today: above that, this program fails.
#[derive(Clone, Copy)]
struct Limit {
    goal: u64,
    today: u64,
}

const fn limit(goal: u64, today: u64) -> Option<Limit> {
    Some(Limit { goal, today })
}

struct Budget {
    flash: Option<Limit>,
    /// The program `method3`.
    method3: Option<Limit>,
    stack: Option<Limit>,
    /// All instructions of a first provisioning.
    instructions: Option<Limit>,
}

const HEAP: Option<Limit> = limit(2 * 1024, 4_700);
/// Thousandths of the operations with points that all other work may come to, where those are the library's.
const SHARE: Option<Limit> = limit(30, 30);
/// Instructions of an operation besides those with points.
const OTHER_WORK: Option<Limit> = limit(600_000, 2_750_000);
const FIRST_COMMITS: Option<Limit> = limit(2, 3);
const COMMITS: Option<Limit> = limit(4, 4);
/// Bytes of the heap's arena, which the firmware has in its variables.
const ARENA: u64 = 16 * 1024;

const COLUMNS: [Column; 2] = [
    Column {
        name: "RustCrypto",
        feature: "rustcrypto",
        budget: Budget {
            flash: limit(90_000, 134_500),
            method3: limit(52_000, 71_300),
            stack: limit(8_704, 10_100),
            instructions: None,
        },
    },
    Column {
        name: "p256-cm4",
        feature: "cm4",
        budget: Budget {
            flash: limit(60_000, 121_600),
            method3: None,
            stack: limit(6_144, 8_400),
            instructions: limit(4_500_000, 7_450_000),
        },
    },
];

/// What a column has measured.
struct Measured {
    image: elf::Image,
    first: Bill,
    resume: Bill,
    rekey: Bill,
    attach: Bill,
}

fn story(options: &Options) -> Result<bool> {
    let empty = elf::read(&build("empty", "")?)?;
    let mut within = true;
    for column in COLUMNS.iter().filter(|column| options.column.as_ref().is_none_or(|name| name == column.feature)) {
        let firmware = build("device", column.feature)?;
        let measured = run(&firmware, options)?;
        within &= report(column, &measured, &empty, options);
        within &= method3(column, &empty)?;
        within &= secrets(&firmware)?;
    }
    Ok(within)
}

fn run(firmware: &Path, options: &Options) -> Result<Measured> {
    let mut world = World::new(firmware, 1)?;
    let first = world.attempt(Goal::Provision, Cut::Never)?.ok_or("no bill")?;
    println!("provisioned: {:?}, {first:?}", world.status()?);
    let attach = world.attach()?;
    let rekey = world.attempt(Goal::Rekey, Cut::Never)?.ok_or("no bill")?;
    println!("re-keyed: {:?}, {rekey:?}", world.status()?);
    world.attach()?;
    drop(world);

    // The power fails when a message has left, and at many a step of the flash; each time on a new device.
    let mut resume = Bill::default();
    let mut cuts = Vec::new();
    cuts.extend((1..=3).map(Cut::Message));
    let steps = u32::try_from(first.steps())?;
    cuts.extend((0..options.cuts).map(|number| Cut::Flash(number * steps / options.cuts)));
    for cut in &cuts {
        let mut world = World::new(firmware, 2)?;
        let bill = world.interrupted(Goal::Provision, *cut, 1).map_err(|error| format!("{cut:?}: {error}"))?;
        if *cut == Cut::Message(3) {
            resume = bill;
        }
    }
    println!("{} power cuts in a first provisioning: resumed, attached", cuts.len());
    let steps = u32::try_from(rekey.steps())?;
    cuts.truncate(3);
    cuts.push(Cut::Message(4));
    cuts.extend((0..options.cuts).map(|number| Cut::Flash(number * steps / options.cuts)));
    for cut in &cuts {
        let mut world = World::new(firmware, 3)?;
        world.attempt(Goal::Provision, Cut::Never)?;
        world.interrupted(Goal::Rekey, *cut, 2).map_err(|error| format!("re-key, {cut:?}: {error}"))?;
    }
    println!("{} power cuts in a re-key: resumed, attached", cuts.len());
    Ok(Measured { image: elf::read(firmware)?, first, resume, rekey, attach })
}

fn report(column: &Column, measured: &Measured, empty: &elf::Image, options: &Options) -> bool {
    let Measured { image, first, resume, rekey, attach } = measured;
    println!("\n{}:", column.name);
    let mut within = true;
    let mut row = |what: &str, value: u64, limit: Option<Limit>| within &= row(what, value, limit);
    let budget = &column.budget;
    let flash = image.sizes.flash.saturating_sub(empty.sizes.flash) as u64;
    row("flash over an empty firmware, B", flash, budget.flash);
    row("static RAM without the heap's arena, B", (image.sizes.ram as u64).saturating_sub(ARENA), None);
    let bills = [("first provisioning", first), ("resume", resume), ("re-key", rekey), ("attach", attach)];
    for (name, bill) in bills {
        let total = budget.instructions.filter(|_| name == "first provisioning");
        row(&format!("{name}: instructions"), bill.instructions, total);
        row(&format!("{name}: of these, {} operations with points", bill.calls), bill.secret + bill.public, None);
        row(&format!("{name}: all other work"), bill.other(), OTHER_WORK);
        if bill.calls > 0 && budget.instructions.is_none() {
            let share = bill.other() * 1_000 / (bill.secret + bill.public);
            row(&format!("{name}: this in thousandths of the points"), share, SHARE);
        }
        row(&format!("{name}: of this, hashes and ciphers"), bill.symmetric, None);
        row(&format!("{name}: peak stack, B"), bill.stack, budget.stack);
        row(&format!("{name}: peak heap, B"), bill.heap, HEAP);
        row(&format!("{name}: allocations"), bill.allocations, None);
        let most = if name == "first provisioning" { FIRST_COMMITS } else { COMMITS };
        row(&format!("{name}: durable writes"), bill.commits, most);
        row(&format!("{name}: words of flash programmed"), bill.words, None);
    }
    let floats: Vec<_> = image.symbols.iter().map(|(name, _)| name).filter(|name| is_floating_point(name)).collect();
    within &= floats.is_empty();
    println!("  functions of floating point: {floats:?}");
    println!("  longest functions and constants:");
    for (name, size) in image.symbols.iter().take(options.symbols) {
        println!("    {size:>6}  {}", name.chars().take(110).collect::<String>());
    }
    within
}

/// Prints a figure; whether it is within what it is today.
fn row(what: &str, value: u64, limit: Option<Limit>) -> bool {
    let exceeds = limit.is_some_and(|limit| value > limit.today);
    let verdict = match limit {
        Some(Limit { goal, today }) if exceeds => format!("goal {goal:>10}  EXCEEDS {today}"),
        Some(Limit { goal, .. }) if value > goal => format!("goal {goal:>10}  not reached"),
        Some(Limit { goal, .. }) => format!("goal {goal:>10}"),
        None => String::new(),
    };
    println!("  {what:<58} {value:>12} {verdict}");
    !exceeds
}

/// The least that a device can do with the library: EDHOC method 3, a package, Milenage.
fn method3(column: &Column, empty: &elf::Image) -> Result<bool> {
    let firmware = build("method3", column.feature)?;
    let flash = elf::read(&firmware)?.sizes.flash.saturating_sub(empty.sizes.flash) as u64;
    let (first, attach) = bare::run(&firmware)?;
    let within = row("method 3, package and Milenage alone: flash, B", flash, column.budget.method3);
    row("method 3 alone: instructions", first.instructions, None);
    row("method 3 alone: peak stack, B", first.stack.max(attach.stack), None);
    row("method 3 alone: peak heap, B", first.heap.max(attach.heap), None);
    Ok(within)
}

/// Whether a function computes with floating-point numbers, by the names of Arm's run-time ABI and of the compiler.
fn is_floating_point(name: &str) -> bool {
    let arm = name.strip_prefix("__aeabi_");
    arm.is_some_and(|name| ["f", "d", "i2", "ui2", "l2", "ul2"].iter().any(|kind| name.starts_with(kind)))
        || name.contains("compiler_builtins::float")
}

/// Eight devices, each with keys, a subscription and random numbers of its own, take the same number of instructions to
/// attach, and in a first provisioning for all but what is computed with others' public keys and signatures.
fn secrets(firmware: &Path) -> Result<bool> {
    println!(
        "  eight devices, instructions: attach; first provisioning with a secret scalar, hashes and ciphers, the rest"
    );
    let mut rows = Vec::new();
    for number in 11..19 {
        let mut world = World::new(firmware, number)?;
        let first = world.attempt(Goal::Provision, Cut::Never)?.ok_or("no bill")?;
        let row = [world.attach()?.instructions, first.secret, first.symmetric, first.other() - first.symmetric];
        println!("    {row:?}");
        rows.push(row);
    }
    // A sum of some forty intervals, each of whole ticks, may be off by an instruction either way.
    let equal = |column: usize| rows.iter().all(|row| row[column].abs_diff(rows[0][column]) <= 2);
    let all = (0..4).all(equal);
    println!("  {}", if all { "equal" } else { "NOT EQUAL" });
    Ok(all)
}

/// What each feature of the library adds to the firmware's flash.
fn features() -> Result<bool> {
    let base = elf::read(&build("device", "rustcrypto")?)?.sizes.flash;
    println!("{:<24} {base:>8} B", "rustcrypto");
    for feature in ["ccm", "x509", "x25519", "tuak"] {
        let size = elf::read(&build("device", &format!("rustcrypto,{feature}"))?)?.sizes.flash;
        println!("{:<24} {:>+8} B", format!("+ {feature}"), size as i64 - base as i64);
    }
    Ok(true)
}
