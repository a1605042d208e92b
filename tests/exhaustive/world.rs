//! One state of the world, and all that can happen next in it.

use core::cell::RefCell;
use std::{collections::HashMap, rc::Rc};

use ciborium::Value;
use remote_provisioning::{
    aka::{Answer as Aka, Vector},
    credential::{Previous, SoftUsim},
    crypto::{Crypto, Hash, Secret, SecretBytes},
    edhoc::{OwnCredential, Seal},
    error::{Backend, Code, Error},
    identity::{Domain, Role, Supi},
    provisioning::{
        Answer, Desk, Device, Millis, Operator, Platform, Question, Task, account,
        device::{self, Goal, Introduction, attach_failed, authenticate, in_use, subscription},
        log::{Recovered, Released, Signed, What},
        message::Standing,
        operator,
    },
    sim::{IDENTITY, SeededRng, TODAY, home::Home, identities, maker},
    store::{Commit, KeyStore, Slot, SlotChange, SubscriptionStore, memory::MemoryStore},
    trust::{Date, MemoryAnchors, Pinned, voucher},
};

use crate::{
    memo::{Memo, MemoKeys},
    office::{Deed, Office, Reply},
};

fn pinned(ccs: &[u8], role: Role) -> OwnCredential {
    OwnCredential::pinned(IDENTITY, &Pinned::from_ccs(ccs, role, Domain::Test, &Memo).unwrap()).unwrap()
}

/// What does not change in a search.
pub(crate) struct Stage {
    device: device::Config,
    operator: operator::Config,
    device_keys: MemoKeys,
    operator_keys: MemoKeys,
    device_anchors: MemoryAnchors,
    operator_anchors: MemoryAnchors,
    storage: remote_provisioning::credential::StorageKey,
    token: Secret<32>,
    /// What machines did, by all that it depends on: most states differ in the other half of the world.
    devices: RefCell<HashMap<Hash, Rc<Did>>>,
    operators: RefCell<HashMap<Hash, Rc<Said>>>,
}

/// What a device did with a message.
struct Did {
    memory: Rc<MemoryStore>,
    wrote: Option<(Slot, SecretBytes)>,
    out: Vec<Rc<Message>>,
    ended: bool,
    /// It took the message in.
    taken: bool,
}

/// What an operator's machine came to.
struct Said {
    token: Rc<Vec<u8>>,
    out: Vec<Rc<Message>>,
    ask: Option<Rc<Question>>,
}

#[derive(PartialEq)]
struct Message {
    bytes: Vec<u8>,
    hash: Hash,
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        let hash = Memo.sha256(&[&bytes]);
        Self { bytes, hash }
    }
}

/// An owner epoch after the first one.
const SECOND: u32 = 2;

impl Stage {
    pub(crate) fn new() -> Self {
        let operator = pinned(identities::raw_operator_ccs(), Role::Operator);
        Self::with(operator, identities::raw_operator_key())
    }

    /// Another operator.
    pub(crate) fn of_donor() -> Self {
        let operator = OwnCredential::chain(IDENTITY, &identities::operator_chain()).unwrap();
        Self::with(operator, identities::operator_key())
    }

    fn with(operator: OwnCredential, key: &[u8; 32]) -> Self {
        let own = pinned(identities::raw_device_ccs(), Role::Device);
        let name = "IOT-0001-0000-0002".parse().unwrap();
        let introduction = Introduction::VoucherLast { request: false };
        Self {
            device: device::Config::new(own, name, Domain::Test, introduction),
            operator: operator::Config {
                evidence_formats: Vec::new(),
                ..operator::Config::new(operator, Domain::Test)
            },
            device_keys: MemoKeys::new(IDENTITY, identities::raw_device_key()),
            operator_keys: MemoKeys::new(IDENTITY, key),
            device_anchors: identities::device_anchors(),
            operator_anchors: identities::operator_anchors(),
            storage: Home::storage_key().unwrap(),
            token: Secret::from_slice(&[0x70; 32]).unwrap(),
            devices: RefCell::default(),
            operators: RefCell::default(),
        }
    }

    /// The maker's word that the operator owns the device.
    pub(crate) fn voucher(&self) -> Vec<u8> {
        maker::voucher(&self.device.name, &self.operator_keys.public_key(IDENTITY).unwrap()).unwrap()
    }

    /// And the operator's, that from now on this one does.
    fn voucher_for(&self, next: &Self) -> Vec<u8> {
        let next = next.thumbprint();
        let sign = |message: &[u8]| self.operator_keys.sign(IDENTITY, message);
        let own = self.operator_keys.public_key(IDENTITY).unwrap();
        voucher::extend(&self.voucher(), &own, &next, SECOND, Domain::Test, sign, &Memo).unwrap()
    }

    fn thumbprint(&self) -> Hash {
        self.operator_keys.public_key(IDENTITY).unwrap().thumbprint(&Memo)
    }

    fn with_platform<T>(
        &self,
        rng: &mut SeededRng,
        store: &mut Store<'_>,
        work: impl FnOnce(&mut Platform<'_>) -> T,
    ) -> T {
        work(&mut Platform {
            crypto: &Memo,
            rng,
            keys: &self.device_keys,
            anchors: &self.device_anchors,
            attester: None,
            subscriptions: store,
            usim: &mut SoftUsim,
            date: None,
        })
    }

    fn with_desk<T>(&self, seed: u64, session: u8, work: impl FnOnce(&mut Desk<'_>) -> T) -> T {
        work(&mut Desk {
            crypto: &Memo,
            rng: &mut SeededRng::new(seed),
            keys: &self.operator_keys,
            storage: &self.storage,
            anchors: &self.operator_anchors,
            date: Date(TODAY.0 + u64::from(session)),
        })
    }

    /// What an operator's machine comes to, from where it rests, or new. `input`: what tells this from other work on it; without
    /// one it is done each time.
    fn said(
        &self,
        session: u8,
        rests: Option<&Session>,
        input: Option<&[u8]>,
        work: impl FnOnce(&mut Operator, &mut Desk<'_>),
    ) -> Rc<Said> {
        let token: &[u8] = rests.map_or(&[], |rests| &rests.token);
        let key = input.map(|input| Memo.sha256(&[&[session], &Memo.sha256(&[token]), input]));
        if let Some(said) = key.and_then(|key| self.operators.borrow().get(&key).cloned()) {
            return said;
        }
        let mut operator = match rests {
            Some(_) => {
                let opened = Operator::open(self.operator.clone(), token, &self.token, TODAY, Millis(0), &Memo);
                opened.unwrap().first_use(true).unwrap()
            }
            None => Operator::new(self.operator.clone()),
        };
        while operator.poll().is_some() {}
        let seed = Memo.sha256(&[&[session], token, input.unwrap_or_default()]);
        self.with_desk(u64::from_be_bytes(*seed.first_chunk().unwrap()), session, |desk| work(&mut operator, desk));
        let (mut out, mut ask) = (Vec::new(), None);
        while let Some(action) = operator.poll() {
            match action {
                operator::Action::Send(bytes) => out.push(Rc::new(bytes.into())),
                operator::Action::Ask(question) => ask = Some(Rc::new(question)),
                operator::Action::Finished(_) | operator::Action::WakeAt(_) => {}
            }
        }
        let seal = Seal { key: &self.token, expires: Date(TODAY.0 + 86_400) };
        let token = operator.seal(&seal, &Memo, &mut SeededRng::new(u64::from(session))).unwrap();
        let said = Rc::new(Said { token: Rc::new(token), out, ask });
        if let Some(key) = key {
            self.operators.borrow_mut().insert(key, Rc::clone(&said));
        }
        said
    }
}

/// A store that remembers the slot that the last commit wrote.
struct Store<'a> {
    memory: &'a mut MemoryStore,
    wrote: Option<(Slot, SecretBytes)>,
}

impl SubscriptionStore for Store<'_> {
    fn record(&self) -> Result<Option<Vec<u8>>, Backend> {
        self.memory.record()
    }

    fn slot(&self, slot: Slot) -> Result<Option<SecretBytes>, Backend> {
        self.memory.slot(slot)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), Backend> {
        if let [SlotChange::Write(slot, content)] = commit.slots {
            self.wrote = Some((*slot, SecretBytes::new(content.bytes().to_vec())));
        }
        self.memory.commit(commit)
    }
}

/// A device's machine: what it has seen since it was started, so that it can be made again.
#[derive(Clone)]
struct Run {
    session: u8,
    goal: Goal,
    start: Rc<MemoryStore>,
    inputs: Vec<Rc<Message>>,
}

/// An operator's machine, at rest.
#[derive(Clone)]
struct Session {
    number: u8,
    token: Rc<Vec<u8>>,
    open: Option<Rc<Question>>,
}

#[derive(Clone)]
pub(crate) struct World {
    store: Rc<MemoryStore>,
    device: Option<Run>,
    pub(crate) office: Office,
    /// The operator that the device is with before a transfer: it only lets go.
    donor: Option<Rc<Office>>,
    sessions: Vec<Session>,
    /// Every message that was ever sent: nothing is sure to be gone.
    sent: Vec<(u8, Role, Rc<Message>)>,
    /// What the flash held at earlier moments.
    past: Vec<Rc<MemoryStore>>,
    goal: Goal,
    budget: Budget,
    /// Numbers of sessions: one is not used twice.
    serial: u8,
    pub(crate) tampered: bool,
    restored: bool,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Starts of the device.
    pub(crate) starts: u8,
    /// Restored logs.
    pub(crate) restores: u8,
    /// Flash images brought back.
    pub(crate) rollbacks: u8,
    /// Core writes that fail, or do not say that they did not.
    pub(crate) failures: u8,
    /// Torn writes.
    pub(crate) torn: u8,
    /// Three attaches that fail.
    pub(crate) fallbacks: u8,
    /// Revocations.
    pub(crate) revocations: u8,
    /// Suspensions; a reinstatement may follow each.
    pub(crate) suspensions: u8,
    /// Attaches: the numbers of both sides go on.
    pub(crate) attaches: u8,
}

fn copy(store: &MemoryStore) -> MemoryStore {
    store.durable_copy()
}

impl World {
    pub(crate) fn new(office: Office, goal: Goal, budget: Budget) -> Self {
        Self {
            store: Rc::new(MemoryStore::new()),
            device: None,
            office,
            donor: None,
            sessions: Vec::new(),
            sent: Vec::new(),
            past: Vec::new(),
            goal,
            budget,
            serial: 0,
            tampered: false,
            restored: false,
        }
    }

    /// The same stores with other things to come.
    pub(crate) fn then(&self, goal: Goal, budget: Budget) -> Self {
        let mut world = Self { goal, budget, device: None, ..self.clone() };
        world.sessions.clear();
        world.sent.clear();
        world.past.clear();
        world
    }

    /// The same device, with an owner that the one before has named.
    pub(crate) fn handed_on(&self, donor: &Stage, stage: &Stage, mut office: Office) -> Self {
        let mut before = self.office.clone();
        before.note(What::Released(Released { next: stage.thumbprint(), owner_epoch: SECOND }));
        office.voucher = Rc::new(donor.voucher_for(stage));
        Self { office, donor: Some(Rc::new(before)), ..self.clone() }
    }

    /// The donor lets go, on the device's receipt that it uses a credential of its next owner.
    fn let_go(&mut self, stage: &Stage) -> bool {
        let Some(donor) = self.donor.as_mut().filter(|donor| donor.account.active().is_some()) else { return false };
        let key = stage.device_keys.public_key(IDENTITY).unwrap();
        let device = maker::raw_device_id().unwrap();
        for entry in &self.office.ever {
            let (What::Ended(Signed { proof, .. }) | What::Recovered(Recovered { proof, .. })) = &entry.what else {
                continue;
            };
            let mut tasks = proof.receipts.iter().filter_map(|receipt| {
                Task::handed_on(&device, &donor.account, receipt, (&key, Domain::Test), &Memo).ok()
            });
            let Some(task) = tasks.next() else { continue };
            Rc::make_mut(donor).carry_out(task);
            return true;
        }
        false
    }

    /// What is durable.
    pub(crate) fn durable(&self) -> Hash {
        let donor = self.donor.as_ref().map_or([0; 32], |donor| donor.hash());
        Memo.sha256(&[&self.store.fingerprint(), &self.office.hash(), &donor])
    }

    pub(crate) fn hash(&self) -> Hash {
        let mut parts: Vec<Vec<u8>> = vec![self.durable().to_vec(), format!("{:?}", self.budget).into_bytes()];
        if let Some(run) = &self.device {
            parts.push(vec![run.session]);
            parts.push(run.start.fingerprint().to_vec());
            parts.extend(run.inputs.iter().map(|input| input.hash.to_vec()));
        }
        for session in &self.sessions {
            parts.push(vec![session.number, u8::from(session.open.is_some())]);
            parts.push(Memo.sha256(&[&session.token]).to_vec());
        }
        let mut sent: Vec<_> = self.sent.iter().map(|(_, _, message)| message.hash).collect();
        sent.sort_unstable();
        parts.extend(sent.iter().map(|hash| hash.to_vec()));
        parts.extend(self.past.iter().map(|past| past.fingerprint().to_vec()));
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        Memo.sha256(&parts)
    }

    // ------------------------------------------------------------------------------------------ the device

    /// The machine of a run, as it was after its last input, and what it said first.
    fn device(&self, stage: &Stage, run: &Run) -> (Device, SeededRng) {
        let mut memory = copy(&run.start);
        let mut store = Store { memory: &mut memory, wrote: None };
        let mut rng = SeededRng::new(1_000 + u64::from(run.session));
        let config = stage.device.clone();
        let goal = run.goal.clone();
        let mut device = stage
            .with_platform(&mut rng, &mut store, |platform| Device::start(config, goal, Millis(0), platform))
            .unwrap();
        for input in &run.inputs {
            let _ = stage.with_platform(&mut rng, &mut store, |platform| {
                device.handle_message(&input.bytes, Millis(0), platform)
            });
        }
        while device.poll().is_some() {}
        (device, rng)
    }

    /// Starts the device, and takes the handshake as far as message_3: nothing in it is durable but the start.
    pub(crate) fn start(&self, stage: &Stage) -> Result<Self, Error> {
        let mut next = self.clone();
        next.budget.starts = next.budget.starts.saturating_sub(1);
        let session = self.serial;
        next.serial += 1;
        let run = Run { session, goal: self.goal.clone(), start: Rc::clone(&self.store), inputs: Vec::new() };
        let mut memory = copy(&self.store);
        let mut rng = SeededRng::new(1_000 + u64::from(session));
        let (config, goal) = (stage.device.clone(), run.goal.clone());
        let mut device = {
            let mut store = Store { memory: &mut memory, wrote: None };
            stage.with_platform(&mut rng, &mut store, |platform| Device::start(config, goal, Millis(0), platform))?
        };
        next.commit(&Rc::new(memory));
        let message_1 = sent(&mut device).remove(0);
        let message_2 = next.to_operator(stage, session, &message_1.into()).remove(0);
        next.device = Some(run);
        next.to_device(stage, &message_2, false);
        Ok(next)
    }

    fn commit(&mut self, memory: &Rc<MemoryStore>) {
        if memory.fingerprint() != self.store.fingerprint() {
            if self.budget.rollbacks > 0 {
                self.past.push(Rc::clone(&self.store));
            }
            self.store = Rc::clone(memory);
        }
    }

    /// Hands a message to the device. `torn`: the power goes in the middle of what it commits.
    fn to_device(&mut self, stage: &Stage, message: &Rc<Message>, torn: bool) -> bool {
        let Some(mut run) = self.device.take() else { return false };
        let did = self.did(stage, &run, message);
        if torn {
            let Some((slot, content)) = &did.wrote else { return false };
            let mut memory = copy(&self.store);
            let record = memory.record().unwrap().unwrap();
            memory.commit(Commit { slots: &[SlotChange::Write(*slot, content)], record: &record }).unwrap();
            self.store = Rc::new(memory);
            return true;
        }
        let acted = did.ended || !did.out.is_empty() || did.memory.fingerprint() != self.store.fingerprint();
        if did.taken && acted {
            run.inputs.push(Rc::clone(message));
        }
        let session = run.session;
        self.commit(&did.memory);
        self.device = (!did.ended).then_some(run);
        did.out.iter().for_each(|message| self.send(session, Role::Device, message));
        acted
    }

    /// What a device does with a message.
    fn did(&self, stage: &Stage, run: &Run, message: &Message) -> Rc<Did> {
        let mut key = vec![run.start.fingerprint(), self.store.fingerprint(), message.hash];
        key.extend(run.inputs.iter().map(|input| input.hash));
        let key = Memo.sha256(&[&[run.session], format!("{:?}", run.goal).as_bytes(), key.as_flattened()]);
        if let Some(did) = stage.devices.borrow().get(&key) {
            return Rc::clone(did);
        }
        let (mut device, mut rng) = self.device(stage, run);
        let mut memory = copy(&self.store);
        let mut store = Store { memory: &mut memory, wrote: None };
        let outcome = stage
            .with_platform(&mut rng, &mut store, |platform| device.handle_message(&message.bytes, Millis(0), platform));
        let wrote = store.wrote.take();
        let mut did = Did { memory: Rc::new(memory), wrote, out: Vec::new(), ended: false, taken: outcome.is_ok() };
        while let Some(action) = device.poll() {
            match action {
                device::Action::Send(bytes) => did.out.push(Rc::new(bytes.into())),
                device::Action::Finished(_) => did.ended = true,
                _ => {}
            }
        }
        let did = Rc::new(did);
        stage.devices.borrow_mut().insert(key, Rc::clone(&did));
        did
    }

    fn send(&mut self, session: u8, from: Role, message: &Rc<Message>) {
        if self.sent.iter().all(|(_, _, sent)| sent.hash != message.hash) {
            self.sent.push((session, from, Rc::clone(message)));
        }
    }

    // ------------------------------------------------------------------------------------------ the operator

    /// Hands a message to the session; what it answers at once.
    fn to_operator(&mut self, stage: &Stage, session: u8, message: &Message) -> Vec<Rc<Message>> {
        let rests = self.sessions.iter().find(|it| it.number == session);
        let open = rests.and_then(|rests| rests.open.clone());
        let input = [b"message".as_slice(), &message.hash].concat();
        let said = stage.said(session, rests, Some(&input), |operator, desk| {
            let _ = operator.handle_message(&message.bytes, Millis(0), desk);
        });
        self.rest(stage, session, &said, open)
    }

    /// Answers what the session asks.
    fn reply(&mut self, stage: &Stage, session: u8, reply: Reply) -> Vec<Rc<Message>> {
        let rests = self.sessions.iter().find(|it| it.number == session);
        let (input, answer) = match reply {
            Reply::Appraised(admission) => (None, Answer::Appraised(admission)),
            Reply::Reserved(reservation) => (None, Answer::Reserved(reservation)),
            Reply::Opc(opc) => (None, Answer::Opc(Ok(opc))),
            Reply::Logged(result) => (Some(format!("logged {result:?}")), Answer::Logged(result)),
            Reply::CoreReady(result) => (Some(format!("core {result:?}")), Answer::CoreReady(result)),
            Reply::CoreHolds(held) => (Some(format!("holds {held:?}")), Answer::CoreHolds(Ok(held))),
            Reply::Recovered(found) => (Some(format!("found {found:?}")), Answer::Recovered(Ok(found))),
        };
        let said = stage.said(session, rests, input.as_ref().map(String::as_bytes), |operator, desk| {
            let _ = operator.answer(answer, desk);
        });
        self.rest(stage, session, &said, None)
    }

    /// Puts a session aside, and sends what it says.
    fn rest(&mut self, stage: &Stage, session: u8, said: &Said, open: Option<Rc<Question>>) -> Vec<Rc<Message>> {
        let open = said.ask.clone().or(open);
        self.sessions.retain(|it| it.number != session);
        self.sessions.push(Session { number: session, token: Rc::clone(&said.token), open: open.clone() });
        self.sessions.sort_by_key(|it| it.number);
        let mut out = said.out.clone();
        out.iter().for_each(|message| self.send(session, Role::Operator, message));
        // What touches nothing that anybody else sees is answered at once; a crash in between is one before.
        if let Some(question) = open
            && matches!(*question, Question::Appraise(_) | Question::Reserve(_) | Question::ComputeOpc { .. })
        {
            let reply = self.office.answer(&question);
            out.extend(self.reply(stage, session, reply));
        }
        out
    }

    // ------------------------------------------------------------------------------------------ what comes next

    /// All that can happen now.
    pub(crate) fn next(&self, stage: &Stage) -> Vec<(String, Self)> {
        let mut all = Vec::new();
        if self.budget.starts > 0
            && let Ok(next) = self.start(stage)
        {
            all.push(("the device starts anew".to_owned(), next));
        }
        if let Some(run) = &self.device {
            for (number, (session, from, bytes)) in self.sent.iter().enumerate() {
                if *session != run.session || *from != Role::Operator || run.inputs.contains(bytes) {
                    continue;
                }
                let mut next = self.clone();
                if next.to_device(stage, bytes, false) {
                    all.push((format!("message {number} of session {session} reaches the device"), next));
                }
                let mut next = self.clone();
                if self.budget.torn > 0 && next.to_device(stage, bytes, true) {
                    next.budget.torn -= 1;
                    all.push((format!("message {number} reaches the device, and the power goes as it writes"), next));
                }
            }
        }
        for (number, (session, from, bytes)) in self.sent.iter().enumerate() {
            if *from == Role::Device {
                let mut next = self.clone();
                next.to_operator(stage, *session, bytes);
                all.push((format!("message {number} of session {session} reaches the operator"), next));
            }
        }
        for session in &self.sessions {
            if let Some(question) = &session.open {
                all.extend(self.answers(stage, session.number, question));
            }
        }
        for (deed, budget) in [(Deed::Suspend, self.budget.suspensions), (Deed::Revoke, self.budget.revocations)] {
            let mut next = self.clone();
            let account = &self.office.account;
            let idle = self.office.meant.is_none() && (account.active().is_some() || account.open().is_some());
            if budget > 0 && idle && next.office.set_to(deed) {
                let budget = &mut next.budget;
                let spent = if deed == Deed::Suspend { &mut budget.suspensions } else { &mut budget.revocations };
                *spent -= 1;
                all.push((format!("the operator sets to it: {deed:?}"), next));
            }
        }
        let mut next = self.clone();
        let suspended = self.office.account.standing() == Standing::Suspended && self.office.meant.is_none();
        if suspended && next.office.set_to(Deed::Reinstate) {
            all.push(("the operator sets to it: Reinstate".to_owned(), next));
        }
        let mut next = self.clone();
        if let Some(label) = next.office.go_on() {
            all.push((label, next));
        }
        let mut next = self.clone();
        if next.let_go(stage) {
            all.push(("the donor lets go".to_owned(), next));
        }
        if self.budget.restores > 0 {
            for entries in 0..self.office.log.len() {
                let mut next = self.clone();
                next.office.restore(entries);
                // What was running does not go on.
                next.sessions.clear();
                next.budget.restores -= 1;
                next.restored = true;
                all.push((format!("the log is restored to its first {entries} entries"), next));
            }
        }
        if self.budget.rollbacks > 0 {
            for (moment, past) in self.past.iter().enumerate() {
                let mut next = self.clone();
                next.store = Rc::clone(past);
                next.device = None;
                next.budget.rollbacks -= 1;
                next.tampered = true;
                all.push((format!("the flash is as it was at moment {moment}"), next));
            }
        }
        if self.budget.attaches > 0 {
            let mut next = self.clone();
            let mut memory = copy(&self.store);
            if let Ok(Some(held)) = in_use(&memory)
                && let Some(vector) = next.challenge(&held.id.supi)
                && let Ok(Aka::Success(_)) = authenticate(&vector.challenge, &mut memory, &mut SoftUsim)
            {
                next.store = Rc::new(memory);
                next.budget.attaches -= 1;
                all.push((format!("the device attaches with {}", held.id.supi), next));
            }
        }
        if self.budget.fallbacks > 0 && self.device.is_none() {
            let mut memory = copy(&self.store);
            (0..3).for_each(|_| attach_failed(&mut memory).unwrap());
            if memory.fingerprint() != self.store.fingerprint() {
                let mut next = self.clone();
                next.store = Rc::new(memory);
                next.budget.fallbacks -= 1;
                all.push(("three attaches fail".to_owned(), next));
            }
        }
        all
    }

    fn answers(&self, stage: &Stage, session: u8, question: &Rc<Question>) -> Vec<(String, Self)> {
        let mut all = Vec::new();
        let mut answer = |what: String, effect: &dyn Fn(&mut Office) -> Reply, failure: bool| {
            let mut next = self.clone();
            next.budget.failures = next.budget.failures.saturating_sub(u8::from(failure));
            let reply = effect(&mut next.office);
            next.reply(stage, session, reply);
            all.push((format!("session {session}: {what}"), next));
        };
        match &**question {
            Question::PutIntoCore(credential) => {
                let Question::PutIntoCore(_) = &**question else { return all };
                let credential = Rc::new(remote_provisioning::provisioning::question::CoreCredential {
                    device: credential.device,
                    supi: credential.supi,
                    epoch: credential.epoch,
                    algorithm: credential.algorithm,
                    secrets: remote_provisioning::credential::Secrets {
                        k: Secret::from_slice(credential.secrets.k.bytes()).unwrap(),
                        opc: Secret::from_slice(credential.secrets.opc.bytes()).unwrap(),
                        sqn: credential.secrets.sqn,
                    },
                    profile: credential.profile.clone(),
                });
                let name = format!("the core takes {} epoch {}", credential.supi, credential.epoch);
                answer(name.clone(), &|office| Reply::CoreReady(office.put(&credential)), false);
                if self.budget.failures > 0 {
                    let silent = |office: &mut Office| {
                        let _ = office.put(&credential);
                        Reply::CoreReady(Err(Code::TryLater))
                    };
                    answer(format!("{name}, and does not say so"), &silent, true);
                    answer(format!("not: {name}"), &|_| Reply::CoreReady(Err(Code::TryLater)), true);
                }
            }
            other => {
                let name = match other {
                    Question::Log(entry) => format!("log {}: {}", entry.number, what(&entry.what)),
                    Question::ReadCore(it) => format!("the core is read: {}", it.supi),
                    Question::RemoveFromCore(it) => format!("the core forgets {} up to {}", it.supi, it.epoch),
                    Question::BarInCore(it) => format!("the core bars {} up to {}", it.supi, it.epoch),
                    Question::Recover(_) => "the core is searched".to_owned(),
                    _ => "another question".to_owned(),
                };
                answer(name, &|office| office.answer(other), false);
            }
        }
        all
    }

    // ------------------------------------------------------------------------------------------ what has to hold

    /// A challenge from whichever core knows the SUPI.
    fn challenge(&mut self, supi: &Supi) -> Option<Box<Vector>> {
        let vector = self.office.challenge(supi);
        vector.or_else(|| self.donor.as_mut().and_then(|donor| Rc::make_mut(donor).challenge(supi)))
    }

    /// Whether a device with credentials is served, and no challenge is taken twice.
    fn is_served(&self) -> Result<bool, String> {
        let mut world = self.clone();
        let mut memory = copy(&self.store);
        for _ in 0..2 {
            let held = in_use(&memory).map_err(|error| error.to_string())?;
            let Some(held) = held else { return Ok(false) };
            if let Some(vector) = world.challenge(&held.id.supi) {
                let answer = authenticate(&vector.challenge, &mut memory, &mut SoftUsim);
                if let Ok(Aka::Success(keys)) = &answer
                    && keys.res.bytes() == vector.keys.res.bytes()
                {
                    let again = authenticate(&vector.challenge, &mut memory, &mut SoftUsim);
                    return match again {
                        Ok(Aka::SyncFailure { .. }) => Ok(true),
                        other => Err(format!("I4: a challenge is taken twice: {other:?}")),
                    };
                }
                if let Ok(Aka::SyncFailure { .. }) = answer {
                    return Err("I4: the core's SQN is behind the device's".to_owned());
                }
            }
            (0..3).for_each(|_| attach_failed(&mut memory).unwrap());
        }
        Ok(false)
    }

    /// The invariants that hold in every state.
    pub(crate) fn check(&self) -> Result<(), String> {
        let held = subscription(&*self.store).map_err(|error| format!("I1: the record: {error}"))?;
        let erased = self.office.is_ended();
        let out = erased || self.office.is_suspended();
        if held.is_some() && !out && !self.tampered && !self.is_served()? {
            return Err(format!("I1: the device holds {held:?}, and the core takes nothing of it"));
        }
        let both = [Slot::A, Slot::B].iter().all(|slot| matches!(self.store.slot(*slot), Ok(Some(_))));
        if let Some((held, false)) = held
            && !both
            && self.office.ever.iter().any(|entry| {
                matches!(&entry.what, What::Offered(it) if it.epoch == held.id.epoch && it.previous != Previous::None)
            })
        {
            return Err("I2: the old credential is erased before complete".to_owned());
        }
        let mut verdicts = Vec::new();
        let mut epochs = Vec::new();
        for entry in &self.office.ever {
            match &entry.what {
                What::Decided { txn, verdict } => {
                    if verdicts.iter().any(|(other, before)| other == txn && before != verdict) {
                        return Err("I5: both commit and abort for one transaction".to_owned());
                    }
                    verdicts.push((*txn, *verdict));
                }
                What::Offered(offered) => {
                    if epochs.iter().any(|(epoch, package)| *epoch == offered.epoch && *package != offered.package_hash)
                        && !self.restored
                    {
                        return Err("I3: two packages in one epoch".to_owned());
                    }
                    epochs.push((offered.epoch, offered.package_hash));
                }
                _ => {}
            }
        }
        if let (Some((held, true)), Some(active), None) =
            (held, self.office.account.active(), self.office.account.open())
            && !erased
            && !self.tampered
        {
            let agreed = (active.supi.as_str(), active.epoch) == (held.id.supi.as_str(), held.id.epoch)
                && self.package() == Some((active.package_hash, active.owner_epoch));
            if !agreed && !self.restored {
                return Err(format!("I6: the device says {held:?}, the operator {active:?}"));
            }
        }
        self.is_known()
    }

    /// Whether this is what the donor has for the device.
    fn is_donors(&self, held: &device::Subscription) -> bool {
        let active = self.donor.as_ref().and_then(|donor| donor.account.active());
        active.is_some_and(|active| (active.supi.as_str(), active.epoch) == (held.id.supi.as_str(), held.id.epoch))
    }

    /// Whether nothing is under way at the device: what it asked for last, at most.
    fn is_at_rest(&self) -> bool {
        let Some(record) = self.record() else { return true };
        let field = |key: u8| record.iter().find(|(name, _)| *name == Value::from(key)).map(|(_, value)| value);
        // `open` is not beyond `requested`, and there is no `other`.
        let requested = field(3).is_none_or(|open| open.as_array().unwrap()[2] == Value::from(0));
        requested && field(5).is_none()
    }

    fn record(&self) -> Option<Vec<(Value, Value)>> {
        let record: Value = ciborium::from_reader(&*self.store.record().unwrap()?).unwrap();
        record.into_map().ok()
    }

    /// The package that the device's credential came in, and the owner epoch: as its record has them.
    fn package(&self) -> Option<(Hash, u32)> {
        let record = self.record()?;
        let active = record.iter().find(|(key, _)| *key == Value::from(4))?.1.as_array()?;
        let owner_epoch = active.get(6)?.as_array()?.first()?.as_integer()?;
        Some((active.get(5)?.as_bytes()?.as_slice().try_into().ok()?, owner_epoch.try_into().ok()?))
    }

    /// Whether the operator knows of all that its core has: what it does not know nobody can bar.
    fn is_known(&self) -> Result<(), String> {
        let account = &self.office.account;
        let credentials = account.active().into_iter().chain(account.open().map(|deal| &deal.credential));
        let known: Vec<_> = credentials
            .map(|credential| (credential.supi.as_str(), credential.epoch))
            .chain(account.leftovers().iter().map(|it| (it.supi.as_str(), it.epoch)))
            .collect();
        let stray = self.office.core.iter().find(|(supi, held)| {
            !known.iter().any(|(known, epoch)| *known == supi.as_str() && *epoch >= held.credential.epoch)
        });
        match stray {
            Some((supi, _)) if !self.restored => Err(format!("stray: the core has {supi}, and nobody knows")),
            _ => Ok(()),
        }
    }

    /// From here on everybody is honest and nothing is lost: both come to the same. How often a person had to look.
    pub(crate) fn settle(&self, stage: &Stage) -> Result<usize, String> {
        let mut world = self.then(Goal::Query, Budget { starts: 9, ..NOTHING });
        let mut persons = 0;
        world.office.finish_what_is_meant();
        // A log that was restored may lack what the operator had decided: it is decided again.
        if !world.office.knows_of_end() {
            world.office.set_to(Deed::Revoke);
            world.office.finish_what_is_meant();
        }
        if world.office.account.standing() == Standing::Suspended {
            world.office.set_to(Deed::Reinstate);
            world.office.finish_what_is_meant();
        }
        for _ in 0..6 {
            let held = subscription(&*world.store).map_err(|error| format!("agreement: {error}"))?;
            let ended = world.office.is_ended();
            world.goal = match held {
                None if !ended => Goal::Provision,
                Some(_) if world.donor.is_some() && world.office.account.active().is_none() => Goal::Transfer,
                _ => Goal::Query,
            };
            world = world.start(stage).map_err(|error| format!("agreement: the device does not start: {error}"))?;
            world.finish(stage);
            let held = subscription(&*world.store).map_err(|error| format!("agreement: {error}"))?;
            let account = &world.office.account;
            let done = match (held, account.active()) {
                (Some((held, true)), Some(active)) => {
                    // An offer of which the device says that nothing came binds nobody.
                    account.open().is_none_or(|deal| deal.stage == account::Stage::Offered)
                        && (active.supi.as_str(), active.epoch) == (held.id.supi.as_str(), held.id.epoch)
                }
                (None, None) => world.office.is_ended(),
                // It stays with its donor.
                (Some((held, true)), None) => {
                    world.office.is_ended() && account.open().is_none() && world.is_donors(&held)
                }
                _ => false,
            };
            if done && world.is_at_rest() {
                if held.is_some_and(|(held, _)| world.office.is_ended() && world.is_donors(&held)) {
                    return if world.is_served()? { Ok(persons) } else { Err("agreement, and no service".to_owned()) };
                }
                let gone = world.let_go(stage);
                if self.donor.as_ref().is_some_and(|donor| donor.account.active().is_some()) && !gone {
                    return Err("agreement: the donor is not to let go".to_owned());
                }
                let served = world.office.is_ended() || world.is_served()?;
                return if served { Ok(persons) } else { Err("agreement, and no service".to_owned()) };
            }
            if account.watch().quarantined().is_some() || self.tampered {
                world.office.note(What::Cleaned);
                persons += 1;
                // The device that comes next is taken as it is.
                if held.is_some() {
                    world.goal = if world.donor.is_some() { Goal::Transfer } else { Goal::Rekey };
                    world = world.start(stage).map_err(|error| format!("agreement: {error}"))?;
                    world.finish(stage);
                }
            }
        }
        Err(format!(
            "agreement is not reached: the device has {:?}, the account {:?}",
            subscription(&*world.store),
            world.office.account
        ))
    }

    /// Delivers and answers, honestly and in order, until nothing more is to be done.
    pub(crate) fn finish(&mut self, stage: &Stage) {
        let mut delivered = 0;
        loop {
            if let Some((number, question)) =
                self.sessions.iter().find_map(|it| it.open.clone().map(|question| (it.number, question)))
            {
                let (_, next) = self.answers(stage, number, &question).remove(0);
                *self = next;
                continue;
            }
            let Some((session, from, bytes)) = self.sent.get(delivered).cloned() else { return };
            delivered += 1;
            if from == Role::Device {
                self.to_operator(stage, session, &bytes);
            } else if self.device.as_ref().is_some_and(|run| run.session == session) {
                self.to_device(stage, &bytes, false);
            }
        }
    }
}

pub(crate) const NOTHING: Budget = Budget {
    starts: 0,
    restores: 0,
    rollbacks: 0,
    failures: 0,
    torn: 0,
    fallbacks: 0,
    revocations: 0,
    suspensions: 0,
    attaches: 0,
};

fn sent(device: &mut Device) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(action) = device.poll() {
        if let device::Action::Send(bytes) = action {
            out.push(bytes);
        }
    }
    out
}

fn what(what: &What) -> String {
    let text = format!("{what:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
        + match what {
            What::Decided { verdict, .. } => {
                if *verdict == remote_provisioning::provisioning::message::Verdict::Commit {
                    " commit"
                } else {
                    " abort"
                }
            }
            _ => "",
        }
}
