//! JSON text, written front to back into memory that is wiped.

use alloc::string::String;
use core::fmt::Write;

use super::{SecretText, push_hex};

/// A JSON object.
pub(super) fn document(members: impl FnOnce(&mut Object<'_>)) -> SecretText {
    let mut text = SecretText::new();
    Object::write(&mut text.0, members);
    text
}

/// The inside of one.
pub(super) struct Object<'a> {
    text: &'a mut String,
    empty: bool,
}

impl Object<'_> {
    fn write(text: &mut String, members: impl FnOnce(&mut Object<'_>)) {
        text.push('{');
        members(&mut Object { text, empty: true });
        text.push('}');
    }

    fn key(&mut self, key: &str) -> &mut String {
        if !self.empty {
            self.text.push(',');
        }
        self.empty = false;
        string(self.text, key);
        self.text.push(':');
        self.text
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        string(self.key(key), value);
    }

    pub(super) fn hex(&mut self, key: &str, value: &[u8]) {
        let text = self.key(key);
        text.push('"');
        push_hex(text, value);
        text.push('"');
    }

    pub(super) fn number(&mut self, key: &str, value: impl Into<u64>) {
        // Writing to a string does not fail.
        let _ = write!(self.key(key), "{}", value.into());
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.key(key).push_str(if value { "true" } else { "false" });
    }

    pub(super) fn null(&mut self, key: &str) {
        self.key(key).push_str("null");
    }

    pub(super) fn object(&mut self, key: &str, members: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.key(key), members);
    }

    /// An array of one object.
    pub(super) fn one(&mut self, key: &str, members: impl FnOnce(&mut Object<'_>)) {
        let text = self.key(key);
        text.push('[');
        Object::write(text, members);
        text.push(']');
    }

    pub(super) fn texts<'a>(&mut self, key: &str, values: impl IntoIterator<Item = &'a str>) {
        let text = self.key(key);
        text.push('[');
        for (number, value) in values.into_iter().enumerate() {
            if number > 0 {
                text.push(',');
            }
            string(text, value);
        }
        text.push(']');
    }
}

fn string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            // RFC 8259 §7.
            '\0'..='\x1f' => {
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            _ => text.push(character),
        }
    }
    text.push('"');
}
