package mirror

import (
	"strings"
	"testing"
)

func TestAuto_IsOffUnlessASetSaysSo(t *testing.T) {
	const set = "version: 1\nsource: {kind: list, images: []}\n"
	for _, tt := range []struct {
		name, auto, problem string
		want                Auto
	}{
		{"nothing", "", "", AutoOff},
		{"propose", "auto: {production: propose}\n", "", AutoPropose},
		{"commit", "auto: {production: commit}\n", "", AutoCommit},
		{"another stage", "auto: {staging: commit}\n", "", AutoOff},
		{"another word", "auto: {production: yes}\n", `none of propose, commit, off`, AutoOff},
		{"no such stage", "auto: {producton: propose}\n", `did you mean "production"?`, AutoOff},
		{"the first stage", "auto: {snapshot: propose}\n", "filled from upstream", AutoOff},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, ps := ParseDesired("", Files{"desired/web.yaml": []byte(set + tt.auto)})
			told := ""
			for _, p := range ps {
				told += p.Error() + p.Fix + "\n"
			}
			if tt.problem == "" && len(ps) > 0 || !strings.Contains(told, tt.problem) {
				t.Errorf("got %q, want %q", told, tt.problem)
			}
			if got := d.Sets[0].Automatic("production"); tt.problem == "" && got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
