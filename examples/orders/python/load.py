#!/usr/bin/env python3
"""Places orders, reads them back and checks every value (see ../README.md)."""

import argparse
import sys
import threading
import time
from collections import defaultdict
from datetime import timezone
from pathlib import Path

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy

from order import order

BY_ID = (
    "INSERT INTO orders.orders_by_id (order_id, customer_id, placed_at, status, total, currency, items, version, note)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
BY_CUSTOMER = (
    "INSERT INTO orders.orders_by_customer_and_day (customer_id, day, placed_at, order_id, status, total, version)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
SELECT_BY_ID = "SELECT * FROM orders.orders_by_id WHERE order_id = ?"
SELECT_BY_CUSTOMER = "SELECT * FROM orders.orders_by_customer_and_day WHERE customer_id = ? AND day = ?"
PAGE_ROWS = 40


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9042)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--rate", type=int, default=50_000, help="orders a minute")
    parser.add_argument("--concurrency", type=int, default=128)
    parser.add_argument("--customers", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--acknowledged", metavar="FILE")
    parser.add_argument("--verify", metavar="FILE")
    return parser.parse_args()


def create_schema(session):
    text = (Path(__file__).parent.parent / "schema.cql").read_text(encoding="utf-8")
    code = "\n".join(line.split("--")[0] for line in text.splitlines())
    for statement in filter(None, map(str.strip, code.split(";"))):
        session.execute(statement)


class Bounded:
    """Runs statements with at most `limit` in flight; `done(result, error)` is called for each."""

    def __init__(self, session, limit):
        self.session = session
        self.limit = limit
        self.slots = threading.Semaphore(limit)

    def submit(self, statement, values, done):
        self.slots.acquire()

        def finish(result, error):
            try:
                done(result, error)
            finally:
                self.slots.release()

        future = self.session.execute_async(statement, values)
        future.add_callbacks(lambda rows: finish(rows, None), lambda error: finish(None, error))

    def wait(self):
        for _ in range(self.limit):
            self.slots.acquire()
        for _ in range(self.limit):
            self.slots.release()


def place(session, options):
    """Places the orders and gives the numbers both tables acknowledged, the refusals and the seconds it took."""
    by_id, by_customer = session.prepare(BY_ID), session.prepare(BY_CUSTOMER)
    log = open(options.acknowledged, "a", buffering=1, encoding="ascii") if options.acknowledged else None
    lock, half, acknowledged, errors = threading.Lock(), set(), [], []

    def done(i, error):
        with lock:
            if error is not None:
                errors.append(error)
            elif i not in half:
                half.add(i)
            else:
                half.discard(i)
                acknowledged.append(i)
                if log:
                    log.write(f"{i}\n")

    writes = Bounded(session, 2 * options.concurrency)
    began = time.monotonic()
    for i in range(options.count):
        time.sleep(max(0.0, began + i * 60 / options.rate - time.monotonic()))
        if log and errors:
            break
        o = order(options.seed, options.customers, i)
        first = (o.order_id, o.customer_id, o.placed_at, o.status, o.total, o.currency, o.items, o.version, o.note)
        second = (o.customer_id, o.day, o.placed_at, o.order_id, o.status, o.total, o.version)
        writes.submit(by_id, first, lambda _, error, i=i: done(i, error))
        writes.submit(by_customer, second, lambda _, error, i=i: done(i, error))
    writes.wait()
    return acknowledged, errors, time.monotonic() - began


def as_order_row(row):
    """A row of orders_by_id in the order of its columns in `BY_ID`, comparable with an order."""
    items = tuple((item.sku, item.quantity, str(item.price)) for item in row.items)
    placed_at = row.placed_at.replace(tzinfo=timezone.utc)
    return (row.order_id, row.customer_id, placed_at, row.status, str(row.total), row.currency, items, row.version, row.note)


def expected_row(o):
    items = tuple((item.sku, item.quantity, str(item.price)) for item in o.items)
    return (o.order_id, o.customer_id, o.placed_at, o.status, str(o.total), o.currency, items, o.version, o.note)


def check_by_id(session, options, numbers, report):
    select = session.prepare(SELECT_BY_ID)
    reads = Bounded(session, options.concurrency)

    def check(o, rows, error):
        if error is not None:
            report(f"{o.note}: {error}")
        elif not rows:
            report(f"{o.note}: missing from orders_by_id")
        elif as_order_row(rows[0]) != expected_row(o):
            report(f"{o.note}: {as_order_row(rows[0])} is not {expected_row(o)}")

    for i in numbers:
        o = order(options.seed, options.customers, i)
        reads.submit(select, (o.order_id,), lambda rows, error, o=o: check(o, rows, error))
    reads.wait()


def check_by_customer(session, options, numbers, report):
    """Reads each customer's days in pages; gives the number of pages. Rows that are not expected are no fault."""
    expected = defaultdict(list)
    for i in numbers:
        o = order(options.seed, options.customers, i)
        expected[o.customer_id, o.day].append(o)
    select = session.prepare(SELECT_BY_CUSTOMER)
    select.fetch_size = PAGE_ROWS
    pages = 0
    for (customer_id, day), orders in expected.items():
        found, previous = {}, None
        result = session.execute(select, (customer_id, day))
        while True:
            pages += 1
            for row in result.current_rows:
                placed_at = row.placed_at.replace(tzinfo=timezone.utc)
                if previous is not None and placed_at > previous:
                    report(f"customer {customer_id}: rows out of order at {row.order_id}")
                previous = placed_at
                found[row.order_id] = (row.day.date(), placed_at, row.status, str(row.total), row.version)
            if not result.has_more_pages:
                break
            result.fetch_next_page()
        for o in orders:
            wanted = (o.day, o.placed_at, o.status, str(o.total), o.version)
            if found.get(o.order_id) != wanted:
                report(f"{o.note}: {found.get(o.order_id)} is not {wanted} in orders_by_customer_and_day")
    return pages


def main():
    options = arguments()
    profile = ExecutionProfile(TokenAwarePolicy(DCAwareRoundRobinPolicy("datacenter1")), request_timeout=30)
    cluster = Cluster([options.host], port=options.port, execution_profiles={EXEC_PROFILE_DEFAULT: profile})
    session = cluster.connect()
    mismatches = []
    if options.verify:
        numbers = [int(line) for line in Path(options.verify).read_text(encoding="ascii").split()]
        summary = f"verified {len(numbers)} acknowledged orders"
    else:
        create_schema(session)
        numbers, errors, seconds = place(session, options)
        summary = f"placed {len(numbers)} orders in {seconds:.1f} s ({len(numbers) / seconds:.0f}/s), {len(errors)} refused"
        if errors and not options.acknowledged:
            mismatches.append(f"{len(errors)} writes refused, first: {errors[0]}")
    if not options.acknowledged:
        check_by_id(session, options, numbers, mismatches.append)
        pages = check_by_customer(session, options, numbers, mismatches.append)
        summary += f", read {len(numbers)} by id and in {pages} pages by customer"
    for mismatch in mismatches[:5]:
        print(mismatch, file=sys.stderr)
    print(f"python: {summary}, {len(mismatches)} mismatches")
    cluster.shutdown()
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
