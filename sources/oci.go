package sources

import (
	"context"
	"fmt"
	"time"

	"github.com/poundlock/poundlock/internal/mirror"
)

func init() { register("oci", readOCI, ociDefaults) }

// ociOptions are the options of kind oci: source: {kind: oci, repository: ghcr.io/org/app, tags: {semver: ">=2 <3"}}.
type ociOptions struct {
	Kind         string        `yaml:"kind,required" jsonschema_description:"Repositories of registries, images or artifacts of any media type; rules choose their tags, which move one by one."`
	Repository   string        `yaml:"repository" jsonschema:"oneof_required=repository,example=ghcr.io/example/app" jsonschema_description:"The repository, without tag."`
	Repositories []mirror.Node `yaml:"repositories" jsonschema:"oneof_required=repositories,minItems=1,example=ghcr.io/example/app" jsonschema_description:"Several repositories, instead of one; the rules hold for each of them."`
	Tags         tagRules      `yaml:"tags,required" jsonschema_description:"Which tags are meant: at least one of allow, semver and newest."`
	Follow       follow        `yaml:"follow" jsonschema:"enum=once,enum=always" jsonschema_description:"How often it is asked what a chosen tag names: at each scheduled cycle, or once, for repositories whose tags never move."`
	Shrink       shrink        `yaml:"shrink" jsonschema:"enum=refuse,enum=allow" jsonschema_description:"Whether an answer may have less than half of the entries of the one before; otherwise what was listed before stays."`
	Where        mirror.Position
}

var ociDefaults = ociOptions{Follow: "always", Shrink: "refuse", Tags: tagRules{By: bySemver}}

// readOCI reads which tags of which repositories are meant; which there are is asked for.
func readOCI(set mirror.Set, _ mirror.Files) (listing, mirror.Problems) {
	o := ociDefaults
	ps := set.Source.Node.DecodeAs("source", &o)
	var repositories []mirror.Reference
	if !ps.Touch("source.repository") && !ps.Touch("source.repositories") {
		named, problems := o.repositories(set.Source.Node)
		repositories, ps = named, append(ps, problems...)
	}
	choice, problems := o.Tags.compile(set.Source.Node.Key("tags"), ps)
	if ps = append(ps, problems...); len(ps) > 0 {
		return listing{}, ps
	}
	q := ociQuestion{repositories: repositories, choice: choice, once: o.Follow == "once"}
	return listing{follow: o.Follow == "always", ask: q.ask}, nil
}

// repositories gives the repositories that are named, each once.
func (o ociOptions) repositories(source mirror.Node) ([]mirror.Reference, mirror.Problems) {
	var ps mirror.Problems
	if (o.Repository == "") == (o.Repositories == nil) {
		ps.Add("SRC090", o.Where, "write source: {kind: oci, repository: ghcr.io/example/app, tags: {...}}", "source: want either repository or repositories")
		return nil, ps
	}
	nodes := o.Repositories
	if o.Repository != "" {
		nodes = []mirror.Node{source.Key("repository")}
	}
	var all []mirror.Reference
	first := map[mirror.Reference]mirror.Position{}
	for _, node := range nodes {
		text, _ := node.Text()
		r, err := mirror.ParseReference(text)
		switch before, dup := first[r]; {
		case err != nil:
			ps.Add("SRC091", node.Where(), "write registry/repository", "%v", err)
		case r.Tag != "" || r.HasDigest():
			ps.Add("SRC091", node.Where(), "write "+r.Name()+", and its tags below tags: for a fixed list of images take kind list", "%q names more than a repository", text)
		case dup:
			ps.Add("SRC092", node.Where(), "keep one of them", "%s is listed twice, first in %s", r.Name(), before)
		default:
			first[r] = node.Where()
			all = append(all, r)
		}
	}
	return all, ps
}

// ociQuestion is what is asked of some repositories.
type ociQuestion struct {
	repositories []mirror.Reference
	choice       choice
	once         bool // a tag that was chosen before names what it named then
}

// ask lists the tags of each repository, by one request for a page, and chooses among them. Where the choice depends on
// content, each tag is asked what it names; else that is left to whoever takes the entries.
func (q ociQuestion) ask(ctx context.Context, up Upstream, past Past, at time.Time) (listing, error) {
	// What a chosen tag names does not belong to the version of the source: without follow it would be asked again
	// whenever another tag comes.
	l := listing{origin: mirror.DigestOf([]byte("oci")), created: map[mirror.Digest]time.Time{}}
	for _, repository := range q.repositories {
		l.gone = nil
		tags, err := up.Tags(ctx, repository)
		if err != nil {
			return listing{}, fmt.Errorf("list the tags of %s: %w", repository.Name(), err)
		}
		found, err := q.choose(ctx, look{up, past, at, repository, &l, q.once}, tags)
		if err != nil {
			return listing{}, err
		}
		if len(found) == 0 && l.gone != nil {
			return listing{}, l.gone // most likely nobody may read it, which some registries do not tell from nothing there
		}
		if len(found) == 0 {
			return listing{}, mirror.Problem{Code: "SRC095", What: fmt.Sprintf("no tag of %s passes the rules; it has %d", repository.Name(), len(tags)),
				Fix: "see `poundlock help sources` on tags, and what stands stays meanwhile"}
		}
		for _, image := range found {
			l.entries = append(l.entries, mirror.Entry{Name: image.WithDigest(mirror.Digest{}).String(), Image: image})
		}
	}
	return l, nil
}

// choose gives the images of one repository that are meant.
func (q ociQuestion) choose(ctx context.Context, k look, tags []string) ([]mirror.Reference, error) {
	passed := q.choice.pass(tags)
	if len(passed) > maxLooked && q.choice.asksAll() {
		return nil, mirror.Problem{Code: "SRC096", What: fmt.Sprintf("%d tags of %s would have to be asked what they name, more than %d", len(passed), k.repository.Name(), maxLooked),
			Fix: "narrow them by allow, deny or semver, or take the newest of them by semver"}
	}
	if q.choice.byAge() {
		var err error
		if passed, err = k.byAge(ctx, passed); err != nil {
			return nil, err
		}
	}
	var found []mirror.Reference
	looked := 0
	for _, tag := range passed {
		if q.choice.newest > 0 && len(found) == q.choice.newest {
			break
		}
		image := k.repository.WithTag(tag)
		if q.choice.minAge > 0 {
			if looked++; looked > maxLooked {
				break // the newest are all too young; older ones are not what is meant
			}
			ripe, ok, err := k.ripe(ctx, image, q.choice.minAge)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			image = ripe
		}
		found = append(found, image)
	}
	return found, nil
}

// maxLooked is how many tags of one repository are asked at most what they name, so that it can be chosen among them.
const maxLooked = 200
