#!/usr/bin/env python3
"""Runs cqlsh as PyPI ships it against a server: prints `PASS name` or `FAIL name: why` for each check.

Usage: check.py CQLSH HOST PORT
"""

import csv
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

CQLSH, HOST, PORT = sys.argv[1:4]
KEYSPACE = "cqlsh_check"
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\x07")
RUN_LIMIT_S = 90
# Whoever started this in the background may have had interrupts ignored, by whatever is started from here, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
KEY_LIMIT_S = 20


def run(*statements, arguments=(), keyspace=True):
    """Runs statements in one cqlsh."""
    command = [CQLSH, HOST, PORT, "--no-color", *arguments]
    if keyspace:
        command += ["-k", KEYSPACE]
    command += ["-e", ";\n".join(statements) + ";"]
    return subprocess.run(command, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)


def cqlsh(*statements, arguments=(), keyspace=True):
    """Runs statements in one cqlsh and gives its output and errors together."""
    done = run(*statements, arguments=arguments, keyspace=keyspace)
    lines = (done.stdout + done.stderr).splitlines(keepends=True)
    # It says so whenever the server's version is not exactly its own.
    return "".join(line for line in lines if not line.startswith("WARNING: cqlsh was built against"))


def holds(text, *parts):
    for part in parts:
        assert part in text, f"{part!r} is not in:\n{text}"


def rows_of(text):
    """The cells of a printed table."""
    lines = [line for line in text.splitlines() if "|" in line]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def check_version():
    text = cqlsh("SHOW VERSION", keyspace=False)
    assert re.search(r"\[cqlsh 6\.2\.\d+ \| Cassandra 5\.0\.\d\S* \| CQL spec 3\.4\.7 \| Native protocol v5\]", text), text


def check_host():
    assert re.search(r"Connected to .+ at \S+:\d+", cqlsh("SHOW HOST", keyspace=False))


def check_select():
    text = cqlsh("SELECT id, name, tags, m FROM people")
    rows = rows_of(text)
    assert rows[0] == ["id", "name", "tags", "m"], rows
    assert sorted(rows[1:]) == [
        ["1", "Helen", "{'a', 'b'}", "{'x': 1}"],
        ["2", "Ἑλένη", "null", "null"],
        ["3", "it's", "null", "null"],
    ], rows
    holds(text, "(3 rows)")


def check_types():
    text = cqlsh("EXPAND ON", "SELECT * FROM all_types")
    for part in (
        "0xcafe", "True", "2024-01-15", "3.50", "1mo2d", "127.0.0.1", "10:30:45.123456789",
        "2024-01-15 10:30:45.123000+0000", "123e4567-e89b-12d3-a456-426614174000", "[1, 2]", "{street: 'Main', zip: 5}",
        "(1, 'a')", "[1, 2.5]", "123456789012345678901234567890",
    ):
        holds(text, part)


def check_expand():
    text = cqlsh("EXPAND ON", "SELECT id, name FROM people WHERE id = 1", "EXPAND OFF", "SELECT id FROM people WHERE id = 1")
    holds(text, "EXPAND set to ON", "@ Row 1", " name | Helen", "EXPAND set to OFF")


def check_paging():
    text = cqlsh("PAGING 10", "SELECT k FROM many", "PAGING OFF", "PAGING")
    holds(text, "Page size: 10", "(95 rows)", "PAGING set to OFF", "PAGING is OFF")


def check_paging_by_key():
    with Terminal() as terminal:
        terminal.say("PAGING 10", "Page size: 10")
        terminal.say("SELECT k FROM many;", "---MORE---")
        terminal.say("", "---MORE---")
        terminal.keys("\x03", "cqlsh:")


def check_consistency():
    text = cqlsh("CONSISTENCY", "CONSISTENCY QUORUM", "SELECT id FROM people WHERE id = 1", "CONSISTENCY ALL", "CONSISTENCY")
    holds(text, "Current consistency level is ONE.", "Consistency level set to QUORUM.", "Current consistency level is ALL.")


def check_serial_consistency():
    text = cqlsh(
        "SERIAL CONSISTENCY LOCAL_SERIAL", "SERIAL CONSISTENCY", "UPDATE people SET name = 'Helen' WHERE id = 1 IF name = 'Helen'"
    )
    holds(text, "Serial consistency level set to LOCAL_SERIAL.", "Current serial consistency level is LOCAL_SERIAL.", "True")


def check_consistency_serial_read():
    text = cqlsh("CONSISTENCY SERIAL", "SELECT name FROM people WHERE id = 1")
    holds(text, "Consistency level set to SERIAL.", "Helen")


def check_tracing():
    text = cqlsh("TRACING ON", "SELECT name FROM people WHERE id = 1", "TRACING OFF")
    holds(text, "TRACING set to ON", "Helen", "Tracing session: ", "activity", "Request complete", "TRACING set to OFF")
    session = re.search(r"Tracing session: ([0-9a-f-]{36})", text).group(1)
    assert len(rows_of(text.split("Tracing session:")[1])) > 3, text
    holds(cqlsh(f"SHOW SESSION {session}"), session, "Request complete")


def check_describe():
    holds(cqlsh("DESCRIBE KEYSPACES"), KEYSPACE, "system_schema", "system_virtual_schema")
    holds(cqlsh("DESCRIBE TABLES"), "people", "all_types", "many")
    holds(cqlsh("DESCRIBE TYPES"), "address")
    holds(cqlsh("DESCRIBE TYPE address"), f"CREATE TYPE {KEYSPACE}.address (", "street text")
    holds(cqlsh("DESCRIBE TABLE people"), f"CREATE TABLE {KEYSPACE}.people (", "id int PRIMARY KEY", "AND comment = 'of Troy'")
    holds(cqlsh("DESCRIBE CLUSTER", keyspace=False), "Cluster: ", "Partitioner: Murmur3Partitioner")
    holds(cqlsh("DESCRIBE SCHEMA", keyspace=False), f"CREATE KEYSPACE {KEYSPACE}", f"CREATE TABLE {KEYSPACE}.people")
    holds(cqlsh("DESCRIBE people"), f"CREATE TABLE {KEYSPACE}.people (")
    holds(cqlsh("DESCRIBE TABLE nosuch"), "nosuch")


def check_describe_recreates():
    before = cqlsh(f"DESCRIBE KEYSPACE {KEYSPACE}_copied", keyspace=False)
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "schema.cql"
        script.write_text(before, encoding="utf-8")
        cqlsh(f"DROP KEYSPACE {KEYSPACE}_copied", keyspace=False)
        errors = cqlsh(f"SOURCE '{script}'", keyspace=False)
    assert errors.strip() == "", errors
    after = cqlsh(f"DESCRIBE KEYSPACE {KEYSPACE}_copied", keyspace=False)
    assert before == after, f"{before}\nis not\n{after}"
    holds(before, "CREATE TYPE", "CLUSTERING ORDER BY (c DESC, d ASC)", 'PRIMARY KEY ((a, "B"), c, d)')


def check_source():
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "script.cql"
        script.write_text(
            "-- a comment; with a semicolon\n"
            "INSERT INTO sourced (k, v) VALUES (1, 'semi;colon');\n"
            "BEGIN BATCH\n  INSERT INTO sourced (k, v) VALUES (2, 'two');\n  INSERT INTO sourced (k, v) VALUES (3, $$it's$$);\n"
            "APPLY BATCH;\n/* over\nlines */ INSERT INTO sourced (k) VALUES (4);\n",
            encoding="utf-8",
        )
        text = cqlsh(f"SOURCE '{script}'", "SELECT k, v FROM sourced")
    assert sorted(rows_of(text)[1:]) == [["1", "semi;colon"], ["2", "two"], ["3", "it's"], ["4", "null"]], text


def check_file_argument():
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "script.cql"
        script.write_text("SELECT name FROM people\nWHERE id = 1;\n", encoding="utf-8")
        command = [CQLSH, HOST, PORT, "-k", KEYSPACE, "-f", str(script)]
        holds(subprocess.run(command, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False).stdout, "Helen")


def check_capture():
    with tempfile.TemporaryDirectory() as directory:
        captured = Path(directory) / "captured.txt"
        text = cqlsh(f"CAPTURE '{captured}'", "SELECT name FROM people WHERE id = 1", "CAPTURE OFF", "SELECT id FROM people WHERE id = 2")
        holds(text, "Now capturing query output to")
        assert "Helen" not in text, text
        holds(captured.read_text(encoding="utf-8"), "Helen", "(1 rows)")


def check_copy():
    with tempfile.TemporaryDirectory() as directory:
        first, second = Path(directory) / "first.csv", Path(directory) / "second.csv"
        holds(cqlsh(f"COPY copied TO '{first}' WITH HEADER = true"), "500 rows exported to 1 files")
        cqlsh("TRUNCATE copied")
        holds(cqlsh(f"COPY copied FROM '{first}' WITH HEADER = true"), "500 rows imported from 1 files")
        holds(cqlsh(f"COPY copied TO '{second}' WITH HEADER = true"), "500 rows exported")
        read = lambda path: sorted(csv.reader(path.open(encoding="utf-8", newline="")))
        assert read(first) == read(second), "the table is not the same after COPY TO and COPY FROM"
        holds(cqlsh(f"COPY copied (k, w) TO '{first}' WITH DELIMITER = ';' AND NULL = 'none'"), "500 rows exported")
        assert len(first.read_text(encoding="utf-8").splitlines()) == 500


def check_copy_types():
    # cqlsh cannot import durations and user types, whatever the server.
    columns = "k, b, bo, da, de, i, ti, ts, tu, l, tp, v, n"
    show = ("EXPAND ON", f"SELECT {columns} FROM all_types")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "types.csv"
        cqlsh(f"COPY all_types ({columns}) TO '{path}'")
        before = cqlsh(*show)
        cqlsh("TRUNCATE all_types")
        holds(cqlsh(f"COPY all_types ({columns}) FROM '{path}'"), "1 rows imported")
        after = cqlsh(*show)
        assert before == after, f"{before}\nis not\n{after}"


def check_errors():
    holds(cqlsh("SELECT nosuch FROM people"), "InvalidRequest", "code=2200", "nosuch")
    holds(cqlsh("SELEC name FROM people"), "SyntaxException")
    holds(cqlsh("CREATE TABLE people (k int PRIMARY KEY)"), "AlreadyExists")
    holds(cqlsh("SELECT * FROM people WHERE name = 'Helen'"), "ALLOW FILTERING")
    holds(cqlsh("USE nosuch_keyspace"), "nosuch_keyspace")


def check_json_and_lwt():
    holds(cqlsh("SELECT JSON id, name FROM people WHERE id = 1"), '{"id": 1, "name": "Helen"}')
    holds(cqlsh("INSERT INTO people (id, name) VALUES (1, 'x') IF NOT EXISTS"), "[applied]", "False", "Helen")


def check_completion():
    for keys, wanted in (
        ("SELECT * FROM peo\t", "SELECT * FROM people"),
        ("SELECT name FROM people WHE\t", "people WHERE"),
        (f"DESCRIBE KEYSPACE {KEYSPACE}_c\t", f"{KEYSPACE}_copied"),
        ("INSERT INTO peo\t", "INSERT INTO people"),
        ("CONSISTENCY LOCAL_QU\t", "CONSISTENCY LOCAL_QUORUM"),
        ("DROP TABLE so\t", "DROP TABLE sourced"),
    ):
        with Terminal() as terminal:
            terminal.keys(keys, wanted)


class Terminal:
    """An interactive cqlsh in a terminal of its own."""

    def __enter__(self):
        self.process, self.descriptor = pty.fork()
        if self.process == 0:
            environment = {**os.environ, "TERM": "vt100", "COLUMNS": "160"}
            os.execve(CQLSH, [CQLSH, HOST, PORT, "--no-color", "-k", KEYSPACE], environment)
        self.expect(f"cqlsh:{KEYSPACE}>")
        return self

    def __exit__(self, *_):
        os.write(self.descriptor, b"\x03\nexit\n")
        time.sleep(0.3)
        os.close(self.descriptor)
        os.waitpid(self.process, 0)

    def expect(self, wanted):
        text, end = "", time.monotonic() + KEY_LIMIT_S
        while time.monotonic() < end:
            ready, _, _ = select.select([self.descriptor], [], [], 0.2)
            if ready:
                try:
                    text += os.read(self.descriptor, 65536).decode("utf-8", "replace")
                except OSError:
                    break
            if wanted in ANSI.sub("", text):
                return
        raise AssertionError(f"{wanted!r} did not come; there was:\n{ANSI.sub('', text)}")

    def say(self, line, wanted):
        self.keys(line + "\n", wanted)

    def keys(self, keys, wanted):
        os.write(self.descriptor, keys.encode())
        self.expect(wanted)


def prepare():
    """Makes the schema and the rows the checks look at."""
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    drop = [f"DROP KEYSPACE IF EXISTS {name}" for name in (KEYSPACE, KEYSPACE + "_copied")]
    create = [f"CREATE KEYSPACE {name} WITH replication = {replication}" for name in (KEYSPACE, KEYSPACE + "_copied")]
    made = [run(*drop, *create, keyspace=False), run(
        "CREATE TYPE address (street text, zip int)",
        "CREATE TABLE people (id int PRIMARY KEY, name text, tags set<text>, m map<text, int>) WITH comment = 'of Troy'",
        "CREATE TABLE many (k int PRIMARY KEY)",
        "CREATE TABLE sourced (k int PRIMARY KEY, v text)",
        "CREATE TABLE copied (k int, c text, v double, w text, PRIMARY KEY (k, c))",
        "CREATE TABLE all_types (k int PRIMARY KEY, b blob, bo boolean, da date, de decimal, du duration, i inet, ti time,"
        " ts timestamp, tu timeuuid, l list<int>, a frozen<address>, tp tuple<int, text>, v vector<float, 2>, n varint)",
        "INSERT INTO people (id, name, tags, m) VALUES (1, 'Helen', {'b', 'a'}, {'x': 1})",
        "INSERT INTO people (id, name) VALUES (2, 'Ἑλένη')",
        "INSERT INTO people (id, name) VALUES (3, 'it''s')",
        "INSERT INTO all_types (k, b, bo, da, de, du, i, ti, ts, tu, l, a, tp, v, n) VALUES (1, 0xcafe, true, '2024-01-15',"
        " 3.50, 1mo2d, '127.0.0.1', '10:30:45.123456789', '2024-01-15 10:30:45.123+0000',"
        " 123e4567-e89b-12d3-a456-426614174000, [1, 2], {street: 'Main', zip: 5}, (1, 'a'), [1, 2.5],"
        " 123456789012345678901234567890)",
        f"CREATE TYPE {KEYSPACE}_copied.inner (a int, \"B\" text)",
        f"CREATE TYPE {KEYSPACE}_copied.outer (i frozen<inner>, l list<int>)",
        f"CREATE TABLE {KEYSPACE}_copied.t (a int, \"B\" text, c int, d timeuuid, s int static, o frozen<outer>, m map<text, int>,"
        " PRIMARY KEY ((a, \"B\"), c, d)) WITH CLUSTERING ORDER BY (c DESC, d ASC) AND comment = 'it''s' AND gc_grace_seconds = 5",
        f"CREATE TABLE {KEYSPACE}_copied.\"Counted\" (k int PRIMARY KEY, n counter)",
        *[f"INSERT INTO many (k) VALUES ({k})" for k in range(95)],
    )]
    # By the exit status: the driver may write of threads that it stopped when cqlsh ends within moments of a schema change.
    for done in made:
        assert done.returncode == 0, done.stdout + done.stderr
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rows.csv"
        rows = [(k % 50, f"c{k}", k / 8, "text, with \"quotes\" – λ") for k in range(500)]
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
        holds(cqlsh(f"COPY copied (k, c, v, w) FROM '{path}'"), "500 rows imported")


def main():
    prepare()
    checks = [(name[len("check_"):].replace("_", " "), check) for name, check in globals().items() if name.startswith("check_")]
    failed = 0
    for name, check in checks:
        try:
            check()
            print(f"PASS {name}", flush=True)
        except Exception as error:  # Whatever goes wrong in a check is that check's failure.
            failed += 1
            why = str(error) if isinstance(error, AssertionError) else traceback.format_exc()
            print(f"FAIL {name}: {why}", flush=True)
    cqlsh(f"DROP KEYSPACE {KEYSPACE}", f"DROP KEYSPACE {KEYSPACE}_copied", keyspace=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
