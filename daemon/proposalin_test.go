package daemon

import "testing"

func TestProposalIn_ARevertIsNotOfTheProposalThatItQuotes(t *testing.T) {
	for message, want := range map[string]int{
		"Merge pull request '[production] svc: web' (#19) from x into main":                         19,
		"Revert \"Merge pull request '[production] svc: web' (#19) from x into main\"\n\nThis (#3)": 0,
		"Revert \"[production] svc: web (#19)\" (#25)":                                              25,
	} {
		if got := proposalIn(message); got != want {
			t.Errorf("%q: got %d, want %d", message, got, want)
		}
	}
}
