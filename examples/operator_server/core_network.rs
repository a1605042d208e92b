//! The core network behind the questions about it: a table of the same database, so that it changes in the same step; or one
//! that is elsewhere, as osmo-hlr. That one lets the step land first ([`Step::land`]): what the log says is
//! durable before the core hears of it. A server that dies after that costs the device an attempt, and nothing else.

use core::future::Future;

use remote_provisioning::{
    aka::{self, Challenge, Ind, Milenage, Sqn, sqn::Profile},
    credential::{self, Secrets, StorageKey, Wrapped},
    crypto::{Crypto, Hash},
    error::Code,
    identity::Supi,
    provisioning::{
        Answer, Question,
        question::{CoreCredential, Lost, UpTo},
        receipt::supi_hash,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    BACKEND,
    database::{Failure, Step, Table, end_of},
    hlr::HlrCore,
    net,
    office::{from_cbor, to_cbor},
};

/// Separation bit set (TS 33.102 Annex H).
pub(crate) const MANAGEMENT_FIELD: [u8; 2] = [0x80, 0x00];

/// What a core network has to do for an operator's machine.
pub(crate) trait Core: Send + Sync {
    /// Answers a question about the core; `None` to any other.
    fn answer(
        &self,
        question: &Question,
        step: &mut Step<'_>,
    ) -> impl Future<Output = Result<Option<Answer>, Failure>> + Send;

    /// The highest epoch that it has under this SUPI or must not take any more.
    fn epoch(&self, supi: &Supi, step: &mut Step<'_>) -> impl Future<Output = Result<u32, Failure>> + Send;
}

/// The core networks that this server knows.
pub(crate) enum CoreNetwork {
    Table(TableCore),
    Hlr(Box<HlrCore>),
}

impl Core for CoreNetwork {
    async fn answer(&self, question: &Question, step: &mut Step<'_>) -> Result<Option<Answer>, Failure> {
        match self {
            Self::Table(core) => core.answer(question, step).await,
            Self::Hlr(core) => core.answer(question, step).await,
        }
    }

    async fn epoch(&self, supi: &Supi, step: &mut Step<'_>) -> Result<u32, Failure> {
        match self {
            Self::Table(core) => core.epoch(supi, step).await,
            Self::Hlr(core) => core.epoch(supi, step).await,
        }
    }
}

/// A row of the table.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Subscriber {
    pub(crate) held: Option<Held>,
    /// It does not let in what it has up to this epoch.
    pub(crate) barred: u32,
    /// It does not take any of these.
    pub(crate) withdrawn: u32,
}

/// A credential.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) device: String,
    pub(crate) epoch: u32,
    /// K, OPc and SQN, under the storage key.
    wrapped: Wrapped,
    /// What they are wrapped for; SQN is in there, so it is another one each time.
    #[serde(with = "serde_bytes")]
    context: Hash,
    #[serde(with = "serde_bytes")]
    pub(crate) fingerprint: Hash,
    /// How often it was attached with.
    pub(crate) attached: u64,
}

/// The table `core`.
pub(crate) struct TableCore {
    pub(crate) storage: StorageKey,
}

impl Core for TableCore {
    async fn answer(&self, question: &Question, step: &mut Step<'_>) -> Result<Option<Answer>, Failure> {
        Ok(Some(match question {
            Question::PutIntoCore(credential) => Answer::CoreReady(self.put(credential, step).await?),
            Question::ReadCore(what) => Answer::CoreHolds(Ok(self.read(what, step).await?)),
            Question::Recover(lost) => Answer::Recovered(Ok(self.recover(lost, step).await?)),
            Question::BarInCore(UpTo { supi, epoch }) => {
                let mut row = Self::load(supi, step).await?;
                row.barred = row.barred.max(*epoch);
                Self::save(supi, &row, step).await?;
                Answer::CoreReady(Ok(()))
            }
            Question::AdmitToCore(UpTo { supi, epoch }) => {
                let mut row = Self::load(supi, step).await?;
                if row.barred <= *epoch {
                    row.barred = 0;
                }
                Self::save(supi, &row, step).await?;
                Answer::CoreReady(Ok(()))
            }
            Question::RemoveFromCore(UpTo { supi, epoch }) => {
                let mut row = Self::load(supi, step).await?;
                if let Some(held) = row.held.take_if(|held| held.epoch <= *epoch) {
                    step.delete(Table::Holders, &holder(&held.device, supi)).await?;
                }
                row.withdrawn = row.withdrawn.max(*epoch);
                Self::save(supi, &row, step).await?;
                Answer::CoreReady(Ok(()))
            }
            Question::Find(_)
            | Question::Appraise(_)
            | Question::Reserve(_)
            | Question::ComputeOpc { .. }
            | Question::Log(_) => return Ok(None),
        }))
    }

    async fn epoch(&self, supi: &Supi, step: &mut Step<'_>) -> Result<u32, Failure> {
        let row = Self::load(supi, step).await?;
        Ok(row.held.map_or(0, |held| held.epoch).max(row.withdrawn))
    }
}

impl TableCore {
    async fn load(supi: &Supi, step: &mut Step<'_>) -> Result<Subscriber, Failure> {
        step.get(Table::Core, supi.as_str()).await?.map_or_else(|| Ok(Subscriber::default()), from_cbor)
    }

    async fn save(supi: &Supi, row: &Subscriber, step: &mut Step<'_>) -> Result<(), Failure> {
        step.put(Table::Core, supi.as_str(), to_cbor(row)?).await
    }

    /// Never back to an older epoch, and never another K in the same one.
    async fn put(&self, credential: &CoreCredential, step: &mut Step<'_>) -> Result<Result<(), Code>, Failure> {
        let CoreCredential { device, supi, epoch, secrets, .. } = credential;
        let (device, fingerprint) = (device.to_string(), credential::fingerprint(&secrets.k, &BACKEND));
        let mut row = Self::load(supi, step).await?;
        match &row.held {
            Some(held) if held.epoch == *epoch && held.fingerprint == fingerprint => return Ok(Ok(())),
            Some(held) if held.epoch >= *epoch => return Ok(Err(Code::Conflict)),
            _ if row.withdrawn >= *epoch => return Ok(Err(Code::Conflict)),
            _ => {}
        }
        step.put(Table::Holders, &holder(&device, supi), Vec::new()).await?;
        let (wrapped, context) = self.wrap(secrets, supi, *epoch)?;
        row.held = Some(Held { device, epoch: *epoch, wrapped, context, fingerprint, attached: 0 });
        Self::save(supi, &row, step).await?;
        Ok(Ok(()))
    }

    /// And what is not there now does not come later.
    async fn read(&self, UpTo { supi, epoch }: &UpTo, step: &mut Step<'_>) -> Result<Option<Hash>, Failure> {
        let mut row = Self::load(supi, step).await?;
        if row.held.as_ref().is_none_or(|held| held.epoch < *epoch) {
            row.withdrawn = row.withdrawn.max(*epoch);
            Self::save(supi, &row, step).await?;
        }
        Ok(row.held.map(|held| held.fingerprint))
    }

    async fn recover(&self, lost: &Lost, step: &mut Step<'_>) -> Result<Option<(Supi, Hash)>, Failure> {
        let device = lost.device.to_string();
        let prefix = format!("{device} ");
        for key in step.keys(Table::Holders, &prefix, &end_of(&prefix), usize::MAX >> 1).await? {
            let supi: Supi = key.trim_start_matches(&prefix).parse()?;
            let Some(held) = Self::load(&supi, step).await?.held else { continue };
            if (&held.device, held.epoch) == (&device, lost.epoch)
                && supi_hash(&lost.txn, &supi, &BACKEND) == lost.supi_hash
            {
                return Ok(Some((supi, held.fingerprint)));
            }
        }
        Ok(None)
    }

    fn wrap(&self, secrets: &Secrets, supi: &Supi, epoch: u32) -> Result<(Wrapped, Hash), Failure> {
        let name = [supi.as_str().as_bytes(), &epoch.to_be_bytes(), &secrets.sqn.to_bytes()];
        let context = BACKEND.sha256(&[b"core", name[0], name[1], name[2]]);
        Ok((self.storage.wrap(secrets, &context, &BACKEND)?, context))
    }

    // ------------------------------------------------------------------------------------------ the AuC of a UDM

    /// A challenge for a subscriber and its XRES, with the next SQN; `None` if the core does not let it in.
    ///
    /// After an `auts` of the USIM, from the SQN that it names.
    pub(crate) async fn challenge(
        &self,
        supi: &Supi,
        failed: Option<(&[u8; 16], &[u8; 14])>,
        step: &mut Step<'_>,
    ) -> Result<Option<(Challenge, Vec<u8>)>, Failure> {
        let mut row = Self::load(supi, step).await?;
        let barred = row.barred;
        let Some(held) = row.held.as_mut().filter(|held| held.epoch > barred) else { return Ok(None) };
        let secrets = self.storage.unwrap(&held.wrapped, &held.context, &BACKEND)?;
        let Secrets { k, opc, sqn } = secrets;
        let mut subscriber = aka::Subscriber::adopt(Milenage::new(&k, &opc), Profile::default(), sqn);
        if let Some((rand, auts)) = failed
            && subscriber.resynchronise(rand, auts, 0).is_err()
        {
            return Ok(None);
        }
        let vector = subscriber.vector(&net::random()?, Ind::default(), MANAGEMENT_FIELD, 0)?;
        let sqn: Sqn = subscriber.sqn();
        (held.wrapped, held.context) = self.wrap(&Secrets { k, opc, sqn }, supi, held.epoch)?;
        Self::save(supi, &row, step).await?;
        Ok(Some((vector.challenge, vector.keys.res.bytes().to_vec())))
    }

    /// The subscriber has answered.
    pub(crate) async fn attached(&self, supi: &Supi, step: &mut Step<'_>) -> Result<(), Failure> {
        let mut row = Self::load(supi, step).await?;
        if let Some(held) = &mut row.held {
            held.attached += 1;
        }
        Self::save(supi, &row, step).await
    }
}

fn holder(device: &str, supi: &Supi) -> String {
    format!("{device} {}", supi.as_str())
}
