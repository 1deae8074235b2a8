//! Order number i: the same in every language (see ../README.md).

use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use scylla::{DeserializeValue, SerializeValue};
use uuid::Uuid;

/// A line of an order, stored as the user type `orders.item`.
#[derive(Debug, Clone, PartialEq, Eq, SerializeValue, DeserializeValue)]
pub struct Item {
    pub sku: String,
    pub quantity: i32,
    pub price: BigDecimal,
}

/// An order with every value that is stored of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub order_id: Uuid,
    pub customer_id: Uuid,
    pub day: NaiveDate,
    pub placed_at: DateTime<Utc>,
    pub status: String,
    pub total: BigDecimal,
    pub currency: String,
    pub items: Vec<Item>,
    pub version: i64,
    pub note: String,
}

const SALE_BEGINS_MS: i64 = 1_732_889_700_000;
const STATUSES: [&str; 3] = ["NEW", "PAID", "SHIPPED"];

/// The output function of SplitMix64.
fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Two numbers as a UUID of version 4.
fn uuid(a: u64, b: u64) -> Uuid {
    let a = (a & !0xF000) | 0x4000;
    let b = (b & !(0xC0 << 56)) | (0x80 << 56);
    Uuid::from_u64_pair(a, b)
}

/// An amount in cents as a decimal of scale 2.
fn cents(amount: u64) -> BigDecimal {
    BigDecimal::new(amount.into(), 2)
}

impl Order {
    /// Order number `i` of a seed.
    pub fn number(seed: u64, customers: u64, i: u64) -> Self {
        let base = mix(seed).wrapping_add(16 * i);
        let value = |n: u64| mix(base.wrapping_add(n));
        let customer = value(2) % customers;
        let placed_at =
            DateTime::UNIX_EPOCH + TimeDelta::milliseconds(SALE_BEGINS_MS + (6 * i / 5) as i64);
        let lines = (0..1 + value(4) % 3).map(|j| {
            let (quantity, price) = (1 + value(8 + j) % 5, 1 + value(11 + j) % 10_000);
            let item = Item {
                sku: format!("SKU-{:05}", value(5 + j) % 100_000),
                quantity: quantity as i32,
                price: cents(price),
            };
            (item, quantity * price)
        });
        let (items, amounts): (Vec<Item>, Vec<u64>) = lines.unzip();
        Self {
            order_id: uuid(value(0), value(1)),
            customer_id: uuid(mix(2 * customer), mix(2 * customer + 1)),
            day: placed_at.date_naive(),
            placed_at,
            status: STATUSES[(value(3) % 3) as usize].to_owned(),
            total: cents(amounts.iter().sum()),
            currency: "EUR".to_owned(),
            items,
            version: 1,
            note: format!("order {i} – λ✓"),
        }
    }
}
