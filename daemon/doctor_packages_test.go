package daemon

import (
	"testing"

	"github.com/poundlock/poundlock/testenv"
)

func TestDoctor_AsksPackageRegistries(t *testing.T) {
	s := newPackageSite(t, testenv.EPRPackage{Name: "nginx", Version: "1.0.0"})
	s.sync()
	source := func() (checks []Check) {
		t.Helper()
		for _, c := range must(Doctor(t.Context(), s.line.config, false, s.clock))(t) {
			if c.Group == "source" {
				checks = append(checks, c)
			}
		}
		return checks
	}
	const host = "epr.elastic.co"
	if got := source(); len(got) != 1 || got[0].State != CheckOK || got[0].Name != host {
		t.Errorf("got %+v, want that %s answers", got, host)
	}
	s.epr.Close()
	if got := source(); len(got) != 1 || got[0].State != CheckFailed || got[0].Problem.Code == "" {
		t.Errorf("got %+v, want that %s is away", got, host)
	}
}
