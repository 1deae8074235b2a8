//! Similarity of vectors of floats.

use super::CallContext;
use super::scalar::Scalar;
use model::error::RequestError;

type Bytes<'a> = [Option<&'a [u8]>];
type Outcome = Result<Option<Vec<u8>>, RequestError>;

fn floats(wire: &[u8]) -> impl Iterator<Item = f32> {
    wire.chunks_exact(4)
        .map(|bytes| f32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Calls `similarity` with both vectors, unless one is null.
fn compare(arguments: &Bytes<'_>, similarity: impl Fn(&[f32], &[f32]) -> f32) -> Outcome {
    let (Some(left), Some(right)) = (arguments[0], arguments[1]) else {
        return Ok(None);
    };
    let (left, right): (Vec<f32>, Vec<f32>) = (floats(left).collect(), floats(right).collect());
    Ok(Some(similarity(&left, &right).to_be_bytes().to_vec()))
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

/// `(1 + cos) / 2`; a vector of zeros has no direction.
pub(super) fn cosine(scalar: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    let is_zero = |wire: &[u8]| floats(wire).all(|float| float == 0.0);
    if arguments.iter().all(Option::is_some) && arguments.iter().flatten().any(|wire| is_zero(wire))
    {
        let name = scalar.display_name();
        return Err(RequestError::Invalid(format!(
            "Function {name} doesn't support all-zero vectors."
        )));
    }
    compare(arguments, |left, right| {
        let lengths = f64::from(dot(left, left)) * f64::from(dot(right, right));
        // Rounded to a float at every step, as Cassandra does.
        let cosine = (f64::from(dot(left, right)) / lengths.sqrt()) as f32;
        f32::midpoint(1.0, cosine)
    })
}

/// `1 / (1 + d²)`
pub(super) fn euclidean(_: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    compare(arguments, |left, right| {
        let squares = left
            .iter()
            .zip(right)
            .map(|(left, right)| (left - right) * (left - right));
        1.0 / (1.0 + squares.sum::<f32>())
    })
}

/// `(1 + dot) / 2`
pub(super) fn dot_product(_: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    compare(arguments, |left, right| {
        f32::midpoint(1.0, dot(left, right))
    })
}
