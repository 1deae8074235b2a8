package orders;

import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.config.DefaultDriverOption;
import com.datastax.oss.driver.api.core.config.DriverConfigLoader;
import com.datastax.oss.driver.api.core.cql.PreparedStatement;
import com.datastax.oss.driver.api.core.cql.ResultSet;
import com.datastax.oss.driver.api.core.cql.Row;
import com.datastax.oss.driver.api.core.data.UdtValue;
import com.datastax.oss.driver.api.core.type.UserDefinedType;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Semaphore;
import java.util.stream.Collectors;

/** Places orders, reads them back and checks every value (see ../README.md). */
public final class Load {
  private static final String BY_ID =
      "INSERT INTO orders.orders_by_id (order_id, customer_id, placed_at, status, total, currency, items, version, note)"
          + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
  private static final String BY_CUSTOMER =
      "INSERT INTO orders.orders_by_customer_and_day (customer_id, day, placed_at, order_id, status, total, version)"
          + " VALUES (?, ?, ?, ?, ?, ?, ?)";
  private static final String SELECT_BY_ID = "SELECT * FROM orders.orders_by_id WHERE order_id = ?";
  private static final String SELECT_BY_CUSTOMER =
      "SELECT * FROM orders.orders_by_customer_and_day WHERE customer_id = ? AND day = ?";
  private static final int PAGE_ROWS = 40;

  private final CqlSession session;
  private final Map<String, String> options;
  private final List<String> mismatches = Collections.synchronizedList(new ArrayList<>());

  private Load(CqlSession session, Map<String, String> options) {
    this.session = session;
    this.options = options;
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> options = options(arguments);
    DriverConfigLoader configuration =
        DriverConfigLoader.programmaticBuilder()
            .withDuration(DefaultDriverOption.REQUEST_TIMEOUT, Duration.ofSeconds(30))
            .build();
    int status;
    try (CqlSession session =
        CqlSession.builder()
            .addContactPoint(new InetSocketAddress(options.get("host"), Integer.parseInt(options.get("port"))))
            .withLocalDatacenter("datacenter1")
            .withConfigLoader(configuration)
            .build()) {
      status = new Load(session, options).run();
    }
    System.exit(status);
  }

  private static Map<String, String> options(String[] arguments) {
    Map<String, String> options =
        new HashMap<>(
            Map.of(
                "host", "127.0.0.1", "port", "9042", "count", "50000", "rate", "50000", "concurrency", "128",
                "customers", "50", "seed", "1"));
    for (int at = 0; at + 1 < arguments.length; at += 2) {
      options.put(arguments[at].replaceFirst("^--", ""), arguments[at + 1]);
    }
    return options;
  }

  private int number(String option) {
    return Integer.parseInt(options.get(option));
  }

  private Order order(long i) {
    return Order.number(Long.parseLong(options.get("seed")), number("customers"), i);
  }

  private int run() throws IOException, InterruptedException {
    List<Long> numbers = Collections.synchronizedList(new ArrayList<>());
    String summary;
    if (options.containsKey("verify")) {
      Files.readAllLines(Path.of(options.get("verify"))).forEach(line -> numbers.add(Long.parseLong(line)));
      summary = String.format("verified %d acknowledged orders", numbers.size());
    } else {
      createSchema();
      List<Throwable> errors = Collections.synchronizedList(new ArrayList<>());
      long began = System.nanoTime();
      place(numbers, errors);
      double seconds = (System.nanoTime() - began) / 1e9;
      summary =
          String.format(
              "placed %d orders in %.1f s (%.0f/s), %d refused",
              numbers.size(), seconds, numbers.size() / seconds, errors.size());
      if (!errors.isEmpty() && !options.containsKey("acknowledged")) {
        mismatches.add(errors.size() + " orders refused, first: " + errors.get(0));
      }
    }
    if (!options.containsKey("acknowledged")) {
      checkById(numbers);
      int pages = checkByCustomer(numbers);
      summary += String.format(", read %d by id and in %d pages by customer", numbers.size(), pages);
    }
    mismatches.stream().limit(5).forEach(System.err::println);
    System.out.printf("java: %s, %d mismatches%n", summary, mismatches.size());
    return mismatches.isEmpty() ? 0 : 1;
  }

  private void createSchema() throws IOException {
    String code =
        Files.readAllLines(Path.of("../schema.cql"), StandardCharsets.UTF_8).stream()
            .map(line -> line.split("--", 2)[0])
            .collect(Collectors.joining("\n"));
    Arrays.stream(code.split(";")).map(String::strip).filter(part -> !part.isEmpty()).forEach(session::execute);
  }

  private void place(List<Long> acknowledged, List<Throwable> errors) throws IOException, InterruptedException {
    PreparedStatement byId = session.prepare(BY_ID);
    PreparedStatement byCustomer = session.prepare(BY_CUSTOMER);
    UserDefinedType item =
        session.getMetadata().getKeyspace("orders").flatMap(keyspace -> keyspace.getUserDefinedType("item")).orElseThrow();
    Path log = options.containsKey("acknowledged") ? Path.of(options.get("acknowledged")) : null;
    int limit = number("concurrency");
    Semaphore slots = new Semaphore(limit);
    long began = System.nanoTime();
    for (long i = 0; i < number("count"); i++) {
      long wait = began + i * 60_000_000_000L / number("rate") - System.nanoTime();
      if (wait > 0) {
        Thread.sleep(wait / 1_000_000, (int) (wait % 1_000_000));
      }
      if (log != null && !errors.isEmpty()) {
        break;
      }
      slots.acquire();
      long order = i;
      Order o = order(i);
      List<UdtValue> items =
          o.items().stream().map(part -> item.newValue(part.sku(), part.quantity(), part.price())).toList();
      CompletionStage<?> first =
          session.executeAsync(
              byId.bind(
                  o.orderId(), o.customerId(), o.placedAt(), o.status(), o.total(), o.currency(), items, o.version(),
                  o.note()));
      CompletionStage<?> second =
          session.executeAsync(
              byCustomer.bind(
                  o.customerId(), o.day(), o.placedAt(), o.orderId(), o.status(), o.total(), o.version()));
      first
          .thenCombine(second, (one, two) -> order)
          .whenComplete(
              (number, error) -> {
                if (error == null) {
                  acknowledged.add(number);
                  record(log, number);
                } else {
                  errors.add(error);
                }
                slots.release();
              });
    }
    slots.acquire(limit);
  }

  private static synchronized void record(Path log, long number) {
    if (log == null) {
      return;
    }
    try {
      Files.writeString(log, number + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    } catch (IOException error) {
      throw new java.io.UncheckedIOException(error);
    }
  }

  private void checkById(List<Long> numbers) throws InterruptedException {
    PreparedStatement select = session.prepare(SELECT_BY_ID);
    int limit = number("concurrency");
    Semaphore slots = new Semaphore(limit);
    for (long i : numbers) {
      Order wanted = order(i);
      slots.acquire();
      session
          .executeAsync(select.bind(wanted.orderId()))
          .whenComplete(
              (rows, error) -> {
                Row row = error == null ? rows.one() : null;
                Object found = error != null ? error : row == null ? "nothing" : fromRow(row);
                if (!wanted.equals(found)) {
                  mismatches.add(wanted.note() + " in orders_by_id: " + found + " is not " + wanted);
                }
                slots.release();
              });
    }
    slots.acquire(limit);
  }

  private static Order fromRow(Row row) {
    List<Order.Item> items =
        row.getList("items", UdtValue.class).stream()
            .map(item -> new Order.Item(item.getString("sku"), item.getInt("quantity"), item.getBigDecimal("price")))
            .toList();
    Instant placedAt = row.getInstant("placed_at");
    return new Order(
        row.getUuid("order_id"),
        row.getUuid("customer_id"),
        placedAt.atOffset(java.time.ZoneOffset.UTC).toLocalDate(),
        placedAt,
        row.getString("status"),
        row.getBigDecimal("total"),
        row.getString("currency"),
        items,
        row.getLong("version"),
        row.getString("note"));
  }

  /** Reads each customer's days in pages and gives the number of pages. */
  private int checkByCustomer(List<Long> numbers) {
    Map<List<Object>, List<Order>> days =
        numbers.stream().map(this::order).collect(Collectors.groupingBy(o -> List.of(o.customerId(), o.day())));
    PreparedStatement select = session.prepare(SELECT_BY_CUSTOMER);
    int pages = 0;
    for (Map.Entry<List<Object>, List<Order>> day : days.entrySet()) {
      Map<UUID, List<Object>> found = new HashMap<>();
      Instant previous = Instant.MAX;
      ResultSet rows = session.execute(select.bind(day.getKey().toArray()).setPageSize(PAGE_ROWS));
      for (Row row : rows) {
        Instant placedAt = row.getInstant("placed_at");
        if (placedAt.isAfter(previous)) {
          mismatches.add("customer " + day.getKey() + ": rows out of order at " + row.getUuid("order_id"));
        }
        previous = placedAt;
        found.put(
            row.getUuid("order_id"),
            List.of(
                row.getLocalDate("day"), placedAt, row.getString("status"), row.getBigDecimal("total"),
                row.getLong("version")));
      }
      pages += rows.getExecutionInfos().size();
      for (Order o : day.getValue()) {
        List<Object> wanted = List.of(o.day(), o.placedAt(), o.status(), o.total(), o.version());
        if (!wanted.equals(found.get(o.orderId()))) {
          mismatches.add(
              o.note() + " in orders_by_customer_and_day: " + found.get(o.orderId()) + " is not " + wanted);
        }
      }
    }
    return pages;
  }
}
