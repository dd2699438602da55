package trust_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/policy/trust"
)

// What is not signed is small, so that a stranger's bytes cost little before they are refused.
func TestPrepare_OnlyWhatIsSignedMayBeLarge(t *testing.T) {
	const head = `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",`
	signed := func(payload string) string {
		return `{"payload":"` + payload + `","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"QUFB"}]}`
	}
	key := `{"publicKey":{"hint":"x"}}`
	many := func(part string, n int) string { return "[" + strings.Repeat(part+",", n) + part + "]" }
	large := strings.Repeat("QUFB", 3<<20)
	for name, c := range map[string]struct {
		form trust.Form
		body string
		fine bool
	}{
		"large statement":              {trust.Bundle, head + `"verificationMaterial":` + key + `,"dsseEnvelope":` + signed(large) + `}`, true},
		"large statement of another":   {trust.Envelope, signed(large), true},
		"ten signatures":               {trust.Envelope, `{"payload":"e30=","signatures":` + many(`{"sig":"QUFB"}`, 9) + `}`, true},
		"large material":               {trust.Bundle, head + `"verificationMaterial":{"publicKey":{"hint":"` + large + `"}},"dsseEnvelope":` + signed("e30=") + `}`, false},
		"large material, another name": {trust.Bundle, head + `"verification_material":{"publicKey":{"hint":"` + large + `"}},"dsse_envelope":` + signed("e30=") + `}`, false},
		"many log entries":             {trust.Bundle, head + `"verificationMaterial":{"tlogEntries":` + many("{}", 5<<20) + `},"dsseEnvelope":` + signed("e30=") + `}`, false},
		"many timestamps":              {trust.Bundle, head + `"verificationMaterial":{"timestampVerificationData":{"rfc3161Timestamps":` + many("{}", 5<<20) + `}},"dsseEnvelope":` + signed("e30=") + `}`, false},
		"large bare signature":         {trust.Bundle, head + `"verificationMaterial":` + key + `,"messageSignature":{"signature":"` + large + `"}}`, false},
		"two signatures of a bundle":   {trust.Bundle, head + `"verificationMaterial":` + key + `,"dsseEnvelope":{"payload":"e30=","signatures":` + many(`{"sig":"QUFB"}`, 1) + `}}`, false},
		"eleven signatures":            {trust.Envelope, `{"payload":"e30=","signatures":` + many(`{"sig":"QUFB"}`, 10) + `}`, false},
		"eleven in two lists":          {trust.Envelope, `{"payload":"e30=","signatures":` + many(`{"sig":"QUFB"}`, 9) + `,"Signatures":[{"sig":"QUFB"}]}`, false},
		"a million signatures":         {trust.Envelope, `{"payload":"e30=","signatures":` + many(`{"sig":"QUFB"}`, 1<<20) + `}`, false},
		"a large signature":            {trust.Envelope, `{"payload":"e30=","signatures":[{"sig":"` + large + `"}]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(c.body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := trust.Prepare(trust.Item{Form: c.form, Body: body})
			runtime.ReadMemStats(&after)
			if c.fine != (err == nil) || !c.fine && !errors.Is(err, mirror.ErrTooLarge) {
				t.Errorf("got %v", err)
			}
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; !c.fine && used > 4 {
				t.Errorf("refusing it allocated %d MiB", used)
			}
		})
	}
}
