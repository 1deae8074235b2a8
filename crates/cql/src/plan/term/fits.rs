//! Whether a term could be given to something of a type, asked before it is prepared for that: literals of collections judge
//! their elements so, and say of which one they cannot be made.

use super::{TermContext, assignable};
use crate::ast;
use crate::plan::literal;
use model::types::CqlType;

impl TermContext<'_> {
    /// Whether a term could be given to something of the type: what collection literals ask of their elements.
    pub fn may_be(&mut self, term: &ast::Term, ctype: &CqlType) -> bool {
        match term {
            ast::Term::Marker(_) | ast::Term::Null => true,
            ast::Term::Literal(constant) => literal::accepts(ctype, constant.kind),
            ast::Term::List(items) => match ctype {
                CqlType::List(element, _) | CqlType::Vector(element, _) => {
                    items.iter().all(|item| self.may_be(item, element))
                }
                _ => false,
            },
            ast::Term::Set(items) => match ctype {
                CqlType::Set(element, _) => items.iter().all(|item| self.may_be(item, element)),
                CqlType::Map(..) => items.is_empty(),
                _ => false,
            },
            ast::Term::Map(entries) => match ctype {
                CqlType::Map(key, item, _) => entries
                    .iter()
                    .all(|(left, right)| self.may_be(left, key) && self.may_be(right, item)),
                _ => false,
            },
            ast::Term::Tuple(items) => match ctype {
                CqlType::Tuple(types) => {
                    items.len() <= types.len()
                        && items
                            .iter()
                            .zip(types.iter())
                            .all(|(item, part)| self.may_be(item, part))
                }
                _ => items.len() == 1 && self.may_be(&items[0], ctype),
            },
            ast::Term::UserType(fields) => match ctype {
                CqlType::Udt(definition, _) => fields.iter().all(|(name, item)| {
                    definition
                        .fields
                        .iter()
                        .find(|(field, _)| field == name)
                        .is_some_and(|(_, part)| self.may_be(item, part))
                }),
                _ => false,
            },
            ast::Term::Call(_)
            | ast::Term::Cast { .. }
            | ast::Term::Binary(_)
            | ast::Term::Negate(_) => self
                .resolve_call(term, ctype)
                .is_ok_and(|(scalar, _)| assignable(ctype, scalar.return_type())),
            ast::Term::TypeHint { .. } => {
                matches!(self.infer(term), Ok(Some(found)) if assignable(ctype, &found))
            }
        }
    }
}
