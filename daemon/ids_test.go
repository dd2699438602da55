package daemon

import (
	"slices"
	"testing"
	"time"
)

func TestIDs_SortAsTheyWereMade(t *testing.T) {
	t.Parallel()
	made, others := newIDs(), newIDs()
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	var all []string
	for i := range 1000 {
		others.next(at.Add(time.Duration(i) * time.Hour)) // another line with another clock
		clock := at
		if i%7 == 0 {
			clock = at.Add(-time.Hour) // it was put back
		}
		all = append(all, made.next(clock))
	}
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Error("ids are not in the order in which they were made")
	}
}
