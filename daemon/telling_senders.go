package daemon

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/notify"
	"github.com/poundlock/poundlock/internal/wire"
)

// The kinds of notifiers.
const (
	notifyWebhook = "webhook"
	notifySlack   = "slack"
	notifyMatrix  = "matrix"
	notifyEmail   = "email"
)

// senderOf gives what brings messages to a notifier.
func senderOf(c config.Config, n config.Notifier, client *http.Client) (notify.Sender, error) {
	switch n.Kind {
	case notifyWebhook:
		headers := map[string]notify.Source{}
		for name, s := range n.Headers {
			headers[name] = text(s)
		}
		return notify.Webhook{Client: client, URL: text(n.URL), Secret: text(n.Secret), Headers: headers}, nil
	case notifySlack:
		return notify.Slack{Client: client, URL: text(n.URL)}, nil
	case notifyMatrix:
		return notify.Matrix{Client: client, URL: text(n.URL), Token: text(n.Token), Room: n.Room}, nil
	case notifyEmail:
		trust, err := wire.Trust(append(slices.Clone(c.TLS.CAFiles), n.TLS.CAFiles...), n.TLS.CertFile, n.TLS.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%w: notify: %w", config.ErrConfiguration, err)
		}
		return notify.Email{URL: text(n.URL), From: n.From, To: n.To, Username: n.Username, Password: text(n.Password), TLS: trust, Insecure: n.Insecure}, nil
	}
	return nil, fmt.Errorf("%w: notify: unknown kind %q", config.ErrConfiguration, n.Kind)
}

// addToldHosts adds the hosts of notifiers to those that may be asked wherever they are. The addresses are secrets: one
// that cannot be read now is told elsewhere, and its host is one that nobody listed.
func addToldHosts(c config.Config, hosts map[string]wire.Host) {
	for _, name := range sortedKeys(c.Notify) {
		if n := c.Notify[name]; n.Kind != notifyEmail {
			addSecretHost(hosts, n.URL, n.Insecure, n.TLS)
		}
	}
}

// addSecretHost adds the host of an address that is a secret.
func addSecretHost(hosts map[string]wire.Host, address config.Secret, insecure bool, t config.TLS) {
	text, err := address.Read()
	if err != nil {
		return
	}
	u, err := url.Parse(text.Reveal())
	if err != nil || u.Host == "" {
		return
	}
	key := u.Host
	if u.Scheme == "https" {
		key = strings.TrimSuffix(key, ":443") // as registries and Git are listed
	}
	h := hosts[key]
	h.Insecure = h.Insecure || insecure
	h.CAFiles = append(slices.Clone(h.CAFiles), t.CAFiles...)
	if t.CertFile != "" {
		h.CertFile, h.KeyFile = t.CertFile, t.KeyFile
	}
	hosts[key] = h
}
