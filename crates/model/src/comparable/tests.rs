//! Order and round trip of the encodings, per type, against a plain model of the order.

use super::*;
use crate::types::Frozen;
use proptest::prelude::*;
use std::cmp::Ordering;
use std::sync::Arc;

fn encoded(ctype: &CqlType, wire: &[u8], descending: bool) -> Vec<u8> {
    let mut out = Vec::new();
    encode(ctype, wire, descending, &mut out);
    out
}

fn check(ctype: &CqlType, left: &[u8], right: &[u8], expected: Ordering) {
    for descending in [false, true] {
        let (one, other) = (
            encoded(ctype, left, descending),
            encoded(ctype, right, descending),
        );
        let wanted = if descending {
            expected.reverse()
        } else {
            expected
        };
        assert_eq!(
            one.cmp(&other),
            wanted,
            "{ctype} {left:x?} {right:x?} descending {descending}"
        );
        assert!(
            one == other || !other.starts_with(&one),
            "no encoding is a prefix of another"
        );
        assert!(one[0] > 0 && one[0] < ABOVE);
        let mut rest = one.as_slice();
        let back = decode(ctype, &mut rest, descending).expect("decodes");
        assert!(rest.is_empty());
        assert!(back == left || !is_exact(ctype, left));
        assert_eq!(
            encoded(ctype, &back, descending),
            one,
            "what is decoded is equal in the type's order"
        );
    }
}

fn decimal_value(unscaled: i64, scale: i32) -> Vec<u8> {
    let mut out = scale.to_be_bytes().to_vec();
    out.extend(BigInt::from(unscaled).to_signed_bytes_be());
    out
}

proptest! {
    #[test]
    fn bytes(left: Vec<u8>, right: Vec<u8>) {
        check(&CqlType::Blob, &left, &right, left.cmp(&right));
    }

    #[test]
    fn integers(left: i64, right: i64) {
        check(&CqlType::Bigint, &left.to_be_bytes(), &right.to_be_bytes(), left.cmp(&right));
        let (small, other) = (left as i32, right as i32);
        check(&CqlType::Int, &small.to_be_bytes(), &other.to_be_bytes(), small.cmp(&other));
        let (big, bigger) = (BigInt::from(left) * right, BigInt::from(right));
        check(&CqlType::Varint, &big.to_signed_bytes_be(), &bigger.to_signed_bytes_be(), big.cmp(&bigger));
    }

    #[test]
    fn doubles(left: f64, right: f64) {
        check(&CqlType::Double, &left.to_be_bytes(), &right.to_be_bytes(), left.total_cmp(&right));
    }

    #[test]
    fn decimals(left in -3000i64..3000, right in -3000i64..3000, scale in -3i32..4, other in -3i32..4) {
        let (one, two) = (i128::from(left) * 10i128.pow((6 - scale) as u32), i128::from(right) * 10i128.pow((6 - other) as u32));
        check(&CqlType::Decimal, &decimal_value(left, scale), &decimal_value(right, other), one.cmp(&two));
    }

    #[test]
    fn lists(left: Vec<Vec<u8>>, right: Vec<Vec<u8>>) {
        let ctype = CqlType::List(Arc::new(CqlType::Blob), Frozen::Yes);
        let join = |list: &[Vec<u8>]| value::join_collection(list.len(), list.iter().map(Vec::as_slice));
        check(&ctype, &join(&left), &join(&right), left.cmp(&right));
    }

    #[test]
    fn tuples(left: (i32, Option<Vec<u8>>), right: (i32, Option<Vec<u8>>)) {
        let ctype = CqlType::Tuple([CqlType::Int, CqlType::Blob].into());
        let join = |tuple: &(i32, Option<Vec<u8>>)| {
            let mut out = Vec::new();
            value::put_field(&mut out, Some(&tuple.0.to_be_bytes()));
            value::put_field(&mut out, tuple.1.as_deref());
            out
        };
        check(&ctype, &join(&left), &join(&right), left.cmp(&right));
    }

    #[test]
    fn uuids(left: u128, right: u128) {
        let (left, right) = (left & !(0xf << 76) | 4 << 76, right & !(0xf << 76) | 4 << 76);
        check(&CqlType::Uuid, &left.to_be_bytes(), &right.to_be_bytes(), left.cmp(&right));
    }

    #[test]
    fn corrupt_bytes_never_panic(mut bytes: Vec<u8>) {
        for ctype in [CqlType::Text, CqlType::Varint, CqlType::Decimal, CqlType::Timeuuid, CqlType::List(Arc::new(CqlType::Int), Frozen::Yes)] {
            let _ = decode(&ctype, &mut bytes.as_slice(), true);
            bytes.insert(0, VALUE);
            let _ = decode(&ctype, &mut bytes.as_slice(), false);
        }
    }
}

#[test]
fn time_uuids_order_by_time_then_signed_bytes() {
    let early: u128 = 0x0000_0000_0000_1000_8000_0000_0000_0000;
    let late: u128 = 0x0000_0000_0001_1000_0000_0000_0000_0000 | 0x8000_0000_0000_0000;
    check(
        &CqlType::Timeuuid,
        &early.to_be_bytes(),
        &late.to_be_bytes(),
        Ordering::Less,
    );
    let low = early | 0x80;
    check(
        &CqlType::Timeuuid,
        &low.to_be_bytes(),
        &early.to_be_bytes(),
        Ordering::Less,
    );
}

#[test]
fn an_empty_value_sorts_first() {
    check(&CqlType::Int, &[], &i32::MIN.to_be_bytes(), Ordering::Less);
    check(&CqlType::Text, b"", b"\0", Ordering::Less);
}
