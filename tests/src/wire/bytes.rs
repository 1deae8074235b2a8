//! Reading and writing the notations of section 3 of the protocol specification: `[short]`, `[string]`, `[bytes]` ….

use super::{WireError, WireResult};

/// A cursor over one message body. Every read is checked against what is left.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `body`.
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` bytes as they are.
    pub fn take(&mut self, count: usize) -> WireResult<&'a [u8]> {
        if count > self.rest.len() {
            return Err(WireError::Malformed(format!(
                "{count} bytes wanted, {} left",
                self.rest.len()
            )));
        }
        let (head, tail) = self.rest.split_at(count);
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> WireResult<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// One byte.
    pub fn byte(&mut self) -> WireResult<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// `[short]`: two bytes, unsigned.
    pub fn short(&mut self) -> WireResult<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// `[int]`: four bytes, signed.
    pub fn int(&mut self) -> WireResult<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// `[long]`: eight bytes, signed.
    pub fn long(&mut self) -> WireResult<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// `[uuid]`.
    pub fn uuid(&mut self) -> WireResult<[u8; 16]> {
        self.array()
    }

    fn text(&mut self, length: usize) -> WireResult<String> {
        String::from_utf8(self.take(length)?.to_vec())
            .map_err(|_| WireError::Malformed("a string is not UTF-8".into()))
    }

    /// `[string]`: a `[short]` length and UTF-8.
    pub fn string(&mut self) -> WireResult<String> {
        let length = self.short()?;
        self.text(usize::from(length))
    }

    /// `[string list]`.
    pub fn string_list(&mut self) -> WireResult<Vec<String>> {
        (0..self.short()?).map(|_| self.string()).collect()
    }

    /// `[short bytes]`.
    pub fn short_bytes(&mut self) -> WireResult<&'a [u8]> {
        let length = self.short()?;
        self.take(usize::from(length))
    }

    /// `[bytes]`: an `[int]` length, negative for null.
    pub fn bytes(&mut self) -> WireResult<Option<&'a [u8]>> {
        let length = self.int()?;
        usize::try_from(length)
            .ok()
            .map(|length| self.take(length))
            .transpose()
    }

    /// `[inet]`: address and port.
    pub fn inet(&mut self) -> WireResult<String> {
        let length = self.byte()?;
        let address = super::render::inet(self.take(usize::from(length))?);
        Ok(format!("{address}:{}", self.int()?))
    }

    /// `[unsigned vint]`: the number of leading one bits of the first byte is the number of bytes that follow.
    pub fn unsigned_vint(&mut self) -> WireResult<u64> {
        let first = self.byte()?;
        let extra = first.leading_ones() as usize;
        let mut value = if extra >= 7 {
            0
        } else {
            u64::from(first & (0x7f >> extra))
        };
        for byte in self.take(extra)? {
            value = (value << 8) | u64::from(*byte);
        }
        Ok(value)
    }

    /// `[vint]`: an unsigned vint, zigzag coded.
    pub fn vint(&mut self) -> WireResult<i64> {
        let raw = self.unsigned_vint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }
}

/// Appends a `[string]`.
pub fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

/// Appends a `[long string]`.
pub fn put_long_string(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, Some(text.as_bytes()));
}

/// Appends `[bytes]`, null for `None`.
pub fn put_bytes(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            out.extend((value.len() as i32).to_be_bytes());
            out.extend(value);
        }
        None => out.extend((-1i32).to_be_bytes()),
    }
}

/// Appends an `[unsigned vint]`.
pub fn put_unsigned_vint(out: &mut Vec<u8>, value: u64) {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    let extra = if bits > 56 { 8 } else { (bits - 1) / 7 };
    let all = value.to_be_bytes();
    if extra == 8 {
        out.push(0xff);
        out.extend(all);
        return;
    }
    let start = out.len();
    out.extend(&all[7 - extra..]);
    out[start] |= !(0xffu8 >> extra);
}

/// Appends a `[vint]`.
pub fn put_vint(out: &mut Vec<u8>, value: i64) {
    put_unsigned_vint(out, ((value << 1) ^ (value >> 63)) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vint_comes_back_as_written_at_every_width() {
        for shift in 0..63 {
            for value in [
                1i64 << shift,
                (1i64 << shift) - 1,
                -(1i64 << shift),
                i64::MIN,
                i64::MAX,
            ] {
                let mut out = Vec::new();
                put_vint(&mut out, value);
                let mut reader = Reader::new(&out);
                assert_eq!(reader.vint().unwrap(), value);
                assert!(reader.rest().is_empty());
            }
        }
    }

    #[test]
    fn the_specification_example_of_a_vint() {
        let mut out = Vec::new();
        put_unsigned_vint(&mut out, 256_000);
        assert_eq!(out, [0b1100_0011, 0b1110_1000, 0b0000_0000]);
    }

    #[test]
    fn a_short_body_is_an_error() {
        assert!(Reader::new(&[0, 5, b'a']).string().is_err());
    }
}
