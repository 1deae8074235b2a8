//! Whole numbers of any size, between their two's-complement bytes and decimal digits: what `varint` and `decimal` need.

/// The decimal digits of a big-endian two's-complement number. No bytes at all are zero.
pub fn to_decimal(bytes: &[u8]) -> String {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut magnitude: Vec<u8> = bytes
        .iter()
        .map(|byte| if negative { !byte } else { *byte })
        .collect();
    if negative {
        for byte in magnitude.iter_mut().rev() {
            let (sum, carried) = byte.overflowing_add(1);
            *byte = sum;
            if !carried {
                break;
            }
        }
        // -256 is FF 00: its magnitude needs a byte more than the number itself when all bytes carried over.
        if magnitude.iter().all(|byte| *byte == 0) {
            magnitude.insert(0, 1);
        }
    }
    let mut digits = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut remainder = 0u32;
        for byte in &mut magnitude {
            let value = (remainder << 8) | u32::from(*byte);
            *byte = (value / 10) as u8;
            remainder = value % 10;
        }
        digits.push(b'0' + remainder as u8);
    }
    if digits.is_empty() {
        return "0".into();
    }
    digits.reverse();
    let digits: String = digits.into_iter().map(char::from).collect();
    if negative {
        format!("-{digits}")
    } else {
        digits
    }
}

/// The shortest big-endian two's-complement bytes of a decimal number, or nothing if it is not one.
pub fn from_decimal(text: &str) -> Option<Vec<u8>> {
    let (negative, digits) = text
        .strip_prefix('-')
        .map_or((false, text), |digits| (true, digits));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut magnitude = vec![0u8];
    for digit in digits.bytes() {
        let mut carry = u32::from(digit - b'0');
        for byte in magnitude.iter_mut().rev() {
            let value = u32::from(*byte) * 10 + carry;
            *byte = value as u8;
            carry = value >> 8;
        }
        if carry > 0 {
            magnitude.insert(0, carry as u8);
        }
    }
    magnitude.insert(0, 0);
    if negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            let (sum, carried) = (!*byte).overflowing_add(u8::from(carry));
            *byte = sum;
            carry = carried;
        }
    }
    while magnitude.len() > 1
        && matches!((magnitude[0], magnitude[1] & 0x80), (0, 0) | (0xff, 0x80))
    {
        magnitude.remove(0);
    }
    Some(magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_bytes_agree() {
        for value in [
            0i128,
            1,
            -1,
            127,
            128,
            -128,
            -129,
            255,
            256,
            -256,
            i64::MIN as i128,
            1 << 100,
            -(1 << 100),
        ] {
            let bytes = from_decimal(&value.to_string()).unwrap();
            assert_eq!(to_decimal(&bytes), value.to_string());
            let wide = value.to_be_bytes();
            assert_eq!(to_decimal(&wide), value.to_string());
            assert!(wide.ends_with(&bytes));
        }
        assert_eq!(from_decimal("128").unwrap(), [0, 128]);
        assert_eq!(from_decimal("-128").unwrap(), [128]);
    }
}
