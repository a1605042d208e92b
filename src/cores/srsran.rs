//! srsRAN's EPC: a CSV file, `user_db.csv`, that its HSS reads when it starts and writes when it ends.
//!
//! ```text
//! Name,Auth,IMSI,Key,OP_Type,OP/OPc,AMF,SQN,QCI,IP_alloc
//! epoch-7,mil,001010000000007,00…0f,opc,10…1f,8000,000000000040,9,dynamic
//! ```
//!
//! So change it only while the HSS is stopped, and read back its SQN first: [`put`] gives the whole file anew. The HSS keeps
//! the name and ignores it: there the epoch lives. It has no place for a bar, for what was withdrawn or for the device, and
//! comments are lost when it ends, so this is no [`Core`](super::Core): it is for a laboratory, with one writer.

use alloc::string::String;
use core::fmt::Write;

use super::{SecretText, milenage_only, next, push_hex, unhex};
use crate::{
    aka::Amf,
    crypto::equal,
    error::Code,
    identity::Supi,
    provisioning::question::{CoreCredential, UpTo},
};

const COLUMNS: usize = 10;

/// The file with this credential in it, in place of one of a lower epoch: all other rows as they were.
///
/// # Errors
/// [`Code::Conflict`] if the file has a higher epoch, or another K in this one, or a row under this IMSI that is not of
/// here; else as [`Core::steps`](super::Core::steps).
pub fn put(file: &str, credential: &CoreCredential, amf: Amf, qci: u8) -> Result<SecretText, Code> {
    milenage_only(credential.algorithm)?;
    let sqn = next(credential.secrets.sqn)?;
    let imsi = imsi(&credential.supi);
    if let Some(row) = file.lines().find(|row| is_of(row, &imsi)) {
        let held = epoch(row).ok_or(Code::Conflict)?;
        let k = row.split(',').nth(3).and_then(|k| unhex(k).ok());
        match held {
            _ if held == credential.epoch && k.is_some_and(|k| equal(k.bytes(), credential.secrets.k.bytes())) => {
                return Ok(copy(file, 0));
            }
            _ if held >= credential.epoch => return Err(Code::Conflict),
            _ => {}
        }
    }
    let mut text = without(file, &imsi, 256);
    // Writing to a string does not fail.
    let row = &mut text.0;
    let _ = write!(row, "epoch-{},mil,{imsi},", credential.epoch);
    push_hex(row, credential.secrets.k.bytes());
    row.push_str(",opc,");
    for value in [&credential.secrets.opc.bytes()[..], &amf, &sqn.to_bytes()] {
        push_hex(row, value);
        row.push(',');
    }
    let _ = writeln!(row, "{qci},dynamic");
    Ok(text)
}

/// The file without what it has under this SUPI up to this epoch.
pub fn remove(file: &str, what: &UpTo) -> SecretText {
    let imsi = imsi(&what.supi);
    let held = file.lines().find(|row| is_of(row, &imsi)).and_then(epoch);
    if held.is_some_and(|held| held <= what.epoch) { without(file, &imsi, 0) } else { copy(file, 0) }
}

/// As the HSS writes it: 15 digits.
fn imsi(supi: &Supi) -> String {
    let mut imsi = String::new();
    let _ = write!(imsi, "{:0>15}", supi.as_str());
    imsi
}

fn is_of(row: &str, imsi: &str) -> bool {
    let mut columns = row.split(',');
    !row.starts_with('#') && columns.clone().count() == COLUMNS && columns.nth(2).is_some_and(|digits| digits == imsi)
}

fn epoch(row: &str) -> Option<u32> {
    row.split(',').next()?.strip_prefix("epoch-")?.parse().ok()
}

/// All of it in memory that is wiped, with room for `more` bytes so that it does not move.
fn copy(file: &str, more: usize) -> SecretText {
    let mut text = SecretText::with_room(file.len().saturating_add(more));
    text.0.push_str(file);
    text
}

fn without(file: &str, imsi: &str, more: usize) -> SecretText {
    let mut text = SecretText::with_room(file.len().saturating_add(more).saturating_add(1));
    for row in file.lines().filter(|row| !is_of(row, imsi)) {
        text.0.push_str(row);
        text.0.push('\n');
    }
    text
}
