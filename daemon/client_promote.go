package daemon

import (
	"context"
	"net/http"

	"github.com/poundlock/poundlock/internal/mirror"
)

// promotion gives the order as the line takes it.
func (o order) promotion() PromoteOrder {
	return PromoteOrder{Set: o.Set, Stage: o.Stage, Entries: o.Entries, Way: o.Way, By: o.By, Back: o.Back, Commit: o.Commit, Reason: o.Reason, Newest: o.Newest, Freeze: o.Freeze}
}

// Promote makes the daemon promote, or roll back.
func (c *Client) Promote(ctx context.Context, o PromoteOrder) (p Promoted, err error) {
	err = c.ask(ctx, http.MethodPost, "/v1/promote", order{Set: o.Set, Stage: o.Stage, Entries: o.Entries, Way: o.Way, By: o.By, Back: o.Back,
		Commit: o.Commit, Reason: o.Reason, Newest: o.Newest, Freeze: o.Freeze}, &p)
	return p, err
}

// Hold makes automation leave entries of a set at a stage as they are, or all of them.
func (c *Client) Hold(ctx context.Context, set string, stage mirror.Stage, entries []string, reason, by string) (h mirror.Hold, err error) {
	err = c.ask(ctx, http.MethodPost, "/v1/hold", order{Set: set, Stage: stage, Entries: entries, Reason: reason, By: by}, &h)
	return h, err
}

// Release takes holds away, and gives the places that were held.
func (c *Client) Release(ctx context.Context, set string, stage mirror.Stage, entries []string, by string) ([]mirror.Place, error) {
	var answer released
	err := c.ask(ctx, http.MethodPost, "/v1/release", order{Set: set, Stage: stage, Entries: entries, By: by}, &answer)
	return answer.Places, err
}
