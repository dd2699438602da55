package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
)

// Matrix sends messages to a room (spec.matrix.org, client-server API, "Sending events to a room").
type Matrix struct {
	Client *http.Client
	URL    Source // of the homeserver
	Token  Source
	Room   string // its id
}

// matrixMessage is an event m.room.message. An empty list of mentions says that nobody is called, whatever the text
// holds.
type matrixMessage struct {
	Type     string   `json:"msgtype"`
	Body     string   `json:"body"`
	Format   string   `json:"format"`
	HTML     string   `json:"formatted_body"`
	Mentions struct{} `json:"m.mentions"`
}

// Send sends the message. Its id is the id of the transaction, so that a message that is tried again is there once.
func (x Matrix) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(matrixMessage{Type: "m.notice", Body: m.plain(), Format: "org.matrix.custom.html", HTML: matrixHTML(m)})
	if err != nil {
		return fmt.Errorf("message: %w", err)
	}
	to := func(ctx context.Context) (string, error) {
		server, err := x.URL.read(ctx)
		return fmt.Sprintf("%s/_matrix/client/v3/rooms/%s/send/m.room.message/%s", strings.TrimRight(server, "/"), url.PathEscape(x.Room), url.PathEscape(m.ID)), err
	}
	req, err := newRequest(ctx, http.MethodPut, to, body)
	if err != nil {
		return err
	}
	token, err := x.Token.read(ctx)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return post(x.Client, req)
}

func matrixHTML(m Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<strong>%s</strong>", html.EscapeString(m.title()))
	for _, d := range m.details() {
		fmt.Fprintf(&b, "<br>%s: <code>%s</code>", d.name, html.EscapeString(d.value))
	}
	return b.String()
}
