package mirror

import (
	"fmt"
	"maps"
	"slices"
)

// Auto says what the daemon does by itself where what stands below differs from a stage file.
type Auto string

// What automation may do.
const (
	AutoOff     Auto = "off"     // nothing: people promote
	AutoPropose Auto = "propose" // it opens a proposal, and renews it
	AutoCommit  Auto = "commit"  // it commits the promotion, once every gate is open
)

var autos = []Auto{AutoPropose, AutoCommit, AutoOff}

// Form says what may be written.
func (Auto) Form() string { return "write propose, commit or off" }

// UnmarshalText reads one of the three words.
func (a *Auto) UnmarshalText(b []byte) error {
	if *a = Auto(b); !slices.Contains(autos, *a) {
		return fmt.Errorf("%q is none of propose, commit, off", string(b))
	}
	return nil
}

// Automatic gives what automation does at a stage.
func (s Set) Automatic(stage Stage) Auto {
	if a := s.Auto[stage]; a != "" {
		return a
	}
	return AutoOff
}

// checkAuto finds stages of auto that the set does not have, and the first one, which is filled from upstream.
func (s Set) checkAuto() Problems {
	var ps Problems
	for _, stage := range slices.Sorted(maps.Keys(s.Auto)) {
		at := s.KeyAt("auto", string(stage))
		switch {
		case !slices.Contains(s.Stages, stage):
			ps.AddAt("auto", "FLT008", at, suggestAuto(string(stage), s), "auto: set %s has no stage %q", s.Name, stage)
		case stage == s.Stages.First():
			ps.AddAt("auto", "FLT008", at, "delete the line", "auto: stage %s is the first one, which is filled from upstream", stage)
		}
	}
	return ps
}

func suggestAuto(name string, s Set) string {
	if near := Nearest(name, stageNames(s.Stages)); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "name one of the stages of the set above the first"
}
