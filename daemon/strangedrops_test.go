package daemon

import (
	"strings"
	"testing"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

func TestDrop_OfAnotherNameIsTold(t *testing.T) {
	d, ps := mirror.ParseDesired("c", mirror.Files{"desired/own.yaml": []byte("version: 1\nsource:\n  kind: epr\n  own:\n    - {drop: team}\n    - {drop: taem}\n    - {path: packages/acme}\n")})
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	var c config.Config
	c.Packages.Drop = map[string]string{"team": "/srv/drop"}
	told := StrangeDrops(c, d)
	if len(told) != 1 || told[0].Code != "SRC118" || told[0].Where.Line != 6 || !strings.Contains(told[0].Fix, `"team"`) {
		t.Errorf("told %v", told)
	}
}
