//! The lexer: CQL text to tokens, by the rules of Cassandra 5.0's grammar.
//!
//! All tokens are made in one pass before parsing starts. A token is a kind and a byte range of the text; nothing is
//! copied until the parser asks for the text of a name or a literal. Comments and white space (space, tab, CR, LF and
//! nothing else) are dropped. A lexical error does not fail the pass: it becomes an [`Kind::Error`] token, so that a
//! syntax error to its left is reported first, as Cassandra does.
//!
//! Traps kept from Cassandra:
//! - a minus directly before a digit belongs to the number: `c -3` is a name and the integer -3;
//! - a `--` or `//` comment needs a line end: at the end of the text it is an error;
//! - a minus directly before a letter n, i or P begins `-NaN`, `-Infinity` or a duration, or is an error (`-name`);
//! - an integer directly followed by a hexadecimal letter is an error (`a=1AND …`), other letters start a new token;
//! - the five characters `expr(` in lower case are one token;
//! - durations such as `1h30m`, `P1Y2M` and `-PT5S` are tokens of their own, ISO forms in capitals only.

mod keyword;
mod number;

pub use keyword::{Class, Keyword, is_reserved};

/// What a token is. Names follow the token names Cassandra prints in syntax errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An unquoted name that is not a keyword.
    Ident,
    /// A name in double quotes, not empty.
    QuotedName,
    /// `""`.
    EmptyQuotedName,
    /// A string in single quotes.
    String,
    /// A string between `$$`.
    DollarString,
    /// An integer, with its sign.
    Integer,
    /// A number with a fraction or an exponent, with its sign.
    Float,
    /// `true` or `false`.
    Boolean,
    /// A duration, with its sign.
    Duration,
    /// A UUID.
    Uuid,
    /// `0x…`.
    Hex,
    /// `NaN`, with or without a minus.
    Nan,
    /// `Infinity`.
    PositiveInfinity,
    /// `-Infinity`.
    NegativeInfinity,
    /// A keyword, reserved or not.
    Keyword(Keyword),
    /// `expr(`.
    ExprOpen,
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `[`
    LeftBracket,
    /// `]`
    RightBracket,
    /// `{`
    LeftBrace,
    /// `}`
    RightBrace,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `:`
    Colon,
    /// `.`
    Dot,
    /// `..`
    Range,
    /// `?`
    QuestionMark,
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Star,
    /// `/`
    Slash,
    /// `%`
    Percent,
    /// `+=`
    PlusEqual,
    /// `-=`
    MinusEqual,
    /// Text no token matches; the reason is in [`Tokens::error`].
    Error,
    /// The end of the text.
    End,
}

/// A token: its kind and the bytes of the text it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Offset of its first byte.
    pub start: u32,
    /// Offset after its last byte.
    pub end: u32,
}

/// Why lexing stopped early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexError {
    /// No token starts with the character at this byte offset.
    UnexpectedCharacter(u32),
    /// The text ended inside a token; what was still expected.
    UnexpectedEnd(&'static str),
    /// A token broke off at this byte offset; what was expected instead.
    MismatchedCharacter(u32, &'static str),
}

/// The tokens of a text. The last one is always [`Kind::End`] or [`Kind::Error`].
#[derive(Debug)]
pub struct Tokens {
    /// The tokens in order.
    pub list: Vec<Token>,
    /// The reason of a final [`Kind::Error`].
    pub error: Option<LexError>,
}

/// Splits `text` into tokens. The text must be shorter than 4 GiB, which every frame is.
pub fn tokenize(text: &str) -> Tokens {
    assert!(
        u32::try_from(text.len()).is_ok(),
        "a statement is never 4 GiB long"
    );
    let mut lexer = Lexer {
        text,
        bytes: text.as_bytes(),
        at: 0,
    };
    let mut list = Vec::with_capacity(text.len() / 4 + 4);
    loop {
        let step = lexer.next();
        match step {
            Ok(token) => {
                list.push(token);
                if token.kind == Kind::End {
                    return Tokens { list, error: None };
                }
            }
            Err(error) => {
                list.push(Token {
                    kind: Kind::Error,
                    start: lexer.at as u32,
                    end: text.len() as u32,
                });
                return Tokens {
                    list,
                    error: Some(error),
                };
            }
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        // NUL stands for the end: it starts no token, so the two need not be told apart here.
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn token(&mut self, kind: Kind, length: usize) -> Token {
        let start = self.at as u32;
        self.at += length;
        debug_assert!(self.at <= self.bytes.len());
        Token {
            kind,
            start,
            end: self.at as u32,
        }
    }

    fn next(&mut self) -> Result<Token, LexError> {
        self.skip_blank()?;
        if self.at >= self.bytes.len() {
            return Ok(self.token(Kind::End, 0));
        }
        let next = self.peek(1);
        let (kind, length) = match self.peek(0) {
            b'(' => (Kind::LeftParen, 1),
            b')' => (Kind::RightParen, 1),
            b'[' => (Kind::LeftBracket, 1),
            b']' => (Kind::RightBracket, 1),
            b'{' => (Kind::LeftBrace, 1),
            b'}' => (Kind::RightBrace, 1),
            b',' => (Kind::Comma, 1),
            b';' => (Kind::Semicolon, 1),
            b':' => (Kind::Colon, 1),
            b'?' => (Kind::QuestionMark, 1),
            b'.' if next == b'.' => (Kind::Range, 2),
            b'.' => (Kind::Dot, 1),
            b'=' => (Kind::Equal, 1),
            b'<' if next == b'=' => (Kind::LessEqual, 2),
            b'<' => (Kind::Less, 1),
            b'>' if next == b'=' => (Kind::GreaterEqual, 2),
            b'>' => (Kind::Greater, 1),
            b'!' if next == b'=' => (Kind::NotEqual, 2),
            b'+' if next == b'=' => (Kind::PlusEqual, 2),
            b'+' => (Kind::Plus, 1),
            b'-' => return self.minus(),
            b'*' => (Kind::Star, 1),
            b'/' => (Kind::Slash, 1),
            b'%' => (Kind::Percent, 1),
            b'\'' => return self.string(),
            b'"' => return self.quoted_name(),
            b'$' if next == b'$' => return self.dollar_string(),
            b'0'..=b'9' => return self.number(0),
            b'a'..=b'z' | b'A'..=b'Z' => return Ok(self.word()),
            _ => return Err(LexError::UnexpectedCharacter(self.at as u32)),
        };
        Ok(self.token(kind, length))
    }

    fn skip_blank(&mut self) -> Result<(), LexError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (b' ' | b'\t' | b'\n' | b'\r', _) => self.at += 1,
                (b'-', b'-') | (b'/', b'/') => {
                    let rest = &self.bytes[self.at..];
                    let Some(length) = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r')
                    else {
                        return Err(LexError::UnexpectedEnd("set null"));
                    };
                    self.at += length + 1;
                }
                (b'/', b'*') => {
                    let Some(length) = self.text[self.at + 2..].find("*/") else {
                        return Err(LexError::UnexpectedEnd("'*'"));
                    };
                    self.at += length + 4;
                }
                _ => return Ok(()),
            }
        }
    }

    fn minus(&mut self) -> Result<Token, LexError> {
        match self.peek(1) {
            b'0'..=b'9' => self.number(1),
            b'=' => Ok(self.token(Kind::MinusEqual, 2)),
            b'P' => match number::iso_duration(&self.bytes[self.at + 1..]) {
                Some(length) => Ok(self.token(Kind::Duration, length + 1)),
                None => Err(LexError::UnexpectedCharacter((self.at + 2) as u32)),
            },
            b'n' | b'N' => self.negative(b"nan", Kind::Nan),
            b'i' | b'I' => self.negative(b"infinity", Kind::NegativeInfinity),
            _ => Ok(self.token(Kind::Minus, 1)),
        }
    }

    /// A minus before the first letter of `word`, which the grammar takes for the whole word: `-name` is an error.
    fn negative(&mut self, word: &[u8], kind: Kind) -> Result<Token, LexError> {
        let rest = &self.bytes[self.at + 1..];
        let same = rest
            .iter()
            .zip(word)
            .take_while(|(found, wanted)| found.eq_ignore_ascii_case(wanted))
            .count();
        if same == word.len() {
            return Ok(self.token(kind, word.len() + 1));
        }
        let at = self.at + 1 + same;
        Err(if at < self.bytes.len() {
            LexError::MismatchedCharacter(at as u32, "set null")
        } else {
            LexError::UnexpectedEnd("set null")
        })
    }

    /// A number, hexadecimal blob, duration or UUID whose first digit is `sign` bytes ahead.
    fn number(&mut self, sign: usize) -> Result<Token, LexError> {
        let rest = &self.bytes[self.at + sign..];
        if sign == 0 && number::is_uuid(rest) {
            return Ok(self.token(Kind::Uuid, number::UUID_LENGTH));
        }
        if sign == 0 && rest[0] == b'0' && matches!(self.peek(1), b'x' | b'X') {
            let digits = rest[2..]
                .iter()
                .take_while(|byte| byte.is_ascii_hexdigit())
                .count();
            return Ok(self.token(Kind::Hex, digits + 2));
        }
        match number::scan(rest) {
            Ok((kind, length)) => Ok(self.token(kind, length + sign)),
            Err(length) => {
                let at = self.at + sign + length;
                Err(if at >= self.bytes.len() {
                    LexError::UnexpectedEnd("set null")
                } else {
                    LexError::MismatchedCharacter(at as u32, "set null")
                })
            }
        }
    }

    fn string(&mut self) -> Result<Token, LexError> {
        match closing_quote(&self.bytes[self.at + 1..], b'\'') {
            Some(length) => Ok(self.token(Kind::String, length + 2)),
            None => Err(LexError::UnexpectedEnd("'''")),
        }
    }

    fn quoted_name(&mut self) -> Result<Token, LexError> {
        match closing_quote(&self.bytes[self.at + 1..], b'"') {
            Some(0) => Ok(self.token(Kind::EmptyQuotedName, 2)),
            Some(length) => Ok(self.token(Kind::QuotedName, length + 2)),
            None => Err(LexError::UnexpectedEnd("'\"'")),
        }
    }

    fn dollar_string(&mut self) -> Result<Token, LexError> {
        match self.text[self.at + 2..].find("$$") {
            Some(length) => Ok(self.token(Kind::DollarString, length + 4)),
            None => Err(LexError::UnexpectedEnd("'$'")),
        }
    }

    fn word(&mut self) -> Token {
        let rest = &self.bytes[self.at..];
        if number::is_uuid(rest) {
            return self.token(Kind::Uuid, number::UUID_LENGTH);
        }
        let length = word_length(rest);
        if rest[0] == b'P'
            && let Some(duration) = number::iso_duration(rest)
            && duration >= length
        {
            return self.token(Kind::Duration, duration);
        }
        if rest.starts_with(b"expr(") {
            return self.token(Kind::ExprOpen, 5);
        }
        let kind = keyword::classify(&rest[..length]);
        self.token(kind, length)
    }
}

/// Length of the run of letters, digits and underscores that `bytes` starts with.
fn word_length(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .count()
}

/// Length of quoted text up to its closing `quote`, doubled quotes included.
fn closing_quote(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes[at..].iter().position(|&byte| byte == quote)?;
        if bytes.get(at + 1) != Some(&quote) {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests;
