package publish

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/poundlock/poundlock/internal/mirror"
)

// PromotionTrailer names a promotion that a commit of Poundlock records, one line for each.
const PromotionTrailer = "Poundlock-Promotion"

// Promoted is a promotion as a trailer names it: "ess/production <commit> #7 rollback".
type Promoted struct {
	Set      string
	Stage    mirror.Stage
	Commit   string // that asked for it
	Number   int    // of the proposal that it came by; 0 for none
	Rollback bool
}

// Trailer gives the line of the message.
func (p Promoted) Trailer() string {
	text := fmt.Sprintf("%s: %s/%s %s", PromotionTrailer, p.Set, p.Stage, p.Commit)
	if p.Number > 0 {
		text += fmt.Sprintf(" #%d", p.Number)
	}
	if p.Rollback {
		text += " rollback"
	}
	return text
}

var promotedLine = regexp.MustCompile(`(?m)^` + PromotionTrailer + `: ([a-z0-9._-]+)/([a-z0-9._-]+) ([0-9a-f]{40,64})(?: #(\d{1,9}))?( rollback)?$`)

// ParsePromoted gives the promotions that a message names.
func ParsePromoted(message string) (all []Promoted) {
	for _, m := range promotedLine.FindAllStringSubmatch(message, -1) {
		n, _ := strconv.Atoi(m[4]) // 0: it came without a proposal
		all = append(all, Promoted{m[1], mirror.Stage(m[2]), m[3], n, m[5] != ""})
	}
	return all
}
