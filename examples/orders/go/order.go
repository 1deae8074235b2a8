package main

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"gopkg.in/inf.v0"
)

// Item is a line of an order, stored as the user type orders.item.
type Item struct {
	Sku      string   `cql:"sku"`
	Quantity int      `cql:"quantity"`
	Price    *inf.Dec `cql:"price"`
}

// Order number i: the same in every language (see ../README.md).
type Order struct {
	OrderID    gocql.UUID
	CustomerID gocql.UUID
	Day        time.Time
	PlacedAt   time.Time
	Status     string
	Total      *inf.Dec
	Currency   string
	Items      []Item
	Version    int64
	Note       string
}

var saleBegins = time.Date(2024, 11, 29, 14, 15, 0, 0, time.UTC)
var statuses = []string{"NEW", "PAID", "SHIPPED"}

// mix is the output function of SplitMix64.
func mix(x uint64) uint64 {
	z := x + 0x9E3779B97F4A7C15
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}

// makeUUID makes a UUID of version 4 from two numbers.
func makeUUID(a, b uint64) gocql.UUID {
	var id gocql.UUID
	binary.BigEndian.PutUint64(id[:8], a)
	binary.BigEndian.PutUint64(id[8:], b)
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// cents is an amount in cents as a decimal of scale 2.
func cents(amount uint64) *inf.Dec {
	return inf.NewDecBig(new(big.Int).SetUint64(amount), 2)
}

func makeOrder(seed uint64, customers uint64, i int) Order {
	base := mix(seed) + 16*uint64(i)
	value := func(n int) uint64 { return mix(base + uint64(n)) }
	customer := value(2) % customers
	placedAt := saleBegins.Add(time.Duration(6*i/5) * time.Millisecond)
	var items []Item
	var total uint64
	for j := 0; j < int(1+value(4)%3); j++ {
		quantity, price := 1+value(8+j)%5, 1+value(11+j)%10000
		total += quantity * price
		items = append(items, Item{fmt.Sprintf("SKU-%05d", value(5+j)%100000), int(quantity), cents(price)})
	}
	return Order{
		OrderID:    makeUUID(value(0), value(1)),
		CustomerID: makeUUID(mix(2*customer), mix(2*customer+1)),
		Day:        placedAt.Truncate(24 * time.Hour),
		PlacedAt:   placedAt,
		Status:     statuses[value(3)%3],
		Total:      cents(total),
		Currency:   "EUR",
		Items:      items,
		Version:    1,
		Note:       fmt.Sprintf("order %d – λ✓", i),
	}
}

// text shows every value of an order, so that two orders can be compared and a difference read.
func (o Order) text() string {
	items := ""
	for _, item := range o.Items {
		items += fmt.Sprintf("%s×%d@%s ", item.Sku, item.Quantity, item.Price)
	}
	return fmt.Sprintf("%s %s %s %s %s %s [%s] %d %s", o.OrderID, o.CustomerID, o.PlacedAt.UTC().Format(time.RFC3339Nano),
		o.Status, o.Total, o.Currency, items, o.Version, o.Note)
}

// listed shows the values of an order that orders_by_customer_and_day holds.
func (o Order) listed() string {
	return fmt.Sprintf("%s %s %s %s %d", o.Day.UTC().Format(time.DateOnly), o.PlacedAt.UTC().Format(time.RFC3339Nano),
		o.Status, o.Total, o.Version)
}
