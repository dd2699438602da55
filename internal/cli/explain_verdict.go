package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// explanationDocument is a verdict with everything that leads to it, for programs.
type explanationDocument struct {
	Type    string `json:"type"`
	Version int    `json:"version"`
	daemon.Explained
}

func (a *app) explainVerdictCommand() *cobra.Command {
	var stage string
	var refresh bool
	cmd := &cobra.Command{
		Use: "explain-verdict IMAGE|TAG|DIGEST|ENTRY", Short: "Tell why policy admits or refuses an image: rules, signers, times, what is missing", Args: cobra.ExactArgs(1),
		Long: `Tell why policy admits or refuses an image at a stage: which rules of which line match, what was found and who signed it when, which exception
or mode is at work, what is missing and what to do. The image is named as for poundlock trace, or is any upstream reference.

A verdict that is remembered, or that this site attested, is told as it is, without a network; --refresh judges anew. What nothing is remembered
of is judged now. Exit codes: 0 admitted; 3 there is no such image; 5 refused; 9 it could not be asked now.`,
		Example: "  poundlock explain-verdict synapse --stage production\n  poundlock explain-verdict docker.io/library/haproxy:2.8-alpine --refresh\n  poundlock explain-verdict sha256:9f1c2ab -o json",
	}
	cmd.Flags().StringVar(&stage, "stage", "", "stage whose rules apply (default: the first)")
	cmd.Flags().BoolVar(&refresh, "refresh", false, "ask Git and the registries now, whatever is remembered")
	output := a.outputFlag(cmd, asText, asJSON, asYAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := a.explained(cmd, args[0], mirror.Stage(stage), refresh)
		if err != nil {
			return a.missing(err)
		}
		e.Fix = a.typed(e.Fix)
		if *output != asText {
			err = document(a.out, *output, explanationDocument{"explanation", 1, e})
		} else {
			err = a.print(explanationText(e, time.Now()))
		}
		if err != nil {
			return err
		}
		switch {
		case e.Verdict.Outcome == mirror.OutcomeRejected:
			return answeredNo(exitRefused, e.Image, e.Verdict, e.Fix)
		case !e.Verdict.Outcome.Admits():
			return answeredNo(exitRetry, e.Image, e.Verdict, e.Fix)
		}
		return nil
	}
	return cmd
}

// explained looks first at what is known here. Only where nothing is, or where it is to be judged anew, the network
// is used.
func (a *app) explained(cmd *cobra.Command, query string, stage mirror.Stage, refresh bool) (e daemon.Explained, err error) {
	ask := func(offline bool) error {
		line, err := a.open(cmd.Context(), daemon.Options{Temporary: true, Offline: offline})
		if err != nil {
			return err
		}
		e, err = line.Explain(cmd.Context(), query, stage, refresh)
		return closing(line, err)
	}
	if !refresh {
		if err = ask(true); err == nil || !daemon.NeedsNetwork(err) {
			return e, err
		}
	}
	err = ask(false)
	return e, err
}

func explanationText(e daemon.Explained, now time.Time) string {
	var b strings.Builder
	v := e.Verdict
	fmt.Fprintf(&b, "%s at %s: %s\n", clean(e.Image.String()), clean(string(e.Stage)), outcomeText(v))
	fact(&b, 1, "why", v.Reason.String())
	if e.Set != "" {
		fact(&b, 1, "entry", e.Set+"/"+e.Entry)
	}
	if !e.Stands.IsZero() {
		fact(&b, 1, "stands", fmt.Sprintf("since %s (%s ago)", stamp(e.Stands), age(now, e.Stands)))
	}
	fact(&b, 1, "judged", judgedText(e, now))
	switch {
	case e.Newer != "":
		fact(&b, 1, "note", "commit "+e.Newer+" is newer and not in force here: `poundlock status` tells why, --refresh asks Git and judges anew")
	case e.Fetched:
		fact(&b, 1, "note", "Git was not asked whether there is a newer commit; --refresh does")
	}
	fact(&b, 1, "looked at", e.Beside.Name())
	for i, p := range v.Proofs {
		fact(&b, 1, heading(i, "signed by"), proofText(p))
	}
	if v.VouchedBy != "" {
		fact(&b, 1, "pinned by", "commit "+v.VouchedBy)
	}
	if x := v.Exception; x != nil {
		fact(&b, 1, "exception", exceptionText(*x))
	}
	if !v.Seen.IsZero() {
		fact(&b, 1, "first seen", fmt.Sprintf("%s (%s ago)", stamp(v.Seen), age(now, v.Seen)))
	}
	if !v.Until.IsZero() {
		fact(&b, 1, "until", stamp(v.Until)+": then it is judged again")
	}
	for i, w := range v.Warnings {
		fact(&b, 1, heading(i, "warning"), w)
	}
	for i, f := range v.Findings {
		fact(&b, 1, heading(i, "found"), f)
	}
	for _, said := range e.Policy {
		writeSaid(&b, said)
	}
	fact(&b, 1, "fix", e.Fix)
	return b.String()
}

// writeSaid writes what one policy document says: each rule with its requirements, by a symbol and in words.
func writeSaid(b *strings.Builder, said policy.Explanation) {
	kind := ""
	if said.Floor {
		kind = ", the floor of this site"
	}
	fmt.Fprintf(b, "  %s   (mode %s%s)\n", clean(said.File), said.Mode, kind)
	if said.Denied != "" {
		fact(b, 2, "! denied", said.Denied)
	}
	if len(said.Rules) == 0 {
		text := "no rule matches: nothing is admitted"
		if said.Open {
			text = "no rule matches: left to the policy of the fleet"
		}
		fact(b, 2, "rules", text)
	}
	for _, r := range said.Rules {
		stages := ""
		if len(r.Stages) > 0 {
			words := make([]string, len(r.Stages))
			for i, s := range r.Stages {
				words[i] = string(s)
			}
			stages = " at " + strings.Join(words, ", ")
		}
		fmt.Fprintf(b, "    %s  rule %q%s\n", clean(r.Where.String()), clean(r.Match), clean(stages))
		for _, w := range r.Wants {
			fact(b, 3, wantSymbols[w.State]+" "+string(w.State), w.Text)
			for _, by := range w.By {
				fact(b, 3, "", by)
			}
			fact(b, 3, "", w.Fix)
		}
	}
	for _, x := range said.Exceptions {
		name := "exception"
		if x.Ended {
			name = "ended"
		}
		fact(b, 2, name, x.Where.String()+"  "+exceptionText(x.Exception))
	}
}

// Colour is never the only sign, nor is a word alone.
var wantSymbols = map[policy.WantState]string{policy.WantMet: "+", policy.WantLifted: "~", policy.WantMissing: "!", policy.WantUnknown: "?"}

// outcomeText gives the verdict in words, with the code of a refusal.
func outcomeText(v mirror.Verdict) string {
	if v.Outcome == mirror.OutcomeRejected {
		return fmt.Sprintf("rejected (%s)", clean(string(v.Reason.Code)))
	}
	return clean(string(v.Outcome))
}

func judgedText(e daemon.Explained, now time.Time) string {
	by := "by the policy of commit " + e.Commit
	switch e.Source {
	case daemon.VerdictAttested:
		return fmt.Sprintf("%s, as this site attested it, %s", stamp(e.Verdict.At), by)
	case daemon.VerdictRemembered:
		return fmt.Sprintf("%s (%s ago, remembered), %s", stamp(e.Verdict.At), age(now, e.Verdict.At), by)
	}
	return "now, " + by
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// proofText says who is proven to have signed or stated what, and when.
func proofText(p mirror.Proof) string {
	words := []string{p.Signer, "(" + p.Identity + ")"}
	if p.Type != "" {
		words = append(words, "stated "+p.Type)
	}
	if len(p.Names) > 0 {
		words = append(words, "for "+strings.Join(p.Names, ", "))
	}
	if p.Of != (mirror.Digest{}) {
		words = append(words, "of its manifest "+mirror.Short(p.Of))
	}
	if p.Source != "" && p.Source != policy.FirstSeen { // when the digest was first seen is a fact of its own
		words = append(words, "at "+stamp(p.Time)+" by "+p.Source)
	}
	return strings.Join(append(words, "in "+mirror.Short(p.Manifest)), " ")
}

func exceptionText(x mirror.Exception) string {
	return fmt.Sprintf("%s without %s until %s: %s, approved by %s", x.Match, strings.Join(x.Skip, ", "), stamp(x.Until), x.Reason, x.ApprovedBy)
}
