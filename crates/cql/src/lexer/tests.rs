//! Tokens one by one.

use super::*;

fn kinds(text: &str) -> Vec<Kind> {
    tokenize(text)
        .list
        .iter()
        .map(|token| token.kind)
        .filter(|kind| *kind != Kind::End)
        .collect()
}

#[test]
fn numbers_take_their_sign() {
    assert_eq!(kinds("c -3"), [Kind::Ident, Kind::Integer]);
    assert_eq!(kinds("c - 3"), [Kind::Ident, Kind::Minus, Kind::Integer]);
    assert_eq!(
        kinds("-1.5e-3 1. 1e5 -nan Infinity -INFINITY"),
        [
            Kind::Float,
            Kind::Float,
            Kind::Float,
            Kind::Nan,
            Kind::PositiveInfinity,
            Kind::NegativeInfinity,
        ]
    );
}

#[test]
fn ranges_are_not_fractions() {
    assert_eq!(kinds("1..2"), [Kind::Integer, Kind::Range, Kind::Integer]);
    assert_eq!(kinds("1...2"), [Kind::Float, Kind::Range, Kind::Integer]);
    assert_eq!(kinds("1.5..2"), [Kind::Float, Kind::Range, Kind::Integer]);
}

#[test]
fn durations_uuids_and_blobs() {
    for text in [
        "1h30m",
        "-2mo",
        "5us",
        "5µs",
        "P1Y2M3DT4H5M6S",
        "PT5S",
        "-PT5S",
        "P3W",
        "P0001-02-03T04:05:06",
    ] {
        assert_eq!(kinds(text), [Kind::Duration], "{text}");
    }
    for text in ["P1Yx", "P1", "p1y"] {
        assert_eq!(kinds(text), [Kind::Ident], "{text}");
    }
    assert_eq!(kinds("aaaaaaaa-e89b-12d3-a456-426614174000"), [Kind::Uuid]);
    assert_eq!(kinds("1111111e-1111-1111-1111-111111111111"), [Kind::Uuid]);
    assert_eq!(
        kinds("0x 0XAb 0xabg"),
        [Kind::Hex, Kind::Hex, Kind::Hex, Kind::Ident]
    );
}

#[test]
fn comments_need_their_end() {
    assert_eq!(
        kinds("a -- b\n// c\r/* -- */ d"),
        [Kind::Ident, Kind::Ident]
    );
    assert_eq!(
        tokenize("a -- b").error,
        Some(LexError::UnexpectedEnd("set null"))
    );
    assert_eq!(
        tokenize("a /* b").error,
        Some(LexError::UnexpectedEnd("'*'"))
    );
}

#[test]
fn quotes_double_to_escape() {
    assert_eq!(
        kinds("'it''s' \"a\"\"b\" \"\" $$it's$$"),
        [
            Kind::String,
            Kind::QuotedName,
            Kind::EmptyQuotedName,
            Kind::DollarString,
        ]
    );
    assert_eq!(tokenize("'abc").error, Some(LexError::UnexpectedEnd("'''")));
}

#[test]
fn an_integer_before_a_hexadecimal_letter_is_an_error() {
    assert_eq!(kinds("1AND"), [Kind::Error]);
    assert_eq!(kinds("1OR"), [Kind::Integer, Kind::Keyword(Keyword::Or)]);
    assert_eq!(kinds("1e"), [Kind::Error]);
}
