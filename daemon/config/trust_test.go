package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

func TestTrust_NumbersOutOfRangeAreToldAtTheirKeys(t *testing.T) {
	good := Trust{Rejudging: 1}
	with := func(l TrustLimits) Trust { return Trust{Rejudging: 1, Limits: l} }
	for name, c := range map[string]struct {
		trust Trust
		want  []string
	}{
		"least":               {good, nil},
		"most":                {with(TrustLimits{Payload: 1, Bundle: 1, Attestation: 1, Signatures: 1, Referrers: 1000, Time: time.Second}), nil},
		"nothing is judged":   {Trust{}, []string{"CFG052 trust.rejudging"}},
		"fewer than nothing":  {Trust{Rejudging: -1}, []string{"CFG052 trust.rejudging"}},
		"negative":            {with(TrustLimits{Payload: -1, Bundle: -1, Attestation: -1, Signatures: -1, Referrers: -1, Time: -1}), []string{"CFG052 trust.limits.attestation", "CFG052 trust.limits.bundle", "CFG052 trust.limits.payload", "CFG052 trust.limits.referrers", "CFG052 trust.limits.signatures", "CFG052 trust.limits.time"}},
		"too many referrers":  {with(TrustLimits{Referrers: 1001}), []string{"CFG052 trust.limits.referrers"}},
		"a floor in the file": {Trust{Rejudging: 1, Floor: "version: 1\nrules: []\n"}, []string{"CFG022 trust.floor"}},
	} {
		k := &checker{where: func(path ...string) mirror.Position { return mirror.Position{File: strings.Join(path, ".")} }}
		k.trust(c.trust)
		var got []string
		for _, p := range k.ps {
			got = append(got, p.Code+" "+p.Where.File)
			if p.Fix == "" {
				t.Errorf("%s: no fix: %v", name, p)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
