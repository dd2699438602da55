package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Slack posts messages to an incoming webhook of Slack, or of a chat that takes the same, such as Mattermost and
// Rocket.Chat (docs.slack.dev, "Sending messages using incoming webhooks").
type Slack struct {
	Client *http.Client
	URL    Source
}

// Send posts the message.
func (s Slack) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(map[string]string{"text": slackText(m)})
	if err != nil {
		return fmt.Errorf("message: %w", err)
	}
	req, err := newRequest(ctx, http.MethodPost, s.URL, body)
	if err != nil {
		return err
	}
	return post(s.Client, req)
}

// slackText gives a message as Slack's text. All that may come from elsewhere is set as code, in which neither Slack
// nor Mattermost looks for mentions, links and other marks.
func slackText(m Message) string {
	var b strings.Builder
	b.WriteString(inCode(m.title()))
	for _, d := range m.details() {
		fmt.Fprintf(&b, "\n%s: %s", d.name, inCode(d.value))
	}
	return b.String()
}

// slackEscapes are the characters that Slack reads in any text.
var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'")

func inCode(text string) string { return "`" + slackEscapes.Replace(text) + "`" }
