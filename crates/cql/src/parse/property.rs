//! `WITH name = value AND …`.

use super::cursor::Parser;
use super::error::SyntaxError;
use super::names::is_name;
use crate::ast::{Direction, Properties, PropertyValue, Term};
use crate::lexer::{Keyword as K, Kind};

impl Parser<'_> {
    /// The properties after WITH.
    pub fn properties(&mut self) -> Result<Properties, SyntaxError> {
        let mut properties = Properties::default();
        self.property(&mut properties)?;
        while self.accept_keyword(K::And) {
            self.property(&mut properties)?;
        }
        Ok(properties)
    }

    /// One property, added to the others.
    pub fn property(&mut self, properties: &mut Properties) -> Result<(), SyntaxError> {
        let start = self.position();
        let name = self.name()?;
        if self.kind() != Kind::Equal {
            return Err(self.no_alternative_since(start));
        }
        self.advance();
        let value = if self.kind() == Kind::LeftBrace {
            PropertyValue::Map(self.property_map()?)
        } else if let Some(constant) = self.constant()? {
            PropertyValue::Simple(constant.text)
        } else if matches!(self.kind(), Kind::Keyword(_)) && is_name(self.kind()) {
            let word = self.slice().to_owned();
            self.advance();
            PropertyValue::Simple(word)
        } else {
            return Err(self.no_alternative_since(start));
        };
        if properties.0.iter().any(|(other, _)| *other == name) {
            return Err(SyntaxError::new(format!(
                "Multiple definitions for property '{name}'"
            )));
        }
        properties.0.push((name, value));
        Ok(())
    }

    /// A map whose keys and values are constants.
    pub fn property_map(&mut self) -> Result<Vec<(String, String)>, SyntaxError> {
        let mut map: Vec<(String, String)> = Vec::new();
        for (key, value) in self.full_map()? {
            let hint = |term: &Term| match term {
                Term::Marker(_) => " (bind variables are not supported in DDL queries)",
                _ => "",
            };
            let Term::Literal(name) = &key else {
                return Err(SyntaxError::new(format!(
                    "Invalid property name: {key}{}",
                    hint(&key)
                )));
            };
            let Term::Literal(constant) = &value else {
                let hint = hint(&value);
                return Err(SyntaxError::new(format!(
                    "Invalid property value: {value} for property: {key}{hint}"
                )));
            };
            if map.iter().any(|(other, _)| *other == name.text) {
                return Err(SyntaxError::new(format!(
                    "Multiple definition for property {}",
                    name.text
                )));
            }
            map.push((name.text.clone(), constant.text.clone()));
        }
        Ok(map)
    }

    /// Whether `CLUSTERING ORDER` starts here.
    pub fn at_clustering_order(&self) -> bool {
        self.kind() == Kind::Keyword(K::Clustering) && self.kind_at(1) == Kind::Keyword(K::Order)
    }

    /// `CLUSTERING ORDER BY (a ASC, b DESC)`
    pub fn clustering_order(&mut self) -> Result<Vec<(String, Direction)>, SyntaxError> {
        self.expect_keyword(K::Clustering)?;
        self.expect_keyword(K::Order)?;
        self.expect_keyword(K::By)?;
        self.expect(Kind::LeftParen)?;
        let order = self.separated(Kind::Comma, |parser| {
            let column = parser.name()?;
            let direction = match parser.kind() {
                Kind::Keyword(K::Asc) => Direction::Ascending,
                Kind::Keyword(K::Desc) => Direction::Descending,
                _ => return Err(parser.no_alternative()),
            };
            parser.advance();
            Ok((column, direction))
        })?;
        self.expect(Kind::RightParen)?;
        Ok(order)
    }

    /// Whether `COMPACT STORAGE` starts here.
    pub fn at_compact_storage(&self) -> bool {
        self.kind() == Kind::Keyword(K::Compact) && self.kind_at(1) == Kind::Keyword(K::Storage)
    }
}
