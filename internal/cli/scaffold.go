package cli

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
)

//go:embed scaffold/*.tmpl
var scaffoldFiles embed.FS

var scaffolds = template.Must(template.New("").Funcs(template.FuncMap{"quote": strconv.Quote, "plain": plain}).ParseFS(scaffoldFiles, "scaffold/*.tmpl"))

// scaffolding is what a configuration and a fleet repository are begun from.
type scaffolding struct {
	Site    string
	Target  string // host[:port][/prefix]; a placeholder where it is empty
	Git     string // address; a placeholder where it is empty
	Sources []source
}

// source is a file that a set is to be read from.
type source struct {
	Name, Kind string
	File       string // below desired/
	data       []byte
}

// Placeholders for what is not known yet.
const (
	someGit    = "https://git.example.org/ops/platform.git"
	someTarget = "registry.example.org"
)

// files gives everything that is to be written, by its path, with notes for the operator. The fleet repository
// among it is checked as the daemon would: a source file with mistakes gives mirror.Problems.
func (o scaffolding) files() (mirror.Files, []string, error) {
	files := mirror.Files{"desired/policy.yaml": []byte("version: 1\nrules: []\n")}
	for _, s := range o.Sources {
		set := "desired/" + s.Name + ".yaml"
		if _, twice := files[set]; twice {
			return nil, nil, fmt.Errorf("--from: two sets are called %q; give one a name, as in tools=%s:%s", s.Name, s.Kind, path.Base(s.File))
		}
		files[set] = fill("set.yaml", s)
		files["desired/"+s.File] = s.data
	}
	desired, _, problems := daemon.CheckFleet("", files)
	if err := problems.Err(); err != nil {
		return nil, nil, err
	}
	hosts, open := upstreams(desired)
	files["desired/policy.yaml"] = fill("policy.yaml", map[string]any{"Rules": rules(hosts)})
	written, err := o.config(hosts)
	if err != nil {
		return nil, nil, err
	}
	files["config.yaml"] = written
	files["stages/README.md"] = fill("stages.md", o)
	files["CODEOWNERS"], files[".gitignore"] = fill("CODEOWNERS", o), fill("gitignore", o)
	if err := flawless(files); err != nil {
		return nil, nil, err
	}
	var notes []string
	if len(open) > 0 {
		notes = append(notes, undigested(open))
	}
	return files, notes, nil
}

func undigested(open []string) string {
	if len(open) == 1 {
		return fmt.Sprintf("1 entry has no digest, %s: it is refused until desired/ names its digest or a rule names who signs it", open[0])
	}
	return fmt.Sprintf("%d entries have no digest, such as %s: they are refused until desired/ names their digest or a rule names who signs them", len(open), open[0])
}

// flawless checks what is to be written as the daemon would: a flag may hold what no check of ours foresees.
func flawless(files mirror.Files) error {
	_, _, problems := daemon.CheckFleet("", files)
	var bad mirror.Problems
	if err := config.Check("config.yaml", files["config.yaml"]); errors.As(err, &bad) {
		problems = append(problems, bad...)
	} else if err != nil {
		return err
	}
	for i := range problems {
		problems[i].Why = "this would be written; correct the flag of init that it comes from"
	}
	return problems.Err()
}

// upstreams gives the hosts that entries come from, and the entries that nobody pinned.
func upstreams(desired mirror.Desired) (hosts, open []string) {
	for _, set := range desired.Sets {
		for _, e := range set.Entries {
			hosts = append(hosts, e.Image.Host)
			if !e.Pinned() {
				open = append(open, set.Name+"/"+e.Name)
			}
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), open
}

type rule struct{ Match, Note string }

func rules(hosts []string) []rule {
	var all []rule
	for _, host := range hosts {
		all = append(all, rule{host + "/**", "A digest that a reviewed commit of desired/ names."})
	}
	return all
}

// config gives the configuration. The local registry may be one that entries come from: it is listed once.
func (o scaffolding) config(hosts []string) ([]byte, error) {
	target, prefix, _ := strings.Cut(strings.TrimSuffix(cmp.Or(o.Target, someTarget), "/"), "/")
	if ref, err := mirror.ParseReference(path.Join(target, prefix, "x")); err != nil || ref.Host != target {
		return nil, errors.New("--target: want host[:port][/prefix], without a scheme and a user") // it is not repeated: a password may stand there
	}
	if _, err := mirror.ParseStage(o.Site); err != nil {
		return nil, fmt.Errorf("--site %q: use lower-case letters, digits and single dashes", o.Site)
	}
	git := cmp.Or(o.Git, someGit)
	host, ssh := gitHost(git)
	type upstream struct{ Name, Host string }
	var list []upstream
	for _, h := range hosts {
		if h != target {
			list = append(list, upstream{strings.Trim(notKey.ReplaceAllString(h, "-"), "-"), h})
		}
	}
	return fill("config.yaml", map[string]any{"Site": o.Site, "StateDir": "state", "Git": git, "GitUnknown": o.Git == "", "GitHost": host, "AuthorHost": host, "SSH": ssh, "PlainHTTP": strings.HasPrefix(git, "http://"),
		"Target": target, "TargetUnknown": o.Target == "", "Prefix": prefix, "Upstreams": list}), nil
}

// plain gives a text as YAML takes it anywhere: as it is where that is certain, else in quotes.
func plain(text string) string {
	if plainText.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}

var plainText = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./@-]*(:[A-Za-z0-9_./@-]+)*$`)

var notKey = regexp.MustCompile(`[^a-z0-9]+`)

// fill executes a template of ours, which cannot fail on the values that it is given.
func fill(name string, facts any) []byte {
	var b bytes.Buffer
	if err := scaffolds.ExecuteTemplate(&b, name+".tmpl", facts); err != nil {
		panic(err)
	}
	return b.Bytes()
}
