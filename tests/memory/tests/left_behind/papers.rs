//! What owners, makers and operators sign. The keys that sign are the only secrets here.

use remote_provisioning::{
    authority::{
        Association, Claim, Grant, Granter, Retirement, Takeover, grant,
        takeover::{Known, MIN_DELAY_SECONDS},
    },
    credential::ServiceProfile,
    crypto::{Hash, PublicKey},
    identity::{DeviceId, Domain, PeerName, Role},
    sim::{TODAY, maker},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{
        Date, Maker, MemoryAnchors, Peer, Usage,
        voucher::{Holder, Ownership, Pin, Voucher, VoucherRequest, extend, first, verify},
    },
};

use crate::{
    bench::{self, call, examined, secret},
    errors,
};

/// Somebody who signs.
struct Party(MemoryKeyStore);

impl Party {
    fn new(number: u8) -> Self {
        let private: [u8; 32] =
            core::array::from_fn(|at| number.wrapping_mul(29) ^ (at as u8).wrapping_mul(0x3b) ^ 0x11);
        secret("signing key", &private);
        Self(call(|| maker::keys_of(&private)).unwrap())
    }

    fn key(&self) -> PublicKey {
        self.0.public_key(KeyId(0)).unwrap()
    }

    fn sign(
        &self,
    ) -> impl Fn(&[u8]) -> Result<remote_provisioning::crypto::Signature, remote_provisioning::error::Backend> {
        maker::signer(&self.0)
    }

    fn thumbprint(&self, crypto: bench::Crypto) -> Hash {
        self.key().thumbprint(crypto)
    }
}

fn device() -> DeviceId {
    DeviceId::new(None, "IOT-0042".parse().unwrap())
}

pub(crate) fn papers() {
    examined("a grant", grants);
    examined("a claim, a veto and a takeover", takeovers);
    examined("a subscription in other hands", associations);
    examined("vouchers", vouchers);
}

fn grants(crypto: bench::Crypto) {
    let (owner, operator, device) = (Party::new(1), "op.example".parse::<PeerName>().unwrap(), device());
    let scope = ServiceProfile::default();
    let grant = Grant {
        iss: "owner",
        device: &device,
        operator: &operator,
        expires: Date(TODAY.0 + 9),
        not_before: None,
        cti: b"grant no 1",
        scope: &scope,
    };
    let token = call(|| grant.sign(owner.sign())).unwrap();
    let granters = [Granter::new("owner", owner.key(), Domain::Test).unwrap()];
    let terms = grant::Terms {
        granters: &granters,
        device: &device,
        operator: &operator,
        domain: Domain::Test,
        today: TODAY,
        limit: &scope,
    };
    call(|| grant::verify(&token, &terms, crypto)).unwrap().first_use(true).unwrap();
    assert!(call(|| grant::verify(&token[1..], &terms, crypto)).is_err());
    errors::met(&call(|| Grant { cti: b"short", ..grant }.sign(owner.sign())).unwrap_err());
}

fn takeovers(crypto: bench::Crypto) {
    let (owner, donor, next, machine) = (Party::new(1), Party::new(2), Party::new(3), Party::new(4));
    let (device, head) = (device(), [0x4e; 32]);
    let claim = call(|| Claim::new(Domain::Test, &device, head, next.thumbprint(crypto), [1; 16])).unwrap();
    let signed = call(|| claim.sign(owner.sign())).unwrap();
    let (owner_key, donor_key) = (owner.key(), donor.key());
    let known = Known { device: &device, domain: Domain::Test, head: &head, owner: &owner_key, donor: &donor_key };
    let begin = || Takeover::begin(&signed, &known, TODAY, MIN_DELAY_SECONDS, crypto);
    let mut takeover = call(begin).unwrap().first_use(true).unwrap();
    let registrar = Pin::Thumbprint(next.thumbprint(crypto));
    let request = VoucherRequest { nonce: b"device's nonce", registrar, serial: "IOT-0042" };
    let request = call(|| request.sign(machine.sign())).unwrap();
    assert!(call(|| takeover.ripe(TODAY)).is_err());
    let ripe = call(|| takeover.ripe(Date(TODAY.0 + MIN_DELAY_SECONDS))).unwrap();
    let voucher = call(|| ripe.voucher(&request, &machine.key(), crypto)).unwrap();
    call(|| voucher.sign(owner.sign())).unwrap();
    let veto = call(|| claim.veto(donor.sign(), crypto)).unwrap();
    call(|| takeover.veto(&veto, TODAY, crypto)).unwrap();
    assert!(call(|| takeover.ripe(Date(u64::MAX))).is_err());
    let retired = call(|| Retirement::new(Domain::Test, &device, 2, head)).unwrap();
    let retired = call(|| retired.sign(donor.sign())).unwrap();
    call(|| Retirement::verify(&retired, &donor_key, crypto)).unwrap();
    errors::met(&call(|| Retirement::verify(&retired, &owner_key, crypto)).map(|_| ()).unwrap_err());
}

fn associations(crypto: bench::Crypto) {
    let (seller, buyer, device) = (Party::new(1), Party::new(2), device());
    let held = call(|| Association::first(&seller.key(), None)).unwrap();
    let deed = call(|| held.deed(&device, Domain::Test, &buyer.key(), None, Date(TODAY.0 + 9))).unwrap();
    let release = call(|| deed.release(seller.sign())).unwrap();
    let acceptance = call(|| deed.acceptance(buyer.sign())).unwrap();
    call(|| held.change(&release, &acceptance, &device, Domain::Test, TODAY, crypto)).unwrap();
    assert!(call(|| held.change(&acceptance, &release, &device, Domain::Test, TODAY, crypto)).is_err());
}

fn vouchers(crypto: bench::Crypto) {
    let (maker, owners) = (Party::new(1), [2, 3, 4].map(Party::new));
    let serial: PeerName = "IOT-0042".parse().unwrap();
    let mut anchors = MemoryAnchors::new();
    anchors.add_maker(Maker::new(maker.key(), Domain::Test)).unwrap();
    let word = |owner: &Party| Voucher {
        assertion: None,
        created_on: None,
        expires_on: None,
        nonce: None,
        pinned: Pin::Thumbprint(owner.thumbprint(crypto)),
        serial: "IOT-0042",
    };
    let issue = |voucher: &Voucher<'_>| first(&call(|| voucher.sign(maker.sign())).unwrap());
    let on = |chain: &[u8], from: &Party, to: &Party, epoch, domain| {
        let next = to.thumbprint(crypto);
        call(|| extend(chain, &from.key(), &next, epoch, domain, from.sign(), crypto)).unwrap()
    };
    let show = |chain: &[u8], owner: &Party, held: Option<&Ownership>| {
        let holder = Holder { serial: &serial, domain: Domain::Test, held, nonce: None, date: None };
        let name = "op.example".parse().unwrap();
        let peer = Peer::new(b"credential", owner.key(), name, Role::Operator, Domain::Test, Usage::ANY);
        call(|| verify(chain, &holder, &peer, &anchors, crypto))
    };
    let [one, two, three] = &owners;
    let sold = issue(&word(one));
    let held = show(&sold, one, None).unwrap();
    let second = on(&sold, one, two, 2, Domain::Test);
    let held_2 = show(&second, two, Some(&held)).unwrap();
    // The same owner hands it on twice.
    let fork = on(&on(&sold, one, three, 2, Domain::Test), three, one, 3, Domain::Test);
    let mut long = sold.clone();
    long[0] = 0x91;
    for refused in [
        show(&sold, two, None),
        show(&sold, one, Some(&held_2)),
        show(&fork, one, Some(&held_2)),
        show(&issue(&Voucher { serial: "IOT-0043", ..word(one) }), one, None),
        show(&issue(&Voucher { expires_on: Some(TODAY), ..word(one) }), one, None),
        show(&first(&call(|| word(one).sign(one.sign())).unwrap()), one, None),
        show(&on(&sold, one, two, 2, Domain::Production), two, None),
        show(&long, one, None),
        show(&second, two, Some(&Ownership { epoch: 5, ..held })),
    ] {
        errors::met(&refused.unwrap_err());
    }
}
