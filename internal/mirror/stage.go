package mirror

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Stage is one level of the lock, such as snapshot, staging or production.
type Stage string

// Stages are all levels of a set, lowest first.
type Stages []Stage

// DefaultStages is what a set has that names none.
var DefaultStages = Stages{"snapshot", "staging", "production"}

// A stage is a path component of repositories and a part of tags, so it obeys both grammars.
var stagePattern = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

// ParseStage checks that s can stand in a repository path and in a tag, and is not taken for a folder of
// shards.
func ParseStage(s string) (Stage, error) {
	if !stagePattern.MatchString(s) || len(s) > 40 || strings.HasSuffix(s, ShardDir("")) {
		return "", fmt.Errorf("malformed stage %q: want at most 40 lower-case letters and digits, joined by one of . _ -, not ending in %s", s, ShardDir(""))
	}
	return Stage(s), nil
}

// Form says how a stage is written.
func (Stage) Form() string { return "write lower-case letters and digits, such as production" }

// UnmarshalText reads a stage with ParseStage.
func (s *Stage) UnmarshalText(b []byte) (err error) { *s, err = ParseStage(string(b)); return err }

// First is the lowest stage: the one that upstream and policy fill.
func (s Stages) First() Stage { return s[0] }

// Below gives the stage before st; false for the first one and for a stage that is not listed.
func (s Stages) Below(st Stage) (Stage, bool) {
	i := slices.Index(s, st)
	if i < 1 {
		return "", false
	}
	return s[i-1], true
}

// Upper lists the stages above the first: those that people fill by promotion.
func (s Stages) Upper() Stages { return s[1:] }
