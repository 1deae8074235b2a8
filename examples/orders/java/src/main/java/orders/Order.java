package orders;

import java.math.BigDecimal;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.List;
import java.util.UUID;
import java.util.stream.IntStream;

/** Order number i: the same in every language (see ../README.md). */
record Order(
    UUID orderId, UUID customerId, LocalDate day, Instant placedAt, String status, BigDecimal total, String currency,
    List<Item> items, long version, String note) {

  record Item(String sku, int quantity, BigDecimal price) {}

  private static final Instant SALE_BEGINS = Instant.parse("2024-11-29T14:15:00Z");
  private static final List<String> STATUSES = List.of("NEW", "PAID", "SHIPPED");

  /** The output function of SplitMix64. */
  private static long mix(long x) {
    long z = x + 0x9E3779B97F4A7C15L;
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }

  /** Two numbers as a UUID of version 4. */
  private static UUID uuid(long a, long b) {
    return new UUID((a & ~0xF000L) | 0x4000L, (b & ~(0xC0L << 56)) | (0x80L << 56));
  }

  /** Order number i of a seed. */
  static Order number(long seed, int customers, long i) {
    long base = mix(seed) + 16 * i;
    long customer = Long.remainderUnsigned(mix(base + 2), customers);
    Instant placedAt = SALE_BEGINS.plusMillis(6 * i / 5);
    List<Item> items =
        IntStream.range(0, 1 + below(base + 4, 3))
            .mapToObj(
                j ->
                    new Item(
                        String.format("SKU-%05d", below(base + 5 + j, 100_000)),
                        1 + below(base + 8 + j, 5),
                        BigDecimal.valueOf(1 + below(base + 11 + j, 10_000), 2)))
            .toList();
    BigDecimal total =
        items.stream()
            .map(item -> item.price().multiply(BigDecimal.valueOf(item.quantity())))
            .reduce(BigDecimal.valueOf(0, 2), BigDecimal::add);
    return new Order(
        uuid(mix(base), mix(base + 1)),
        uuid(mix(2 * customer), mix(2 * customer + 1)),
        LocalDate.ofInstant(placedAt, ZoneOffset.UTC),
        placedAt,
        STATUSES.get(below(base + 3, 3)),
        total,
        "EUR",
        items,
        1,
        "order " + i + " – λ✓");
  }

  private static int below(long x, int limit) {
    return (int) Long.remainderUnsigned(mix(x), limit);
  }
}
