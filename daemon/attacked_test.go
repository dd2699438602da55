package daemon

import (
	"fmt"
	"io"
	"log"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/testenv"
)

const (
	apiHost   = "api.example" // the site's other upstream keeps referrers under the fallback tag
	ciIssuer  = "https://oidc.corp.example"
	ciSubject = "https://git.corp.example/app/release@refs/heads/main"
)

// The moments about the end of the retired key; the site's clock stands in November.
var (
	beforeEnd = time.Date(2026, 6, 29, 12, 0, 0, 0, time.UTC)
	afterEnd  = time.Date(2026, 7, 2, 12, 0, 0, 0, time.UTC)
	tooLate   = testenv.WitnessedAt(testenv.SignedAt.Add(30 * time.Minute)) // certificates of persons live for ten
)

// cast is a site with two kinds of upstream, and all who sign.
type cast struct {
	*site
	api            *testenv.Server
	corp, stranger *testenv.Authority

	second, stolen, retired, early, rotatedIn, rotatedOut *testenv.Signer // keys
	ci, dusty                                             *testenv.Signer // persons
	dustyTeam, expiredTeam                                *testenv.Signer // X.509

	files map[string]string // keys and roots of the policy
}

func newCast(t *testing.T) *cast {
	t.Helper()
	c := &cast{site: newSite(t, map[string]string{"desired/policy.yaml": vendorPolicy}), files: map[string]string{}}
	c.api = must(testenv.NewServer(ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0)))))(t)
	t.Cleanup(c.api.Close)
	c.config += fmt.Sprintf("  api: {host: %s, endpoint: %q, insecure: true}\n", apiHost, c.api.URL())
	for name, key := range map[string]**testenv.Signer{"second": &c.second, "stolen": &c.stolen, "retired": &c.retired, "early": &c.early, "rotated": &c.rotatedIn, "out": &c.rotatedOut} {
		*key = must(testenv.NewSigner("p256"))(t)
		c.files["desired/keys/"+name+".pub"] = (*key).PublicPEM()
	}
	c.corp, c.stranger = must(testenv.NewAuthority())(t), must(testenv.NewAuthority())(t)
	expired := must(testenv.NewAuthorityWith(testenv.AuthorityOptions{CAUntil: testenv.SignedAt.Add(-30 * time.Second)}))(t)
	c.ci, c.dusty = c.corp.Person(ciIssuer, ciSubject), expired.Person(ciIssuer, ciSubject)
	c.files["desired/trust/corp.json"], c.files["desired/trust/dusty.json"] = string(c.corp.TrustedRoot()), string(expired.TrustedRoot())
	c.dustyTeam = c.team("dustyteam", testenv.ChainOptions{CAUntil: c.now.Add(-10 * time.Hour)})
	c.expiredTeam = c.team("expiredteam", testenv.ChainOptions{Until: c.now.Add(-10 * time.Hour)})
	return c
}

// team makes a chain of X.509 and gives who signs with its leaf.
func (c *cast) team(name string, o testenv.ChainOptions) *testenv.Signer {
	c.t.Helper()
	o.Subject = "release@corp.example"
	chain := must(testenv.NewChain(o))(c.t)
	c.files["desired/trust/"+name+".pem"] = string(chain.CA())
	return must(chain.Signer())(c.t)
}

// policy has one rule for each attack, and knows everybody but the stranger and who was rotated out.
func (c *cast) policy(attacks []attack) string {
	var b strings.Builder
	b.WriteString("version: 1\nroots:\n")
	for name, form := range map[string]string{"corp": "file: trust/corp.json", "dusty": "file: trust/dusty.json", "dustyteam": "ca: trust/dustyteam.pem", "expiredteam": "ca: trust/expiredteam.pem"} {
		fmt.Fprintf(&b, "  %s: {%s}\n", name, form)
	}
	b.WriteString("signers:\n")
	for name, form := range map[string]string{"vendor": "key: keys/vendor.pub", "alias": "key: keys/vendor.pub", "second": "key: keys/second.pub",
		"release": "key: keys/stolen.pub", "revoked": "key: keys/stolen.pub", "rotated": "key: keys/rotated.pub",
		"retired": "key: keys/retired.pub, root: corp, until: 2026-06-30", "early": "key: keys/early.pub, root: corp, notBefore: 2027-01-01",
		"dustyteam":   "certificate: {root: dustyteam, subject: release@corp.example}",
		"expiredteam": "certificate: {root: expiredteam, subject: release@corp.example}"} {
		fmt.Fprintf(&b, "  %s: {%s}\n", name, form)
	}
	for name, root := range map[string]string{"ci": "corp", "dusty": "dusty"} {
		fmt.Fprintf(&b, "  %s: {keyless: {root: %s, issuer: %q, subject: \"https://git.corp.example/*/release@refs/heads/*\"}}\n", name, root, ciIssuer)
	}
	b.WriteString("deny: {signers: [revoked]}\nrules:\n")
	for i, a := range attacks {
		fmt.Fprintf(&b, "  - {match: \"**/row%02d/*\", %s}\n", i, a.rule)
	}
	return b.String()
}

func (c *cast) commit(message string, files map[string]string) {
	c.t.Helper()
	for name, text := range c.files {
		files[name] = text
	}
	c.site.commit(message, files)
}

// push puts an image of a row upstream.
func (c *cast) push(host string, row int, name string) prey {
	c.t.Helper()
	p := prey{cast: c, image: mirror.Reference{Host: host, Repository: fmt.Sprintf("row%02d/%s", row, name), Tag: "1"}}
	p.at = c.upstream.Back() + "/" + p.image.Name()
	if host == apiHost {
		p.at = c.api.Host() + "/" + p.image.Repository
	}
	return p.put("1", fmt.Sprint(host, row, name))
}

// prey is an image that somebody wants in.
type prey struct {
	*cast
	at    string           // where it lies, for signers: host:port/repository
	image mirror.Reference // as it is called
}

func (p prey) put(tag, seed string) prey {
	p.t.Helper()
	host, repository, _ := strings.Cut(p.at, "/")
	p.image.Digest = must(testenv.Push(p.t.Context(), host, repository, tag, testenv.Image(seed)))(p.t)
	return p
}

// other is another image in the same repository, which nobody wants in.
func (p prey) other() prey { return p.put("other", p.at+" other") }

// index puts an index under the tag of the prey and gives it and the first of its two children.
func (p prey) index() (index, child prey) {
	p.t.Helper()
	host, repository, _ := strings.Cut(p.at, "/")
	built := testenv.Index(p.at)
	p.image.Digest = must(testenv.Push(p.t.Context(), host, repository, "1", built))(p.t)
	child = p
	child.image.Digest = must(built.IndexManifest())(p.t).Manifests[0].Digest
	return p, child
}

// now is the prey as its tag names it now.
func (p prey) now() prey {
	p.t.Helper()
	host, repository, _ := strings.Cut(p.at, "/")
	p.image.Digest = must(testenv.TagDigest(host, repository, "1"))(p.t)
	return p
}

func (p prey) entry() string { return p.image.Name() + ":" + p.image.Tag }

// beside is the tag under which cosign keeps what belongs to the image.
func (p prey) beside(suffix string) string {
	return p.image.Digest.Algorithm + "-" + p.image.Digest.Hex + suffix
}

func (p prey) do(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// legacy and bundle sign under the image's own name, unless a twist says otherwise.
func (p prey) legacy(by *testenv.Signer, twists ...testenv.Twist) {
	p.t.Helper()
	p.do(by.SignLegacy(p.t.Context(), p.at, p.image.Digest, append([]testenv.Twist{testenv.Claiming(p.image.Name())}, twists...)...))
}

func (p prey) bundle(by *testenv.Signer, twists ...testenv.Twist) {
	p.t.Helper()
	p.do(by.SignBundle(p.t.Context(), p.at, p.image.Digest, twists...))
}

// sign signs honestly, and attest states honestly, in the form that goes with the registry.
func (p prey) sign(by *testenv.Signer) {
	p.t.Helper()
	if p.image.Host == apiHost {
		p.bundle(by)
		return
	}
	p.legacy(by)
}

func (p prey) attest(by *testenv.Signer) {
	p.t.Helper()
	state := by.AttestLegacy
	if p.image.Host == apiHost {
		state = by.AttestBundle
	}
	p.do(state(p.t.Context(), p.at, p.image.Digest, slsa, map[string]any{}))
}

// here is the repository of the local registry in which the image is to lie.
func (p prey) here() string { return "mirror/" + p.image.Name() }

// stands fails the test unless the local registry has the image under its tag.
func (p prey) stands() {
	p.t.Helper()
	if got := p.tag(p.here(), p.image.Tag); got != p.image.Digest {
		p.t.Errorf("%s names %s, want %s", p.entry(), got, p.image.Digest)
	}
}

// refused fails the test unless the plan refuses the image for that reason.
func (p prey) refused(plan mirror.Plan, code mirror.ReasonCode, says string) {
	p.t.Helper()
	for _, a := range plan.Actions {
		if a.Key.Entry != p.entry() || a.Stage != "snapshot" {
			continue
		}
		if a.Kind != mirror.Refuse || a.Reason.Code != code || !strings.Contains(a.Reason.Detail, says) {
			p.t.Errorf("got %s %s %q, want refuse %s with %q", a.Kind, a.Reason.Code, a.Reason.Detail, code, says)
		}
		return
	}
	p.t.Errorf("%s is not in the plan: %s", p.entry(), details(plan))
}

// leftNoTrace fails the test when anything of the image reached the local registry, which has content of the held
// repositories.
func (p prey) leftNoTrace(held map[string]bool) {
	p.t.Helper()
	p.noTrace(p.here())
	if p.holds(p.here(), p.image.Digest) {
		p.t.Errorf("the local registry holds %s", p.entry())
	}
	if held[p.here()+"/"] {
		p.t.Errorf("the local registry has a repository for %s", p.entry())
	}
}
