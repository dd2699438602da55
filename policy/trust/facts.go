package trust

import (
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// RootFacts are what a root holds, for people.
type RootFacts struct {
	Authorities, Logs, Timestamps int       // certificate authorities, transparency logs and timestamp authorities
	Ends                          time.Time // when the last of the certificate authorities ends; zero where there is none
}

// Facts tells what the root holds. An authority ends with its root certificate, or when it was retired.
func (r *Root) Facts() RootFacts {
	f := RootFacts{Authorities: len(r.material.FulcioCertificateAuthorities()), Logs: len(r.material.RekorLogs()), Timestamps: len(r.material.TimestampingAuthorities())}
	for _, a := range r.material.FulcioCertificateAuthorities() {
		ca, ok := a.(*root.FulcioCertificateAuthority)
		if !ok || ca.Root == nil {
			continue
		}
		if end := ended(ca); end.After(f.Ends) {
			f.Ends = end
		}
	}
	return f
}

func ended(ca *root.FulcioCertificateAuthority) time.Time {
	end := ca.Root.NotAfter
	if period := ca.ValidityPeriodEnd; !period.IsZero() && period.Before(end) {
		end = period
	}
	return end
}
