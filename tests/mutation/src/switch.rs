//! Becomes `src/mutant.rs` of the copy: which mutant is on, and which were met. Allocates nothing while a test runs, because some
//! tests count allocations.

use core::{
    ffi::{CStr, c_char, c_int},
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

const UNKNOWN: u32 = u32::MAX;
const RECORD: u32 = u32::MAX - 1;

static ON: AtomicU32 = AtomicU32::new(UNKNOWN);
static MET: [AtomicBool; MUTANTS] = [const { AtomicBool::new(false) }; MUTANTS];

unsafe extern "C" {
    fn getenv(name: *const c_char) -> *const c_char;
    fn atexit(callback: extern "C" fn()) -> c_int;
}

/// Whether this mutant is on.
#[inline]
pub(crate) fn on(mutant: u32) -> bool {
    let on = ON.load(Relaxed);
    if on < RECORD { on == mutant } else { slow(mutant) }
}

#[cold]
fn slow(mutant: u32) -> bool {
    if ON.load(Relaxed) == UNKNOWN {
        let on = match variable(c"MUTANT") {
            Some(number) => number.to_str().ok().and_then(|number| number.parse().ok()).unwrap_or(RECORD - 1),
            None if variable(c"MUTANTS_MET").is_some() => {
                // SAFETY: the callback is a function of this program, and unwinds nowhere.
                let _ = unsafe { atexit(record) };
                RECORD
            }
            None => RECORD - 1,
        };
        ON.store(on, Relaxed);
    }
    let on = ON.load(Relaxed);
    if on == RECORD {
        MET[mutant as usize].store(true, Relaxed);
    }
    on == mutant
}

fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: the tests set no variables of their own, so the string stays where it is.
    let value = unsafe { getenv(name.as_ptr()) };
    // SAFETY: what getenv returns ends with a zero.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

/// Appends those that were met, a number in a line each.
extern "C" fn record() {
    use std::{fs::OpenOptions, io::Write, string::String};
    let Some(path) = variable(c"MUTANTS_MET").and_then(|path| path.to_str().ok()) else { return };
    let mut text = String::new();
    for (number, met) in MET.iter().enumerate() {
        if met.load(Relaxed) {
            text += &std::format!("{number}\n");
        }
    }
    let file = OpenOptions::new().append(true).create(true).open(path);
    let _ = file.and_then(|mut file| file.write_all(text.as_bytes()));
}
