//! osmo-hlr: subscribers in SQLite, its schema 6 (osmo-hlr 1.5), with [`TABLE`] beside it.
//!
//! Steps are statements with their parameters. A list begins with `BEGIN IMMEDIATE` and ends with `COMMIT`: if one fails,
//! `ROLLBACK`, and nothing has changed. The `SELECT` before it reads the columns of an [`Entry`](super::Entry), in its order.
//!
//! - `auc_3g.sqn` is the last number used; osmo-hlr adds one SEQ and an IND for each VLR, in `ind_bitlen` bits. It never
//!   goes back: osmo-hlr itself lowers it only to a USIM's own number (AUTS).
//! - `auc_2g` goes whenever K changes: osmo-hlr then makes 2G triplets from the 3G key, and no older Ki stays good.
//! - Barred is network access mode *none* (TS 23.008 §2.1.1.2): `nam_cs` and `nam_ps` are 0, and osmo-hlr refuses to update
//!   the location. It still makes vectors. A VLR or SGSN that has the subscriber already keeps it until its next location
//!   update; to have it deleted there at once, first say `subscriber imsi IMSI update network-access-mode none` on the VTY.
//! - osmo-hlr does not wait for a lock: a location update in the moment of a transaction fails, and the device repeats it. So
//!   prepare the statements, then run them; and set a busy timeout on your own connection.

use alloc::{string::ToString, vec::Vec};

use super::{Core, SecretText, milenage_only, number, open5gs::msisdn};
use crate::{
    credential::ServiceProfile,
    error::Code,
    identity::Supi,
    provisioning::{
        Question,
        question::{CoreCredential, UpTo},
    },
};

/// Where epochs live: to be created once in osmo-hlr's database. `shut` says that a bar is what keeps it out, and not the
/// operator's own choice of network access mode, which no step here changes.
pub const TABLE: &str = "\
CREATE TABLE IF NOT EXISTS remote_provisioning (
    imsi        VARCHAR(15) PRIMARY KEY,
    device      TEXT NOT NULL DEFAULT '',
    epoch       INTEGER NOT NULL DEFAULT 0,
    barred      INTEGER NOT NULL DEFAULT 0,
    withdrawn   INTEGER NOT NULL DEFAULT 0,
    shut        BOOLEAN NOT NULL DEFAULT 1
)";

/// The fewest digits of an IMSI that osmo-hlr reads.
const MIN_IMSI: usize = 6;

/// `OSMO_AUTH_ALG_MILENAGE`.
const MILENAGE: i64 = 5;

/// Bits of IND.
const IND_BITLEN: i64 = 5;

/// A statement, and what stands for `?1`, `?2` and so on.
#[derive(Debug)]
pub struct Statement {
    /// The same text for every subscriber: prepare it once.
    pub sql: &'static str,
    /// As many as it has places for.
    pub parameters: Vec<Value>,
}

/// A parameter.
#[derive(Debug)]
pub enum Value {
    /// INTEGER.
    Integer(i64),
    /// TEXT.
    Text(SecretText),
}

/// osmo-hlr's database, with what a subscriber may use when it is let in.
#[derive(Clone, Copy, Debug)]
pub struct OsmoHlr<'a> {
    /// Circuit switched services.
    pub cs: bool,
    /// Packet switched services.
    pub ps: bool,
    /// What a subscription is for that does not say so itself: `gpsi`, if a number, becomes `msisdn`, `dnn` the one APN. What
    /// it does not name stays.
    pub profile: &'a ServiceProfile,
}

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";

/// ?1 IMSI.
const KNOW: &str = "INSERT OR IGNORE INTO remote_provisioning (imsi) VALUES (?1)";

/// ?1 IMSI.
const READ: &str = "\
SELECT imsi, epoch, withdrawn, (
    SELECT k FROM auc_3g JOIN subscriber ON subscriber_id = id WHERE subscriber.imsi = remote_provisioning.imsi
) FROM remote_provisioning WHERE imsi = ?1";

/// ?1 device, ?2 epoch.
const RECOVER: &str = "\
SELECT imsi, epoch, withdrawn, (
    SELECT k FROM auc_3g JOIN subscriber ON subscriber_id = id WHERE subscriber.imsi = remote_provisioning.imsi
) FROM remote_provisioning WHERE device = ?1 AND epoch = ?2";

/// A subscriber that is let in nowhere, if the credential is going to be taken. ?1 IMSI, ?2 epoch.
const SHELL: &str = "\
INSERT OR IGNORE INTO subscriber (imsi, nam_cs, nam_ps)
SELECT imsi, 0, 0 FROM remote_provisioning WHERE imsi = ?1 AND epoch < ?2 AND withdrawn < ?2";

/// ?1 IMSI, ?2 epoch.
const PUT_NO_2G: &str = "\
DELETE FROM auc_2g WHERE subscriber_id = (
    SELECT id FROM subscriber JOIN remote_provisioning USING (imsi)
    WHERE imsi = ?1 AND epoch < ?2 AND withdrawn < ?2)";

/// ?1 IMSI, ?2 epoch, ?3 algorithm, ?4 K, ?5 OPc, ?6 SQN, ?7 bits of IND.
const PUT_3G: &str = "\
INSERT OR REPLACE INTO auc_3g (subscriber_id, algo_id_3g, k, op, opc, sqn, ind_bitlen)
SELECT id, ?3, ?4, NULL, ?5, ?6, ?7 FROM subscriber JOIN remote_provisioning USING (imsi)
WHERE imsi = ?1 AND epoch < ?2 AND withdrawn < ?2";

/// ?1 IMSI, ?2 epoch, ?3 device.
const PUT_EPOCH: &str = "\
UPDATE remote_provisioning SET epoch = ?2, device = ?3
WHERE imsi = ?1 AND epoch < ?2 AND withdrawn < ?2 AND imsi IN (SELECT imsi FROM subscriber)";

/// ?1 IMSI, ?2 CS, ?3 PS.
const OPEN: &str = "\
UPDATE subscriber SET nam_cs = ?2, nam_ps = ?3
WHERE imsi = (SELECT imsi FROM remote_provisioning WHERE imsi = ?1 AND epoch > barred AND shut)";

/// ?1 IMSI.
const OPENED: &str = "UPDATE remote_provisioning SET shut = 0 WHERE imsi = ?1 AND epoch > barred";

/// ?1 IMSI, ?2 epoch.
const SHUT: &str = "\
UPDATE subscriber SET nam_cs = 0, nam_ps = 0
WHERE imsi = (SELECT imsi FROM remote_provisioning WHERE imsi = ?1 AND epoch <= ?2)";

/// ?1 IMSI, ?2 epoch.
const BAR: &str = "\
UPDATE remote_provisioning SET barred = max(barred, ?2), shut = 1 WHERE imsi = ?1 AND epoch <= ?2";

/// ?1 IMSI, ?2 epoch.
const ADMIT: &str = "UPDATE remote_provisioning SET barred = 0 WHERE imsi = ?1 AND barred <= ?2";

/// ?1 IMSI, ?2 epoch.
const WITHDRAW: &str = "\
UPDATE remote_provisioning SET withdrawn = max(withdrawn, ?2) WHERE imsi = ?1 AND epoch < ?2";

/// Whatever hangs on a subscriber, K first. ?1 IMSI, ?2 epoch.
const REMOVE: [&str; 6] = [
    "DELETE FROM auc_3g WHERE subscriber_id = (
    SELECT id FROM subscriber JOIN remote_provisioning USING (imsi) WHERE imsi = ?1 AND epoch <= ?2)",
    "DELETE FROM auc_2g WHERE subscriber_id = (
    SELECT id FROM subscriber JOIN remote_provisioning USING (imsi) WHERE imsi = ?1 AND epoch <= ?2)",
    "DELETE FROM subscriber_apn WHERE subscriber_id = (
    SELECT id FROM subscriber JOIN remote_provisioning USING (imsi) WHERE imsi = ?1 AND epoch <= ?2)",
    "DELETE FROM subscriber_multi_msisdn WHERE subscriber_id = (
    SELECT id FROM subscriber JOIN remote_provisioning USING (imsi) WHERE imsi = ?1 AND epoch <= ?2)",
    "DELETE FROM subscriber WHERE imsi = (SELECT imsi FROM remote_provisioning WHERE imsi = ?1 AND epoch <= ?2)",
    "UPDATE remote_provisioning SET withdrawn = max(withdrawn, ?2), epoch = 0, device = '', shut = 1
WHERE imsi = ?1 AND epoch <= ?2",
];

/// ?1 IMSI, ?2 and ?3 the epochs of what is there, ?4 MSISDN.
const MSISDN: &str = "\
UPDATE subscriber SET msisdn = ?4
WHERE imsi = (SELECT imsi FROM remote_provisioning WHERE imsi = ?1 AND epoch BETWEEN ?2 AND ?3)";

/// ?1 IMSI, ?2 and ?3 the epochs of what is there, ?4 APN.
const APN: [&str; 2] = [
    "DELETE FROM subscriber_apn WHERE apn <> ?4 AND subscriber_id = (
    SELECT id FROM subscriber JOIN remote_provisioning USING (imsi) WHERE imsi = ?1 AND epoch BETWEEN ?2 AND ?3)",
    "INSERT INTO subscriber_apn (subscriber_id, apn)
SELECT id, ?4 FROM subscriber JOIN remote_provisioning USING (imsi) WHERE imsi = ?1 AND epoch BETWEEN ?2 AND ?3
AND NOT EXISTS (SELECT 1 FROM subscriber_apn WHERE subscriber_id = id AND apn = ?4)",
];

impl Core for OsmoHlr<'_> {
    type Step = Statement;

    fn steps(&self, question: &Question) -> Option<Result<Vec<Statement>, Code>> {
        Some(Ok(match question {
            Question::PutIntoCore(credential) => return Some(self.put(credential)),
            Question::ReadCore(what) => transaction(&what.supi, [of(KNOW, &what.supi), up_to(WITHDRAW, what)]),
            Question::BarInCore(what) => {
                transaction(&what.supi, [of(KNOW, &what.supi), up_to(BAR, what), up_to(SHUT, what)])
            }
            Question::AdmitToCore(what) => {
                transaction(&what.supi, [up_to(ADMIT, what)].into_iter().chain(self.open(&what.supi)))
            }
            Question::RemoveFromCore(what) => {
                let removed = REMOVE.map(|sql| up_to(sql, what));
                transaction(&what.supi, [of(KNOW, &what.supi), up_to(SHUT, what)].into_iter().chain(removed))
            }
            Question::Recover(lost) => {
                let mut parameters = Vec::from([text(&lost.device.to_string())]);
                parameters.push(Value::Integer(lost.epoch.into()));
                Vec::from([Statement { sql: RECOVER, parameters }])
            }
            Question::Find(_)
            | Question::Appraise(_)
            | Question::Reserve(_)
            | Question::ComputeOpc { .. }
            | Question::Log(_) => return None,
        }))
    }

    fn look(&self, supi: &Supi) -> Vec<Statement> {
        Vec::from([of(READ, supi)])
    }

    fn serve(&self, what: &UpTo) -> Vec<Statement> {
        transaction(&what.supi, service(self.profile, &what.supi, 1, what.epoch))
    }
}

impl OsmoHlr<'_> {
    fn put(&self, credential: &CoreCredential) -> Result<Vec<Statement>, Code> {
        let CoreCredential { device, supi, epoch, algorithm, secrets, profile } = credential;
        let profile = profile.as_ref().unwrap_or(self.profile);
        milenage_only(*algorithm)?;
        if supi.as_str().len() < MIN_IMSI {
            return Err(Code::Conflict);
        }
        let what = UpTo { supi: *supi, epoch: *epoch };
        let mut k = up_to(PUT_3G, &what);
        let sqn = i64::try_from(number(secrets.sqn)).map_err(|_| Code::Conflict)?;
        k.parameters.extend([
            Value::Integer(MILENAGE),
            Value::Text(SecretText::hex(secrets.k.bytes())),
            Value::Text(SecretText::hex(secrets.opc.bytes())),
            Value::Integer(sqn),
            Value::Integer(IND_BITLEN),
        ]);
        let mut taken = up_to(PUT_EPOCH, &what);
        taken.parameters.push(text(&device.to_string()));
        let shell = [of(KNOW, supi), up_to(SHELL, &what)].into_iter().chain(service(profile, supi, 0, 0));
        let steps = shell.chain([up_to(PUT_NO_2G, &what), k, taken]).chain(self.open(supi));
        Ok(transaction(supi, steps))
    }

    fn open(&self, supi: &Supi) -> [Statement; 2] {
        let mut open = of(OPEN, supi);
        open.parameters.extend([self.cs, self.ps].map(|access| Value::Integer(access.into())));
        [open, of(OPENED, supi)]
    }
}

/// For what is there with an epoch from the first to the last; 0 for what has no K yet.
fn service(profile: &ServiceProfile, supi: &Supi, first: u32, last: u32) -> Vec<Statement> {
    let number = profile.gpsi.as_deref().and_then(msisdn);
    let apn = profile.dnn.as_deref();
    let values = [(MSISDN, number)].into_iter().chain(APN.map(|sql| (sql, apn)));
    let statement = |(sql, value)| {
        let mut statement = of(sql, supi);
        statement.parameters.extend([first, last].map(|epoch| Value::Integer(epoch.into())));
        statement.parameters.push(text(value?));
        Some(statement)
    };
    values.filter_map(statement).collect()
}

fn transaction(supi: &Supi, steps: impl IntoIterator<Item = Statement>) -> Vec<Statement> {
    let plain = |sql| Statement { sql, parameters: Vec::new() };
    let end = [of(READ, supi), plain(COMMIT)];
    core::iter::once(plain(BEGIN)).chain(steps).chain(end).collect()
}

fn of(sql: &'static str, supi: &Supi) -> Statement {
    Statement { sql, parameters: Vec::from([text(supi.as_str())]) }
}

fn up_to(sql: &'static str, what: &UpTo) -> Statement {
    let mut statement = of(sql, &what.supi);
    statement.parameters.push(Value::Integer(what.epoch.into()));
    statement
}

fn text(value: &str) -> Value {
    let mut text = SecretText::new();
    text.0.push_str(value);
    Value::Text(text)
}
