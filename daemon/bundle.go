package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
)

// Support gathers what somebody needs who looks for a fault from afar: the configuration, what stands, what
// happened and what this machine is, by file name. Secrets are not in it: they are references in the
// configuration, and whatever is one all the same is masked. What cannot be gathered is told in problems.txt;
// nothing is asked of any network but the metrics of our own daemon.
func Support(ctx context.Context, c config.Config, o Options) mirror.Files {
	conceal(c)
	s := support{files: mirror.Files{}}
	s.config(c)
	s.machine(c)
	s.metrics(ctx, c.Listen)
	o.Temporary, o.Offline, o.Log = true, true, slog.New(slog.DiscardHandler)
	if l, err := Open(ctx, c, o); err != nil {
		s.problem("open the state", Advise(c, err).Err())
	} else {
		s.line(ctx, l)
		s.problem("close the state", l.Close(context.WithoutCancel(ctx)))
	}
	return s.done()
}

// SupportWithout gathers what there is without a configuration that can be read; err says why there is none.
func SupportWithout(err error) mirror.Files {
	s := support{files: mirror.Files{}}
	s.machine(config.Config{})
	s.problem("read the configuration", err)
	return s.done()
}

type support struct {
	files    mirror.Files
	problems strings.Builder
}

func (s *support) problem(step string, err error) {
	if err != nil {
		fmt.Fprintf(&s.problems, "%s:\n%v\n\n", step, err)
	}
}

// json adds a document; a part that cannot be had is a problem and not the end.
func (s *support) json(name string, value any, err error) {
	if err != nil {
		s.problem(name, err)
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		s.problem(name, err)
		return
	}
	s.files[name] = b.Bytes()
}

// config adds the configuration that is in force, with its secrets as references and where each value was set.
func (s *support) config(c config.Config) {
	var b strings.Builder
	for _, v := range c.Values() {
		fmt.Fprintf(&b, "%-48s %s\n", fmt.Sprintf("%s: %v", v.Path, v.Value), v.Origin)
	}
	s.files["config.txt"] = []byte(b.String())
}

func (s *support) line(ctx context.Context, l *Line) {
	look, err := l.Look(ctx)
	s.json("sets.json", look, err)
	entries := []EntryLook{}
	for _, set := range look.Sets {
		entries = append(entries, set.Lines...)
	}
	s.json("entries.json", entries, err)
	status, err := l.Status(ctx)
	s.json("status.json", status, err)
	runs, err := l.Runs("", 0)
	s.json("runs.json", runs, err)
	events, err := l.Events(Filter{})
	s.json("events.json", events, err)
	if f := l.fleet.Load(); f != nil {
		s.fleet(l, f)
	}
}

// fleet adds what people wrote, which holds no secret, and the names of all files.
func (s *support) fleet(l *Line, f *fleet) {
	s.files["fleet/head.txt"] = []byte(f.head + "\n")
	for name, body := range f.desired.Files {
		s.files["fleet/"+name] = body
	}
	if f.mistake != nil {
		s.problem("the newest commit of the fleet repository", f.mistake)
	}
	all, err := l.git.Files(f.head)
	if err != nil {
		s.problem("list the fleet repository", err)
		return
	}
	if l.apart() {
		rendered, err := l.renderedFiles(f)
		if err != nil {
			s.problem("list branch "+l.config.Git.State(), err)
		}
		for name, body := range rendered {
			all[l.config.Git.State()+":"+name] = body
		}
		s.files["fleet/state.txt"] = []byte(f.state + "\n")
	}
	var b strings.Builder
	for _, name := range sortedKeys(all) {
		fmt.Fprintf(&b, "%8d  %s\n", len(all[name]), name)
	}
	s.files["fleet/files.txt"] = []byte(b.String())
}

// proxyVariables are those that net/http reads.
var proxyVariables = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}

// machine adds what this process runs on, and which variables it was given: names, not values.
func (s *support) machine(c config.Config) {
	var b strings.Builder
	host, err := os.Hostname()
	if err != nil {
		host = err.Error()
	}
	fmt.Fprintf(&b, "host %s\nplatform %s/%s\ngo %s\ncpus %d\nGOMAXPROCS %d\nuid %d\n", host, runtime.GOOS, runtime.GOARCH, runtime.Version(), runtime.NumCPU(), runtime.GOMAXPROCS(0), os.Getuid())
	names := slices.Clone(proxyVariables)
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, config.EnvPrefix) || slices.Contains([]string{"NO_COLOR", "TERM", "COLUMNS", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "DOCKER_CONFIG", "CREDENTIALS_DIRECTORY", "GOMEMLIMIT"}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if _, set := os.LookupEnv(name); set {
			fmt.Fprintf(&b, "variable %s is set\n", name)
		}
	}
	if c.StateDir != "" {
		b.WriteString(sizesBelow(c.StateDir))
	}
	s.files["machine.txt"] = []byte(b.String())
}

// sizesBelow lists what lies in the state directory.
func sizesBelow(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Sprintf("state directory: %v\n", err)
	}
	var b strings.Builder
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			fmt.Fprintf(&b, "%s %12d  %s  %s\n", info.Mode(), info.Size(), info.ModTime().UTC().Format(time.RFC3339), filepath.Join(dir, e.Name()))
		}
	}
	return b.String()
}

// Bounds of asking a daemon for its metrics.
const (
	metricsWait = 2 * time.Second
	maxMetrics  = 8 << 20 // bytes
)

// metrics asks the daemon of this configuration, if there is one.
func (s *support) metrics(ctx context.Context, listen string) {
	if listen == "" || strings.HasSuffix(listen, ":0") {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, metricsWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Scheme: "http", Host: listen, Path: "/metrics"}).String(), nil)
	if err != nil {
		return
	}
	transport := &http.Transport{} // without a proxy: it is on this machine
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		fmt.Fprintf(&s.problems, "no daemon answers at %s\n\n", listen)
		return
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(io.LimitReader(resp.Body, maxMetrics)); err == nil && resp.StatusCode == http.StatusOK {
		s.files["metrics.txt"] = body
	}
}

// conceal makes every secret of the configuration and of the environment known to the masking of texts.
func conceal(c config.Config) {
	for _, secret := range c.Secrets() {
		_, _ = secret.Read() // which conceals it; what cannot be read shows nowhere
	}
	addresses := []string{c.Git.URL}
	for _, r := range c.Registries {
		addresses = append(addresses, r.Endpoint)
	}
	for _, name := range proxyVariables {
		addresses = append(addresses, os.Getenv(name))
	}
	for _, address := range addresses {
		if u, err := url.Parse(address); err == nil && u.User != nil {
			secret, has := u.User.Password()
			if !has { // then the name may be a token
				secret = u.User.Username()
			}
			wire.Conceal(wire.Secret(secret))
		}
	}
}

// done masks every file: the last line of defence, since none of them should hold a secret.
func (s *support) done() mirror.Files {
	if s.problems.Len() > 0 {
		s.files["problems.txt"] = []byte(s.problems.String())
	}
	masked := mirror.Files{}
	for name, body := range s.files {
		text := mirror.Redact(wire.Mask(string(body)))
		masked[wire.Mask(name)] = []byte(text)
	}
	return masked
}
