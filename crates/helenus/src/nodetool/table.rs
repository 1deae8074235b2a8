//! Text in columns, as Cassandra's tools align it.

use std::fmt::Write;

/// Rows of cells; each column is as wide as its widest cell.
pub struct Table {
    delimiter: &'static str,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// No rows yet; this stands between columns.
    pub fn new(delimiter: &'static str) -> Self {
        Self {
            delimiter,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The text, with a line for each row.
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            for (place, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if place > 0 {
                    text.push_str(self.delimiter);
                }
                let _ = write!(text, "{cell:<width$}");
            }
            text.push('\n');
        }
        text
    }
}
