#!/usr/bin/env node
'use strict';

// Places orders, reads them back and checks every value (see ../README.md).

const fs = require('node:fs');
const path = require('node:path');
const { parseArgs, isDeepStrictEqual } = require('node:util');
const cassandra = require('cassandra-driver');
const { order } = require('./order');

const BY_ID = 'INSERT INTO orders.orders_by_id (order_id, customer_id, placed_at, status, total, currency, items, version, note)'
  + ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)';
const BY_CUSTOMER = 'INSERT INTO orders.orders_by_customer_and_day (customer_id, day, placed_at, order_id, status, total, version)'
  + ' VALUES (?, ?, ?, ?, ?, ?, ?)';
const SELECT_BY_ID = 'SELECT * FROM orders.orders_by_id WHERE order_id = ?';
const SELECT_BY_CUSTOMER = 'SELECT * FROM orders.orders_by_customer_and_day WHERE customer_id = ? AND day = ?';
const PAGE_ROWS = 40;

const text = fallback => ({ type: 'string', default: fallback });
const { values: given } = parseArgs({
  options: {
    host: text('127.0.0.1'), port: text('9042'), count: text('50000'), rate: text('50000'), concurrency: text('128'),
    customers: text('50'), seed: text('1'), acknowledged: { type: 'string' }, verify: { type: 'string' }
  }
});
const options = { ...given };
for (const name of ['port', 'count', 'rate', 'concurrency', 'customers', 'seed']) {
  options[name] = Number(given[name]);
}

const { Uuid, LocalDate, BigDecimal, Long } = cassandra.types;
const prepared = { prepare: true };
const mismatches = [];

async function createSchema(client) {
  const text = fs.readFileSync(path.join(__dirname, '..', 'schema.cql'), 'utf8');
  const code = text.split('\n').map(line => line.split('--')[0]).join('\n');
  for (const statement of code.split(';').map(part => part.trim()).filter(Boolean)) {
    await client.execute(statement);
  }
}

/** Calls `task(number)` for each number, at most `concurrency` at once. */
async function bounded(numbers, task) {
  const next = numbers[Symbol.iterator]();
  const worker = async () => {
    for (let step = next.next(); !step.done; step = next.next()) {
      await task(step.value);
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, worker));
}

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

async function place(client) {
  const log = options.acknowledged ? fs.openSync(options.acknowledged, 'a') : null;
  const acknowledged = [];
  const errors = [];
  const began = Date.now();
  await bounded(Array(options.count).keys(), async i => {
    const wait = began + i * 60000 / options.rate - Date.now();
    if (wait > 0) {
      await sleep(wait);
    }
    if (log !== null && errors.length > 0) {
      return;
    }
    const o = order(options.seed, options.customers, i);
    const id = Uuid.fromString(o.order_id);
    const customer = Uuid.fromString(o.customer_id);
    const total = BigDecimal.fromString(o.total);
    const version = Long.fromString(o.version);
    const items = o.items.map(item => ({ ...item, price: BigDecimal.fromString(item.price) }));
    try {
      await Promise.all([
        client.execute(BY_ID, [id, customer, o.placed_at, o.status, total, o.currency, items, version, o.note], prepared),
        client.execute(BY_CUSTOMER, [customer, LocalDate.fromString(o.day), o.placed_at, id, o.status, total, version], prepared)
      ]);
      acknowledged.push(i);
      if (log !== null) {
        fs.writeSync(log, `${i}\n`);
      }
    } catch (error) {
      errors.push(error);
    }
  });
  return { acknowledged, errors, seconds: (Date.now() - began) / 1000 };
}

/** A row with every value as text, comparable with an order. */
function plain(row) {
  const shown = {};
  for (const name of row.keys()) {
    const value = row[name];
    shown[name] = name === 'items' ? value.map(item => ({ ...item, price: item.price.toString() }))
      : name === 'placed_at' ? value : value.toString();
  }
  return shown;
}

function compare(where, o, row, columns) {
  const wanted = Object.fromEntries(columns.map(name => [name, o[name]]));
  const found = row && Object.fromEntries(columns.map(name => [name, plain(row)[name]]));
  if (!found || !isDeepStrictEqual(found, wanted)) {
    mismatches.push(`${o.note} in ${where}: ${JSON.stringify(found)} is not ${JSON.stringify(wanted)}`);
  }
}

async function checkById(client, numbers) {
  const columns = ['order_id', 'customer_id', 'placed_at', 'status', 'total', 'currency', 'items', 'version', 'note'];
  await bounded(numbers, async i => {
    const o = order(options.seed, options.customers, i);
    const result = await client.execute(SELECT_BY_ID, [Uuid.fromString(o.order_id)], prepared);
    compare('orders_by_id', o, result.first(), columns);
  });
}

/** Reads each customer's days in pages and gives the number of pages. */
async function checkByCustomer(client, numbers) {
  const days = new Map();
  for (const i of numbers) {
    const o = order(options.seed, options.customers, i);
    const key = `${o.customer_id} ${o.day}`;
    days.set(key, [...(days.get(key) ?? []), o]);
  }
  let pages = 0;
  for (const [key, orders] of days) {
    const [customer, day] = key.split(' ');
    const found = new Map();
    let pageState;
    let previous = Infinity;
    do {
      const values = [Uuid.fromString(customer), LocalDate.fromString(day)];
      const page = await client.execute(SELECT_BY_CUSTOMER, values, { prepare: true, fetchSize: PAGE_ROWS, pageState });
      pages += 1;
      for (const row of page.rows) {
        if (row.placed_at.getTime() > previous) {
          mismatches.push(`customer ${customer}: rows out of order at ${row.order_id}`);
        }
        previous = row.placed_at.getTime();
        found.set(row.order_id.toString(), row);
      }
      pageState = page.pageState;
    } while (pageState);
    const columns = ['customer_id', 'day', 'placed_at', 'order_id', 'status', 'total', 'version'];
    orders.forEach(o => compare('orders_by_customer_and_day', o, found.get(o.order_id), columns));
  }
  return pages;
}

async function main() {
  const client = new cassandra.Client({
    contactPoints: [`${options.host}:${options.port}`], localDataCenter: 'datacenter1', socketOptions: { readTimeout: 30000 }
  });
  await client.connect();
  let numbers;
  let summary;
  if (options.verify) {
    numbers = fs.readFileSync(options.verify, 'ascii').split('\n').filter(Boolean).map(Number);
    summary = `verified ${numbers.length} acknowledged orders`;
  } else {
    await createSchema(client);
    const { acknowledged, errors, seconds } = await place(client);
    numbers = acknowledged;
    summary = `placed ${numbers.length} orders in ${seconds.toFixed(1)} s (${Math.round(numbers.length / seconds)}/s), ${errors.length} refused`;
    if (errors.length > 0 && !options.acknowledged) {
      mismatches.push(`${errors.length} orders refused, first: ${errors[0]}`);
    }
  }
  if (!options.acknowledged) {
    await checkById(client, numbers);
    summary += `, read ${numbers.length} by id and in ${await checkByCustomer(client, numbers)} pages by customer`;
  }
  mismatches.slice(0, 5).forEach(mismatch => console.error(mismatch));
  console.log(`node: ${summary}, ${mismatches.length} mismatches`);
  await client.shutdown();
  process.exitCode = mismatches.length > 0 ? 1 : 0;
}

main().catch(error => {
  console.error(error);
  process.exitCode = 1;
});
