package trust_test

import (
	"bytes"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/poundlock/poundlock/policy/trust"
	"github.com/poundlock/poundlock/testenv"
)

func TestReadTUF_GivesTheRootThatItsMetadataVouchFor(t *testing.T) {
	a, root := newAuthority(t, testenv.AuthorityOptions{})
	trusted := a.TrustedRoot()
	expired := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		options testenv.TUFOptions
		target  string
		change  func(map[string][]byte)
		want    string
	}{
		"mirror":                {},
		"plain names":           {options: testenv.TUFOptions{Plain: true}},
		"names without hash":    {change: func(f map[string][]byte) { renameTarget(f) }},
		"names without version": {change: func(f map[string][]byte) { rename(f, "1.snapshot.json", "snapshot.json") }},
		"expired":               {options: testenv.TUFOptions{Until: expired}, want: "timestamp.json expired at 2021-01-01T00:00:00Z"},
		"no anchor":             {change: func(f map[string][]byte) { delete(f, "root.json") }, want: "holds no root.json"},
		"no timestamp":          {change: func(f map[string][]byte) { delete(f, "timestamp.json") }, want: "timestamp.json"},
		"no target":             {change: func(f map[string][]byte) { maps.DeleteFunc(f, isTarget) }, want: "trusted_root.json"},
		"another target":        {change: func(f map[string][]byte) { alter(f, isTarget) }, want: "hash"},
		"other metadata":        {change: func(f map[string][]byte) { alter(f, func(n string, _ []byte) bool { return n == "1.targets.json" }) }, want: "targets.json"},
		"other times":           {change: func(f map[string][]byte) { alter(f, func(n string, _ []byte) bool { return n == "timestamp.json" }) }, want: "timestamp.json"},
		"another name":          {target: "other.json", want: "trusted_root.json"},
		"anchor of others":      {change: func(f map[string][]byte) { f["root.json"] = f["1.targets.json"] }, want: "root.json"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.target == "" {
				c.target = "trusted_root.json"
			}
			files, err := testenv.TUFRepository(map[string][]byte{c.target: trusted}, c.options)
			if err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				c.change(files)
			}
			t.Chdir(t.TempDir()) // where nothing may be read or left
			got, err := trust.ReadTUF(files)
			wantError(t, err, c.want)
			if err == nil && !reflect.DeepEqual(got, root) {
				t.Error("it is another root than the target holds")
			}
		})
	}
}

func isTarget(name string, _ []byte) bool { return strings.HasPrefix(name, "targets/") }

func rename(files map[string][]byte, from, to string) {
	files[to] = files[from]
	delete(files, from)
}

func renameTarget(files map[string][]byte) {
	for name := range maps.Clone(files) {
		if isTarget(name, nil) {
			rename(files, name, "targets/trusted_root.json")
		}
	}
}

func alter(files map[string][]byte, which func(string, []byte) bool) {
	for name, body := range maps.Clone(files) {
		if which(name, nil) {
			files[name] = bytes.Replace(body, []byte("a"), []byte("b"), 1)
		}
	}
}

func TestParseRoot_RefusesWhatIsNone(t *testing.T) {
	a, _ := newAuthority(t, testenv.AuthorityOptions{})
	good := a.TrustedRoot()
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"good":        {good, ""},
		"empty file":  {nil, "syntax error"},
		"other JSON":  {[]byte(`{"a":1}`), "unknown field"},
		"hollow":      {[]byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`), "holds no authority and no log"},
		"other type":  {bytes.Replace(good, []byte("version=0.1"), []byte("version=9"), 1), "media type"},
		"no start":    {without(t, good, "start"), "start time"},
		"private key": {append([]byte("-----BEGIN PRIVATE KEY-----"), good...), "private key"},
		"too large":   {bytes.Repeat([]byte(" "), 1<<20+1), "at most 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := trust.ParseRoot(c.body)
			wantError(t, err, c.want)
		})
	}
}

func TestParseCA_WantsAuthoritiesThatEndInARoot(t *testing.T) {
	chain, _ := newChain(t, testenv.ChainOptions{Subject: "x@corp.example"})
	middle := bytes.TrimSuffix(chain.CA(), chain.RootPEM())
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"root and intermediate": {chain.CA(), ""},
		"root alone":            {chain.RootPEM(), ""},
		"intermediate alone":    {middle, "signed by itself"},
		"leaf":                  {chain.LeafPEM(), "is no authority's"},
		"nothing":               {nil, "signed by itself"},
		"a key":                 {[]byte(newSigner(t, "p256").PublicPEM()), "is no certificate"},
		"a private key":         {[]byte("-----BEGIN PRIVATE KEY-----\n"), "private key"},
		"too many":              {bytes.Repeat(chain.RootPEM(), 65), "more than 64"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := trust.ParseCA(c.body)
			wantError(t, err, c.want)
		})
	}
}
