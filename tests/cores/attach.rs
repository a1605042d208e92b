//! A whole life in a core that is not ours: the crate's machines provision a device into a running osmo-hlr, through the
//! adapter's statements, and the device attaches with what it was given.

use remote_provisioning::{
    aka::Answer as Aka,
    cores::Core,
    credential::{Activation, Previous, ServiceProfile, SoftUsim},
    crypto::rustcrypto::RustCrypto,
    error::Code,
    identity::Supi,
    provisioning::{
        Answer, Question, Task,
        device::{Goal, authenticate},
        operator,
    },
};

use crate::{
    gsup::{Sgsn, Vector},
    hlr::{Database, Hlr, adapter, available},
    lab::{Lab, from_device, name},
    profile, put, up_to,
};

/// Whether osmo-hlr says that it does not know the IMSI, or has no key of it: IMSI unknown in HLR, or from 1.7 on, where it
/// does not know it, PLMN not allowed.
fn is_unknown<T>(answer: &Result<T, u8>) -> bool {
    matches!(answer, Err(2 | 11))
}

/// For one that may not use packet switched services: GPRS services not allowed.
const NOT_LET_IN: u8 = 7;

/// The lab, whose core is osmo-hlr, and a serving network.
struct Field {
    lab: Lab,
    hlr: Hlr,
    sgsn: Sgsn,
    profile: ServiceProfile,
}

impl Field {
    fn new(seed: u64) -> Self {
        let hlr = Hlr::start();
        let sgsn = Sgsn::connect(&hlr.address, "sgsn-1");
        Self { lab: Lab::new(seed), hlr, sgsn, profile: profile() }
    }

    fn database(&self) -> &Database {
        &self.hlr.database
    }

    /// The operator's own systems, with osmo-hlr for the core.
    fn answer(&mut self, question: Question) -> Answer {
        if let Some(answer) = self.hlr.database.answer(&question, &self.profile) {
            return answer;
        }
        match self.lab.home.answer(question) {
            Answer::Reserved(Ok(mut reservation)) => {
                reservation.core_epoch = self.database().core_epoch(&reservation.supi);
                Answer::Reserved(Ok(reservation))
            }
            answer => answer,
        }
    }

    /// A session to its end; `between` after each message and each question.
    fn go(&mut self, goal: Goal, between: &mut dyn FnMut(&mut Self, &str)) {
        self.lab.goal = goal;
        let mut device = self.lab.start().unwrap();
        let mut operator = self.lab.operator();
        let mut to_operator = from_device(&mut device).sent;
        while let Some(message) = to_operator.pop() {
            self.lab.tell_operator(&mut operator, &message).unwrap();
            while let Some(action) = operator.poll() {
                match action {
                    operator::Action::Ask(question) => {
                        let name = name(&question);
                        let answer = self.answer(question);
                        between(self, name);
                        self.lab.answer(&mut operator, answer).unwrap();
                    }
                    operator::Action::Send(bytes) => {
                        self.lab.tell_device(&mut device, &bytes).unwrap();
                        let out = from_device(&mut device);
                        between(self, "message");
                        to_operator.extend(out.sent);
                    }
                    operator::Action::WakeAt(_) | operator::Action::Finished(_) => {}
                }
            }
        }
        assert!(matches!(self.lab.held(), Some((_, true))), "complete");
    }

    fn carry_out(&mut self, mut task: Task) {
        while let Some(question) = task.poll() {
            let answer = self.answer(question);
            task.answer(answer, &RustCrypto).unwrap();
        }
        assert!(task.is_done());
    }

    fn supi(&self) -> Supi {
        self.lab.held().unwrap().0.id.supi
    }

    fn vector(&mut self, supi: &Supi) -> Result<Vector, u8> {
        self.sgsn.vectors(supi.as_str(), 1, None).map(|mut vectors| vectors.pop().unwrap())
    }

    /// The device's answer to a challenge is the one that the core waits for, keys included.
    fn answers(&mut self, vector: &Vector) {
        let answer = authenticate(&vector.challenge, &mut self.lab.store, &mut SoftUsim).unwrap();
        let Aka::Success(keys) = answer else { panic!("{answer:?}") };
        assert_eq!(keys.res.bytes(), vector.res);
        assert_eq!((keys.ck.bytes(), keys.ik.bytes()), (&vector.ck[..], &vector.ik[..]));
    }

    /// Authentication, then the location update; the first try has to do.
    fn attach(&mut self) {
        let supi = self.supi();
        let vector = self.vector(&supi).unwrap();
        self.answers(&vector);
        self.sgsn.update_location(supi.as_str()).unwrap();
    }
}

#[test]
fn a_device_provisioned_into_osmo_hlr_attaches() {
    if !available() {
        return;
    }
    for activation in [Activation::OneShot, Activation::TwoPhase] {
        let mut field = Field::new(1);
        field.lab.home.activation = activation;
        let supi: Supi = "001010000000000".parse().unwrap();
        assert!(is_unknown(&field.vector(&supi)));
        field.go(Goal::Provision, &mut |_, _| {});
        assert_eq!(field.supi(), supi);
        for _ in 0..3 {
            field.attach();
        }
        // A second serving network gets another IND, and neither pushes the other out.
        let mut other = Sgsn::connect(&field.hlr.address, "sgsn-2");
        let kept = field.sgsn.vectors(supi.as_str(), 3, None).unwrap();
        for vector in other.vectors(supi.as_str(), 3, None).unwrap().iter().chain(&kept) {
            field.answers(vector);
        }
        let sqn = field.database().sqn(supi.as_str());
        let edit = adapter(&field.profile).serve(&up_to(supi.as_str(), 1));
        field.database().run(&edit).unwrap();
        assert_eq!(field.database().sqn(supi.as_str()), sqn, "an edit of the profile");
        field.attach();
    }
}

/// The core's number falls behind the device's, as after a restore from a backup.
#[test]
fn a_resynchronisation_with_osmo_hlr_works() {
    if !available() {
        return;
    }
    let mut field = Field::new(2);
    field.go(Goal::Provision, &mut |_, _| {});
    for _ in 0..4 {
        field.attach();
    }
    let supi = field.supi();
    field.database().set_sqn(supi.as_str(), 32);
    let stale = field.vector(&supi).unwrap();
    let answer = authenticate(&stale.challenge, &mut field.lab.store, &mut SoftUsim).unwrap();
    let Aka::SyncFailure { auts } = answer else { panic!("{answer:?}") };
    let fresh = field.sgsn.vectors(supi.as_str(), 1, Some((&stale.challenge.rand, &auts))).unwrap();
    field.answers(&fresh[0]);
    field.attach();
}

/// A re-key under one SUPI: the device attaches before, after every step, and after, each time at the first try; with fresh
/// vectors, and with one that the serving network has kept from before the step.
#[test]
fn a_rekey_in_mode_s_costs_no_attach() {
    if !available() {
        return;
    }
    let mut field = Field::new(3);
    field.lab.home.mode = Previous::Shared;
    field.go(Goal::Provision, &mut |_, _| {});
    let supi = field.supi();
    let k = |field: &Field| {
        let sql = "SELECT k FROM auc_3g JOIN subscriber ON subscriber_id = id WHERE imsi = ?1";
        field.database().connection.query_one(sql, [supi.as_str()], |row| row.get::<_, String>(0)).unwrap()
    };
    let old = k(&field);
    field.attach();
    let (mut attached, mut steps, mut exchanged) = (0, Vec::new(), None);
    // Another serving network, so that its vector is not overtaken by those of the first.
    let mut other = Sgsn::connect(&field.hlr.address, "sgsn-2");
    let mut keep = || other.vectors(supi.as_str(), 1, None).unwrap().pop();
    let mut kept = keep();
    field.go(Goal::Rekey, &mut |field, step| {
        steps.push(step.to_owned());
        if exchanged.is_none() && k(field) != old {
            exchanged = Some(steps.len());
        }
        // From `complete` on the old K is gone, here and there.
        if !matches!(field.lab.held(), Some((held, true)) if held.id.epoch == 2) {
            field.answers(&kept.take().unwrap());
            kept = keep();
        }
        field.attach();
        attached += 1;
    });
    assert_eq!(field.supi(), supi);
    assert_eq!(steps[exchanged.unwrap() - 1], "core", "{steps:?}");
    assert!(attached >= 10 && attached == steps.len(), "{steps:?}");
    assert_ne!(k(&field), old);
    field.attach();
    assert_eq!(field.database().count("subscriber WHERE imsi = ?1", supi.as_str()), 1);

    // osmo-hlr read the old K just before, and writes its SQN just after.
    let mut field = Field::new(3);
    field.lab.home.mode = Previous::Shared;
    field.go(Goal::Provision, &mut |_, _| {});
    for _ in 0..5 {
        field.attach();
    }
    let of_old = field.database().sqn(supi.as_str());
    field.go(Goal::Rekey, &mut |field, step| {
        if step == "core" {
            field.database().set_sqn(supi.as_str(), of_old + 32);
        }
        field.attach();
    });
    field.attach();
}

/// The new K under another SUPI beside the old one: each attaches until the old one is removed.
#[test]
fn a_rekey_in_mode_n_leaves_one_subscriber() {
    if !available() {
        return;
    }
    let mut field = Field::new(4);
    field.go(Goal::Provision, &mut |_, _| {});
    let old = field.supi();
    field.profile = ServiceProfile::default(); // The number stays with the old one.
    field.go(Goal::Rekey, &mut |field, _| field.attach());
    field.attach();
    assert_ne!(field.supi(), old);
    assert!(is_unknown(&field.vector(&old)));
    assert!(is_unknown(&field.sgsn.update_location(old.as_str())));
}

#[test]
fn suspended_is_not_let_in_and_revoked_is_unknown() {
    if !available() {
        return;
    }
    let mut field = Field::new(5);
    field.go(Goal::Provision, &mut |_, _| {});
    field.attach();
    let (supi, device) = (field.supi(), field.lab.device_id());
    let sqn = field.database().sqn(supi.as_str());
    field.carry_out(Task::suspend(&device, &field.lab.account()).unwrap());
    assert_eq!(field.sgsn.update_location(supi.as_str()), Err(NOT_LET_IN));
    field.carry_out(Task::reinstate(&device, &field.lab.account()).unwrap());
    assert_eq!(field.database().sqn(supi.as_str()), sqn, "a bar leaves SQN alone");
    field.attach();
    field.carry_out(Task::revoke(&device, &field.lab.account()).unwrap());
    assert_eq!(field.sgsn.update_location(supi.as_str()), Err(NOT_LET_IN));

    // What comes late from a slow server, after the removal.
    let imsi = supi.as_str();
    let none = ServiceProfile::default();
    let ready = |field: &Field, question| match field.database().answer(&question, &none) {
        Some(Answer::CoreReady(ready)) => ready,
        other => panic!("{other:?}"),
    };
    assert_eq!(ready(&field, Question::RemoveFromCore(up_to(imsi, 1))), Ok(()));
    assert!(is_unknown(&field.vector(&supi)));
    assert_eq!(ready(&field, put(imsi, 1, 1)), Err(Code::Conflict));
    assert!(is_unknown(&field.vector(&supi)));
    for table in ["subscriber", "auc_2g", "auc_3g", "subscriber_apn", "subscriber_multi_msisdn"] {
        assert_eq!(field.database().count(&format!("{table} WHERE ?1 IS NOT NULL"), imsi), 0, "{table}");
    }
    assert_eq!(field.database().core_epoch(&supi), 1);

    // A barred one has a key and is not let in; one without a key is known and has no vectors.
    assert_eq!(ready(&field, Question::BarInCore(up_to(imsi, 2))), Ok(()));
    assert_eq!(ready(&field, put(imsi, 2, 2)), Ok(()));
    assert_eq!(field.sgsn.update_location(imsi), Err(NOT_LET_IN));
    field.database().connection.execute("DELETE FROM auc_3g", []).unwrap();
    assert!(is_unknown(&field.vector(&supi)));
}
