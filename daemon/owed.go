package daemon

import (
	"cmp"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/attest"
)

// owed are statements that one digest in one repository of the local registry still lacks.
type owed struct {
	at   mirror.Reference
	make map[attest.Mark]making
	tag  mirror.Digest // what the legacy tag of the signature names since it was made
}

// making makes a statement with the key that its mark asks for.
type making func(*attest.Key) (attest.Statement, error)

// debts are all that is owed, each place once, in the order in which it came up.
type debts struct {
	places []*owed
	known  map[mirror.Reference]*owed
}

// add says that the place of an action is to have a statement.
func (d *debts) add(a mirror.Action, mark attest.Mark, statement making) {
	at := place(a)
	o := d.known[at]
	if o == nil {
		o = &owed{at: at, make: map[attest.Mark]making{}}
		if d.known == nil {
			d.known = map[mirror.Reference]*owed{}
		}
		d.known[at] = o
		d.places = append(d.places, o)
	}
	o.make[mark] = statement
}

// addSignature says that the place of an action is to be signed, each platform too where that is asked for.
func (d *debts) addSignature(a mirror.Action, each bool) {
	d.add(a, attest.SignatureMark, func(k *attest.Key) (attest.Statement, error) { return k.Signature(a.To.Name(), a.New) })
	if each {
		d.add(a, platformsMark, nil)
	}
}

// owing lists what all that stands of a set is to have beside it.
func (l *Line) owing(f *fleet, v *view, at time.Time) []*owed {
	var all debts
	for _, a := range v.plan.Actions {
		verdict := v.verdicts[actionKey(a)]
		if a.Kind != mirror.Unchanged || a.Key.Entry == "" || !verdict.Outcome.Admits() {
			continue
		}
		if l.attester.states != nil {
			l.oweStatements(&all, f, v, a, verdict, at)
		}
		if l.attester.signsAt(a.Stage) && attest.Attestable(verdict) {
			all.addSignature(a, l.attester.each)
		}
	}
	return all.places
}

func (l *Line) oweStatements(all *debts, f *fleet, v *view, a mirror.Action, verdict mirror.Verdict, at time.Time) {
	if key, ok := l.attester.keyOf(a, verdict); ok && attest.Attestable(verdict) {
		all.add(a, attest.VerdictMark(key), func(k *attest.Key) (attest.Statement, error) {
			return k.Verdict(attest.Verdict{Verifier: l.attester.verifier, Image: a.Image, Key: key, Verdict: verdict})
		})
	}
	if promotion, ok := l.promotion(f, v, a, verdict); ok {
		all.add(a, promotion.Mark(), func(k *attest.Key) (attest.Statement, error) { return k.Promotion(promotion, at) })
	}
}

// place is where the content of an action stands: a digest in a repository of the local registry.
func place(a mirror.Action) mirror.Reference { return a.To.AtDigest(a.New) }

// promotion says why something stands at a stage above the first. A line that nobody proved says nothing.
func (l *Line) promotion(f *fleet, v *view, a mirror.Action, verdict mirror.Verdict) (attest.Promotion, bool) {
	below, ok := v.set.Stages.Below(a.Stage)
	if !ok {
		return attest.Promotion{}, false
	}
	commit := f.desired.Commit
	if line := v.record.At(a.Stage)[a.Key.Entry]; line.Image == a.Image {
		if !line.Proven {
			return attest.Promotion{}, false
		}
		commit = cmp.Or(line.Commit, commit)
	}
	p := attest.Promotion{Promoter: l.attester.verifier, Set: a.Key.Set, Entry: a.Key.Entry, Source: a.Image, Image: a.To.WithDigest(a.New),
		From: below, To: a.Stage, Commit: commit, Policy: f.policy.Hash(), Outcome: verdict.Outcome, Basis: verdict.Basis(), Identities: attest.Identities(verdict)}
	if line := v.record.At(below)[a.Key.Entry]; line.Image == a.Image && line.Proven {
		p.Below = line.Since.UTC()
	}
	return p, true
}
