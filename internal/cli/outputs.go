package cli

import (
	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/schema"
	"github.com/poundlock/poundlock/sync/plan"
)

// output is one kind of document that commands write for programs: what -o json gives.
type output struct {
	short string // what it is, in one line
	value any    // the Go value whose json tags are the document
}

// outputs maps the type of every document for programs to what it is made of. `poundlock schema
// output/<type>` prints the schema of each, and a test holds every command with -o json against it.
var outputs = map[string]output{
	"config":          {"what `config view` shows", configDocument{}},
	"explain":         {"what `explain` tells of a key", explainDocument{}},
	"sets":            {"what `get sets` lists", setsDocument{}},
	"entries":         {"what `get entries` lists", entriesDocument{}},
	"packages":        {"what `get packages` lists", packagesDocument{}},
	"stages":          {"what `get stages` lists", stagesDocument{}},
	"runs":            {"what `get runs` lists", runsDocument{}},
	"promotions":      {"what `get promotions` lists", promotionsDocument{}},
	"diff":            {"what differs between two stages, by `diff`", diffDocument{}},
	"wait":            {"how a promotion ended, by `wait`", waitDocument{}},
	"status":          {"what `status` shows", daemon.Status{}},
	"events":          {"what `events` lists", eventsDocument{}},
	"event":           {"a line of `events --follow`", daemon.Event{}},
	"trigger":         {"what came of `trigger`", triggerDocument{}},
	"promotion":       {"what came of `promote`, `freeze` and `rollback`", promotionDocument{}},
	"hold":            {"what `hold` and `release` did", holdDocument{}},
	"suspension":      {"what `suspend` and `resume` did", suspensionDocument{}},
	"acknowledgement": {"what came of `acknowledge`", acknowledgementDocument{}},
	"trace":           {"what `trace` tells of one image", traceDocument{}},
	"doctor":          {"what `doctor` found", doctorReport{}},
	"exit_error":      {"the last line of talk of a command that failed with -o json", ending{}},
	"explanation":     {"why policy admits or refuses an image, by `explain-verdict`", explanationDocument{}},
	"policy_test":     {"what came of `policy test`", testedDocument{}},
	"policy_diff":     {"what a changed policy would change, by `policy diff`", policyDiffDocument{}},
	"rendering":       {"the override files that `render` makes", renderingDocument{}},
	"lint":            {"what `lint` found in override files", lintDocument{}},
	"plan":            {"what `plan` would do, and why", plan.Document{}},
	"zips":            {"what `package build` and `package check` tell of zips of packages", zipsDocument{}},
	"sync":            {"what `sync` did, and what it left", synced{}},
	"validation":      {"what `validate` found", validation{}},
	"verdict":         {"what policy says of an image, by `verify`", verdictDocument{}},
	"version":         {"what this binary is and is made of", buildInfo{}},
}

// outputSchema gives the schema of a document for programs. It is published open, since a later release may add
// keys; the version in the document grows when one changes its meaning or goes.
func outputSchema(name string, open bool) *schema.Schema {
	o := outputs[name]
	s := schema.Of(o.value, schema.Options{Title: "output/" + name, Description: o.short, Tag: "json", Open: open})
	kind, _ := s.Properties.Get("type")
	if version, ok := s.Properties.Get("version"); ok { // an event has none: its type is that of what happened
		kind.Const, version.Const = name, 1
	}
	return s
}
