// Package epr is the HTTP face of package channels, as Kibana speaks it.
package epr

import (
	"encoding/json"
	"net/http"

	"github.com/poundlock/poundlock/internal/elastic"
	"github.com/poundlock/poundlock/internal/mirror"
)

// Item is one version of a package in a channel, with all that a search asks for. As JSON it can be kept: it is made anew
// where its format is not ours.
type Item struct {
	Package mirror.Package   `json:"package"`
	Stage   string           `json:"stage"` // the highest at which it stands
	Local   mirror.Reference `json:"local"` // its artifact in the local registry, with digest
	Layers  elastic.Layers   `json:"layers"`
	Search  json.RawMessage  `json:"search"` // as /search gives it
}

// NewItem makes an item of what is known of a package.
func NewItem(f elastic.Facts, local mirror.Reference, l elastic.Layers) (Item, error) {
	panic("not written yet")
}

// Channel is what one channel holds at one moment. It never changes.
type Channel struct{}

// NewChannel gives a channel of items, in whatever order they come.
func NewChannel(items []Item) *Channel { panic("not written yet") }

// Handler answers for a channel at the root of a server as a package registry of Elastic does. now gives the channel, which
// may be another one at each request; content is where packages lie.
func Handler(now func() *Channel, content mirror.Content) http.Handler { panic("not written yet") }
