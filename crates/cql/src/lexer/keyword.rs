//! The keywords of CQL 3.4.7 and how far each may also serve as a name.
//!
//! The table is sorted by length and text, so that a word is found by a binary search among the few keywords of its
//! length. Which word is reserved was taken from the behaviour of Cassandra 5.0.6.

use super::Kind;

/// Where a keyword may stand for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Never, unless quoted.
    Reserved,
    /// Anywhere, also as the name of a type or a function.
    Basic,
    /// The name of a native type: also a column, table or function, never a user type.
    NativeType,
    /// A column or table, never a function or a user type.
    Special,
}

macro_rules! keywords {
    ($($name:ident $text:literal $class:ident;)*) => {
        /// A keyword.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is the word it is named after")]
        pub enum Keyword { $($name,)* }

        /// Sorted by length, then text.
        const TABLE: &[(&str, Keyword, Class)] = &[$(($text, Keyword::$name, Class::$class),)*];
    };
}

keywords! {
    As "as" Basic;
    By "by" Reserved;
    If "if" Reserved;
    In "in" Reserved;
    Is "is" Reserved;
    Of "of" Reserved;
    On "on" Reserved;
    Or "or" Reserved;
    To "to" Reserved;
    Add "add" Reserved;
    All "all" Basic;
    And "and" Reserved;
    Ann "ann" Basic;
    Asc "asc" Reserved;
    Int "int" NativeType;
    Key "key" Special;
    Map "map" Basic;
    Not "not" Reserved;
    Per "per" Basic;
    Set "set" Reserved;
    Ttl "ttl" Special;
    Use "use" Reserved;
    Blob "blob" NativeType;
    Cast "cast" Special;
    Date "date" NativeType;
    Desc "desc" Reserved;
    Drop "drop" Reserved;
    From "from" Reserved;
    Full "full" Reserved;
    Inet "inet" NativeType;
    Into "into" Reserved;
    Json "json" Special;
    Keys "keys" Basic;
    Like "like" Basic;
    List "list" Basic;
    Null "null" Reserved;
    Only "only" Basic;
    Role "role" Basic;
    Text "text" NativeType;
    Time "time" NativeType;
    Type "type" Basic;
    User "user" Basic;
    Uuid "uuid" NativeType;
    View "view" Reserved;
    With "with" Reserved;
    Allow "allow" Reserved;
    Alter "alter" Reserved;
    Apply "apply" Reserved;
    Ascii "ascii" NativeType;
    Batch "batch" Reserved;
    Begin "begin" Reserved;
    Cidrs "cidrs" Basic;
    Count "count" Special;
    Float "float" NativeType;
    Grant "grant" Reserved;
    Group "group" Basic;
    Index "index" Reserved;
    Input "input" Basic;
    Limit "limit" Reserved;
    Login "login" Basic;
    Mbean "mbean" Basic;
    Order "order" Reserved;
    Roles "roles" Basic;
    Sfunc "sfunc" Basic;
    Stype "stype" Basic;
    Table "table" Reserved;
    Token "token" Reserved;
    Tuple "tuple" Basic;
    Types "types" Basic;
    Unset "unset" Basic;
    Users "users" Basic;
    Using "using" Reserved;
    Where "where" Reserved;
    Access "access" Basic;
    Bigint "bigint" NativeType;
    Called "called" Basic;
    Create "create" Reserved;
    Custom "custom" Basic;
    Delete "delete" Reserved;
    Double "double" NativeType;
    Exists "exists" Basic;
    Frozen "frozen" Basic;
    Hashed "hashed" Basic;
    Insert "insert" Reserved;
    Masked "masked" Basic;
    Mbeans "mbeans" Basic;
    Modify "modify" Reserved;
    Rename "rename" Reserved;
    Revoke "revoke" Reserved;
    Schema "schema" Reserved;
    Select "select" Reserved;
    Static "static" Basic;
    Tables "tables" Basic;
    Unmask "unmask" Basic;
    Update "update" Reserved;
    Values "values" Basic;
    Varint "varint" NativeType;
    Vector "vector" Basic;
    Boolean "boolean" NativeType;
    Cluster "cluster" Basic;
    Compact "compact" Basic;
    Counter "counter" NativeType;
    Decimal "decimal" NativeType;
    Default "default" Basic;
    Entries "entries" Reserved;
    Execute "execute" Reserved;
    Nologin "nologin" Basic;
    Options "options" Basic;
    Primary "primary" Reserved;
    Replace "replace" Basic;
    Returns "returns" Basic;
    Storage "storage" Basic;
    Tinyint "tinyint" NativeType;
    Trigger "trigger" Basic;
    Varchar "varchar" NativeType;
    Contains "contains" Basic;
    Describe "describe" Reserved;
    Distinct "distinct" Special;
    Duration "duration" NativeType;
    Function "function" Basic;
    Identity "identity" Basic;
    Initcond "initcond" Basic;
    Keyspace "keyspace" Reserved;
    Language "language" Basic;
    Password "password" Basic;
    Smallint "smallint" NativeType;
    Timeuuid "timeuuid" NativeType;
    Truncate "truncate" Reserved;
    Unlogged "unlogged" Reserved;
    Aggregate "aggregate" Basic;
    Authorize "authorize" Reserved;
    Filtering "filtering" Basic;
    Finalfunc "finalfunc" Basic;
    Functions "functions" Basic;
    Internals "internals" Basic;
    Keyspaces "keyspaces" Basic;
    Partition "partition" Basic;
    Superuser "superuser" Basic;
    Timestamp "timestamp" NativeType;
    Writetime "writetime" Special;
    Aggregates "aggregates" Basic;
    Clustering "clustering" Basic;
    Permission "permission" Basic;
    Datacenters "datacenters" Basic;
    Norecursive "norecursive" Reserved;
    Nosuperuser "nosuperuser" Basic;
    Permissions "permissions" Basic;
    Columnfamily "columnfamily" Reserved;
    Materialized "materialized" Reserved;
    Maxwritetime "maxwritetime" Special;
    SelectMasked "select_masked" Basic;
    Columnfamilies "columnfamilies" Basic;
}

/// Length of the longest keyword.
const LONGEST: usize = 14;

/// `FIRST[n]` is the index of the first keyword of at least `n` bytes.
const FIRST: [usize; LONGEST + 2] = {
    let mut first = [0; LONGEST + 2];
    let mut length = 0;
    while length < first.len() {
        let mut index = 0;
        while index < TABLE.len() && TABLE[index].0.len() < length {
            index += 1;
        }
        first[length] = index;
        length += 1;
    }
    first
};

impl Keyword {
    /// The keyword in lower case.
    pub fn text(self) -> &'static str {
        TABLE[self as usize].0
    }

    /// Where it may stand for a name.
    pub fn class(self) -> Class {
        TABLE[self as usize].2
    }
}

/// The kind of a word: a keyword, a constant that looks like one, or a name.
pub fn classify(word: &[u8]) -> Kind {
    if word.len() > LONGEST {
        return Kind::Ident;
    }
    let mut lower = [0; LONGEST];
    let lower = &mut lower[..word.len()];
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    let same_length = &TABLE[FIRST[word.len()]..FIRST[word.len() + 1]];
    match same_length.binary_search_by(|(text, _, _)| text.as_bytes().cmp(lower)) {
        // Two spellings of one word each: the parser knows only the first.
        Ok(found) => match same_length[found].1 {
            Keyword::Table => Kind::Keyword(Keyword::Columnfamily),
            Keyword::Columnfamilies => Kind::Keyword(Keyword::Tables),
            keyword => Kind::Keyword(keyword),
        },
        Err(_) => match &*lower {
            b"true" | b"false" => Kind::Boolean,
            b"nan" => Kind::Nan,
            b"infinity" => Kind::PositiveInfinity,
            _ => Kind::Ident,
        },
    }
}

/// Whether a lower-case word means something else than a name wherever it stands unquoted.
pub fn is_reserved(word: &str) -> bool {
    match classify(word.as_bytes()) {
        Kind::Keyword(keyword) => keyword.class() == Class::Reserved,
        Kind::Ident => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_indexed_by_the_keyword() {
        for pair in TABLE.windows(2) {
            assert!(
                (pair[0].0.len(), pair[0].0) < (pair[1].0.len(), pair[1].0),
                "{} before {}",
                pair[0].0,
                pair[1].0
            );
        }
        for (index, (text, keyword, _)) in TABLE.iter().enumerate() {
            assert_eq!(*keyword as usize, index);
            assert_eq!(keyword.text(), *text);
            assert!(text.len() <= LONGEST);
        }
    }

    #[test]
    fn every_keyword_is_found_in_any_case() {
        for (text, keyword, _) in TABLE {
            let expected = match keyword {
                Keyword::Table => Keyword::Columnfamily,
                Keyword::Columnfamilies => Keyword::Tables,
                other => *other,
            };
            assert_eq!(classify(text.as_bytes()), Kind::Keyword(expected));
            assert_eq!(
                classify(text.to_uppercase().as_bytes()),
                Kind::Keyword(expected)
            );
        }
        assert_eq!(classify(b"name"), Kind::Ident);
        assert_eq!(classify(b"NaN"), Kind::Nan);
    }
}
