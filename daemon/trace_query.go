package daemon

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/poundlock/poundlock/internal/mirror"
)

// query is what somebody typed, in each form that it may be meant in.
type query struct {
	text   string
	digest string           // hexadecimal digits a digest begins with; "" when it cannot be one
	ref    mirror.Reference // zero when it cannot be one
}

var digestStart = regexp.MustCompile(`^(?:sha256:)?([0-9a-f]{7,64})$`)

func parseQuery(text string) query {
	q := query{text: text}
	if m := digestStart.FindStringSubmatch(strings.ToLower(text)); m != nil {
		q.digest = m[1]
	}
	if strings.ContainsAny(text, "/:") || q.digest == "" {
		if ref, err := mirror.ParseReference(text); err == nil {
			q.ref = ref
		}
	}
	return q
}

// How well something matches; the lower, the better.
const (
	exactMatch = iota // its name, its digest or its reference
	nearMatch         // the last part of its name, its repository or its tag
	noMatch
)

// matches says how well an entry is what is asked for, and what of it.
func (q query) matches(local mirror.Local, set mirror.Set, record mirror.Record, e EntryLook) (rank int, as []string) {
	rank = noMatch
	found := func(r int, format string, args ...any) {
		if r < rank {
			rank, as = r, nil
		}
		if what := fmt.Sprintf(format, args...); r == rank && !slices.Contains(as, what) {
			as = append(as, what)
		}
	}
	switch q.text {
	case e.Entry, set.Name + "/" + e.Entry:
		found(exactMatch, "entry")
	case path.Base(e.Entry):
		found(nearMatch, "entry")
	}
	if p, err := mirror.ParsePackage(e.Entry); err == nil && set.Packages && (q.text == p.Name || q.text == set.Name+"/"+p.Name) {
		found(nearMatch, "package")
	}
	look := func(stage mirror.Stage, image mirror.Reference, how string) {
		if image.IsZero() {
			return
		}
		pointer := local.Pointer(set, stage, e.Entry, image)
		switch {
		case q.digest != "" && image.HasDigest() && strings.HasPrefix(image.Digest.Hex, q.digest):
			found(exactMatch, "digest %s %s", how, stage)
		case q.ref.IsZero():
		case q.names(image):
			found(exactMatch, "upstream reference %s %s", how, stage)
		case q.names(pointer.WithDigest(image.Digest)), q.names(pointer.WithTag(image.Tag).WithDigest(image.Digest)):
			found(exactMatch, "local reference %s %s", how, stage)
		}
		switch q.text {
		case image.Tag, pointer.Tag:
			found(nearMatch, "tag %s %s", how, stage)
		case path.Base(image.Repository), image.Repository, path.Base(image.Repository) + ":" + image.Tag:
			found(nearMatch, "repository")
		}
	}
	for _, s := range e.Stages {
		look(s.Stage, s.Image, "stands at")
		if s.State != Stands {
			look(s.Stage, s.Wanted, "wanted at")
		}
		if s.Trouble != nil {
			look(s.Stage, s.Trouble.Image, "wanted at")
		}
		for _, was := range record.Past(s.Stage, e.Entry).Was {
			look(s.Stage, was, "stood at")
		}
	}
	return rank, as
}

// happened says how well an event is of what is asked for, and what of it.
func (q query) happened(e Event) (rank int, as string) {
	image := e.Image
	switch {
	case q.text == e.Entry || q.text == e.Set+"/"+e.Entry:
		return exactMatch, "entry"
	case q.digest != "" && image.HasDigest() && strings.HasPrefix(image.Digest.Hex, q.digest):
		return exactMatch, "digest that was " + string(e.Type)
	case !q.ref.IsZero() && !image.IsZero() && q.names(image):
		return exactMatch, "reference that was " + string(e.Type)
	case q.text == path.Base(e.Entry):
		return nearMatch, "entry"
	case !image.IsZero() && (q.text == path.Base(image.Repository) || q.text == image.Repository || q.text == path.Base(image.Repository)+":"+image.Tag):
		return nearMatch, "repository"
	case image.Tag != "" && q.text == image.Tag:
		return nearMatch, "tag"
	}
	return noMatch, ""
}

// names says whether the reference that was typed names the image: its tag and its digest count where they
// were typed.
func (q query) names(image mirror.Reference) bool {
	return q.ref.Name() == image.Name() && (q.ref.Tag == "" || q.ref.Tag == image.Tag) &&
		(!q.ref.HasDigest() || q.ref.Digest == image.Digest)
}
