package daemon

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon/config"
)

// The branch that refuses a push is the one that is named, with what is possible there.
func TestAdvise_ARefusedPushNamesItsBranch(t *testing.T) {
	for name, tt := range map[string]struct{ state, at, fix string }{
		"the branch, which takes everything": {"", "main", "set git.stateBranch"},
		"the branch, beside one for state":   {"records", "main", "auto: propose"},
		"that for state":                     {"records", "records", "set git.stateBranch to one"},
		"that of a proposal":                 {"records", "poundlock/x", "branches such as this one"},
	} {
		c := config.Default()
		c.Git.Branch, c.Git.StateBranch = "main", tt.state
		p := adviser{c}.adviseRefusedPush("Git server x", tt.at, "protected")
		if p.Code != "GIT023" || !strings.Contains(p.What, `"`+tt.at+`"`) || !strings.Contains(p.Fix, tt.fix) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}
