//! Appends the protocol's notations to an out-buffer.

use std::net::IpAddr;

/// The notations of section 3, appended in place.
pub trait Put {
    /// `[byte]`.
    fn put_byte(&mut self, value: u8);
    /// `[short]`.
    fn put_short(&mut self, value: u16);
    /// `[int]`.
    fn put_int(&mut self, value: i32);
    /// `[string]`. A text above 65,535 bytes, which only an error message can be, is cut at a character.
    fn put_string(&mut self, text: &str);
    /// `[bytes]`, null as length −1.
    fn put_bytes(&mut self, bytes: Option<&[u8]>);
    /// `[short bytes]`; `bytes` is an id and never above 65,535 long.
    fn put_short_bytes(&mut self, bytes: &[u8]);
    /// `[string list]`.
    fn put_string_list<S: AsRef<str>>(&mut self, strings: &[S]);
    /// `[inetaddr]`.
    fn put_address(&mut self, address: IpAddr);
}

impl Put for Vec<u8> {
    fn put_byte(&mut self, value: u8) {
        self.push(value);
    }

    fn put_short(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    fn put_int(&mut self, value: i32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_string(&mut self, text: &str) {
        let cut = text.floor_char_boundary(usize::from(u16::MAX));
        self.put_short(cut as u16);
        self.extend_from_slice(&text.as_bytes()[..cut]);
    }

    #[inline]
    fn put_bytes(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                debug_assert!(i32::try_from(bytes.len()).is_ok());
                self.reserve(4 + bytes.len());
                self.put_int(bytes.len() as i32);
                self.extend_from_slice(bytes);
            }
            None => self.put_int(-1),
        }
    }

    fn put_short_bytes(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).expect("ids are short");
        self.put_short(length);
        self.extend_from_slice(bytes);
    }

    fn put_string_list<S: AsRef<str>>(&mut self, strings: &[S]) {
        let strings = &strings[..strings.len().min(usize::from(u16::MAX))];
        self.put_short(strings.len() as u16);
        for text in strings {
            self.put_string(text.as_ref());
        }
    }

    fn put_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                self.put_byte(4);
                self.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                self.put_byte(16);
                self.extend_from_slice(&address.octets());
            }
        }
    }
}
