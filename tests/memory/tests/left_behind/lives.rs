//! Whole lives of a subscription, and of a device that changes hands.

use remote_provisioning::{
    attestation::Policy,
    authority::{
        Claim, Grant, Granter, Takeover,
        takeover::{Known, MIN_DELAY_SECONDS},
    },
    credential::{Activation, Previous, ServiceProfile},
    crypto::rustcrypto::RustCrypto,
    edhoc::{Method, OwnCredential},
    identity::{Domain, Role},
    provisioning::{
        Task,
        device::{Goal, Introduction},
        operator,
    },
    sim::{IDENTITY, TODAY, home::Home, identities, maker},
    store::{KeyId, KeyStore},
    trust::{Date, Pinned, voucher},
};
use remote_provisioning_memory::heap::unwatched;

use crate::{
    bench::{self, call, examined},
    lab::{Keys, Lab, from_device},
};

/// A device with a subscription.
fn subscriber(seed: u64, crypto: bench::Crypto) -> Lab {
    let mut lab = bench::lab(Lab::new(seed), crypto);
    assert_eq!(lab.go(Goal::Provision), Ok(()));
    lab
}

pub(crate) fn provisioning() {
    examined("one-shot", |crypto| {
        subscriber(1, crypto);
    });
    examined("two-phase, with evidence, over tokens", |crypto| {
        let mut lab = bench::lab(Lab::attested(2), crypto);
        lab.home.activation = Activation::TwoPhase;
        lab.travelling = Some(0);
        assert_eq!(lab.go(Goal::Provision), Ok(()));
        lab.assert_complete();
    });
    examined("voucher last", |crypto| {
        let mut lab = bench::lab(Lab::voucher_last(3), crypto);
        assert_eq!(lab.go(Goal::Provision), Ok(()));
    });
    for method in [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic] {
        for travelling in [None, Some(0)] {
            examined(&format!("raw keys, {method:?}, over tokens: {travelling:?}"), |crypto| {
                let mut lab = bench::lab(Lab::raw(4), crypto);
                (lab.device_config.method, lab.operator_config.methods) = (method, vec![method]);
                lab.travelling = travelling;
                assert_eq!(lab.go(Goal::Provision), Ok(()));
                assert_eq!(lab.go(Goal::Rekey), Ok(()));
            });
        }
    }
}

pub(crate) fn life() {
    for (mode, goal) in
        [(Previous::Shared, Goal::Rekey), (Previous::Beside, Goal::Rekey), (Previous::Beside, Goal::Query)]
    {
        examined(&format!("{goal:?}, {mode:?}"), |crypto| {
            let mut lab = subscriber(5, crypto);
            lab.home.mode = mode;
            assert_eq!(lab.go(goal.clone()), Ok(()));
            let (held, _) = lab.held().unwrap();
            lab.attach(&held);
        });
    }
    examined("suspended, revoked, erased", |crypto| {
        let mut lab = subscriber(6, crypto);
        let task = call(|| Task::suspend(&lab.device_id(), &lab.account())).unwrap();
        lab.carry_out(task).unwrap();
        assert!(lab.go(Goal::Rekey).is_err());
        let task = call(|| Task::revoke(&lab.device_id(), &lab.account())).unwrap();
        lab.carry_out(task).unwrap();
        let _ = lab.go(Goal::Query);
        assert!(lab.held().is_none());
    });
    examined("gives it back, and gets another", |crypto| {
        let mut lab = subscriber(7, crypto);
        assert_eq!(lab.go(Goal::Retire), Ok(()));
        assert_eq!(lab.go(Goal::Provision), Ok(()));
    });
    examined("the core does not take it, and it is called off", |crypto| {
        let mut lab = subscriber(7, crypto);
        lab.home.activation = Activation::TwoPhase;
        lab.refusing = Some(("core", remote_provisioning::error::Code::Conflict));
        let _ = lab.go(Goal::Rekey);
        lab.refusing = None;
        let _ = lab.go(Goal::Query);
        let _ = lab.go(Goal::Rekey);
    });
    examined("nobody answers", |crypto| {
        let mut lab = bench::lab(Lab::new(7), crypto);
        let mut device = lab.start().unwrap();
        while from_device(&mut device).finished.is_empty() {
            lab.now = lab.now.after(600_000);
            if let Err(error) = call(|| device.handle_timeout(lab.now)) {
                crate::errors::met(&error);
            }
        }
    });
    examined("the power goes at every message", |crypto| {
        let mut lab = bench::lab(Lab::new(7), crypto);
        lab.home.activation = Activation::TwoPhase;
        for messages in 0..8 {
            lab.goal = if matches!(lab.held(), Some((_, true))) { Goal::Rekey } else { Goal::Provision };
            let mut session = lab.session(1);
            for _ in 0..messages {
                let before = session.messages.len();
                if lab.step(&mut session).is_err() || session.messages.len() == before {
                    break;
                }
            }
            lab.power_cut();
        }
        let _ = lab.run();
    });
}

/// An operator with a raw key, to which the device goes.
fn change(lab: &mut Lab, chain: Vec<u8>) -> (Home, operator::Config, Keys) {
    let mut before = unwatched(|| {
        let ccs = identities::raw_operator_ccs();
        let pinned = Pinned::from_ccs(ccs, Role::Operator, Domain::Test, &RustCrypto).unwrap();
        let own = OwnCredential::pinned(IDENTITY, &pinned).unwrap();
        let mut home = Home::laboratory().unwrap();
        home.policy = Policy::without_evidence("bench").unwrap();
        home.own(lab.device_config.name, chain);
        (home, operator::Config::new(own, Domain::Test), Keys::new(identities::raw_operator_key()))
    });
    core::mem::swap(&mut lab.home, &mut before.0);
    core::mem::swap(&mut lab.operator_config, &mut before.1);
    core::mem::swap(&mut lab.operator_keys, &mut before.2);
    before
}

/// Grants, a transfer, and a takeover against the donor's will.
pub(crate) fn ownership() {
    examined("on demand, on an owner's grant, which is then used up", |crypto| {
        let mut lab = subscriber(8, crypto);
        let owner = maker::keys("owner").unwrap();
        let scope = ServiceProfile { quota: Some(1_000), ..ServiceProfile::default() };
        lab.home.granters = vec![Granter::new("owner", owner.public_key(KeyId(0)).unwrap(), Domain::Test).unwrap()];
        lab.home.limit = scope.clone();
        let device = lab.device_id();
        let grant = Grant {
            iss: "owner",
            device: &device,
            operator: &lab.home.name,
            expires: Date(TODAY.0 + 86_400),
            not_before: None,
            cti: b"grant no 1",
            scope: &scope,
        };
        let token = call(|| grant.sign(maker::signer(&owner))).unwrap();
        assert_eq!(lab.go(Goal::OnDemand(token.clone())), Ok(()));
        assert!(lab.go(Goal::OnDemand(token)).is_err());
    });
    examined("transferred by the donor, which then lets go", |crypto| {
        let mut lab = subscriber(9, crypto);
        let donor = lab.operator_keys.public_key(IDENTITY).unwrap();
        let chain = maker::voucher(&lab.device_config.name, &donor).unwrap();
        let next = maker::keys_of(identities::raw_operator_key()).unwrap();
        let next = next.public_key(KeyId(0)).unwrap().thumbprint(&RustCrypto);
        let task = call(|| Task::hand_on(&lab.device_id(), &lab.account(), next, 2)).unwrap();
        lab.carry_out(task).unwrap();
        let sign = |message: &[u8]| lab.operator_keys.sign(IDENTITY, message);
        let chain = call(|| voucher::extend(&chain, &donor, &next, 2, Domain::Test, sign, crypto)).unwrap();
        let before = change(&mut lab, chain);
        assert!(lab.go(Goal::Rekey).is_err(), "a new owner is for a transfer only");
        assert_eq!(lab.go(Goal::Transfer), Ok(()));
        let (held, _) = lab.held().unwrap();
        lab.attach(&held);
        drop(before);
    });
    for vetoed in [false, true] {
        examined(&format!("taken over, vetoed: {vetoed}"), |crypto| {
            let mut lab = subscriber(10, crypto);
            let owner = maker::keys("owner").unwrap();
            let (owner_key, donor) =
                (owner.public_key(KeyId(0)).unwrap(), lab.operator_keys.public_key(IDENTITY).unwrap());
            let sold = maker::voucher(&lab.device_config.name, &donor).unwrap();
            let next = maker::keys_of(identities::raw_operator_key()).unwrap();
            let next = next.public_key(KeyId(0)).unwrap().thumbprint(&RustCrypto);
            let head = voucher::outline(&sold, &RustCrypto).unwrap().head;
            let device = lab.device_id();
            let claim = Claim::new(Domain::Test, &device, head, next, [1; 16]).unwrap();
            let signed = call(|| claim.sign(maker::signer(&owner))).unwrap();
            let known = Known { device: &device, domain: Domain::Test, head: &head, owner: &owner_key, donor: &donor };
            let begun = call(|| Takeover::begin(&signed, &known, TODAY, MIN_DELAY_SECONDS, crypto)).unwrap();
            let mut takeover = begun.first_use(true).unwrap();
            if vetoed {
                let veto = call(|| claim.veto(|message| lab.operator_keys.sign(IDENTITY, message), crypto)).unwrap();
                call(|| takeover.veto(&veto, TODAY, crypto)).unwrap();
            }
            drop(change(&mut lab, sold));
            lab.device_config.introduction = Introduction::VoucherLast { request: true };
            lab.home.masa = Box::new(move |request, device| {
                let ripe = takeover.ripe(Date(TODAY.0 + MIN_DELAY_SECONDS)).ok()?;
                let voucher = ripe.voucher(request, device, &RustCrypto).ok()?;
                maker::issue(&voucher, maker::MASA).ok()
            });
            assert_eq!(lab.go(Goal::Transfer).is_err(), vetoed);
        });
    }
}

/// What EAP takes from a session, at both machines.
pub(crate) fn eap() {
    for method in [Method::SignSign, Method::StaticStatic] {
        examined(&format!("EAP, {method:?}"), |crypto| {
            let mut lab = bench::lab(Lab::raw(12), crypto);
            (lab.device_config.method, lab.operator_config.methods) = (method, vec![method]);
            (lab.device_config.eap_keys, lab.operator_config.eap_keys) = (true, true);
            let mut session = lab.session(4);
            lab.step(&mut session).unwrap();
            let device = call(|| session.device.take_eap_keys()).unwrap();
            let operator = call(|| session.operator.take_eap_keys()).unwrap();
            assert_eq!(device.session_id(), operator.session_id());
            let k_ausf = call(|| device.k_ausf()).unwrap();
            bench::secret("K_AUSF", k_ausf.secret().bytes());
            bench::secret("MSK", device.msk().bytes());
            bench::secret("EMSK", device.emsk().bytes());
            lab.step(&mut session).unwrap();
        });
    }
}
