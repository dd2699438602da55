package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// Explanation is what one policy document says of an image at a stage, held against the verdict that it got.
type Explanation struct {
	File       string          `json:"file"`
	Floor      bool            `json:"floor,omitempty"`
	Mode       string          `json:"mode"`             // enforce, warn or audit, at this stage
	Open       bool            `json:"open,omitempty"`   // of a floor: what no rule of it matches is left to the fleet's policy
	Denied     string          `json:"denied,omitempty"` // what of its deny list names the image
	Rules      []RuleSaid      `json:"rules"`            // those that match
	Exceptions []ExceptionSaid `json:"exceptions,omitempty"`
}

// RuleSaid is a rule that matches, and what becomes of each of its requirements.
type RuleSaid struct {
	Where  mirror.Position `json:"where"`
	Match  string          `json:"match"`
	Stages []mirror.Stage  `json:"stages,omitempty"` // none: every stage
	Wants  []Want          `json:"wants"`
}

// Want is one requirement of a rule.
type Want struct {
	What  string    `json:"what"` // signatures, attestations, pinned or age, as exceptions name them
	Text  string    `json:"text"` // in words
	State WantState `json:"state"`
	By    []string  `json:"by,omitempty"`  // what satisfies it, or a part of it
	Fix   string    `json:"fix,omitempty"` // what is missing, and what to do
}

// WantState says in one word what becomes of a requirement.
type WantState string

// The states of a requirement.
const (
	WantMet     WantState = "met"
	WantLifted  WantState = "lifted"  // by an exception
	WantMissing WantState = "missing" // not met by what was found
	WantUnknown WantState = "unknown" // not looked at, or it could not be
)

// ExceptionSaid is an exception for the image, in force or not.
type ExceptionSaid struct {
	mirror.Exception
	Where mirror.Position `json:"where"`
	Ended bool            `json:"ended,omitempty"`
}

// Explain says what every document of the policy has to say of an image at a stage, and what of it the verdict
// satisfies. It judges nothing: the verdict is as somebody reached it before, at is now.
func (p Policy) Explain(image mirror.Reference, stage mirror.Stage, v mirror.Verdict, at time.Time) []Explanation {
	all := []Explanation{}
	for _, l := range p.layers {
		e := Explanation{File: l.file, Floor: l.floor, Mode: string(l.mode(stage)), Open: l.open, Denied: l.deny.refuses(image), Rules: []RuleSaid{}}
		for _, r := range l.matching(image, stage) {
			e.Rules = append(e.Rules, RuleSaid{Where: r.where, Match: r.Match, Stages: r.Stages, Wants: l.wants(r, image, v, at)})
		}
		for _, x := range l.exceptions {
			if x.matches(image, stage) {
				e.Exceptions = append(e.Exceptions, ExceptionSaid{Exception: x.told(), Where: x.where, Ended: !at.Before(x.Until)})
			}
		}
		all = append(all, e)
	}
	return all
}

// told gives the exception as a verdict names it.
func (e exception) told() mirror.Exception {
	match := e.Name
	if e.Digest != (mirror.Digest{}) {
		match += "@" + e.Digest.String()
	}
	x := mirror.Exception{Match: match, Until: e.Until, Reason: e.Reason, ApprovedBy: e.ApprovedBy}
	for _, s := range e.Skip {
		x.Skip = append(x.Skip, string(s))
	}
	return x
}

func (l layer) wants(r rule, image mirror.Reference, v mirror.Verdict, at time.Time) []Want {
	wants := []Want{}
	if r.Pinned {
		w := Want{What: string(skipPinned), Text: "a reviewed commit must name the digest in desired/", State: stateOf(v.VouchedBy != "", v, skipPinned)}
		if v.VouchedBy != "" {
			w.By = []string{"commit " + v.VouchedBy}
		}
		if w.State == WantMissing {
			w.Fix = "write image:tag@" + image.Digest.String() + " in desired/ and have it reviewed"
		}
		wants = append(wants, w)
	}
	if r.Count > 0 {
		wants = append(wants, l.wantsSignatures(r, image, v))
	}
	for _, a := range r.Attestations {
		wants = append(wants, l.wantsAttestation(a, v))
	}
	if r.MinAge > 0 {
		wants = append(wants, wantsAge(r, v, at))
	}
	return wants
}

// stateOf gives the state of a requirement of which it is known whether what was found meets it.
func stateOf(met bool, v mirror.Verdict, s skip) WantState {
	switch {
	case met:
		return WantMet
	case v.Exception != nil && slices.Contains(v.Exception.Skip, string(s)):
		return WantLifted
	case v.Outcome == mirror.OutcomeUnknown, v.Reason.Code == mirror.Denied:
		return WantUnknown
	}
	return WantMissing
}

func (l layer) wantsSignatures(r rule, image mirror.Reference, v mirror.Verdict) Want {
	w := Want{What: string(skipSignatures), Text: howMany(r.Count, "signature", r.Signers)}
	switch {
	case r.Reference == nameAny:
	case l.packages(r):
		w.Text += ", over the bytes of " + packageOf(image)
	default:
		w.Text += ", for " + r.naming(image)
	}
	if !r.Beside.IsZero() {
		w.Text += ", in " + r.Beside.Name()
	}
	if r.Each {
		w.Text += ", on the index and on each of its manifests"
	}
	counted := l.counted(v, r.Signers, func(p mirror.Proof) bool {
		return p.Type == "" && p.Of == (mirror.Digest{}) && (r.Reference == nameAny || r.fits(proof{Proof: trust.Proof{Identity: p.Identity, Names: p.Names}}, image))
	})
	var have []string
	for _, p := range counted {
		have = append(have, p.Signer)
		w.By = append(w.By, provenText(p))
	}
	enough := len(counted) >= r.Count
	ofChild := r.Each && (v.Reason.Code == mirror.NoSignature || v.Reason.Code == mirror.BadSignature)
	w.State = stateOf(enough && !ofChild, v, skipSignatures)
	switch {
	case w.State == WantMissing && enough:
		w.Fix = "a manifest of the index lacks what the index has: sign it too, as cosign sign --recursive does"
	case w.State == WantMissing:
		w.Fix = lacking(r.Count-len(have), have, r.Signers) + ": have them sign " + image.Digest.String() + ", or see what was found and does not count"
	}
	return w
}

func (l layer) wantsAttestation(a attestation, v mirror.Verdict) Want {
	w := Want{What: string(skipAttestations), Text: howMany(a.Count, "attestation", a.By) + " of type " + a.Type}
	if text := a.Where.source; text != "" {
		w.Text += ", where " + text
	}
	counted := l.counted(v, a.By, func(p mirror.Proof) bool { return p.Type == a.Type && p.Of == (mirror.Digest{}) })
	var have []string
	for _, p := range counted {
		have = append(have, p.Signer)
		w.By = append(w.By, provenText(p))
	}
	w.State = stateOf(len(counted) >= a.Count, v, skipAttestations)
	if w.State == WantMissing {
		w.Fix = lacking(a.Count-len(have), have, a.By) + ": have them attest it, or see what was found and does not count"
	}
	return w
}

func wantsAge(r rule, v mirror.Verdict, at time.Time) Want {
	w := Want{What: string(skipAge), Text: "at least " + r.MinAge.String() + " old"}
	young := v.Reason.Code == mirror.TooYoung
	switch {
	case young:
		w.State, w.Fix = stateOf(false, v, skipAge), "wait"
		if !v.Until.IsZero() {
			w.Fix += " until " + v.Until.UTC().Format(time.RFC3339)
		}
	case v.Outcome.Admits():
		w.State = stateOf(v.Exception == nil || !slices.Contains(v.Exception.Skip, string(skipAge)), v, skipAge)
	default:
		w.State = WantUnknown // what comes before it is not met
	}
	if !v.Seen.IsZero() {
		w.By = []string{"first seen " + v.Seen.UTC().Format(time.RFC3339)}
	}
	return w
}

// counted gives the proofs of distinct identities by the named signers, in the time in which they count.
func (l layer) counted(v mirror.Verdict, signers []string, counts func(mirror.Proof) bool) (all []mirror.Proof) {
	seen := map[string]bool{}
	for _, p := range v.Proofs {
		s, known := l.signers[p.Signer]
		timely := p.Time.IsZero() || !p.Time.Before(s.notBefore) && (s.until.IsZero() || p.Time.Before(s.until))
		if !known || !slices.Contains(signers, p.Signer) || slices.Contains(l.deny.Signers, p.Signer) || seen[p.Identity] || !timely || !counts(p) {
			continue
		}
		seen[p.Identity] = true
		all = append(all, p)
	}
	return all
}

func howMany(n int, what string, of []string) string {
	a := "a "
	if strings.HasPrefix(what, "a") {
		a = "an "
	}
	switch {
	case n == 1 && len(of) == 1:
		return a + what + " of " + of[0]
	case n == 1:
		return a + what + " of one of " + strings.Join(of, ", ")
	}
	return fmt.Sprintf("%ss of %d of %s", what, n, strings.Join(of, ", "))
}

// lacking says whose n are missing where some are there. One signer may stand for several identities, so that all names
// may be there and still too few.
func lacking(n int, have, of []string) string {
	left := slices.DeleteFunc(slices.Clone(of), func(s string) bool { return slices.Contains(have, s) })
	if len(left) == 0 {
		left = of
	}
	names, more := strings.Join(left, ", "), ""
	if len(have) > 0 {
		more = " more"
	}
	switch {
	case n == len(left) && n == 1:
		return names + " is missing"
	case n == len(left):
		return names + " are missing"
	case n == 1:
		return fmt.Sprintf("1%s of %s is missing", more, names)
	}
	return fmt.Sprintf("%d%s of %s are missing", n, more, names)
}

// packages says whether all signers of a rule sign packages.
func (l layer) packages(r rule) bool {
	return !slices.ContainsFunc(r.Signers, func(name string) bool { return !l.signers[name].TakesPackages() })
}

// naming says for which name a signature must be.
func (r rule) naming(image mirror.Reference) string {
	switch r.Reference {
	case nameExact:
		return image.Name() + ":" + image.Tag
	case nameRemap:
		return r.Remap.name(image.Name())
	}
	return image.Name()
}

// provenText says who signed and when, as far as somebody says so.
func provenText(p mirror.Proof) string {
	text := p.Signer
	switch {
	case p.Time.IsZero():
	case p.Source == FirstSeen:
		text += ", " + FirstSeen + " " + p.Time.UTC().Format(time.RFC3339)
	default:
		text += ", " + p.Time.UTC().Format(time.RFC3339) + " by " + p.Source
	}
	if len(p.Names) > 0 {
		text += ", for " + strings.Join(p.Names, ", ")
	}
	return text
}
