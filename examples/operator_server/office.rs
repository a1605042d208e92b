//! The operator's own systems: they answer what its machine asks, from the database, in the step of the message.
//!
//! | question | answered from |
//! |---|---|
//! | Find | the home's private key; table `vouchers` |
//! | Appraise | `accounts`: is it one device? Then endorsements and policy: is it secure? |
//! | Reserve | `reserved` for a transaction that was asked before; else a SUPI of `free`, which loses it |
//! | ComputeOpc | OP |
//! | Log | `log` and `accounts`, both in the step |
//! | the others | [`Core`] |

use std::sync::{Arc, atomic::Ordering::Relaxed};

use arrayvec::ArrayString;
use remote_provisioning::{
    aka::{Ind, Sqn, milenage, sqn::Profile},
    attestation::{MemoryEndorsements, Policy, TokenVerifier},
    credential::{Activation, Previous, ServiceProfile},
    crypto::{Agreement, Group, PublicKey, Secret},
    error::{Code, Error},
    identity::{DeviceId, Domain, Role, Supi},
    provisioning::{
        Account, Answer, Question,
        account::{Applied, Conflict},
        log::{LogEntry, What},
        question::{Admission, Found, OwnedPart, Reservation, Visitor, Wish},
        receipt::Event,
        watch::Refusal,
    },
    sim::{identities, maker},
    trust::{Anchor, concealed::Concealed},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    AgreementKey, BACKEND,
    core_network::{Core, CoreNetwork, MANAGEMENT_FIELD},
    database::{Database, Failure, Step, Table, end_of},
    metrics::{Metrics, log},
    net,
};

/// Where the pool begins: test PLMN 001 01.
const FIRST_SUPI: u64 = 1_010_000_000_001;

/// Rows of one step when the tables are filled.
const CHUNK: u32 = 1_000;

pub(crate) struct Office {
    op: Secret<16>,
    home_key: AgreementKey,
    endorsements: MemoryEndorsements,
    policy: Policy,
    mode: Previous,
    activation: Activation,
    pub(crate) core: CoreNetwork,
    metrics: Arc<Metrics>,
}

impl Office {
    /// Systems that know this many devices of the test maker.
    pub(crate) fn new(devices: u32, mode: Previous, core: CoreNetwork, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let root = Anchor::from_certificate(identities::maker_root(), Role::Device, Domain::Test)?.id(&BACKEND);
        let names = (1..=devices).map(net::device_name);
        let ids = names.map(|name| Ok(DeviceId::new(root.first_chunk().copied(), name?)));
        Ok(Self {
            op: Secret::from_slice(&[0xcd; 16])?,
            home_key: AgreementKey::new(Group::P256, maker::home_scalar()?)?,
            endorsements: maker::endorsements(&ids.collect::<Result<Vec<_>, Error>>()?)?,
            policy: maker::policy()?,
            mode,
            activation: Activation::OneShot,
            core,
            metrics,
        })
    }

    /// Takes in the vouchers of these devices, and free SUPIs, unless another server has done it.
    pub(crate) async fn fill(database: &Database, devices: u32, supis: u32, own: &PublicKey) -> Result<(), Failure> {
        Self::fill_table(database, "devices", devices, |number| {
            let name = net::device_name(number)?;
            Ok((Table::Vouchers, name.as_str().to_owned(), maker::voucher(&name, own)?))
        })
        .await?;
        Self::fill_table(database, "supis", supis, |number| {
            Ok((Table::Free, format!("{:015}", FIRST_SUPI + u64::from(number) - 1), Vec::new()))
        })
        .await
    }

    /// Row by row, from where it ended last: a SUPI that is taken does not come back.
    async fn fill_table(
        database: &Database,
        name: &str,
        wanted: u32,
        row: impl Fn(u32) -> Result<(Table, String, Vec<u8>), Failure>,
    ) -> Result<(), Failure> {
        loop {
            let mut step = database.step();
            let done: u32 = step.get(Table::Settings, name).await?.map_or(Ok(0), from_cbor)?;
            if done >= wanted {
                return Ok(());
            }
            let next = wanted.min(done.saturating_add(CHUNK));
            for number in done + 1..=next {
                let (table, key, value) = row(number)?;
                step.add(table, key, value);
            }
            step.put(Table::Settings, name, to_cbor(&next)?).await?;
            match step.land(true).await {
                // Another server was faster, so there is less left.
                Ok(()) | Err(Failure::Overtaken) => {}
                Err(broken) => return Err(broken),
            }
        }
    }

    pub(crate) async fn answer(&self, question: Question, step: &mut Step<'_>) -> Result<Answer, Failure> {
        if let Some(answer) = self.core.answer(&question, step).await? {
            return Ok(answer);
        }
        Ok(match question {
            Question::Find(concealed) => Answer::Found(self.find(&concealed, step).await?),
            Question::Appraise(visitor) => Answer::Appraised(self.appraise(&visitor, step).await?.map(Box::new)),
            Question::Reserve(wish) => Answer::Reserved(self.reserve(&wish, step).await?),
            Question::ComputeOpc { k } => Answer::Opc(Ok(milenage::opc(&k, &self.op))),
            Question::Log(entry) => Answer::Logged(self.log(&entry, step).await?),
            core => return Err(Failure::Broken(format!("the core did not answer {core:?}"))),
        })
    }

    async fn find(&self, concealed: &Concealed, step: &mut Step<'_>) -> Result<Option<Found>, Failure> {
        if concealed.key_id() != maker::home_key()?.id() {
            return Ok(None);
        }
        let key: &dyn Agreement = &self.home_key;
        let Ok(device) = concealed.reveal(key) else { return Ok(None) };
        let voucher = step.get(Table::Vouchers, device.name().as_str()).await?.map(<[u8]>::to_vec);
        Ok(voucher.map(|voucher| Found { device, voucher }))
    }

    /// First whether it is one device and the same, then whether it is secure.
    async fn appraise(&self, visitor: &Visitor, step: &mut Step<'_>) -> Result<Result<Admission, Code>, Failure> {
        let device = visitor.device.device_id().to_string();
        let account = account(&device, step).await?;
        let admitted = match account.admit(visitor, &BACKEND) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                if let Refusal::Alarm(alarm) = refusal {
                    let counter = (visitor.counter.request, visitor.counter.retry);
                    let entry = account.entry(&device, What::Quarantined { alarm, counter });
                    if let Err(code) = self.log(&entry, step).await? {
                        return Ok(Err(code));
                    }
                }
                return Ok(Err(refusal.code()));
            }
        };
        let (verifier, nonce) = (TokenVerifier::new(&self.endorsements), &visitor.evidence_nonce);
        let evidence = visitor.evidence.as_deref();
        let verdict = self.policy.appraise(&visitor.device.device_id(), evidence, nonce, &verifier, &BACKEND);
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(finding) => return Ok(Err(finding.code())),
        };
        step.put(Table::Accounts, &device, admitted.account().to_cbor()?).await?;
        let voucher = match &visitor.voucher_request {
            _ if visitor.entitled => None,
            Some(request) => maker::answer(request, visitor.device.public_key()).ok(),
            None => {
                let name = visitor.device.name();
                step.get(Table::Vouchers, name.as_str()).await?.map(<[u8]>::to_vec)
            }
        };
        Ok(Ok(Admission { verdict, admitted, voucher, permit: None }))
    }

    /// The same transaction, asked again, gets the same SUPI.
    async fn reserve(&self, wish: &Wish, step: &mut Step<'_>) -> Result<Result<Reservation, Code>, Failure> {
        let device = wish.device.to_string();
        let key = format!("{device} {}", hex(&wish.txn));
        let reserved = step.get(Table::Reserved, &key).await?.map(<[u8]>::to_vec);
        // An offer that nobody took is free again for the device's next one.
        let account = account(&device, step).await?;
        let open = account.open().map(|deal| deal.credential.supi.parse::<Supi>()).transpose()?;
        let supi = match (reserved, wish.current, open) {
            (Some(reserved), ..) => str::from_utf8(&reserved)?.parse()?,
            (None, Some(current), _) if self.mode == Previous::Shared => current,
            (None, _, Some(open)) => open,
            (None, _, None) => match Self::take_free(step).await? {
                Some(supi) => supi,
                None => return Ok(Err(Code::PoolEmpty)),
            },
        };
        step.put(Table::Reserved, &key, supi.as_str().as_bytes().to_vec()).await?;
        let profile = ServiceProfile { dnn: ArrayString::from("iot").ok(), ..ServiceProfile::default() };
        Ok(Ok(Reservation {
            supi,
            core_epoch: self.core.epoch(&supi, step).await?,
            activation: self.activation,
            sqn: Profile::default().next(Sqn::default(), Ind::default(), 0)?,
            management_field: MANAGEMENT_FIELD,
            suci: None,
            profile: Some(OwnedPart::profile(&profile)),
        }))
    }

    /// From anywhere in the pool, so that sessions do not all want the same one; if they do, one of them starts again.
    async fn take_free(step: &mut Step<'_>) -> Result<Option<Supi>, Failure> {
        let last: u32 = step.get(Table::Settings, "supis").await?.map_or(Ok(0), from_cbor)?;
        let place = FIRST_SUPI + u64::from_be_bytes(net::random()?) % u64::from(last.max(1));
        let place = format!("{place:015}");
        let mut free = step.keys(Table::Free, &place, &end_of(""), 1).await?;
        if free.is_empty() {
            free = step.keys(Table::Free, "", &place, 1).await?;
        }
        let Some(supi) = free.pop() else { return Ok(None) };
        if step.get(Table::Free, &supi).await?.is_none() {
            return Err(Failure::Overtaken);
        }
        step.delete(Table::Free, &supi).await?;
        Ok(Some(supi.parse()?))
    }

    /// Compare and append: this is where a clone, or a session that woke up late, is noticed.
    async fn log(&self, entry: &LogEntry, step: &mut Step<'_>) -> Result<Result<(), Code>, Failure> {
        let mut account = account(&entry.device, step).await?;
        match account.apply(entry, &BACKEND) {
            Ok(Applied::Before) => {}
            Ok(Applied::Now) => {
                step.add(Table::Log, format!("{} {:010}", entry.device, entry.number), entry.to_cbor()?);
                step.put(Table::Accounts, &entry.device, account.to_cbor()?).await?;
                let line = format!("device={} number={} what={}", entry.device, entry.number, told(&entry.what));
                let activated = matches!(&entry.what, What::Ended(signed) if signed.event == Event::Activated);
                let metrics = Arc::clone(&self.metrics);
                step.when_landed(move || {
                    metrics.activated.fetch_add(u64::from(activated), Relaxed);
                    log("logged", &line);
                });
            }
            Err(conflict) => {
                log("conflict", &format!("device={} number={} reason=\"{conflict}\"", entry.device, entry.number));
                return Ok(Err(Conflict::code(conflict)));
            }
        }
        Ok(Ok(()))
    }
}

async fn account(device: &str, step: &mut Step<'_>) -> Result<Account, Failure> {
    let row = step.get(Table::Accounts, device).await?;
    Ok(row.map_or_else(|| Ok(Account::default()), Account::from_cbor)?)
}

/// What happened, without SUPI and receipts.
fn told(what: &What) -> String {
    match what {
        What::Offered(it) => format!("offered operation={:?} epoch={}", it.operation, it.epoch),
        What::Prepared(_) => "prepared".into(),
        What::Decided { verdict, .. } => format!("decided verdict={verdict:?}"),
        What::Ended(it) => format!("ended event={:?}", it.event),
        What::Recovered(it) => format!("recovered epoch={}", it.epoch),
        What::Restored => "restored".into(),
        What::Received(_) => "received".into(),
        What::Cleared(_) => "cleared".into(),
        What::Barred(barred) => format!("barred why={barred:?}"),
        What::Reinstated => "reinstated".into(),
        What::Associated(_) => "associated".into(),
        What::Transferred { .. } => "transferred".into(),
        What::Wanted(operation) => format!("wanted operation={operation:?}"),
        What::Released(_) => "released".into(),
        What::Quarantined { alarm, .. } => format!("quarantined alarm=\"{alarm}\""),
        What::Cleaned => "cleaned".into(),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn to_cbor(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|error| Failure::Broken(error.to_string()))?;
    Ok(bytes)
}

pub(crate) fn from_cbor<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    ciborium::from_reader(bytes).map_err(|error| Failure::Broken(error.to_string()))
}
