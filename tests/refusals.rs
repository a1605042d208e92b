//! The table of refusals in the docs is that of the code.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that panics has found something")]

use remote_provisioning::error::{Class, Code};

/// The rows of the table, cell by cell.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = include_str!("../src/error/code.rs").lines().filter_map(|line| line.strip_prefix("/// | "));
    let cells = rows.map(|row| row.trim_end_matches(" |").split(" | ").collect());
    cells.filter(|cells: &Vec<_>| cells.first().is_some_and(|first| *first != "code")).collect()
}

#[test]
fn the_table_has_a_row_for_each_code_and_says_what_the_code_does() {
    let rows = rows();
    assert_eq!(rows.len(), Code::ALL.len());
    for (row, code) in rows.iter().zip(Code::ALL) {
        let [number, name, meaning, whose_move] = row.as_slice() else { panic!("{row:?}") };
        assert_eq!(number.parse(), Ok(code.number()));
        assert_eq!(*name, format!("[`{code:?}`](Self::{code:?})"));
        assert_eq!(*whose_move, code.class().whose_move(), "{code:?}");
        let documented = format!("    /// {}: {meaning}.\n    {code:?} = {number},", code.class());
        assert!(include_str!("../src/error/code.rs").contains(&documented), "{documented}");
        assert_eq!(Code::from_number(code.number().into()), Some(code));
    }
}

#[test]
fn the_hundreds_are_the_class() {
    for code in Code::ALL {
        let class = match code.number() / 100 {
            1 => Class::Retry,
            2 => Class::Fix,
            3 => Class::Policy,
            4 => Class::Fatal,
            other => panic!("{other}"),
        };
        assert_eq!(code.class(), class);
        assert!(code.to_string().starts_with(&format!("{class} {}: ", code.number())));
        assert_eq!(class.is_worth_repeating(), code.number() < 200);
    }
    assert!(Code::ALL.is_sorted_by_key(|code| code.number()));
    assert_eq!(Code::from_number(99), None);
}
