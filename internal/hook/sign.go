package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// claim is what a delivery brings to show that it is genuine, as its headers have it.
type claim struct {
	sums   [][]byte  // HMACs of the body, one of which must be right; empty: the tokens count
	lead   string    // what is signed before the body
	tokens []string  // the secret itself, in one of the ways in which it may be written
	at     time.Time // when it was made, as it was signed; zero when it does not say
}

// Names of headers. GitHub: docs.github.com, "Validating webhook deliveries"; Gitea: docs.gitea.com, "Webhooks";
// GitLab: docs.gitlab.com, "Webhooks"; the three with Webhook-: standardwebhooks.com.
const (
	hubSignature      = "X-Hub-Signature-256"
	giteaSignature    = "X-Gitea-Signature"
	forgejoSignature  = "X-Forgejo-Signature"
	gitlabToken       = "X-Gitlab-Token"
	genericSignature  = "X-Signature"
	standardID        = "Webhook-Id"
	standardTime      = "Webhook-Timestamp"
	standardSignature = "Webhook-Signature"
)

// maxHeader bounds each header that is looked at, in bytes.
const maxHeader = 1024

// header gives a header that is there once and not endless.
func headerOf(h http.Header, name string) string {
	if all := h.Values(name); len(all) == 1 && len(all[0]) <= maxHeader {
		return all[0]
	}
	return ""
}

// claimOf reads what a delivery of a kind must bring.
func claimOf(kind Kind, h http.Header) (c claim, err error) {
	switch kind {
	case GitHub:
		c = hexClaim(headerOf(h, hubSignature), "sha256=")
	case Gitea:
		if c = hexClaim(headerOf(h, giteaSignature), ""); len(c.sums) == 0 {
			c = hexClaim(headerOf(h, forgejoSignature), "")
		}
		if len(c.sums) == 0 {
			c = hexClaim(headerOf(h, hubSignature), "sha256=")
		}
	case GitLab:
		if c = standardClaim(h); len(c.sums) == 0 && headerOf(h, gitlabToken) != "" {
			c.tokens = []string{headerOf(h, gitlabToken)}
		}
	case Generic:
		if c = standardClaim(h); len(c.sums) == 0 {
			c = hexClaim(headerOf(h, genericSignature), "sha256=")
		}
		if len(c.sums) == 0 {
			c = hexClaim(headerOf(h, hubSignature), "sha256=")
		}
	case Distribution, Zot, Harbor:
		c.tokens = tokensOf(headerOf(h, "Authorization"))
	}
	if len(c.sums) == 0 && len(c.tokens) == 0 {
		return c, refuse(Unsigned, nil)
	}
	return c, nil
}

func hexClaim(text, prefix string) claim {
	digits, ok := strings.CutPrefix(text, prefix)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size {
		return claim{}
	}
	return claim{sums: [][]byte{sum}}
}

// standardClaim reads the headers of Standard Webhooks: v1,<base64>, perhaps several of them while a key changes, over
// id, time and body, joined by dots.
func standardClaim(h http.Header) claim {
	id, at := headerOf(h, standardID), headerOf(h, standardTime)
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || id == "" {
		return claim{}
	}
	c := claim{lead: id + "." + at + ".", at: time.Unix(seconds, 0)}
	for _, one := range strings.Fields(headerOf(h, standardSignature)) {
		version, text, _ := strings.Cut(one, ",")
		if sum, err := base64.StdEncoding.DecodeString(text); err == nil && version == "v1" && len(sum) == sha256.Size {
			c.sums = append(c.sums, sum)
		}
	}
	return c
}

// tokensOf gives the ways in which a header Authorization may carry a secret: as it is, behind Bearer, or as the
// password of Basic.
func tokensOf(authorization string) []string {
	if authorization == "" {
		return nil
	}
	all := []string{authorization}
	scheme, rest, _ := strings.Cut(authorization, " ")
	switch strings.ToLower(scheme) {
	case "bearer":
		all = append(all, strings.TrimSpace(rest))
	case "basic":
		if text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest)); err == nil {
			_, password, _ := strings.Cut(string(text), ":")
			all = append(all, password)
		}
	}
	return all
}

// proof is a claim while its body is read.
type proof struct {
	claim claim
	body  hash.Hash // tells one body from another
	mac   hash.Hash // nil: the claim was a token, which is right
}

// begin checks what can be checked before the body is read.
func (c claim) begin(secret string) (*proof, error) {
	if secret == "" {
		return nil, refuse(NoSecret, nil)
	}
	p := &proof{claim: c, body: sha256.New()}
	if len(c.sums) > 0 {
		p.mac = hmac.New(sha256.New, keyOf(secret, c.lead != ""))
		p.mac.Write([]byte(c.lead))
		p.body.Write([]byte(c.lead))
		return p, nil
	}
	right := 0
	want := sha256.Sum256([]byte(secret)) // of one length, so that the time tells nothing
	for _, token := range c.tokens {
		have := sha256.Sum256([]byte(token))
		right |= subtle.ConstantTimeCompare(have[:], want[:])
	}
	if right != 1 {
		return nil, refuse(Forged, nil)
	}
	return p, nil
}

// keyOf gives the key of an HMAC. A secret of Standard Webhooks is Base64 behind whsec_; as everywhere else it may be
// plain text.
func keyOf(secret string, standard bool) []byte {
	if text, ok := strings.CutPrefix(secret, "whsec_"); ok && standard {
		if key, err := base64.StdEncoding.DecodeString(text); err == nil {
			return key
		}
	}
	return []byte(secret)
}

// Write takes in a part of the body.
func (p *proof) Write(b []byte) (int, error) {
	if p.mac != nil {
		p.mac.Write(b)
	}
	return p.body.Write(b)
}

// end says whether the body was the one that was signed.
func (p *proof) end() error {
	if p.mac == nil {
		return nil
	}
	right := 0
	have := p.mac.Sum(nil)
	for _, sum := range p.claim.sums {
		right |= subtle.ConstantTimeCompare(have, sum)
	}
	if right != 1 {
		return refuse(Forged, nil)
	}
	return nil
}

// identity tells what was signed from everything else. Headers that nobody signed, such as the id of a delivery, are
// no part of it: who repeats a delivery may write there what he likes.
func (p *proof) identity() (sum [sha256.Size]byte) {
	copy(sum[:], p.body.Sum(nil))
	return sum
}
