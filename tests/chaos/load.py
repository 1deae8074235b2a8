#!/usr/bin/env python3
"""Writes to a cluster in trouble and reads from it, through the Python driver, and judges what it was told.

Usage: load.py PORT HOST...

It says READY once the load runs, and then takes lines: `struck NAME HOST...` and `healed`, when something happens to nodes and when
that is over; `lost HOST` when a node's disk is gone; `hosts HOST...` which nodes there are from now on; `verify` ends the load. Then it
prints `FIGURE text` lines and `PASS name` or `FAIL name: why` for each promise.

Each register has one writer, which writes growing numbers: what was acknowledged at QUORUM is the least that a later read may give, what
was tried is the most. Facts are written once, at LOCAL_ONE.
"""

import random
import sys
import threading
import time
import warnings

from cassandra import ConsistencyLevel, OperationTimedOut
from cassandra.cluster import Cluster, ExecutionProfile, EXEC_PROFILE_DEFAULT, NoHostAvailable
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, RetryPolicy, TokenAwarePolicy
from cassandra.query import SimpleStatement

warnings.filterwarnings("ignore")

WRITERS = 6
REGISTERS_EACH = 10
THINK_S = 0.01
CALL_LIMIT_S = 12
# A read at ONE that carries no warning may miss what was acknowledged at QUORUM so recently: twice the gate's second, and the client's
# own delays beside it.
GATE_S = 3.0
# How long after it ended a fault may still show: answers that were on their way, connections that are opened again.
AFTER_S = 3.0
# What was acknowledged by one replica so shortly before its disk was lost may have been nowhere else.
ALONE_S = 3.0
CONVERGE_LIMIT_S = 60
SCHEMA = (
    "CREATE KEYSPACE IF NOT EXISTS chaos WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 3}",
    "CREATE TABLE IF NOT EXISTS chaos.registers (id int PRIMARY KEY, value bigint)",
    "CREATE TABLE IF NOT EXISTS chaos.facts (id bigint PRIMARY KEY)",
)


class TryOthers(RetryPolicy):
    """Everything here is idempotent: what fails at one coordinator is asked of the next."""

    TRIES = 3

    def next_host(self, retry_num):
        return (self.RETRY_NEXT_HOST if retry_num < self.TRIES else self.RETHROW, None)

    def on_read_timeout(self, query, consistency, required_responses, received_responses, data_retrieved, retry_num):
        return self.next_host(retry_num)

    def on_write_timeout(self, query, consistency, write_type, required_responses, received_responses, retry_num):
        return self.next_host(retry_num)

    def on_unavailable(self, query, consistency, required_replicas, alive_replicas, retry_num):
        return self.next_host(retry_num)

    def on_request_error(self, query, consistency, error, retry_num):
        return self.next_host(retry_num)


class History:
    """What happened to nodes, when."""

    def __init__(self, hosts):
        self.lock = threading.Lock()
        self.hosts = list(hosts)
        self.faults = []
        self.lost_at = []

    def strike(self, name, hosts):
        with self.lock:
            self.faults.append([name, set(hosts), time.monotonic(), None])

    def heal(self):
        with self.lock:
            for fault in self.faults:
                fault[3] = fault[3] or time.monotonic()

    def struck(self, host, begin, end):
        """Whether something was wrong with a node at some time between two moments."""
        with self.lock:
            return any(
                host in hosts and since <= end and (until is None or begin <= until + AFTER_S)
                for _, hosts, since, until in self.faults
            )

    def window(self, moment):
        """The fault that lasted at a moment; nothing in calm, and None just after one."""
        with self.lock:
            for name, _, since, until in self.faults:
                if since <= moment and (until is None or moment < until):
                    return name
                if until is not None and until <= moment < until + AFTER_S:
                    return None
        return ""

    def was_alone(self, moment):
        """Whether what one replica acknowledged then may have been on a lost disk alone."""
        return any(at - ALONE_S <= moment <= at for at in self.lost_at)


class Findings:
    """What was done, and what of it was wrong."""

    def __init__(self):
        self.lock = threading.Lock()
        self.wrong = {}
        self.latencies = {}
        self.counts = {}

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def blame(self, promise, why):
        with self.lock:
            self.wrong.setdefault(promise, []).append(why)

    def took(self, window, seconds):
        with self.lock:
            self.latencies.setdefault(window, []).append(seconds)


class Client:
    """A session, and statements by it."""

    def __init__(self, port, history, findings):
        profile = ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc="datacenter1")),
            retry_policy=TryOthers(),
            request_timeout=CALL_LIMIT_S,
        )
        self.cluster = Cluster(
            history.hosts,
            port=port,
            protocol_version=5,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            reconnection_policy=ConstantReconnectionPolicy(0.5, None),
            connect_timeout=10,
            control_connection_timeout=10,
        )
        self.session = self.cluster.connect()
        self.history = history
        self.findings = findings

    def run(self, text, level, values=(), host=None, fetch_size=None):
        """The rows and whether a warning came with them."""
        statement = SimpleStatement(text, consistency_level=level, is_idempotent=True, fetch_size=fetch_size or 1000)
        future = self.session.execute_async(statement, values, host=host)
        try:
            rows = list(future.result())
        except Exception as error:
            error.attempted = [tried.address for tried in future.attempted_hosts]
            raise
        return rows, bool(future.warnings)

    def host(self, address):
        return next(host for host in self.cluster.metadata.all_hosts() if host.address == address)

    def judge(self, error, what, begin):
        """An error of an idempotent statement at QUORUM is one of a node that something was wrong with."""
        end = time.monotonic()
        if isinstance(error, NoHostAvailable):
            guilty = [getattr(host, "address", str(host)) for host in error.errors]
        elif isinstance(error, OperationTimedOut):
            guilty = error.attempted[-1:]
        else:
            guilty = error.attempted[-1:]
        innocent = [host for host in guilty if not self.history.struck(host, begin, end)]
        if innocent or not guilty:
            self.findings.blame("no error at QUORUM but of nodes in trouble", f"{what} by {guilty}: {error!r}")
        else:
            self.findings.count("errors of nodes in trouble")


class Register:
    """What its only writer knows of it."""

    def __init__(self, number):
        self.number = number
        self.tried = 0
        # Acknowledged at QUORUM: when, and what.
        self.acknowledged = [(0.0, 0)]

    def floor(self, before=float("inf")):
        return next(value for at, value in reversed(self.acknowledged) if at <= before)


class Writer(threading.Thread):
    """A client of its own registers, one statement at a time."""

    def __init__(self, number, client, stop):
        super().__init__(daemon=True)
        self.number = number
        self.client = client
        self.stop = stop
        self.random = random.Random(number)
        self.registers = [Register(number * REGISTERS_EACH + index) for index in range(REGISTERS_EACH)]
        self.facts = []
        self.next_fact = 0

    def run(self):
        while not self.stop.is_set():
            register = self.random.choice(self.registers)
            what = self.random.random()
            if what < 0.4:
                self.write(register)
            elif what < 0.7:
                self.read(register)
            elif what < 0.85:
                self.read_one(register)
            else:
                self.add_fact()
            time.sleep(THINK_S * self.random.random())

    def at_quorum(self, text, values):
        begin = time.monotonic()
        try:
            rows, _ = self.client.run(text, ConsistencyLevel.QUORUM, values)
        except Exception as error:
            self.client.judge(error, text % values, begin)
            rows = None
        window = self.client.history.window(begin)
        if window is not None:
            self.client.findings.took(window, time.monotonic() - begin)
        self.client.findings.count("statements at QUORUM")
        return rows

    def write(self, register):
        register.tried += 1
        value = register.tried
        text = "UPDATE chaos.registers SET value = %s WHERE id = %s"
        if self.at_quorum(text, (value, register.number)) is not None:
            register.acknowledged.append((time.monotonic(), value))

    def read(self, register):
        least = register.floor()
        rows = self.at_quorum("SELECT value FROM chaos.registers WHERE id = %s", (register.number,))
        if rows is not None:
            check(register, value_of(rows), least, self.client.findings, "reads at QUORUM give what QUORUM acknowledged")

    def read_one(self, register):
        begin = time.monotonic()
        least = register.floor(begin - GATE_S)
        text = "SELECT value FROM chaos.registers WHERE id = %s"
        self.client.findings.count("statements at LOCAL_ONE")
        try:
            rows, warned = self.client.run(text, ConsistencyLevel.LOCAL_ONE, (register.number,))
        except Exception:
            self.client.findings.count("errors at LOCAL_ONE")
            return
        if warned:
            self.client.findings.count("reads at LOCAL_ONE with a warning")
        else:
            check(register, value_of(rows), least, self.client.findings, "reads at LOCAL_ONE are fresh or warned of")

    def add_fact(self):
        self.next_fact += 1
        fact = self.number * 1_000_000_000 + self.next_fact
        self.client.findings.count("statements at LOCAL_ONE")
        try:
            self.client.run("INSERT INTO chaos.facts (id) VALUES (%s)", ConsistencyLevel.LOCAL_ONE, (fact,))
            self.facts.append((time.monotonic(), fact))
        except Exception:
            self.client.findings.count("errors at LOCAL_ONE")


def value_of(rows):
    return rows[0].value or 0 if rows else 0


def check(register, value, least, findings, promise):
    if not least <= value <= register.tried:
        findings.blame(promise, f"register {register.number} is {value}, not in {least}..{register.tried}")


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


def converge(client, findings):
    """Waits until every node says that all are fresh and lack nothing."""
    began = time.monotonic()
    text = "SELECT address, fresh, lacks, owed FROM system_views.convergence"
    while time.monotonic() - began < CONVERGE_LIMIT_S:
        try:
            answers = [client.run(text, ConsistencyLevel.ONE, host=client.host(host))[0] for host in client.history.hosts]
            behind = [row for rows in answers for row in rows if not row.fresh or row.lacks or row.owed]
            if all(answers) and not behind:
                print(f"FIGURE every node is equal to the others {time.monotonic() - began:.1f} s after the load")
                return
            last = behind
        except Exception as error:
            last = error
        time.sleep(0.5)
    findings.blame("nodes become equal by themselves", f"after {CONVERGE_LIMIT_S} s: {last}")


def verify(client, writers, findings):
    """Looks for everything that was acknowledged, by each node."""
    converge(client, findings)
    select = "SELECT value FROM chaos.registers WHERE id = %s"
    for register in (register for writer in writers for register in writer.registers):
        try:
            value = value_of(client.run(select, ConsistencyLevel.ALL, (register.number,))[0])
            check(register, value, register.floor(), findings, "nothing acknowledged is missing")
            for host in client.history.hosts:
                rows, warned = client.run(select, ConsistencyLevel.ONE, (register.number,), host=client.host(host))
                if value_of(rows) != value or warned:
                    why = f"register {register.number} is {value_of(rows)} at {host}, {value} at ALL, warned: {warned}"
                    findings.blame("no stale read at ONE after all is mended", why)
        except Exception as error:
            findings.blame("everything can be read after all is mended", repr(error))
    facts = {fact for writer in writers for at, fact in writer.facts if not client.history.was_alone(at)}
    for host in client.history.hosts:
        try:
            rows, _ = client.run("SELECT id FROM chaos.facts", ConsistencyLevel.ONE, host=client.host(host))
            missing = facts - {row.id for row in rows}
            if missing:
                why = f"{len(missing)} facts of {len(facts)} are not at {host}, among them {min(missing)}"
                findings.blame("nothing acknowledged is missing", why)
        except Exception as error:
            findings.blame("everything can be read after all is mended", repr(error))


PROMISES = (
    "no error at QUORUM but of nodes in trouble",
    "reads at QUORUM give what QUORUM acknowledged",
    "reads at LOCAL_ONE are fresh or warned of",
    "nodes become equal by themselves",
    "nothing acknowledged is missing",
    "no stale read at ONE after all is mended",
    "everything can be read after all is mended",
)


def tell(findings):
    for what, count in sorted(findings.counts.items()):
        print(f"FIGURE {count} {what}")
    calm = findings.latencies.get("", [])
    for window, took in sorted(findings.latencies.items()):
        name = window or "calm"
        p50, p99 = (1000 * percentile(took, part) for part in (0.5, 0.99))
        ratio = f", {percentile(took, 0.99) / percentile(calm, 0.99):.1f} times calm" if window and calm else ""
        print(f"FIGURE at QUORUM, {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms{ratio} ({len(took)} statements)")
    for promise in PROMISES:
        wrong = findings.wrong.get(promise)
        print(f"FAIL {promise}: {len(wrong)} times: {'; '.join(wrong[:3])}" if wrong else f"PASS {promise}")


def main():
    port, *hosts = sys.argv[1:]
    history, findings, stop = History(hosts), Findings(), threading.Event()
    client = Client(int(port), history, findings)
    for text in SCHEMA:
        client.session.execute(text)
    writers = [Writer(number, client, stop) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    print("READY", flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "struck":
            history.strike(rest[0], rest[1:])
        elif word == "healed":
            history.heal()
        elif word == "lost":
            history.lost_at.append(time.monotonic())
        elif word == "hosts":
            history.hosts = rest
        elif word == "verify":
            break
    stop.set()
    for writer in writers:
        writer.join(2 * CALL_LIMIT_S)
    verify(client, writers, findings)
    tell(findings)
    client.cluster.shutdown()


main()
