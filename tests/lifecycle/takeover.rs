//! A transfer against the donor's will, through both machines: the maker's word, when it comes, and whatever is shown in its
//! place.

use core::cell::RefCell;
use std::rc::Rc;

use remote_provisioning::{
    attestation::Policy,
    authority::{
        Claim, Retirement, Takeover,
        takeover::{Fault, Known, MIN_DELAY_SECONDS},
    },
    crypto::{Crypto, Hash, PublicKey, rustcrypto::RustCrypto},
    error::{Misbehaved, Misuse, Voucher},
    identity::Domain,
    provisioning::{Task, device::Introduction, log::What, message::Standing},
    sim::{IDENTITY, TODAY, home::Home, identities, maker},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Date, voucher},
};

use super::{
    authority::{back, recipient},
    *,
};
use crate::lab::from_device;

const ASKING: Introduction = Introduction::VoucherLast { request: true };
const DELAY: u64 = MIN_DELAY_SECONDS;

/// A request to the maker's service, and what it said.
type Asked = (Vec<u8>, Result<Vec<u8>, Fault>);

/// The maker's service, and its book.
#[derive(Clone, Default)]
struct Masa(Rc<RefCell<Vec<Asked>>>);

impl Masa {
    /// Answers on this day, if the takeover is ripe.
    fn serve(&self, lab: &mut Lab, takeover: &Takeover, now: Date) {
        let (masa, takeover) = (self.clone(), takeover.clone());
        lab.home.masa = Box::new(move |request, device| masa.answer(request, device, &takeover, now));
    }

    fn answer(&self, request: &[u8], device: &PublicKey, takeover: &Takeover, now: Date) -> Option<Vec<u8>> {
        let ripe = takeover.ripe(now);
        let voucher = ripe.and_then(|ripe| ripe.voucher(request, device, &RustCrypto));
        let chain = voucher.map(|voucher| maker::issue(&voucher, maker::MASA).unwrap());
        self.0.borrow_mut().push((request.to_vec(), chain.clone()));
        chain.ok()
    }

    fn last(&self) -> Asked {
        self.0.borrow().last().cloned().unwrap()
    }
}

/// A donor's subscriber, the owner's claim to it, and the maker's case.
struct Case {
    lab: Lab,
    owner: MemoryKeyStore,
    /// The chain that the device holds the end of.
    sold: Vec<u8>,
    donor: PublicKey,
    next: Hash,
}

impl Case {
    fn new(seed: u64) -> Self {
        let lab = subscriber(seed);
        let donor = lab.operator_keys.public_key(IDENTITY).unwrap();
        let sold = maker::voucher(&lab.device_config.name, &donor).unwrap();
        let next = maker::keys_of(identities::raw_operator_key()).unwrap();
        let next = next.public_key(KeyId(0)).unwrap().thumbprint(&RustCrypto);
        Self { lab, owner: maker::keys("owner").unwrap(), sold, donor, next }
    }

    fn claim(&self, nonce: u8) -> Claim {
        let head = voucher::outline(&self.sold, &RustCrypto).unwrap().head;
        Claim::new(Domain::Test, &self.lab.device_id(), head, self.next, [nonce; 16]).unwrap()
    }

    /// Begun today.
    fn begun(&self, claim: &Claim) -> Takeover {
        let (device, owner) = (self.lab.device_id(), self.owner.public_key(KeyId(0)).unwrap());
        let head = voucher::outline(&self.sold, &RustCrypto).unwrap().head;
        let known = Known { device: &device, domain: Domain::Test, head: &head, owner: &owner, donor: &self.donor };
        let signed = claim.sign(maker::signer(&self.owner)).unwrap();
        Takeover::begin(&signed, &known, TODAY, DELAY, &RustCrypto).unwrap().first_use(true).unwrap()
    }

    /// The donor's chain, with an entry more: the device is that one's whose key this is.
    fn branch(&self, next: Hash, epoch: u32) -> Vec<u8> {
        let donor = maker::keys_of(identities::operator_key()).unwrap();
        voucher::extend(&self.sold, &self.donor, &next, epoch, Domain::Test, maker::signer(&donor), &RustCrypto)
            .unwrap()
    }
}

/// An attempt that fails, and leaves the store as it was once the attempt had begun.
fn fails(lab: &mut Lab, goal: Goal) -> Error {
    let held = lab.held();
    lab.goal = goal;
    let mut session = lab.session(1);
    let before = lab.fingerprint();
    let error = loop {
        let (count, message) = (session.messages.len(), session.messages.last().unwrap().clone());
        if count.is_multiple_of(2) {
            let _ = lab.tell_device(&mut session.device, &message);
            let out = from_device(&mut session.device);
            session.messages.extend(out.sent);
            if let [end] = *out.finished {
                break end.unwrap_err();
            }
        } else {
            let _ = lab.tell_operator(&mut session.operator, &message);
            session.messages.extend(lab.serve(&mut session.operator).sent);
        }
        assert!(session.messages.len() > count, "nobody says anything more");
    };
    assert_eq!((lab.fingerprint(), lab.held()), (before, held), "{error}");
    error
}

const fn told(code: Code) -> Error {
    Error::Refused(Refused::Code(code))
}

fn last_receipt(lab: &Lab) -> Vec<u8> {
    let entries: Vec<_> = lab.home.entries().collect();
    let receipt = entries.iter().rev().find_map(|entry| match &entry.what {
        What::Ended(signed) => signed.proof.receipts.last().map(|receipt| receipt.to_vec()),
        _ => None,
    });
    receipt.unwrap()
}

#[test]
fn after_the_delay_the_makers_word_moves_the_device_and_the_donor_lets_go_on_its_receipt() {
    let mut case = Case::new(1);
    let mut takeover = case.begun(&case.claim(1));
    let (device, key) = (case.lab.device_id(), case.lab.device_keys.public_key(IDENTITY).unwrap());
    let (old, _) = case.lab.held().unwrap();
    let old_receipt = last_receipt(&case.lab);
    let name = case.lab.device_config.name;
    let first = core::mem::replace(&mut case.lab.device_config.introduction, ASKING);
    let (sold, lab) = (case.sold.clone(), &mut case.lab);
    let donor = recipient(lab, sold);
    let masa = Masa::default();
    masa.serve(lab, &takeover, Date(TODAY.0 + DELAY));
    assert_eq!(lab.go(Goal::Transfer), Ok(()));
    let (new, complete) = lab.held().unwrap();
    assert!(complete && new.id.epoch > old.id.epoch);
    lab.attach(&new);
    let shown = masa.last().1.unwrap();
    let (account, head) = (lab.account(), voucher::outline(&shown, &RustCrypto).unwrap().head);
    let active = account.active().unwrap();
    assert_eq!((active.owner_epoch, active.voucher_head), (2, Some(head)), "one epoch on");
    takeover.end();

    // The donor never agreed: it lets go when it has heard of the next owner, on the device's receipt, and on no other.
    let receipt = last_receipt(lab);
    let recipient = back(lab, donor);
    let let_go = |lab: &Lab, receipt: &[u8]| {
        Task::handed_on(&device, &lab.account(), receipt, (&key, Domain::Test), &RustCrypto)
    };
    assert_eq!(let_go(lab, &receipt).err(), Some(Misuse::NotNow("the device was not handed on").into()));
    let task = Task::hand_on(&device, &lab.account(), case.next, 2).unwrap();
    lab.carry_out(task).unwrap();
    assert_eq!(let_go(lab, &old_receipt).err(), Some(Misbehaved::WrongReceipt.into()), "of its own credential");
    assert_eq!((lab.home.subscribers().count(), lab.account().standing()), (1, Standing::InService));
    let task = let_go(lab, &receipt).unwrap();
    lab.carry_out(task).unwrap();
    assert_eq!((lab.home.subscribers().count(), lab.account().standing()), (0, Standing::Retired));
    let retirement = Retirement::new(Domain::Test, &device, 2, RustCrypto.sha256(&[&receipt])).unwrap();
    let retirement = retirement.sign(|message| lab.operator_keys.sign(IDENTITY, message)).unwrap();
    let retired = Retirement::verify(&retirement, &case.donor, &RustCrypto).unwrap();
    assert!(retired.is_about(&device) && retired.receipt == RustCrypto.sha256(&[&receipt]));

    // The maker is not asked again: what the device was shown is a voucher like any other now.
    back(lab, recipient);
    lab.home.own(name, shown);
    lab.device_config.introduction = first;
    assert_eq!(lab.go(Goal::Rekey), Ok(()));
    assert_eq!(lab.account().active().unwrap().owner_epoch, 2);
    assert_eq!(masa.0.borrow().len(), 1);
}

/// Whichever message of it is lost: one of the two serves the device, and the next start finishes it.
#[test]
fn a_takeover_that_is_interrupted_is_finished_with_the_new_operator() {
    for messages in 1..=8 {
        let mut case = Case::new(2);
        let takeover = case.begun(&case.claim(1));
        let (old, _) = case.lab.held().unwrap();
        case.lab.device_config.introduction = ASKING;
        let (sold, lab) = (case.sold.clone(), &mut case.lab);
        let donor = recipient(lab, sold);
        Masa::default().serve(lab, &takeover, Date(TODAY.0 + DELAY));
        lab.goal = Goal::Transfer;
        lab.session(messages);
        lab.power_cut();
        let (held, _) = lab.held().unwrap();
        if held == old {
            let recipient = back(lab, donor);
            lab.attach(&held);
            back(lab, recipient);
        } else {
            lab.attach(&held);
        }
        for _ in 0..2 {
            if lab.kept().0 {
                assert_eq!(lab.go(Goal::Transfer), Ok(()), "{messages}");
            }
        }
        let (new, complete) = lab.held().unwrap();
        assert!(complete && new != old, "{messages}");
        lab.attach(&new);
    }
}

#[test]
fn vetoed_or_too_early_the_maker_says_nothing_and_the_device_stays() {
    for by_owner in [false, true] {
        let mut case = Case::new(3);
        let claim = case.claim(1);
        let mut takeover = case.begun(&claim);
        case.lab.device_config.introduction = ASKING;
        let (sold, donor_keys) = (case.sold.clone(), maker::keys_of(identities::operator_key()).unwrap());
        let donor = recipient(&mut case.lab, sold);
        let masa = Masa::default();
        for early in [0, DELAY - 1] {
            masa.serve(&mut case.lab, &takeover, Date(TODAY.0 + early));
            assert_eq!(fails(&mut case.lab, Goal::Transfer), told(Code::NotEntitled), "{early}");
            assert_eq!(masa.last().1, Err(Fault::TooEarly), "{early}");
        }
        let veto = claim.veto(maker::signer(if by_owner { &case.owner } else { &donor_keys }), &RustCrypto).unwrap();
        takeover.veto(&veto, Date(TODAY.0 + DELAY - 1), &RustCrypto).unwrap();
        for later in [DELAY - 1, DELAY, 100 * DELAY] {
            masa.serve(&mut case.lab, &takeover, Date(TODAY.0 + later));
            assert_eq!(fails(&mut case.lab, Goal::Transfer), told(Code::NotEntitled), "{later}");
            assert_eq!(masa.last().1, Err(Fault::Vetoed), "{later}");
        }
        assert!(case.lab.logged().is_empty(), "nothing was offered");
        // The donor serves it as before; and another claim is another case.
        let recipient = back(&mut case.lab, donor);
        let (held, _) = case.lab.held().unwrap();
        case.lab.attach(&held);
        back(&mut case.lab, recipient);
        let again = case.begun(&case.claim(2));
        masa.serve(&mut case.lab, &again, Date(TODAY.0 + DELAY));
        assert_eq!(case.lab.go(Goal::Transfer), Ok(()));
    }
}

/// The maker's word is for the operator that the claim names, and ends with the takeover.
#[test]
fn nobody_else_gets_the_makers_word_and_nobody_twice() {
    let mut case = Case::new(4);
    let mut takeover = case.begun(&case.claim(1));
    case.lab.device_config.introduction = ASKING;
    let masa = Masa::default();
    masa.serve(&mut case.lab, &takeover, Date(TODAY.0 + DELAY));
    assert_eq!(fails(&mut case.lab, Goal::Transfer), told(Code::NotEntitled), "the donor itself");
    assert_eq!(masa.last().1, Err(Fault::OtherOperator));
    let sold = case.sold.clone();
    recipient(&mut case.lab, sold);
    takeover.end();
    masa.serve(&mut case.lab, &takeover, Date(TODAY.0 + DELAY));
    assert_eq!(fails(&mut case.lab, Goal::Transfer), told(Code::NotEntitled));
    assert_eq!(masa.last().1, Err(Fault::Ended));
}

/// In place of the maker's answer: whatever names the recipient, and is not the answer to this session's nonce.
#[test]
fn what_does_not_answer_the_nonce_moves_nothing() {
    let mut case = Case::new(5);
    let takeover = case.begun(&case.claim(1));
    case.lab.device_config.introduction = ASKING;
    let (sold, name) = (case.sold.clone(), case.lab.device_config.name);
    recipient(&mut case.lab, sold);
    let (masa, late) = (Masa::default(), Date(TODAY.0 + DELAY));
    masa.serve(&mut case.lab, &takeover, TODAY);
    assert_eq!(fails(&mut case.lab, Goal::Transfer), told(Code::NotEntitled));
    let key = case.lab.device_keys.public_key(IDENTITY).unwrap();
    let (request, _) = masa.last();
    let stale = masa.answer(&request, &key, &takeover, late).expect("it was signed by the device");
    let next = case.lab.operator_keys.public_key(IDENTITY).unwrap();
    let without_nonce = maker::voucher(&name, &next).unwrap();
    let forged = maker::issue(&maker::word(&name, &next), "owner").unwrap();
    for (what, chain, error) in [
        ("an earlier session's nonce", &stale, Voucher::Stale),
        ("no nonce", &without_nonce, Voucher::Stale),
        ("the owner's own word", &forged, Voucher::Signer),
    ] {
        let chain = chain.clone();
        case.lab.home.masa = Box::new(move |_, _| Some(chain.clone()));
        assert_eq!(fails(&mut case.lab, Goal::Transfer), error.into(), "{what}");
    }
    // A device that does not ask takes no answer, however fresh.
    case.lab.device_config.introduction = Introduction::VoucherLast { request: false };
    case.lab.home.own(name, stale);
    assert_eq!(fails(&mut case.lab, Goal::Transfer), Voucher::Stale.into());
    case.lab.device_config.introduction = ASKING;
    masa.serve(&mut case.lab, &takeover, late);
    assert_eq!(case.lab.go(Goal::Transfer), Ok(()), "and the right one does");
}

/// A corrupt donor extends its own branch once the device is gone: to itself, or to whom it likes.
#[test]
fn the_donors_branch_is_worth_nothing_any_more() {
    let first = Lab::new(6).device_config.introduction;
    for introduction in [first, ASKING, Introduction::VoucherLast { request: false }] {
        let mut case = Case::new(6);
        let takeover = case.begun(&case.claim(1));
        case.lab.device_config.introduction = ASKING;
        let (sold, name) = (case.sold.clone(), case.lab.device_config.name);
        let donor = recipient(&mut case.lab, sold.clone());
        Masa::default().serve(&mut case.lab, &takeover, Date(TODAY.0 + DELAY));
        assert_eq!(case.lab.go(Goal::Transfer), Ok(()));
        let held = case.lab.held();
        let voucher_first = matches!(introduction, Introduction::VoucherFirst(_));
        case.lab.device_config.introduction = introduction;
        let own = case.donor.thumbprint(&RustCrypto);

        let show = |case: &mut Case, chain: Vec<u8>| {
            case.lab.home.own(name, chain.clone());
            case.lab.home.masa = Box::new(move |_, _| Some(chain.clone()));
        };
        // By the recipient first, with which the donor may be in league.
        for (epoch, error) in [(2, Voucher::Stale), (3, Voucher::Forked), (u32::MAX, Voucher::Forked)] {
            let chain = case.branch(case.next, epoch);
            show(&mut case, chain);
            assert_eq!(fails(&mut case.lab, Goal::Rekey), error.into(), "{epoch}");
        }
        // Then by the donor itself, whose own machine would say no to a device that is its subscriber: so it forgets that.
        back(&mut case.lab, donor);
        case.lab.home = Home::laboratory().unwrap();
        case.lab.home.policy = Policy::without_evidence("bench").unwrap();
        for (epoch, error) in [(2, Voucher::Stale), (3, Voucher::Forked), (u32::MAX, Voucher::Forked)] {
            let chain = case.branch(own, epoch);
            show(&mut case, chain);
            assert_eq!(fails(&mut case.lab, Goal::Transfer), error.into(), "{epoch}");
            for goal in [Goal::Rekey, Goal::Reassociate, Goal::Query, Goal::Retire] {
                // Where the voucher comes first, it is looked at first.
                let error = if voucher_first { error } else { Voucher::OtherOwner };
                assert_eq!(fails(&mut case.lab, goal.clone()), error.into(), "{goal:?}");
            }
        }
        show(&mut case, sold);
        assert_eq!(fails(&mut case.lab, Goal::Transfer), Voucher::Stale.into(), "nor is its old one");
        assert_eq!(case.lab.held(), held);
    }
}
