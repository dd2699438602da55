package policy

import "time"

// freeze is a time in which nothing moves.
type freeze struct {
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"` // the first moment at which something may move again
	Reason string    `json:"reason,omitempty"`
	Zone   string    `json:"zone"` // whose days it was written in
}

func (f freeze) holds(t time.Time) bool { return !t.Before(f.From) && t.Before(f.Until) }

// startOfDay gives the first moment of a day in a zone. Where the clock is put forward at midnight that is not 00:00.
func startOfDay(date time.Time, zone *time.Location) time.Time {
	date = time.Date(date.Year(), date.Month(), date.Day(), 0, 0, 0, 0, time.UTC)
	return walk(date.Add(-48*time.Hour), zone, func(clock time.Time) time.Time {
		if clock.After(date) {
			return clock
		}
		return date
	})
}
