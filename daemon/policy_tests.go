package daemon

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy"
)

// Tested is what came of the tests of a policy.
type Tested struct {
	From   string         `json:"from"`   // the folder of the checkout, or the commit
	Policy mirror.Digest  `json:"policy"` // the hash of what was tested
	Tests  []TestedPolicy `json:"tests"`  // in the order of the file
	Failed int            `json:"failed"`
	Unsure int            `json:"unsure,omitempty"` // could not be asked now, so that nobody knows
}

// TestedPolicy is one test with the verdict that its image got.
type TestedPolicy struct {
	Name    string            `json:"name"`
	Image   mirror.Reference  `json:"image"` // with the digest that was judged, where it was found
	Stage   mirror.Stage      `json:"stage"`
	Expect  mirror.Outcome    `json:"expect"`
	Reason  mirror.ReasonCode `json:"reason,omitempty"` // that is expected
	Passed  bool              `json:"passed"`
	Unsure  bool              `json:"unsure,omitempty"` // it could not be asked now: neither passed nor failed
	Lacks   string            `json:"lacks,omitempty"`  // what is not as expected, in words
	Where   mirror.Position   `json:"where"`
	Verdict mirror.Verdict    `json:"verdict"`
}

// TestPolicy judges what desired/policy/tests.yaml names by the policy that lies beside it: in the folder of a
// checkout, or without one in the newest commit of the fleet repository. Signatures are read where a step reads them,
// those of one image once, and nothing that is remembered counts. Mistakes of the files are mirror.Problems.
func (l *Line) TestPolicy(ctx context.Context, dir string) (Tested, error) {
	p, err := l.underTest(ctx, dir)
	if err != nil {
		return Tested{}, err
	}
	t := Tested{From: p.from, Policy: p.policy.Hash(), Tests: make([]TestedPolicy, len(p.tests))}
	options := l.judging(p.fleet, l.now())
	options.Known = nil
	verifier := p.policy.Verifier(options)
	content := map[string]mirror.Content{}
	for _, test := range p.tests {
		if name := test.Image.Name(); content[name] == nil {
			content[name] = readOnce(l.content())
		}
	}
	var group errgroup.Group
	group.SetLimit(verifyAtOnce)
	for i, test := range p.tests {
		group.Go(func() error {
			t.Tests[i] = l.testPolicy(ctx, p, test, verifier, content[test.Image.Name()])
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return t, err
	}
	for _, one := range t.Tests {
		switch {
		case one.Unsure:
			t.Unsure++
		case !one.Passed:
			t.Failed++
		}
	}
	return t, nil
}

// underTest reads what is to be tested.
func (l *Line) underTest(ctx context.Context, dir string) (proposal, error) {
	if dir != "" {
		return l.propose(dir)
	}
	f, err := l.refresh(ctx)
	if err != nil {
		return proposal{}, err
	}
	tests, problems := policy.LoadTests(f.desired.Files, f.desired.Commit)
	return proposal{fleet: f, from: f.head, tests: tests}, problems.Err()
}

func (l *Line) testPolicy(ctx context.Context, p proposal, test policy.Test, v mirror.Verifier, c mirror.Content) TestedPolicy {
	one := TestedPolicy{Name: test.Name, Image: test.Image, Stage: test.Stage, Expect: test.Expect, Reason: test.Reason, Where: test.Where}
	one.Verdict = l.tested(ctx, p, &one, v, c)
	one.Lacks = test.Lacks(one.Verdict)
	one.Passed = one.Lacks == ""
	one.Unsure = one.Verdict.Outcome == mirror.OutcomeUnknown && one.Verdict.Reason.Code != mirror.UpstreamMissing
	return one
}

// tested gives the verdict of a test. What policy says of every digest is said without asking which one it is.
func (l *Line) tested(ctx context.Context, p proposal, one *TestedPolicy, v mirror.Verifier, c mirror.Content) mirror.Verdict {
	if !one.Image.HasDigest() {
		if verdict, ok := foregone(ctx, v, one.Image, one.Stage); ok {
			return verdict
		}
		d, err := c.Resolve(ctx, one.Image)
		switch {
		case errors.Is(err, mirror.ErrNotFound):
			return mirror.Verdict{Outcome: mirror.OutcomeUnknown, At: l.now(), Reason: mirror.Because(mirror.UpstreamMissing, "upstream has no such image")}
		case err != nil:
			return mirror.Verdict{Outcome: mirror.OutcomeUnknown, At: l.now(), Reason: mirror.Because(mirror.NotVerified, "could not be looked up: %s", mirror.Clean(err.Error()))}
		}
		one.Image = one.Image.WithDigest(d.Digest)
	}
	verdict, _, _ := l.consult(ctx, p.fleet, v, coming(p.fleet, one.Image, one.Stage), c)
	return verdict
}
