// Places orders, reads them back and checks every value (see ../README.md).
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

const (
	byID = "INSERT INTO orders.orders_by_id (order_id, customer_id, placed_at, status, total, currency, items, version, note)" +
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
	byCustomer = "INSERT INTO orders.orders_by_customer_and_day (customer_id, day, placed_at, order_id, status, total, version)" +
		" VALUES (?, ?, ?, ?, ?, ?, ?)"
	selectByID = "SELECT order_id, customer_id, placed_at, status, total, currency, items, version, note" +
		" FROM orders.orders_by_id WHERE order_id = ?"
	selectByCustomer = "SELECT day, placed_at, order_id, status, total, version" +
		" FROM orders.orders_by_customer_and_day WHERE customer_id = ? AND day = ?"
	pageRows = 40
)

var (
	host         = flag.String("host", "127.0.0.1", "where CQL answers")
	port         = flag.Int("port", 9042, "its port")
	count        = flag.Int("count", 50000, "orders to place")
	rate         = flag.Int("rate", 50000, "orders a minute")
	concurrency  = flag.Int("concurrency", 128, "orders in flight at most")
	customers    = flag.Uint64("customers", 50, "customers the orders belong to")
	seed         = flag.Uint64("seed", 1, "which orders")
	acknowledged = flag.String("acknowledged", "", "append the numbers of acknowledged orders to this file")
	verify       = flag.String("verify", "", "check the orders listed in this file")
)

// findings collects what is wrong from many goroutines.
type findings struct {
	sync.Mutex
	list []string
}

func (f *findings) add(format string, values ...any) {
	f.Lock()
	defer f.Unlock()
	f.list = append(f.list, fmt.Sprintf(format, values...))
}

func main() {
	flag.Parse()
	cluster := gocql.NewCluster(*host)
	cluster.Port = *port
	cluster.Timeout = 30 * time.Second
	cluster.Consistency = gocql.One
	session, err := cluster.CreateSession()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status, err := run(session)
	session.Close()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(status)
}

func run(session *gocql.Session) (int, error) {
	var wrong findings
	var numbers []int
	var summary string
	if *verify != "" {
		var err error
		if numbers, err = readNumbers(*verify); err != nil {
			return 1, err
		}
		summary = fmt.Sprintf("verified %d acknowledged orders", len(numbers))
	} else {
		if err := createSchema(session); err != nil {
			return 1, err
		}
		began := time.Now()
		var refused findings
		var err error
		if numbers, err = place(session, &refused); err != nil {
			return 1, err
		}
		seconds := time.Since(began).Seconds()
		summary = fmt.Sprintf("placed %d orders in %.1f s (%.0f/s), %d refused", len(numbers), seconds,
			float64(len(numbers))/seconds, len(refused.list))
		if len(refused.list) > 0 && *acknowledged == "" {
			wrong.add("%d orders refused, first: %s", len(refused.list), refused.list[0])
		}
	}
	if *acknowledged == "" {
		checkByID(session, numbers, &wrong)
		pages := checkByCustomer(session, numbers, &wrong)
		summary += fmt.Sprintf(", read %d by id and in %d pages by customer", len(numbers), pages)
	}
	for _, finding := range wrong.list[:min(5, len(wrong.list))] {
		fmt.Fprintln(os.Stderr, finding)
	}
	fmt.Printf("go: %s, %d mismatches\n", summary, len(wrong.list))
	if len(wrong.list) > 0 {
		return 1, nil
	}
	return 0, nil
}

func readNumbers(path string) ([]int, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var numbers []int
	for lines := bufio.NewScanner(file); lines.Scan(); {
		number, err := strconv.Atoi(lines.Text())
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}

func createSchema(session *gocql.Session) error {
	text, err := os.ReadFile("../schema.cql")
	if err != nil {
		return err
	}
	var code strings.Builder
	for _, line := range strings.Split(string(text), "\n") {
		before, _, _ := strings.Cut(line, "--")
		code.WriteString(before + "\n")
	}
	for _, statement := range strings.Split(code.String(), ";") {
		if statement = strings.TrimSpace(statement); statement != "" {
			if err := session.Query(statement).Exec(); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
	}
	return nil
}

// bounded calls task for each number, at most concurrency at once.
func bounded(numbers []int, task func(int)) {
	slots := make(chan struct{}, *concurrency)
	var all sync.WaitGroup
	for _, number := range numbers {
		slots <- struct{}{}
		all.Add(1)
		go func() {
			defer func() { <-slots; all.Done() }()
			task(number)
		}()
	}
	all.Wait()
}

func place(session *gocql.Session, refused *findings) ([]int, error) {
	var log *os.File
	if *acknowledged != "" {
		var err error
		if log, err = os.OpenFile(*acknowledged, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
			return nil, err
		}
		defer log.Close()
	}
	all := make([]int, *count)
	for i := range all {
		all[i] = i
	}
	var lock sync.Mutex
	var placed []int
	began := time.Now()
	bounded(all, func(i int) {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Minute / time.Duration(*rate))))
		refused.Lock()
		stop := log != nil && len(refused.list) > 0
		refused.Unlock()
		if stop {
			return
		}
		o := makeOrder(*seed, *customers, i)
		other := make(chan error, 1)
		go func() {
			other <- session.Query(byCustomer, o.CustomerID, o.Day, o.PlacedAt, o.OrderID, o.Status, o.Total, o.Version).Exec()
		}()
		first := session.Query(byID, o.OrderID, o.CustomerID, o.PlacedAt, o.Status, o.Total, o.Currency, o.Items, o.Version,
			o.Note).Exec()
		second := <-other
		if first != nil || second != nil {
			refused.add("%s: %v, %v", o.Note, first, second)
			return
		}
		lock.Lock()
		defer lock.Unlock()
		placed = append(placed, i)
		if log != nil {
			fmt.Fprintln(log, i)
		}
	})
	return placed, nil
}

func checkByID(session *gocql.Session, numbers []int, wrong *findings) {
	bounded(numbers, func(i int) {
		wanted := makeOrder(*seed, *customers, i)
		var found Order
		err := session.Query(selectByID, wanted.OrderID).Scan(&found.OrderID, &found.CustomerID, &found.PlacedAt, &found.Status,
			&found.Total, &found.Currency, &found.Items, &found.Version, &found.Note)
		if err != nil {
			wrong.add("%s in orders_by_id: %v", wanted.Note, err)
		} else if found.text() != wanted.text() {
			wrong.add("%s is not %s", found.text(), wanted.text())
		}
	})
}

// checkByCustomer reads each customer's days in pages and gives the number of pages.
func checkByCustomer(session *gocql.Session, numbers []int, wrong *findings) int {
	type day struct {
		customer gocql.UUID
		day      time.Time
	}
	days := map[day][]Order{}
	for _, i := range numbers {
		o := makeOrder(*seed, *customers, i)
		days[day{o.CustomerID, o.Day}] = append(days[day{o.CustomerID, o.Day}], o)
	}
	pages := 0
	for key, orders := range days {
		found := map[gocql.UUID]string{}
		var state []byte
		var previous time.Time
		for {
			query := session.Query(selectByCustomer, key.customer, key.day).PageSize(pageRows).PageState(state)
			iterator := query.Iter()
			pages++
			state = iterator.PageState()
			var o Order
			for iterator.Scan(&o.Day, &o.PlacedAt, &o.OrderID, &o.Status, &o.Total, &o.Version) {
				if !previous.IsZero() && o.PlacedAt.After(previous) {
					wrong.add("customer %s: rows out of order at %s", key.customer, o.OrderID)
				}
				previous = o.PlacedAt
				found[o.OrderID] = o.listed()
			}
			if err := iterator.Close(); err != nil {
				wrong.add("customer %s: %v", key.customer, err)
				break
			}
			if len(state) == 0 {
				break
			}
		}
		for _, o := range orders {
			if found[o.OrderID] != o.listed() {
				wrong.add("%s in orders_by_customer_and_day: %q is not %q", o.Note, found[o.OrderID], o.listed())
			}
		}
	}
	return pages
}
