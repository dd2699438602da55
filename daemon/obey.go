package daemon

import "time"

// endOrders is how long a line that ends waits for the orders that it was given.
const endOrders = 5 * time.Second

// begin notes that a line carries out an order, until its orders are told that it is done. The error says why it
// takes none.
func (f *face) begin(l *Line) error {
	f.ordering.Lock()
	defer f.ordering.Unlock()
	if err := f.takesOrders(); err != nil {
		return err
	}
	if f.line.Load() != l {
		return f.absent() // it was replaced while the order came in
	}
	l.orders.Add(1)
	return nil
}

// end makes a line take no more orders, and waits for those under way.
func (f *face) end(l *Line, why *ending) {
	f.ordering.Lock()
	f.ending.Store(why)
	f.ordering.Unlock()
	done := make(chan struct{})
	go func() { l.orders.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(endOrders):
	}
}
