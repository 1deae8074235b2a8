'use strict';

// Order number i: the same in every language (see ../README.md).

const MASK = (1n << 64n) - 1n;
const SALE_BEGINS_MS = Date.UTC(2024, 10, 29, 14, 15);
const STATUSES = ['NEW', 'PAID', 'SHIPPED'];

/** The output function of SplitMix64. */
function mix(x) {
  let z = (x + 0x9E3779B97F4A7C15n) & MASK;
  z = ((z ^ (z >> 30n)) * 0xBF58476D1CE4E5B9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94D049BB133111EBn) & MASK;
  return z ^ (z >> 31n);
}

/** Two numbers as the text of a UUID of version 4. */
function uuid(a, b) {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64BE(a, 0);
  bytes.writeBigUInt64BE(b, 8);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** An amount in cents as the text of a decimal of scale 2. */
function cents(amount) {
  return `${Math.floor(amount / 100)}.${String(amount % 100).padStart(2, '0')}`;
}

/** Order number i of a seed. */
function order(seed, customers, i) {
  const base = mix(BigInt(seed) & MASK) + 16n * BigInt(i);
  const value = n => mix((base + BigInt(n)) & MASK);
  const below = (n, limit) => Number(value(n) % BigInt(limit));
  const customer = BigInt(below(2, customers));
  const placedAt = new Date(SALE_BEGINS_MS + Math.floor(6 * i / 5));
  const parts = Array.from({ length: 1 + below(4, 3) }, (_, j) => ({
    sku: `SKU-${String(below(5 + j, 100000)).padStart(5, '0')}`,
    quantity: 1 + below(8 + j, 5),
    cents: 1 + below(11 + j, 10000)
  }));
  return {
    order_id: uuid(value(0), value(1)),
    customer_id: uuid(mix(2n * customer), mix(2n * customer + 1n)),
    day: placedAt.toISOString().slice(0, 10),
    placed_at: placedAt,
    status: STATUSES[below(3, 3)],
    total: cents(parts.reduce((sum, part) => sum + part.quantity * part.cents, 0)),
    currency: 'EUR',
    items: parts.map(part => ({ sku: part.sku, quantity: part.quantity, price: cents(part.cents) })),
    version: '1',
    note: `order ${i} – λ✓`
  };
}

module.exports = { order };
