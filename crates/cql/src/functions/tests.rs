//! Every function against what Cassandra 5.0.6 answered.
//!
//! `corpus.tsv` holds an expression a line, then the name of its result column, its type and its bytes, or `!` with the
//! error code and the message. The first lines are the columns of the row the expressions are about. The evaluator here
//! is as small as a planner can be; it knows nothing that is not about functions.

use super::*;
use crate::ast::{self, Selector, Statement, Term};
use crate::plan::literal;
use model::error::RequestError;
use model::types::{CqlType, Frozen};
use model::value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many lines are columns.
const COLUMNS: usize = 26;

type Value = Option<Vec<u8>>;

struct Line {
    expression: &'static str,
    name: &'static str,
    ctype: &'static str,
    value: &'static str,
}

fn corpus() -> Vec<Line> {
    include_str!("corpus.tsv")
        .lines()
        .map(|line| {
            // A tab may be part of an expression; the fields after it never hold one.
            let mut fields = line.rsplitn(4, '\t').collect::<Vec<_>>();
            fields.reverse();
            match fields.as_slice() {
                [expression, code, message] => Line {
                    expression,
                    name: code,
                    ctype: "",
                    value: message,
                },
                [expression, name, ctype, value] => Line {
                    expression,
                    name,
                    ctype,
                    value,
                },
                other => panic!("{other:?}"),
            }
        })
        .collect()
}

fn unhex(digits: &str) -> Value {
    digits
        .strip_prefix("0x")
        .map(|digits| literal::hex(digits).expect("hexadecimal"))
}

/// A type as the corpus writes it.
fn parse_type(text: &str) -> CqlType {
    let text = text
        .replace("org.apache.cassandra.db.marshal.VectorType", "vector")
        .replace(
            "'org.apache.cassandra.db.marshal.LegacyTimeUUIDType'",
            "timeuuid",
        );
    let Statement::CreateTable(table) =
        crate::parse::parse(&format!("CREATE TABLE t (a {text} PRIMARY KEY)"))
            .expect("a type")
            .statement
    else {
        panic!("{text}");
    };
    resolve_type(&table.columns[0].data_type)
}

fn resolve_type(written: &ast::Type) -> CqlType {
    let inner = |inner: &ast::Type| Arc::new(resolve_type(inner));
    match written {
        ast::Type::Native(native) => CqlType::native(native.text()).expect("native"),
        ast::Type::List(item) => CqlType::List(inner(item), Frozen::No),
        ast::Type::Set(item) => CqlType::Set(inner(item), Frozen::No),
        ast::Type::Map(key, item) => CqlType::Map(inner(key), inner(item), Frozen::No),
        ast::Type::Tuple(items) => CqlType::Tuple(items.iter().map(resolve_type).collect()),
        ast::Type::Vector(item, dimension) => CqlType::Vector(inner(item), *dimension as u32),
        ast::Type::Frozen(item) => resolve_type(item).freeze(),
        ast::Type::User(_) => CqlType::Udt(
            Arc::new(model::types::UserType {
                keyspace: "pw".into(),
                name: "u".into(),
                fields: vec![("a".into(), CqlType::Int), ("b".into(), CqlType::Text)],
            }),
            Frozen::No,
        ),
        ast::Type::Custom(class) => CqlType::Custom(class.as_str().into()),
    }
}

struct Row {
    columns: BTreeMap<&'static str, (CqlType, Value)>,
    context: CallContext,
}

/// What evaluating gives: the name of the result column, its type and its bytes.
type Evaluated = (String, CqlType, Value);

impl Row {
    fn new(lines: &[Line]) -> Self {
        let columns = lines
            .iter()
            .take(COLUMNS)
            .map(|line| (line.expression, (parse_type(line.ctype), unhex(line.value))))
            .collect();
        Self {
            columns,
            context: CallContext::new(0, 1),
        }
    }

    fn argument(&self, selector: &Selector) -> Result<Argument, RequestError> {
        let text = selector.to_string();
        Ok(match selector {
            Selector::Term(Term::Literal(constant)) => Argument::literal(
                text,
                constant.kind,
                literal::natural_type(constant.kind, &constant.text),
            ),
            Selector::Term(Term::Null) => Argument::null(text),
            Selector::Term(Term::Marker(_)) => Argument::marker(text),
            Selector::List(items) => Argument::list(text, self.arguments(items)?),
            Selector::Set(items) => Argument::set(text, self.arguments(items)?),
            Selector::Map(_) => Argument::marker(text),
            other => Argument::typed(text, self.type_of(other)?),
        })
    }

    fn arguments(&self, selectors: &[Selector]) -> Result<Vec<Argument>, RequestError> {
        selectors
            .iter()
            .map(|selector| self.argument(selector))
            .collect()
    }

    fn type_of(&self, selector: &Selector) -> Result<CqlType, RequestError> {
        Ok(match selector {
            Selector::Column(name) => self.columns[name.as_str()].0.clone(),
            Selector::TypeHint { target, .. } => resolve_type(target).freeze(),
            Selector::Tuple(items) => self.type_of(&items[0])?,
            Selector::Cast { selector, target } => {
                match cast(&self.argument(selector)?, *target)? {
                    Some(scalar) => scalar.return_type().clone(),
                    None => self.type_of(selector)?,
                }
            }
            other => self.function(other)?.0.return_type().clone(),
        })
    }

    fn function<'a>(
        &self,
        selector: &'a Selector,
    ) -> Result<(Function, Vec<&'a Selector>), RequestError> {
        let (name, selectors): (_, Vec<&Selector>) = match selector {
            Selector::Call(call) => (call.function.clone(), call.arguments.iter().collect()),
            Selector::Binary(binary) => (
                operator_name(binary.operator),
                vec![&binary.left, &binary.right],
            ),
            Selector::Negate(inner) => (negation_name(), vec![inner]),
            Selector::CountRows => return Ok((Function::Aggregate(count_rows()), Vec::new())),
            other => panic!("{other}"),
        };
        let arguments = selectors
            .iter()
            .map(|selector| self.argument(selector))
            .collect::<Result<Vec<_>, _>>()?;
        // A constant that is counted stands for the row.
        if let (Selector::Call(call), [Selector::Term(Term::Literal(_))]) =
            (selector, selectors.as_slice())
            && call.function.name == "count"
        {
            return Ok((Function::Aggregate(count_rows()), Vec::new()));
        }
        Ok((resolve(&name, &arguments, "pw")?, selectors))
    }

    fn evaluate(&self, selector: &Selector, wanted: &CqlType) -> Result<Evaluated, RequestError> {
        match selector {
            Selector::Column(name) => {
                let (ctype, value) = self.columns[name.as_str()].clone();
                Ok((name.clone(), ctype, value))
            }
            Selector::Term(Term::Literal(constant)) => Ok((
                selector.to_string(),
                wanted.clone(),
                Some(literal::encode(wanted, constant)?),
            )),
            Selector::Term(_) => Ok((selector.to_string(), wanted.clone(), None)),
            Selector::TypeHint { target, selector } => {
                let target = resolve_type(target);
                let (name, _, value) = self.evaluate(selector, &target)?;
                Ok((format!("({}){name}", printed(&target)), target, value))
            }
            Selector::Tuple(items) => {
                let (name, ctype, value) = self.evaluate(&items[0], wanted)?;
                Ok((format!("({name})"), ctype, value))
            }
            Selector::List(items) | Selector::Set(items) => {
                self.collection(selector, items, wanted)
            }
            Selector::Cast { selector, target } => {
                let argument = self.argument(selector)?;
                match cast(&argument, *target)? {
                    None => self.evaluate(selector, wanted),
                    Some(scalar) => self.call(&Function::Scalar(scalar), &[selector]),
                }
            }
            other => {
                let (function, arguments) = self.function(other)?;
                self.call(&function, &arguments)
            }
        }
    }

    fn collection(
        &self,
        selector: &Selector,
        items: &[Selector],
        wanted: &CqlType,
    ) -> Result<Evaluated, RequestError> {
        let (element, sorted) = match wanted {
            CqlType::List(element, _) | CqlType::Vector(element, _) => (element, false),
            CqlType::Set(element, _) => (element, true),
            other => panic!("{selector} for {other}"),
        };
        let mut values = Vec::new();
        for item in items {
            values.push(self.evaluate(item, element)?.2.expect("not null"));
        }
        if sorted {
            values.sort_by(|left, right| value::compare(element, left, right));
            values.dedup();
        }
        let bytes = match wanted {
            CqlType::Vector(..) => value::join_vector(element, &values),
            _ => value::join_collection(values.len(), values.iter().map(Vec::as_slice)),
        };
        Ok((selector.to_string(), wanted.clone(), Some(bytes)))
    }

    fn call(
        &self,
        function: &Function,
        selectors: &[&Selector],
    ) -> Result<Evaluated, RequestError> {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (selector, ctype) in selectors.iter().zip(function.argument_types()) {
            let (name, _, value) = self.evaluate(selector, ctype)?;
            names.push(name);
            values.push(value);
        }
        let borrowed: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
        let (name, value) = match function {
            Function::Scalar(scalar) => (
                scalar.column_name(&names),
                scalar.call(&borrowed, &self.context)?,
            ),
            Function::Aggregate(aggregate) => {
                let mut state = Accumulator::new(aggregate);
                state.add(&borrowed)?;
                (aggregate.column_name(&names), state.result()?)
            }
        };
        Ok((name, function.return_type().clone(), value))
    }
}

/// A type hint as names print it: without the frozen that a hint implies.
fn printed(ctype: &CqlType) -> String {
    ctype.to_string()
}

/// Messages with the signatures they list in a fixed order.
fn normalised(message: &str) -> String {
    let Some((before, list)) = message
        .split_once("signatures: ")
        .or_else(|| message.split_once("signatures match (known type signatures: "))
    else {
        return message.to_owned();
    };
    let (list, after) = list.split_at(list.rfind(')').unwrap_or(list.len()));
    let mut signatures: Vec<&str> = list
        .split(", system.")
        .map(|one| one.trim_start_matches("system."))
        .collect();
    signatures.sort_unstable();
    format!("{before}signatures: {}{after}", signatures.join(", "))
}

fn code(error: &RequestError) -> &'static str {
    match error {
        RequestError::Server(_) => "!0000",
        RequestError::FunctionFailure { .. } => "!1400",
        RequestError::Invalid(_) => "!2200",
        other => panic!("{other:?}"),
    }
}

/// Bytes of a result, with every NaN alike: Java and the processor differ in its sign.
fn canonical(ctype: &str, value: Value) -> Value {
    let bytes = value?;
    match ctype {
        "double" if f64::from_be_bytes(bytes.clone().try_into().ok()?).is_nan() => {
            Some(b"NaN".to_vec())
        }
        "float" if f32::from_be_bytes(bytes.clone().try_into().ok()?).is_nan() => {
            Some(b"NaN".to_vec())
        }
        _ => Some(bytes),
    }
}

fn check(row: &Row, line: &Line) -> Result<(), String> {
    let Statement::Select(select) =
        crate::parse::parse(&format!("SELECT {} FROM t", line.expression))
            .map_err(|error| error.message)?
            .statement
    else {
        return Err("not a SELECT".into());
    };
    let evaluated = row.evaluate(&select.selection[0].selector, &CqlType::Blob);
    match evaluated {
        Err(error) if line.name.starts_with('!') => {
            // Where Cassandra fails in a way that is a defect, the code is what counts.
            let same = code(&error) == "!0000"
                || line.name == "!0000"
                || normalised(&error.to_string()) == normalised(line.value);
            if same && (line.name == "!0000" || code(&error) == line.name) {
                Ok(())
            } else {
                Err(format!("{} {error}", code(&error)))
            }
        }
        Err(error) => Err(error.to_string()),
        Ok((name, ..)) if line.name.starts_with('!') => Err(format!("accepted as {name}")),
        Ok((name, ctype, value)) => {
            let expected = canonical(line.ctype, unhex(line.value));
            let found = canonical(line.ctype, value);
            let same_name = name == line.name || line.expression.starts_with("to_json");
            let same_type = parse_type(line.ctype).freeze() == ctype.freeze();
            if same_name && same_type && found == expected {
                return Ok(());
            }
            Err(format!("{name} {ctype} {:02x?}", found.unwrap_or_default()))
        }
    }
}

#[test]
fn answers_are_those_of_cassandra() {
    let lines = corpus();
    let row = Row::new(&lines);
    assert!(lines.len() > 700 && row.columns.len() == COLUMNS);
    let failures: Vec<String> = lines
        .iter()
        .filter_map(|line| {
            let reason = check(&row, line).err()?;
            Some(format!(
                "{}\n    {} {} {}\n    {reason}",
                line.expression, line.name, line.ctype, line.value
            ))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Values of a type: the columns of the corpus, the empty value, and odd bytes that are valid.
fn samples(row: &Row, ctype: &CqlType, entropy: &CallContext) -> Vec<Value> {
    let mut samples = vec![None];
    samples.extend(
        row.columns
            .values()
            .filter(|(found, _)| found.freeze() == ctype.freeze())
            .map(|(_, value)| value.clone()),
    );
    for length in [0, 1, 2, 4, 5, 8, 12, 16, 20] {
        for _ in 0..4 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| random(entropy) as u8 & random(entropy) as u8)
                .collect();
            samples.push(Some(bytes));
        }
        samples.push(Some(vec![0xFF; length]));
        samples.push(Some(vec![0x7F; length]));
    }
    samples.retain(|sample| {
        sample
            .as_ref()
            .is_none_or(|bytes| value::validate(ctype, bytes).is_ok())
    });
    samples
}

/// The names of all functions the corpus calls, of the operators and of the casts.
fn names(row: &Row) -> Vec<String> {
    let called = corpus();
    let called = called
        .iter()
        .filter_map(|line| line.expression.split_once('('));
    let operators = [
        "_add",
        "_substract",
        "_multiply",
        "_divide",
        "_modulo",
        "_negate",
    ];
    let mut names: Vec<String> = called
        .map(|(name, _)| name.to_ascii_lowercase())
        .chain(operators.map(str::to_owned))
        .chain(
            row.columns
                .values()
                .map(|(ctype, _)| format!("cast_as_{ctype}")),
        )
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Calls a function with samples of its arguments' types; every result is a valid value.
fn call_with_samples(scalar: &Scalar, row: &Row, entropy: &CallContext) -> usize {
    let choices: Vec<Vec<Value>> = scalar
        .argument_types()
        .iter()
        .map(|ctype| samples(row, ctype, entropy))
        .collect();
    for _ in 0..40 {
        let pick = |samples: &Vec<Value>| {
            samples[(random(entropy) % samples.len() as u64) as usize].clone()
        };
        let chosen: Vec<Value> = choices.iter().map(pick).collect();
        let borrowed: Vec<Option<&[u8]>> = chosen.iter().map(Option::as_deref).collect();
        if let Ok(Some(bytes)) = scalar.call(&borrowed, entropy) {
            assert!(
                value::validate(scalar.return_type(), &bytes).is_ok(),
                "{scalar:?} {borrowed:?} {bytes:02x?}"
            );
        }
    }
    40
}

#[test]
fn no_valid_arguments_panic() {
    let row = Row::new(&corpus());
    let entropy = CallContext::new(1_700_000_000_000_000, 11);
    let mut calls = 0;
    let types: Vec<CqlType> = row
        .columns
        .values()
        .map(|(ctype, _)| ctype.clone())
        .collect();
    for name in names(&row) {
        let name = ast::QualifiedName {
            keyspace: None,
            name,
        };
        for first in &types {
            let others = [
                vec![],
                vec![CqlType::Int, CqlType::Int],
                vec![first.clone()],
                vec![CqlType::Duration],
                vec![CqlType::Text],
                vec![CqlType::Decimal],
            ];
            for others in others {
                let arguments: Vec<Argument> = std::iter::once(first)
                    .chain(&others)
                    .map(|ctype| Argument::typed("x", ctype.clone()))
                    .collect();
                if let Ok(Function::Scalar(scalar)) = resolve(&name, &arguments, "k") {
                    calls += call_with_samples(&scalar, &row, &entropy);
                }
            }
        }
    }
    assert!(calls > 5_000, "{calls}");
}

#[test]
fn results_follow_from_the_context() {
    let now = |seed| {
        let context = CallContext::new(1_700_000_000_123_456, seed);
        let scalar = resolve_scalar(
            &ast::QualifiedName {
                keyspace: None,
                name: "now".into(),
            },
            &[],
            None,
            "k",
        )
        .expect("a function");
        assert!(!scalar.is_deterministic());
        (0..3)
            .map(|_| {
                scalar
                    .call(&[], &context)
                    .expect("a value")
                    .expect("not null")
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(now(1), now(1));
    assert_ne!(now(1), now(2));
    let ids = now(1);
    assert!(
        ids.iter()
            .all(|id| value::validate(&CqlType::Timeuuid, id).is_ok())
    );
    assert!(
        ids.windows(2)
            .all(|pair| value::compare(&CqlType::Timeuuid, &pair[0], &pair[1]).is_lt())
    );
}

#[test]
fn a_receiver_chooses_among_overloads() {
    let one = |text: &str| Argument::literal(text, ast::LiteralKind::Integer, CqlType::Int);
    let add = operator_name(ast::ArithmeticOperator::Add);
    for receiver in [
        CqlType::Tinyint,
        CqlType::Bigint,
        CqlType::Decimal,
        CqlType::Float,
    ] {
        let scalar =
            resolve_scalar(&add, &[one("1"), one("2")], Some(&receiver), "k").expect("a function");
        assert_eq!(scalar.return_type(), &receiver);
        assert_eq!(scalar.argument_types(), [receiver.clone(), receiver]);
    }
    let ambiguous = resolve_scalar(
        &add,
        &[one("1"), Argument::marker("?")],
        Some(&CqlType::Int),
        "k",
    );
    assert!(
        ambiguous
            .expect_err("ambiguous")
            .to_string()
            .starts_with("Ambiguous '+' operation")
    );
    let max = ast::QualifiedName {
        keyspace: None,
        name: "max".into(),
    };
    let aggregate = resolve_scalar(&max, &[one("1")], Some(&CqlType::Int), "k");
    assert_eq!(
        aggregate.expect_err("refused").to_string(),
        "Aggregation function are not supported in the where clause"
    );
    let unknown = ast::QualifiedName {
        keyspace: Some("pw".into()),
        name: "foo".into(),
    };
    assert_eq!(
        resolve_scalar(&unknown, &[], None, "k")
            .expect_err("unknown")
            .to_string(),
        "Unknown function pw.foo called"
    );
}

fn random(entropy: &CallContext) -> u64 {
    entropy.draw(CallSite::ANEW).0 as u64
}
