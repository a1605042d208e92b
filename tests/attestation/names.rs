//! UEID, IMEI, EUI: what is parsed is valid, and comes out as it went in.

use proptest::prelude::*;
use remote_provisioning::{
    error::Malformed,
    identity::{Eui, Imei, Ueid},
};

#[test]
fn imei() {
    // Check digits computed by hand, by TS 23.003 §B.2.
    for digits in ["490154203237518", "352099001761481", "000000000000000", "999999999999994", "260531793113837"] {
        let imei: Imei = digits.parse().unwrap();
        assert_eq!(imei.as_str(), digits);
        assert_eq!(imei.to_string(), format!("imei-{digits}"));
        assert_eq!(imei.to_string().parse(), Ok(imei));
        assert_eq!(Imei::from_digits(&digits[..14]), Ok(imei));
        assert_eq!(imei.tac(), &digits[..8]);
        for last in b'0'..=b'9' {
            let other = format!("{}{}", &digits[..14], char::from(last));
            assert_eq!(other.parse::<Imei>().is_ok(), other == digits, "{other}");
        }
    }
    for text in [
        "",
        "imei-",
        "49015420323751",
        "4901542032375180",
        "imei-imei-490154203237518",
        "IMEI-490154203237518",
        "imei 490154203237518",
        "49015420323751x",
        " 490154203237518",
        "490154203237518 ",
        "49015420323751\u{661}",
        "\u{664}9015420323751",
        "imeisv-4901542032375101",
        "-90154203237518",
        "+90154203237518",
    ] {
        assert_eq!(text.parse::<Imei>(), Err(Malformed::Text), "{text}");
    }
    for digits in ["4901542032375", "490154203237518", "4901542032375:", "4901542032375/"] {
        assert_eq!(Imei::from_digits(digits), Err(Malformed::Text), "{digits}");
    }
    assert_eq!(format!("{:?}", "490154203237518".parse::<Imei>().unwrap()), "Imei(490154203237518)");
}

/// Luhn finds every single wrong digit.
#[test]
fn one_wrong_digit_is_found() {
    let good = "352099001761481";
    for at in 0..15 {
        for digit in b'0'..=b'9' {
            let mut digits = good.as_bytes().to_vec();
            digits[at] = digit;
            let digits = String::from_utf8(digits).unwrap();
            assert_eq!(digits.parse::<Imei>().is_ok(), digits == good);
        }
    }
}

#[test]
fn eui() {
    let short: Eui = "mac-00-00-5e-00-53-aF".parse().unwrap();
    assert_eq!(short, Eui::Eui48([0, 0, 0x5e, 0, 0x53, 0xaf]));
    assert_eq!(short.to_string(), "mac-00-00-5E-00-53-AF");
    let long: Eui = "eui-02-00-5E-10-00-00-00-01".parse().unwrap();
    assert_eq!(long.as_bytes(), [2, 0, 0x5e, 0x10, 0, 0, 0, 1]);
    for eui in [short, long] {
        assert_eq!(eui.to_string().parse(), Ok(eui));
        assert_eq!(Eui::from_bytes(eui.as_bytes()), Ok(eui));
    }
    for text in [
        "",
        "mac",
        "00-00-5e-00-53-af",
        "mac-",
        "eui-",
        "mac-0-00-5e-00-53-af",
        "mac-000-0-5e-00-53-af",
        "mac-00:00:5e:00:53:af",
        "mac-00-00-5e-00-53-af-untrusted",
        "mac--00-5e-00-53-af",
        "mac-00-00-5e-00-53-ag",
        "mac-+0-00-5e-00-53-af",
        "mac-00-00-5e-00-53-\u{e9}",
    ] {
        assert_eq!(text.parse::<Eui>(), Err(Malformed::Text), "{text}");
    }
    for text in ["mac-00-00-5e-00-53", "mac-02-00-5E-10-00-00-00-01", "eui-00-00-5e-00-53-af"] {
        assert_eq!(text.parse::<Eui>(), Err(Malformed::WrongLength), "{text}");
    }
    assert_eq!("eui-02-00-5E-10-00-00-00-01-02".parse::<Eui>(), Err(Malformed::TooLong));
    for len in [0, 5, 7, 9] {
        assert_eq!(Eui::from_bytes(&vec![0; len]), Err(Malformed::WrongLength));
    }
}

/// RFC 9711 §4.2.1.1, table 1.
#[test]
fn ueid() {
    let imei: Imei = "490154203237518".parse().unwrap();
    let ueid = Ueid::from(&imei);
    assert_eq!(ueid.as_bytes(), [3, 4, 9, 0, 1, 5, 4, 2, 0, 3, 2, 3, 7, 5, 1], "values, not ASCII, no check digit");
    assert_eq!((ueid.imei(), ueid.eui(), ueid.rand()), (Some(imei), None, None));
    let eui: Eui = "mac-00-00-5E-00-53-AF".parse().unwrap();
    let ueid = Ueid::from(&eui);
    assert_eq!(ueid.as_bytes(), [2, 0, 0, 0x5e, 0, 0x53, 0xaf]);
    assert_eq!((ueid.imei(), ueid.eui(), ueid.rand()), (None, Some(eui), None));
    for len in 0..40 {
        let bytes = vec![9; len];
        match len {
            16 | 24 | 32 => assert_eq!(Ueid::random(&bytes).unwrap().rand(), Some(bytes.as_slice())),
            _ => assert_eq!(Ueid::random(&bytes), Err(Malformed::WrongLength)),
        }
        match len {
            7..=33 => assert_eq!(Ueid::from_bytes(&bytes).unwrap().as_bytes(), bytes),
            _ => assert_eq!(Ueid::from_bytes(&bytes), Err(Malformed::WrongLength)),
        }
    }
    // Opaque to who reads it, but no IMEI, EUI or random number if it is not made like one.
    let none = |bytes: &[u8]| {
        let ueid = Ueid::from_bytes(bytes).unwrap();
        assert_eq!((ueid.imei(), ueid.eui(), ueid.rand()), (None, None, None), "{ueid}");
    };
    none(&[3, 4, 9, 0, 1, 5, 4, 2, 0, 3, 2, 3, 7, 5, 10]);
    none(b"\x0349015420323751");
    none(&[3, 4, 9, 0, 1, 5, 4, 2, 0, 3, 2, 3, 7, 5]);
    none(&[2, 0, 0, 0, 0, 0, 0, 0]);
    none(&[&[1][..], &[0x98; 15]].concat());
    none(&[0; 33]);
    none(&[4; 17]);
}

#[test]
fn ueid_as_text() {
    let ueid = Ueid::from_bytes(&[1, 0xab, 0, 0xff, 2, 3, 4]).unwrap();
    assert_eq!(ueid.to_string(), "01ab00ff020304");
    assert_eq!(format!("{ueid:?}"), "Ueid(01ab00ff020304)");
    assert_eq!("01AB00ff020304".parse(), Ok(ueid));
    for text in ["01ab00ff02030", "01ab00ff0203zz", "+1ab00ff020304", "01ab00ff0203\u{e9}"] {
        assert_eq!(text.parse::<Ueid>(), Err(Malformed::Text), "{text}");
    }
    for text in [String::new(), "01ab00ff0203".into(), "00".repeat(34)] {
        assert_eq!(text.parse::<Ueid>(), Err(Malformed::WrongLength), "{text}");
    }
}

/// It is read from storage with the same care.
#[test]
fn ueid_in_storage() {
    let ueid = Ueid::random(&[7; 32]).unwrap();
    let mut bytes = Vec::new();
    ciborium::into_writer(&ueid, &mut bytes).unwrap();
    assert_eq!(bytes[..3], [0x58, 33, 1]);
    assert_eq!(ciborium::from_reader::<Ueid, _>(bytes.as_slice()).unwrap(), ueid);
    for len in [6_u8, 34] {
        let other = [&[0x58, len][..], &vec![1; len.into()]].concat();
        assert!(ciborium::from_reader::<Ueid, _>(other.as_slice()).is_err());
    }
}

proptest! {
    #[test]
    fn any_text(text in "\\PC{0,40}") {
        let _ = (text.parse::<Imei>(), text.parse::<Eui>(), text.parse::<Ueid>());
    }

    #[test]
    fn any_digits(digits in "[0-9]{14}") {
        let imei = Imei::from_digits(&digits).unwrap();
        prop_assert_eq!(imei.to_string().parse::<Imei>(), Ok(imei));
        prop_assert_eq!(Ueid::from(&imei).imei(), Some(imei));
        // Luhn, from right to left.
        let sum: u32 = imei.as_str().bytes().rev().enumerate().map(|(at, digit)| {
            let digit = u32::from(digit - b'0') * if at % 2 == 1 { 2 } else { 1 };
            digit / 10 + digit % 10
        }).sum();
        prop_assert_eq!(sum % 10, 0);
    }

    #[test]
    fn any_ueid(bytes in proptest::collection::vec(any::<u8>(), 7..=33)) {
        let ueid = Ueid::from_bytes(&bytes).unwrap();
        prop_assert_eq!(ueid.to_string().parse::<Ueid>(), Ok(ueid.clone()));
        for made in [ueid.imei().map(|imei| Ueid::from(&imei)), ueid.eui().map(|eui| Ueid::from(&eui))] {
            prop_assert!(made.is_none_or(|made| made == ueid));
        }
    }
}
