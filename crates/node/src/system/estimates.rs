//! `system.size_estimates` and `table_estimates`: how much of each table lies in each range this node is the first
//! replica of. Bulk readers split their work by it.
//!
//! Partitions are spread evenly over the ring by their hash, so a range holds its share of a table's.

use super::rows::Rows;
use super::values::{bigint, text};
use super::view::NodeView;
use model::key::Token;
use model::schema::{Table, TableKind};

/// A range of tokens, `start` excluded, and the part of the ring it is. An end of [`Token::MIN`] is the ring's end.
struct Range {
    start: Token,
    end: Token,
    share: f64,
}

/// The ranges this node comes first for; the one around the ring's ends as two.
fn primary_ranges(view: &NodeView<'_>) -> Vec<Range> {
    let local = view.topology.local;
    let owned = view.topology.nodes.iter().flat_map(|node| {
        node.tokens
            .iter()
            .map(move |token| (*token, node.id == local))
    });
    let mut ring: Vec<(Token, bool)> = owned.collect();
    ring.sort_unstable();
    let Some(&(last, _)) = ring.last() else {
        return Vec::new();
    };
    let range = |start: Token, end: Token| {
        let width = if end == Token::MIN {
            i128::from(i64::MAX) - i128::from(start.0)
        } else {
            i128::from(end.0) - i128::from(start.0)
        };
        Range {
            start,
            end,
            share: width as f64 / 2f64.powi(64),
        }
    };
    let mut ranges = Vec::new();
    let mut start = Token::MIN;
    for (token, own) in &ring {
        if *own {
            ranges.push(range(start, *token));
        }
        start = *token;
    }
    if ring[0].1 {
        ranges.push(range(last, Token::MIN));
    }
    ranges
}

/// Tables with their keyspace, partitions on this node and mean bytes of a partition.
fn sizes<'a>(view: &'a NodeView<'_>) -> impl Iterator<Item = (&'a Table, u64, u64)> {
    let tables = view
        .schema
        .tables()
        .filter(|table| table.kind == TableKind::Stored);
    tables.map(|table| {
        let facts = view.facts.iter().flat_map(|facts| &facts.tables);
        let mut partitions = 0;
        let mut bytes = 0;
        for fact in facts.filter(|fact| fact.table == table.id) {
            partitions += fact.partitions;
            bytes += fact.partitions * fact.mean_partition_bytes;
        }
        (
            table.as_ref(),
            partitions,
            bytes.checked_div(partitions).unwrap_or(0),
        )
    })
}

pub(super) fn size_estimates(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    let ranges = primary_ranges(view);
    let whole: f64 = ranges.iter().map(|range| range.share).sum();
    for (table, partitions, mean) in sizes(view) {
        for range in &ranges {
            let count = partitions as f64 * range.share / whole;
            rows.row()
                .set("keyspace_name", text(&table.keyspace))
                .set("table_name", text(&table.name))
                .set("range_start", text(range.start.0.to_string()))
                .set("range_end", text(range.end.0.to_string()))
                .set("mean_partition_size", bigint(mean))
                .set("partitions_count", bigint(count.round() as u64))
                .add();
        }
    }
}

pub(super) fn table_estimates(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    let ranges = primary_ranges(view);
    let whole: f64 = ranges.iter().map(|range| range.share).sum();
    for (table, partitions, mean) in sizes(view) {
        for kind in ["primary", "local_primary"] {
            for range in &ranges {
                let count = partitions as f64 * range.share / whole;
                rows.row()
                    .set("keyspace_name", text(&table.keyspace))
                    .set("table_name", text(&table.name))
                    .set("range_type", text(kind))
                    .set("range_start", text(range.start.0.to_string()))
                    .set("range_end", text(range.end.0.to_string()))
                    .set("mean_partition_size", bigint(mean))
                    .set("partitions_count", bigint(count.round() as u64))
                    .add();
            }
        }
    }
}
