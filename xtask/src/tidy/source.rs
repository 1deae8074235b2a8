//! A Rust source file, once as it is and once with strings and comments blanked, so that a check looks at code alone.

/// A source file.
pub struct Source {
    /// Path from the repository's top.
    pub path: String,
    /// Lines as they are.
    pub lines: Vec<String>,
    /// The same lines with the content of strings, characters and comments replaced by spaces.
    pub code: Vec<String>,
}

/// A function with its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// First line, from 1.
    pub line: usize,
    /// Lines from the signature to the closing brace.
    pub length: usize,
}

impl Source {
    /// Reads a file's text.
    pub fn new(path: String, text: String) -> Self {
        let code = blank(&text).lines().map(str::to_owned).collect();
        Self {
            path,
            lines: text.lines().map(str::to_owned).collect(),
            code,
        }
    }

    /// The crate directory's name for `crates/NAME/…`, otherwise the first part of the path.
    pub fn home(&self) -> &str {
        let path = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        path.split('/').next().unwrap_or(path)
    }

    /// Functions that have a body, in order of their closing braces.
    pub fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        // Functions whose signature is open, and those whose body is, each with the depth it closes at.
        let mut signature: Option<(String, usize)> = None;
        let mut bodies: Vec<(String, usize, usize)> = Vec::new();
        let mut depth = 0usize;
        let mut brackets = 0usize;
        for (index, line) in self.code.iter().enumerate() {
            for (at, c) in line.char_indices() {
                match c {
                    '[' | '(' => brackets += 1,
                    ']' | ')' => brackets = brackets.saturating_sub(1),
                    // A semicolon within brackets belongs to an array type, not to a function without body.
                    ';' if brackets == 0 => signature = None,
                    '{' => {
                        depth += 1;
                        bodies.extend(signature.take().map(|(name, start)| (name, start, depth)));
                    }
                    '}' => {
                        if bodies.last().is_some_and(|(_, _, opened)| *opened == depth) {
                            let (name, start, _) = bodies.pop().unwrap_or_default();
                            found.push(Function {
                                name,
                                line: start + 1,
                                length: index - start + 1,
                            });
                        }
                        depth = depth.saturating_sub(1);
                    }
                    'f' => {
                        signature = function_name(line, at)
                            .map(|name| (name, index))
                            .or(signature);
                    }
                    _ => {}
                }
            }
        }
        found
    }
}

/// The name after `fn ` if it stands at `at` as a word of its own.
fn function_name(line: &str, at: usize) -> Option<String> {
    let before = line[..at].chars().next_back();
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let rest = line[at..].strip_prefix("fn ")?;
    let name: String = rest
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

/// Replaces the content of strings, characters and comments by spaces; keeps lines.
fn blank(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => string(rest),
            ['r', '"' | '#', ..] if !follows_word(&bytes, at) => raw_string(rest),
            ['\'', ..] => character(rest),
            _ => 0,
        };
        if length == 0 {
            out.push(bytes[at]);
            at += 1;
        } else {
            out.extend(
                rest[..length]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at += length;
        }
    }
    out
}

fn follows_word(text: &[char], at: usize) -> bool {
    at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_') && text[at - 1] != 'b'
}

fn block_comment(text: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match text[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// Length of `r"…"`, `r#"…"#` …; 0 if it is a raw identifier.
fn raw_string(text: &[char]) -> usize {
    let hashes = text[1..].iter().take_while(|c| **c == '#').count();
    if text.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut at = 2 + hashes;
    while at < text.len() {
        if text[at] == '"'
            && text[at + 1..]
                .iter()
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
        {
            return at + 1 + hashes;
        }
        at += 1;
    }
    text.len()
}

/// Length of a character literal; 0 if the quote begins a lifetime.
fn character(text: &[char]) -> usize {
    match text {
        ['\'', '\\', _, rest @ ..] => rest
            .iter()
            .position(|c| *c == '\'')
            .map_or(0, |end| end + 4),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_blanked() {
        let text =
            "let a = \"fn x { \\\" }\"; // fn y {\nlet b = r#\"}\"#; let c = '{'; fn f<'a>() {}\n";
        let code = blank(text);
        assert!(!code.contains("fn x") && !code.contains("fn y"));
        assert_eq!(code.matches('{').count(), 1);
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn functions_are_measured() {
        let text =
            "trait T { fn no_body(&self) -> [u8; 2]; }\nfn outer() {\n    fn inner() {\n    }\n}\n";
        let source = Source::new("a.rs".into(), text.into());
        let found: Vec<(String, usize, usize)> = source
            .functions()
            .into_iter()
            .map(|function| (function.name, function.line, function.length))
            .collect();
        assert_eq!(found, [("inner".into(), 3, 2), ("outer".into(), 2, 4)]);
    }
}
