//! SELECT.

use super::cursor::Parser;
use super::error::SyntaxError;
use super::names::is_name;
use crate::ast::{Direction, Ordering, Select};
use crate::lexer::{Keyword as K, Kind};

impl Parser<'_> {
    /// What follows SELECT.
    pub fn select(&mut self) -> Result<Select, SyntaxError> {
        let json = self.accept_modifier(K::Json);
        let distinct = self.accept_modifier(K::Distinct);
        let selection = self.selection()?;
        self.expect_after_selection(K::From)?;
        let table = self.table_name()?;
        let relations = if self.accept_keyword(K::Where) {
            self.where_clause()?
        } else {
            Vec::new()
        };
        let mut group_by = Vec::new();
        if self.accept_keyword(K::Group) {
            self.expect_keyword(K::By)?;
            group_by = self.separated(Kind::Comma, Self::selector)?;
        }
        let mut order_by = Vec::new();
        if self.accept_keyword(K::Order) {
            self.expect_keyword(K::By)?;
            order_by = self.separated(Kind::Comma, Self::ordering)?;
        }
        let mut per_partition_limit = None;
        if self.accept_keyword(K::Per) {
            self.expect_keyword(K::Partition)?;
            self.expect_keyword(K::Limit)?;
            per_partition_limit = Some(self.integer_or_marker()?);
        }
        let limit = if self.accept_keyword(K::Limit) {
            Some(self.integer_or_marker()?)
        } else {
            None
        };
        let allow_filtering = self.accept_keyword(K::Allow);
        if allow_filtering {
            self.expect_keyword(K::Filtering)?;
        }
        let timeout = self.using_timeout();
        Ok(Select {
            table,
            json,
            distinct,
            selection,
            relations,
            group_by,
            order_by,
            per_partition_limit,
            limit,
            allow_filtering,
            timeout,
        })
    }

    /// Takes `USING TIMEOUT duration`, an extension that Scylla's drivers use when they read the schema.
    fn using_timeout(&mut self) -> Option<String> {
        let start = self.position();
        if self.accept_keyword(K::Using)
            && self.kind() == Kind::Ident
            && self.slice().eq_ignore_ascii_case("timeout")
        {
            self.advance();
            if self.kind() == Kind::Duration {
                let text = self.slice().to_owned();
                self.advance();
                return Some(text);
            }
        }
        self.rewind(start);
        None
    }

    /// Takes JSON or DISTINCT where it is not itself the column selected.
    fn accept_modifier(&mut self, modifier: K) -> bool {
        if self.kind() != Kind::Keyword(modifier) {
            return false;
        }
        let is_modifier = match self.kind_at(1) {
            Kind::Star => true,
            // `json AS x` names the column, `json as FROM` selects a column `as`.
            Kind::Keyword(K::As) => {
                !is_name(self.kind_at(2)) || self.kind_at(2) == Kind::Keyword(K::As)
            }
            _ => {
                let start = self.position();
                self.advance();
                let starts = self.at_selector();
                self.rewind(start);
                starts
            }
        };
        if is_modifier {
            self.advance();
        }
        is_modifier
    }

    /// FROM; a name there instead is reported like Cassandra does, as the end of the selector.
    pub fn expect_after_selection(&mut self, keyword: K) -> Result<(), SyntaxError> {
        if self.accept_keyword(keyword) {
            return Ok(());
        }
        match self.kind() {
            Kind::Star | Kind::Comma | Kind::LeftParen | Kind::LeftBracket | Kind::Dot => {
                Err(self.expected(Kind::Keyword(keyword)))
            }
            Kind::End => Err(self.no_alternative()),
            _ => Err(self.no_alternative_since(self.position().saturating_sub(1))),
        }
    }

    fn ordering(&mut self) -> Result<Ordering, SyntaxError> {
        let column = self.column()?;
        let mut nearest_to = None;
        if self.accept_keyword(K::Ann) {
            self.expect_keyword(K::Of)?;
            nearest_to = Some(self.term()?);
        }
        let direction = if self.accept_keyword(K::Desc) {
            Direction::Descending
        } else {
            self.accept_keyword(K::Asc);
            Direction::Ascending
        };
        Ok(Ordering {
            column,
            nearest_to,
            direction,
        })
    }
}
