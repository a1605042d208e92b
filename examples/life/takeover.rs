//! Transfer against the donor's will: the owner claims, the donor may say no in time, the maker overrides.

use core::cell::RefCell;
use std::rc::Rc;

use remote_provisioning::{
    authority::{
        Claim, Takeover,
        takeover::{Fault, Known, MIN_DELAY_SECONDS},
    },
    crypto::{PublicKey, rustcrypto::RustCrypto},
    error::{Backend, Code, Error},
    identity::Domain,
    provisioning::{
        Task,
        device::{self, Goal, Introduction},
    },
    sim::{IDENTITY, Party, TODAY, maker},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{Date, voucher},
};

use super::{Story, expect, recipient};

const DAY: u64 = 86_400;

/// What the maker knows, and who wants what.
struct Case {
    owner: MemoryKeyStore,
    owner_key: PublicKey,
    donor_key: PublicKey,
    /// What the device holds.
    head: [u8; 32],
    /// Where the owner wants it to go.
    next: [u8; 32],
}

impl Case {
    fn new(story: &Story) -> Result<Self, Error> {
        let owner = maker::keys("the owner")?;
        let owner_key = owner.public_key(KeyId(0))?;
        let donor_key = story.world.operator_keys().public_key(IDENTITY)?;
        let sold = maker::voucher(&story.world.device_config.name, &donor_key)?;
        let head = voucher::outline(&sold, &RustCrypto)?.head;
        let next = recipient()?.keys.public_key(IDENTITY)?.thumbprint(&RustCrypto);
        Ok(Self { owner, owner_key, donor_key, head, next })
    }

    /// The owner claims, and the maker's clock starts.
    fn claimed(&self, story: &Story, nonce: u8, now: Date) -> Result<(Claim, Takeover), Error> {
        let claim = Claim::new(Domain::Test, &story.device, self.head, self.next, [nonce; 16])?;
        let signed = claim.sign(maker::signer(&self.owner))?;
        let known = Known {
            device: &story.device,
            domain: Domain::Test,
            head: &self.head,
            owner: &self.owner_key,
            donor: &self.donor_key,
        };
        let begun = Takeover::begin(&signed, &known, now, MIN_DELAY_SECONDS, &RustCrypto).map_err(no)?;
        println!("          owner ──▶ maker   claim {nonce}, {} B; the maker tells the donor", signed.len());
        Ok((claim, begun.first_use(true).map_err(no)?))
    }
}

/// What this chapter did not expect.
fn no(fault: Fault) -> Error {
    println!("          {fault}");
    Error::Declined(Code::Conflict)
}

fn days(days: u64) -> Date {
    Date(TODAY.0 + days * DAY)
}

impl Story {
    pub(super) fn taken_over(mut self) -> Result<(), Error> {
        self.go("Another device, whose operator will not let it go: the donor provisions it", Goal::Provision)?;
        let case = Case::new(&self)?;

        println!("\n── Takeover: the owner wants to go to another operator, and claims the device from its maker");
        let (claim, mut takeover) = case.claimed(&self, 1, days(0))?;
        let veto = claim.veto(|message| self.world.operator_keys().sign(IDENTITY, message), &RustCrypto)?;
        takeover.veto(&veto, days(2), &RustCrypto).map_err(no)?;
        println!("          donor ──▶ maker   veto, {} B, on day 2: this claim is stopped for good", veto.len());

        // From now on the device asks its maker, who has to be on line, whenever it asks for a subscription.
        self.world.device_config.introduction = Introduction::VoucherLast { request: true };
        let donor = self.world.change_operator(recipient()?);
        self.asks(&takeover, days(8));
        let refused = self.contact("Day 8: the device asks the recipient, which asks the maker", Goal::Transfer);
        expect(refused, Code::NotEntitled)?;
        self.still_served_by(donor)?;

        println!("\n── The bill is paid; the owner claims again, and the donor keeps quiet");
        let (_, mut takeover) = case.claimed(&self, 2, days(10))?;
        let donor = self.world.change_operator(recipient()?);
        self.asks(&takeover, days(13));
        expect(self.contact("Day 13: the delay is not over", Goal::Transfer), Code::NotEntitled)?;
        let shown = self.asks(&takeover, days(17));
        self.go("Day 17: the maker's voucher answers the device's nonce, one owner epoch on", Goal::Transfer)?;
        takeover.end();
        println!("          the maker ends the takeover, and signs no more for it");

        println!("\n── The donor is shown the device's receipt; now it lets go, and says so");
        let receipt = self.last_receipt()?;
        let recipient = self.world.change_operator(donor);
        self.carry_out(Task::hand_on(&self.device, &self.account(), case.next, 2)?)?;
        self.let_go(&receipt)?;
        self.world.change_operator(recipient);

        // What it was shown is what it holds: from now on the recipient shows that, and the maker may be off line.
        self.world.home.own(self.world.device_config.name, shown.take());
        self.world.device_config.introduction = Introduction::VoucherFirst(maker::home_key()?);
        self.go("The recipient gives it a new K, by the voucher that the device has accepted", Goal::Rekey)?;
        println!("\nThe device is a subscriber of the operator that its owner chose.");
        Ok(())
    }

    /// The maker's voucher service on this day: a device that asks is answered if the takeover is ripe.
    /// What it signs is kept.
    fn asks(&mut self, takeover: &Takeover, today: Date) -> Rc<RefCell<Vec<u8>>> {
        let (takeover, signed) = (takeover.clone(), Rc::<RefCell<Vec<u8>>>::default());
        let kept = signed.clone();
        self.world.home.masa = Box::new(move |request, device| {
            let ripe = takeover.ripe(today).inspect_err(|fault| println!("                 maker: {fault}")).ok()?;
            let voucher = ripe.voucher(request, device, &RustCrypto).ok()?;
            println!("                 maker: a voucher with the device's nonce");
            let chain = maker::issue(&voucher, maker::MASA).ok()?;
            kept.replace(chain.clone());
            Some(chain)
        });
        signed
    }

    fn still_served_by(&mut self, donor: Party) -> Result<(), Error> {
        self.world.change_operator(donor);
        let held = device::subscription(&self.world.store)?;
        let (held, _) = held.ok_or(Backend::Store)?;
        self.world.attach(&held.id.supi)?;
        println!("          attached with {}, with the donor, as before", held.id.supi);
        Ok(())
    }
}
