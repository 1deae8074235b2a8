//! What a run found, for people: a table, a plot, and the document that holds both.

pub mod document;
pub mod plot;
pub mod table;

/// Title of the target that the others are compared with.
pub const ORACLE: &str = "Apache Cassandra 5.0.6";
/// Title of the target that has goals.
pub const HELENUS: &str = "Helenus";

/// A number as people read it: three significant digits, thousands apart.
pub fn readable(value: f64) -> String {
    match value {
        value if value >= 999_950.0 => format!("{:.2} million", value / 1e6),
        value if value >= 1000.0 => {
            let rounded = (value / 100.0).round() as u64 * 100;
            format!("{},{:03}", rounded / 1000, rounded % 1000)
        }
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!(readable(163_449.0), "163,400");
        assert_eq!(readable(999_960.0), "1.00 million");
        assert_eq!(readable(1_334_354.0), "1.33 million");
        assert_eq!(readable(145.3), "145");
        assert_eq!(readable(41.84), "41.8");
        assert_eq!(readable(0.523), "0.52");
    }
}
