package testenv

import (
	"fmt"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// WorldPackages is the set of packages in a World that has them.
const WorldPackages = "elastic"

// eprHost is the host that the package registry of a World stands for.
const eprHost = "epr.elastic.co"

const packagesSet = `version: 1
source:
  kind: epr
  url: https://epr.elastic.co
  kibana: [8.19.4, 9.2.1]   # what runs here now, and what comes next
  versions: 2
`

// worldPackages are a few good packages, and one of which the signature is of other bytes.
func worldPackages() []EPRPackage {
	const both, next = "^8.16.0 || ^9.0.0", "^9.1.0"
	return []EPRPackage{
		{Name: "apache", Version: "2.1.0", Title: "Apache HTTP Server", Kibana: both, Categories: []string{"web", "observability"}, DataStreams: []string{"access", "error"}},
		{Name: "fleet_server", Version: "1.6.0", Title: "Fleet Server", Kibana: both, Categories: []string{"elastic_stack"}},
		{Name: "nginx", Version: "1.18.0", Title: "Nginx", Kibana: both, Categories: []string{"web", "observability"}, DataStreams: []string{"access", "error"}},
		{Name: "nginx", Version: "1.19.0", Title: "Nginx", Kibana: both, Categories: []string{"web", "observability"}, DataStreams: []string{"access", "error"}},
		{Name: "nginx", Version: "1.20.0", Title: "Nginx", Kibana: both, Categories: []string{"web", "observability"}, DataStreams: []string{"access", "error", "stubstatus"}},
		{Name: "nginx", Version: "2.0.0-beta1", Title: "Nginx", Kibana: next, Categories: []string{"web"}},
		{Name: "system", Version: "1.62.0", Title: "System", Kibana: "^8.16.0", Categories: []string{"os_system"}, Dotted: true, DataStreams: []string{"syslog"}},
		{Name: "system", Version: "2.3.0", Title: "System", Kibana: next, Categories: []string{"os_system"}, DataStreams: []string{"syslog"}},
		{Name: "threat_feed", Version: "0.4.0", Title: "Threat Feed", Kibana: both, Categories: []string{"security"}, SignsOther: true},
	}
}

// BadPackages lists the entries of the set of packages that must be refused.
func (w *World) BadPackages() (bad []string) {
	for _, p := range worldPackages() {
		if p.SignsOther {
			bad = append(bad, p.ID())
		}
	}
	return bad
}

// startPackages starts the upstream package registry, and puts the set and who vouches for it into the fleet.
func (w *World) startPackages() (err error) {
	if w.EPR, err = NewEPR(EPROptions{ETags: true}, worldPackages()...); err != nil {
		return err
	}
	if w.channels, err = freeAddr(); err != nil {
		return err
	}
	w.files["desired/elastic.yaml"] = packagesSet
	w.files["desired/keys/elastic.asc"] = w.EPR.Key.Public()
	return nil
}

// policy gives the policy of the fleet.
func (w *World) policy() string {
	if w.EPR == nil {
		return worldPolicy
	}
	p := strings.Replace(worldPolicy, "  vendor: {key: keys/vendor.pub}\n", "  vendor: {key: keys/vendor.pub}\n  elastic: {pgp: keys/elastic.asc}\n", 1)
	return strings.Replace(p, "default: deny\n", "  # Packages: a detached OpenPGP signature over the bytes of the zip.\n"+
		"  - {match: \""+eprHost+"/**\", require: {signers: [elastic], count: 1}}\ndefault: deny\n", 1)
}

// packagesConfig gives the lines of the configuration that packages need.
func (w *World) packagesConfig() string {
	if w.EPR == nil {
		return ""
	}
	return fmt.Sprintf("  epr: {host: %s, endpoint: %q, insecure: true}\nepr: {listen: %q, refresh: 1s}\n", eprHost, w.EPR.URL(), w.channels)
}

// Channels gives the addresses at which the daemon answers for the channels of the World's packages, by channel, without a
// slash at their end.
func (w *World) Channels() map[string]string {
	all := map[string]string{}
	for _, stage := range mirror.DefaultStages {
		all[string(stage)] = "http://" + w.channels + "/epr/" + string(stage)
	}
	return all
}
