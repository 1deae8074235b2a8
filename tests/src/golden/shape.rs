//! Counts statements that are distinct by shape: two that differ only in their constants, white space or case of
//! keywords, are sent the same way and end the same way count once.

use super::script::Block;

/// A statement with its constants replaced by their kind.
pub fn shape(block: &Block) -> String {
    let mut out = skeleton(&block.text());
    for (name, argument) in &block.directives {
        let argument = if name == "bind" {
            skeleton(argument)
        } else {
            argument.clone()
        };
        out += &format!(" @{name}:{argument}");
    }
    let end = block
        .answer
        .iter()
        .find(|line| line.starts_with("error: "))
        .map_or("accepted", |line| line.as_str());
    format!("{out} => {end}")
}

fn skeleton(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                skip_quoted(&mut chars, '\'');
                out.push_str("''");
            }
            '"' => {
                out.push('"');
                while let Some(inner) = chars.next_if(|c| *c != '"') {
                    out.push(inner);
                }
                chars.next();
                out.push('"');
            }
            c if c.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            c if c.is_ascii_digit()
                && !out.ends_with(|last: char| last.is_alphanumeric() || last == '_') =>
            {
                while chars
                    .next_if(|c| c.is_ascii_alphanumeric() || *c == '.' || *c == '-')
                    .is_some()
                {}
                out.push('0');
            }
            c => out.extend(c.to_lowercase()),
        }
    }
    out.trim().to_owned()
}

fn skip_quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, quote: char) {
    while let Some(c) = chars.next() {
        if c == quote && chars.next_if_eq(&quote).is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_do_not_make_a_shape() {
        let same = skeleton("SELECT  a FROM t WHERE k = 12 AND v1 = 'it''s'");
        assert_eq!(same, skeleton("select a from t where k = 7 and v1 = 'x'"));
        assert_eq!(same, "select a from t where k = 0 and v1 = ''");
        assert_ne!(same, skeleton("select a from t where k = 7 and v1 > 'x'"));
    }
}
