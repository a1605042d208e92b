//! Whole provisionings as an EAP method: real machines, the EAP envelope between them, and the records after it over the
//! network that it gave access to. Both sides end with the same keys, and nobody has them before the other one is known.

use remote_provisioning::{
    Device, Operator,
    edhoc::{eap::EapKeys, is_error_message},
    error::{Code, Error, Refused, Untrusted},
    framing::{
        Profile,
        eap::{Action, Peer, Server},
    },
    identity::Role,
    provisioning::device::Goal,
    sim::link::{Link, Quality},
    time::{Millis, Retry},
};

use crate::lab::{FromOperator, Lab, from_device};

/// An access network: EAP over a link of its own, and once it has let the device in, a network behind it.
struct Access {
    lab: Lab,
    peer: Peer,
    server: Server,
    device: Option<Device>,
    operator: Operator,
    eap: Link,
    network: Link,
    /// The server has said Success.
    open: bool,
    device_keys: Option<EapKeys>,
    operator_keys: Option<EapKeys>,
    /// How EAP ended for the peer, and for the server.
    peer_end: Option<Action>,
    server_end: Option<Action>,
    /// What the device says when EAP has ended: for the next conversation.
    next: Option<Vec<u8>>,
    profile: Profile,
    conversations: usize,
    /// How the device ended.
    ended: Option<Result<(), Error>>,
    questions: Vec<&'static str>,
    packets: usize,
    bytes: usize,
    /// The moments that they want to be woken at: device, server.
    wakes: [Option<Millis>; 2],
}

impl Access {
    fn new(mut lab: Lab, profile: Profile, quality: Quality, seed: u64) -> Self {
        lab.device_config.eap_keys = true;
        lab.operator_config.eap_keys = true;
        let retry = Retry { first: 500, attempts: 40 };
        Self {
            peer: Peer::new(profile),
            server: Server::start(profile, seed as u8, Some(retry), lab.now),
            device: None,
            operator: lab.operator(),
            eap: Link::new(quality, seed),
            network: Link::new(quality, seed ^ 0xffff),
            open: false,
            device_keys: None,
            operator_keys: None,
            peer_end: None,
            server_end: None,
            next: None,
            profile,
            conversations: 1,
            ended: None,
            questions: Vec::new(),
            packets: 0,
            bytes: 0,
            wakes: [None; 2],
            lab,
        }
    }

    /// Until the device has ended, and EAP with it.
    fn run(&mut self) {
        self.actions();
        while self.ended.is_none() || self.server_end.is_none() || self.eap.next_arrival().is_some() {
            let moments =
                self.wakes.into_iter().flatten().chain(self.eap.next_arrival()).chain(self.network.next_arrival());
            let Some(next) = moments.min() else { return };
            self.lab.now = self.lab.now.max(next);
            self.arrivals();
            self.timers();
            self.actions();
        }
    }

    fn arrivals(&mut self) {
        let now = self.lab.now;
        while let Some(frame) = self.eap.receive(now) {
            // What is late or repeated is refused, and nothing else happens.
            let _ = if frame.to_device {
                self.peer.handle_packet(&frame.bytes)
            } else {
                self.server.handle_packet(&frame.bytes, now)
            };
            self.actions();
        }
        while let Some(frame) = self.network.receive(now) {
            if let (true, Some(device)) = (frame.to_device, &mut self.device) {
                let _ = self.lab.tell_device(device, &frame.bytes);
                self.device_says();
            } else {
                let _ = self.lab.tell_operator(&mut self.operator, &frame.bytes);
                let said = self.served();
                for record in &said.sent {
                    self.network.send(1, Role::Operator, record, now);
                }
            }
        }
    }

    fn timers(&mut self) {
        let now = self.lab.now;
        let due = |wake: &mut Option<Millis>| wake.take_if(|at| now >= *at).is_some();
        if due(&mut self.wakes[1]) {
            self.server.handle_timeout(now);
        }
        if due(&mut self.wakes[0]) {
            let _ = self.device.as_mut().unwrap().handle_timeout(now);
            self.device_says();
        }
    }

    fn actions(&mut self) {
        loop {
            if let Some(action) = self.server.poll() {
                self.server_wants(action);
            } else if let Some(action) = self.peer.poll() {
                self.peer_wants(action);
            } else {
                return;
            }
        }
    }

    fn server_wants(&mut self, action: Action) {
        let now = self.lab.now;
        match action {
            Action::Send(packet) => {
                self.packets += 1;
                self.bytes += packet.len();
                assert!(packet.len() <= 1_020);
                self.eap.send(1, Role::Operator, &packet, now);
            }
            Action::WakeAt(at) => self.wakes[1] = Some(at),
            Action::Received(message) => {
                assert!(self.operator.take_eap_keys().is_none(), "nobody has authenticated yet");
                let _ = self.lab.tell_operator(&mut self.operator, &message);
                let said = self.served();
                self.operator_keys = self.operator.take_eap_keys();
                // The rule of the docs of `provisioning`.
                match (&said.sent[..], &self.operator_keys, &said.finished[..]) {
                    ([message], Some(_), _) => self.server.send_last(message, now).unwrap(),
                    ([message], None, [Err(_)]) => self.server.refuse(message, now).unwrap(),
                    // Another suite: the operator waits for another message_1, in another conversation.
                    ([message], None, []) if is_error_message(message) => self.server.refuse(message, now).unwrap(),
                    ([message], None, []) => self.server.send(message, now).unwrap(),
                    ([], None, [Err(_)]) => {
                        self.server.fail().unwrap();
                        self.server_end = Some(Action::Failed);
                    }
                    other => panic!("{other:?}"),
                }
            }
            Action::Concluded => {
                self.server_end = Some(Action::Concluded);
                self.server.succeed().unwrap();
                self.open = true;
            }
            Action::Failed => self.server_end = Some(Action::Failed),
            action => panic!("{action:?}"),
        }
    }

    fn peer_wants(&mut self, action: Action) {
        match action {
            Action::Send(packet) => {
                self.packets += 1;
                self.bytes += packet.len();
                assert!(packet.len() <= 1_020);
                self.eap.send(1, Role::Device, &packet, self.lab.now);
            }
            Action::Started => match self.next.take() {
                Some(message) => self.peer.send(&message).unwrap(),
                None => {
                    self.device = Some(self.lab.start().unwrap());
                    self.device_says();
                }
            },
            Action::Received(message) => {
                let mut device = self.device.take().unwrap();
                assert!(device.take_eap_keys().is_none(), "nobody has authenticated yet");
                let _ = self.lab.tell_device(&mut device, &message);
                self.device_keys = device.take_eap_keys();
                self.device = Some(device);
                // The rule of the docs of `provisioning`.
                if self.device_keys.is_some() {
                    self.peer.conclude().unwrap();
                } else if is_error_message(&message) {
                    self.peer.give_up().unwrap();
                    self.device_says();
                    return;
                }
                let before = self.peer_end.clone();
                if !self.device_says() && self.device_keys.is_none() && before.is_none() {
                    self.peer.give_up().unwrap();
                }
            }
            Action::Failed if self.next.is_some() => {
                // The network tries again, as it does with a device that it does not know.
                self.conversations += 1;
                self.peer = Peer::new(self.profile);
                self.server = Server::start(self.profile, 99, None, self.lab.now);
                self.server_end = None;
            }
            end @ (Action::Succeeded | Action::Failed) => self.peer_end = Some(end),
            action => panic!("{action:?}"),
        }
    }

    /// Sends what the device says: in EAP before the keys are there, over the network afterwards. Whether it said anything.
    fn device_says(&mut self) -> bool {
        let now = self.lab.now;
        let out = from_device(self.device.as_mut().unwrap());
        self.wakes[0] = out.wake.or(self.wakes[0]);
        for message in &out.sent {
            if self.device_keys.is_none() {
                if self.peer.send(message).is_err() {
                    self.next = Some(message.clone());
                }
            } else if self.open {
                self.network.send(1, Role::Device, message, now);
            } // A network that is closed carries nothing; the device says it again.
        }
        if let [result] = out.finished[..] {
            self.ended = Some(result);
            self.wakes[0] = None;
        }
        !out.sent.is_empty()
    }

    fn served(&mut self) -> FromOperator {
        let said = self.lab.serve(&mut self.operator);
        self.questions.extend(&said.asked);
        said
    }

    fn assert_same_keys(&self) {
        let (device, operator) = (self.device_keys.as_ref().unwrap(), self.operator_keys.as_ref().unwrap());
        assert_eq!(device.msk().bytes(), operator.msk().bytes());
        assert_eq!(device.emsk().bytes(), operator.emsk().bytes());
        assert_ne!(device.msk().bytes(), device.emsk().bytes());
        assert_eq!(device.session_id(), operator.session_id());
        assert_eq!(device.k_ausf().unwrap().secret().bytes(), operator.k_ausf().unwrap().secret().bytes());
        assert_eq!(
            device.k_ausf_from_msk().unwrap().secret().bytes(),
            operator.k_ausf_from_msk().unwrap().secret().bytes()
        );
    }
}

const BAD: Quality = Quality { loss: 0.2, doubling: 0.2, reordering: 0.0, damage: 0.0, delay: 40 };

#[test]
fn a_first_provisioning_as_an_eap_method() {
    let mut access = Access::new(Lab::attested(1), Profile::EAP, Quality::GOOD, 1);
    access.run();
    assert_eq!((access.ended, access.peer_end.clone()), (Some(Ok(())), Some(Action::Succeeded)));
    access.assert_same_keys();
    access.lab.assert_complete();
    // 123 + 1123 + 1235 + 210 bytes of messages; message_2 and message_3 have two fragments each.
    assert_eq!((access.packets, access.bytes), (11, 2_691 + 10 * 6 + 2 * 2 + 4));
}

/// A lower layer that loses and repeats, and keeps the order (RFC 3748 §3.1); the network behind it does the same.
#[test]
fn over_a_bad_link() {
    let mut lost_successes = 0;
    for seed in 0..40 {
        let profile = [Profile::EAP, Profile::new(200).unwrap()][seed as usize % 2];
        let mut access = Access::new(Lab::attested(seed), profile, BAD, seed);
        access.lab.home.activation = [
            remote_provisioning::credential::Activation::OneShot,
            remote_provisioning::credential::Activation::TwoPhase,
        ][seed as usize / 2 % 2];
        access.run();
        assert_eq!(access.ended, Some(Ok(())), "seed {seed}");
        assert_eq!(access.server_end, Some(Action::Concluded));
        // Success is said once, and may get lost: then a network that is open says it.
        lost_successes += u32::from(access.peer_end.is_none());
        access.assert_same_keys();
        access.lab.assert_complete();
    }
    assert!((1..20).contains(&lost_successes), "{lost_successes}");
}

/// An operator that knows who it is and says no: no keys on either side, and Failure.
#[test]
fn a_device_that_is_refused_gets_no_access() {
    for (question, code) in [("appraise", Code::DeviceNotAccepted), ("reserve", Code::PoolEmpty)] {
        let mut lab = Lab::new(3);
        lab.refusing = Some((question, code));
        let mut access = Access::new(lab, Profile::EAP, Quality::GOOD, 3);
        access.run();
        assert_eq!(access.ended, Some(Err(Refused::Code(code).into())));
        assert!(access.device_keys.is_none() && access.operator_keys.is_none());
        assert!(access.device.unwrap().take_eap_keys().is_none());
        assert!(access.operator.take_eap_keys().is_none());
        assert_eq!(
            (access.peer_end, access.server_end, access.open),
            (Some(Action::Failed), Some(Action::Failed), false)
        );
    }
}

/// §3.5 of the draft: after an error message there is only Failure. Suites are agreed on in two conversations, by one device and one
/// operator.
#[test]
fn another_suite_takes_another_conversation() {
    let mut lab = Lab::new(11);
    lab.operator_config.suites = vec![remote_provisioning::edhoc::Suite::CCM_16];
    let mut access = Access::new(lab, Profile::EAP, Quality::GOOD, 11);
    access.run();
    assert_eq!((access.ended, access.conversations), (Some(Ok(())), 2));
    assert_eq!(
        (access.peer_end.clone(), access.server_end.clone()),
        (Some(Action::Succeeded), Some(Action::Concluded))
    );
    access.assert_same_keys();
    access.lab.assert_complete();
}

/// A device that the operator does not trust, and an operator that the device does not trust.
#[test]
fn strangers_get_no_keys() {
    // message_3 does not verify: an error message, an empty response, Failure.
    let mut lab = Lab::new(4);
    lab.operator_anchors = remote_provisioning::trust::MemoryAnchors::new();
    let mut access = Access::new(lab, Profile::EAP, Quality::GOOD, 4);
    access.run();
    assert_eq!(access.ended, Some(Err(Refused::Edhoc(1).into())));
    assert!(access.device_keys.is_none() && access.operator_keys.is_none());
    assert_eq!((access.peer_end, access.server_end), (Some(Action::Failed), Some(Action::Failed)));
    // message_2 does not: the peer says so, and Failure.
    let mut lab = Lab::new(5);
    lab.device_anchors = remote_provisioning::trust::MemoryAnchors::new();
    let mut access = Access::new(lab, Profile::EAP, Quality::GOOD, 5);
    access.run();
    assert_eq!(access.ended, Some(Err(Untrusted::NoAnchor.into())));
    assert!(access.device_keys.is_none() && access.operator_keys.is_none());
    assert_eq!((access.peer_end, access.server_end), (Some(Action::Failed), Some(Action::Failed)));
    assert_eq!(access.questions, ["find"], "the operator did not learn who it was");
}

/// Whatever the session is about: the last word in message_4, an order, or nothing new.
#[test]
fn other_operations_have_keys_too() {
    let mut lab = Lab::new(6);
    assert_eq!(lab.run(), Ok(()));
    for goal in [Goal::Query, Goal::Rekey] {
        lab.goal = goal.clone();
        let mut access = Access::new(lab, Profile::EAP, Quality::GOOD, 6);
        access.run();
        assert_eq!(access.ended, Some(Ok(())), "{goal:?}");
        assert_eq!(access.peer_end, Some(Action::Succeeded));
        access.assert_same_keys();
        lab = access.lab;
    }
    // A power cut between message_4 and the end: the next contact has keys of its own.
    let mut lab = Lab::unconfirmed(7);
    lab.goal = Goal::Provision;
    let mut access = Access::new(lab, Profile::EAP, Quality::GOOD, 7);
    access.run();
    assert_eq!(access.ended, Some(Ok(())));
    access.assert_same_keys();
}

/// Once, and only to who wants them.
#[test]
fn keys_are_taken_once() {
    for wanted in [false, true] {
        let mut lab = Lab::new(8);
        lab.device_config.eap_keys = wanted;
        lab.operator_config.eap_keys = wanted;
        let mut session = lab.session(4);
        assert!(session.device.take_eap_keys().is_none(), "message_4 has not arrived");
        assert_eq!(session.operator.take_eap_keys().is_some(), wanted);
        assert!(session.operator.take_eap_keys().is_none());
        // An altered one does not count.
        let mut altered = session.message(4);
        *altered.last_mut().unwrap() ^= 1;
        let mut twin = lab.session(4);
        assert_eq!(lab.tell_device(&mut twin.device, &altered), Err(Untrusted::Authentication.into()));
        assert!(twin.device.take_eap_keys().is_none());
        let sent = from_device(&mut twin.device).sent;
        assert!(matches!(&sent[..], [.., told] if is_error_message(told)));
    }
    let mut lab = Lab::new(9);
    lab.device_config.eap_keys = true;
    let mut session = lab.session(4);
    lab.step(&mut session).unwrap();
    assert!(session.device.take_eap_keys().is_some());
    assert!(session.device.take_eap_keys().is_none());
}

/// A session that rests in tokens has its keys with it, until they are taken.
#[test]
fn keys_travel_with_a_sealed_session() {
    let mut lab = Lab::new(10);
    (lab.device_config.eap_keys, lab.operator_config.eap_keys) = (true, true);
    lab.travelling = Some(0);
    let mut session = lab.session(4);
    let token = lab.token(&session.operator).unwrap();
    let mut operator = lab.reopened(&token).unwrap().first_use(true).unwrap();
    lab.step(&mut session).unwrap();
    let (device_keys, operator_keys) = (session.device.take_eap_keys().unwrap(), operator.take_eap_keys().unwrap());
    assert_eq!(device_keys.msk().bytes(), operator_keys.msk().bytes());
    assert_eq!(device_keys.emsk().bytes(), operator_keys.emsk().bytes());
    assert_eq!(device_keys.session_id(), operator_keys.session_id());
    from_device(&mut session.device);
    while operator.poll().is_some() {}
    let token = lab.token(&operator).unwrap();
    assert!(lab.reopened(&token).unwrap().first_use(true).unwrap().take_eap_keys().is_none());
}
