//! How much the golden scripts ask: statements, refusals and shapes, and the least there must be of them.
//!
//! A script that loses statements still passes; these figures are what keeps the whole from shrinking unseen.

use super::compare::Counts;
use super::script::Script;
use super::shape::shape;
use std::collections::BTreeSet;
use std::fmt;

/// Statements distinct by shape that the scripts must have at least.
pub const MIN_SHAPES: usize = 1_500;
/// Refusals among the shapes, in percent, that there must be at least: a grammar is known by what it refuses, too.
pub const MIN_REFUSED_PERCENT: usize = 30;

/// What a number of scripts ask.
#[derive(Debug, Default)]
pub struct Extent {
    statements: usize,
    refusals: usize,
    shapes: BTreeSet<String>,
}

impl Extent {
    /// Adds a script and gives how many of its shapes are new.
    pub fn add(&mut self, script: &Script) -> usize {
        let (counts, before) = (Counts::of(script), self.shapes.len());
        self.statements += counts.statements;
        self.refusals += counts.refusals;
        self.shapes.extend(script.blocks().map(shape));
        self.shapes.len() - before
    }

    /// An error with the figures if there are too few shapes, or too few refusals among them.
    pub fn judge(&self) -> Result<(), String> {
        let shapes = self.shapes.len();
        if shapes < MIN_SHAPES || self.refused_shapes() * 100 < MIN_REFUSED_PERCENT * shapes {
            return Err(format!(
                "{self}; at least {MIN_SHAPES} shapes are wanted, {MIN_REFUSED_PERCENT} % of them refused"
            ));
        }
        Ok(())
    }

    fn refused_shapes(&self) -> usize {
        let refused = |shape: &&String| shape.contains("=> error");
        self.shapes.iter().filter(refused).count()
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shapes, refused) = (self.shapes.len(), self.refused_shapes());
        write!(
            f,
            "{} statements, {} refused; {shapes} distinct by shape, {refused} of them refused ({} %)",
            self.statements,
            self.refusals,
            refused * 100 / shapes.max(1)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(accepted: usize, refused: usize) -> Extent {
        let shapes = (0..accepted).map(|n| format!("SELECT c{n} => accepted"));
        let errors = (0..refused).map(|n| format!("SELECT d{n} => error: Invalid 0x2200"));
        Extent {
            shapes: shapes.chain(errors).collect(),
            ..Extent::default()
        }
    }

    #[test]
    fn too_few_shapes_or_refusals_are_an_error() {
        assert_eq!(extent(1_050, 450).judge(), Ok(()));
        assert!(extent(1_049, 450).judge().is_err());
        let why = extent(1_051, 450).judge().unwrap_err();
        assert!(
            why.contains("1501 distinct by shape, 450 of them refused (29 %)"),
            "{why}"
        );
    }
}
