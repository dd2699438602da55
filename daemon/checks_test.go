package daemon

import (
	"testing"

	"github.com/poundlock/poundlock/internal/forge"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

// A gate that several entries wait for is one that is waited for, and a file is named once.
func TestChecks_CountGatesAndNameFilesOnce(t *testing.T) {
	var actions []mirror.Action
	for _, entry := range []string{"a", "b", "c"} {
		actions = append(actions, mirror.Action{Kind: mirror.Tag, Key: mirror.Key{Set: "apps", Entry: entry}, Stage: "production",
			Gates: []mirror.Gate{{Name: "approvals", Code: mirror.NotApproved, Why: "0 of 2 approvals"}, {Name: "calls", Code: mirror.NotKnown, Why: entry + " was not asked yet"}}})
	}
	v := review{touched: []string{"stages/apps/production.yaml"}}
	v.plan = plan.NewDocument(plan.Sizes{}, mirror.Plan{Set: "apps", Actions: actions})
	if got := v.checks()[1]; got.Result != forge.Pending || got.Text != "waits for approvals: 0 of 2 approvals (and 1 more)" {
		t.Errorf("got %+v", got)
	}
	v.problems.Add("PRP003", mirror.Position{File: "stages/apps/production.yaml"}, "decide there", "it changed on both sides, and does not merge")
	if got := v.checks()[0]; got.Text != "1 problem: PRP003 stages/apps/production.yaml it changed on both sides, and does not merge" {
		t.Errorf("got %+v", got)
	}
}
