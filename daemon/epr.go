package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/poundlock/poundlock/daemon/config"
	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/registry"
	"github.com/poundlock/poundlock/internal/wire"
)

// outlet serves the channels of packages that the local registry holds. It knows nothing else: neither Git nor policy nor
// state, so that it goes on while all of them are away, and that as many of them can run as one likes. What it serves stays
// in memory until something newer was read whole; then a channel changes at once, between two requests.
type outlet struct {
	log     *slog.Logger
	now     func() time.Time
	metrics *outletMetrics
	alone   bool // not beside a daemon, which shows the metrics

	wake    chan struct{} // look at the registry now
	inForce atomic.Pointer[supply]
	offers  atomic.Pointer[map[epr.Name]*offer]
	cache   *epr.Cache       // of all channels, which have most packages in common
	catalog mirror.Reference // that offers are of; of the one who refreshes
	absent  string           // why there is no catalog, as the log told; the same
	strange string           // channels of epr.ports that are not in it, as the log told; the same
	reading atomic.Int64     // bytes of channels that are read and not in place yet, unpacked
	most    int64            // bytes of all channels together, unpacked
	taking  sync.Mutex       // one channel at a time is put in place: those of a set share what they have in common

	mu      sync.Mutex
	servers map[listenAt]*outletServer
}

// maxServed is how many bytes all channels of an outlet have at most, unpacked: their indexes lie where others may be able to
// write, and there may be many.
const maxServed = 768 << 20

// supply is where an outlet reads from, and how: one configuration.
type supply struct {
	config       config.Config
	host, prefix string
	registry     *registry.Client
	out          *wire.Wire
	certificate  *certificate // nil: plain http
}

// offer is a channel that is served.
type offer struct {
	epr.Name
	handler http.Handler
	now     atomic.Pointer[loaded] // nil until it was read
	unmade  atomic.Bool            // the registry said that it has none: it was never written, as that of a suspended set
	told    string                 // what is wrong with it, as the log told; of the one who refreshes
	sighed  atomic.Int64           // when the log told last that a file of it could not be read, in seconds
}

// loaded is what a channel holds at one moment.
type loaded struct {
	contents *epr.Contents
	channel  *epr.Channel
	at       time.Time
}

func newOutlet(log *slog.Logger, now func() time.Time, m *metrics, alone bool) *outlet {
	o := &outlet{log: log, now: now, alone: alone, metrics: m.outlet, cache: epr.NewCache(), most: maxServed, wake: make(chan struct{}, 1), servers: map[listenAt]*outletServer{}}
	o.offers.Store(&map[epr.Name]*offer{})
	return o
}

// supplyOf makes what reads the local registry, and nothing else: no other host of the configuration is ever asked.
func supplyOf(c config.Config, observe func(wire.Event)) (*supply, error) {
	c.Registries = map[string]config.Registry{config.LocalRegistry: c.Registries[config.LocalRegistry]}
	c.Git, c.Forge, c.Notify, c.Calls = config.GitConfig{}, config.ForgeConfig{}, nil, nil
	local := c.Registries[config.LocalRegistry]
	hosts, endpoints, err := hostsOf(c)
	if err != nil {
		return nil, err
	}
	s := &supply{config: c, host: local.Host, prefix: local.Prefix}
	if s.certificate, err = certificateOf(c); err != nil {
		return nil, err
	}
	if s.out, err = wire.New(wire.Settings{Hosts: hosts, CAFiles: c.TLS.CAFiles, UserAgent: "poundlock", Observe: observe, Public: true}); err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrConfiguration, err)
	}
	s.registry = registry.New(s.out.Client(), endpoints)
	return s, nil
}

// look makes the outlet look at the registry now.
func (o *outlet) look() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// follow looks at the registry whenever it is due, until ctx ends. What it read is served on.
func (o *outlet) follow(ctx context.Context) error {
	for {
		o.refresh(ctx)
		due := time.NewTimer(o.inForce.Load().config.EPR.Refresh)
		select {
		case <-ctx.Done():
			due.Stop()
			return ctx.Err()
		case <-o.wake:
		case <-due.C:
		}
		due.Stop()
	}
}

// refreshWithin bounds what is read of one channel at a look: one that hangs must not keep the next look from succeeding. It
// keeps no other channel from it either, as a few are read side by side.
const (
	refreshWithin = 5 * time.Minute
	refreshAtOnce = 8
)

// refresh reads what changed in the registry: one request for the catalog and one for each channel tell whether anything did.
// What cannot be read, or is not as we write it, leaves what is served as it is.
func (o *outlet) refresh(ctx context.Context) {
	s := o.inForce.Load()
	if err := o.readCatalog(ctx, s); err != nil && ctx.Err() == nil {
		if said := mirror.Clean(err.Error()); said != o.absent {
			o.log.Warn("the catalog of channels cannot be read; what was read before is served", keyCode, "EPR015", keyError, said)
			o.absent = said
		}
	} else if err == nil {
		o.absent = ""
	}
	offers := *o.offers.Load()
	var group errgroup.Group
	group.SetLimit(refreshAtOnce)
	for _, name := range namesOf(offers) {
		group.Go(func() error {
			o.refreshOne(ctx, s, offers[name])
			return nil
		})
	}
	_ = group.Wait() // each tells of itself
	o.metrics.bytes.Set(float64(o.unpacked(nil)))
}

// refreshOne renews a channel, and tells of it what is new.
func (o *outlet) refreshOne(ctx context.Context, s *supply, offer *offer) {
	within, cancel := context.WithTimeout(ctx, refreshWithin)
	defer cancel()
	err := o.renew(within, s, offer)
	if ctx.Err() != nil {
		return
	}
	if !errors.Is(err, errUnmade) {
		o.metrics.renewed(offer, err)
	}
	said := ""
	if err != nil {
		said = mirror.Clean(err.Error())
	}
	switch {
	case said == "" || said == offer.told:
	case errors.Is(err, errUnmade):
		o.log.Info("a channel was never written, and is served once it is", keyChannel, offer.String())
	default:
		o.log.Warn("a channel cannot be read; what was read before is served", keyCode, "EPR010", keyChannel, offer.String(), keyError, said)
	}
	offer.told = said
}

// errUnmade says of a channel that the registry has none.
var errUnmade = errors.New("it was never written")

// readCatalog finds out which channels there are.
func (o *outlet) readCatalog(ctx context.Context, s *supply) error {
	ctx, cancel := context.WithTimeout(ctx, refreshWithin)
	defer cancel()
	at := epr.CatalogIn(s.host, s.prefix)
	tagged, err := s.registry.Resolve(ctx, at)
	if err != nil {
		return err
	}
	before := *o.offers.Load()
	if at = at.WithDigest(tagged.Digest); at == o.catalog {
		return nil
	}
	names, err := epr.ReadCatalog(ctx, s.registry, at)
	if err != nil {
		return err
	}
	offers := map[epr.Name]*offer{}
	for _, name := range names {
		if offers[name] = before[name]; offers[name] == nil {
			offers[name] = o.newOffer(name)
		}
	}
	for _, name := range namesOf(before) {
		if offers[name] == nil {
			o.metrics.drop(name)
			o.log.Info("channel is served no more", keyChannel, name.String())
		}
	}
	o.offers.Store(&offers)
	o.catalog = at
	strange := strings.Join(strangers(s.config.EPR, offers), ", ")
	if strange != "" && strange != o.strange {
		o.log.Warn("epr.ports names a channel that the fleet does not have; nothing is answered at its port", keyCode, "EPR019", keyChannel, strange, "channels", mirror.OneLine(few(textsOf(namesOf(offers)))))
	}
	o.strange = strange
	return nil
}

// strangers gives the channels that epr.ports names and that are in no fleet: a name with a mistake, mostly. What is in the
// catalog and was not written yet is none of them.
func strangers[T any](c config.EPR, known map[epr.Name]T) (names []string) {
	for _, text := range sortedKeys(c.Ports) {
		if n, err := epr.ParseName(text); err == nil {
			if _, ok := known[n]; !ok {
				names = append(names, n.String())
			}
		}
	}
	return names
}

func textsOf(names []epr.Name) (texts []string) {
	for _, n := range names {
		texts = append(texts, n.String())
	}
	return texts
}

func (o *outlet) newOffer(name epr.Name) *offer {
	offer := &offer{Name: name}
	offer.handler = epr.Handler(func() *epr.Channel { return offer.now.Load().channel }, supplied{o}, epr.Sharing(o.cache), epr.OnFailure(func(r *http.Request, err error) { o.failed(offer, r, err) }))
	return offer
}

// failed tells that a file could not be read from the registry. Kibana asks for many: one of them a minute is told.
func (o *outlet) failed(offer *offer, r *http.Request, err error) {
	now, last := o.now().Unix(), offer.sighed.Load()
	if r.Context().Err() != nil || now-last < 60 || !offer.sighed.CompareAndSwap(last, now) {
		return
	}
	o.log.Warn("a request for a file of a package failed", keyCode, "EPR017", keyChannel, offer.String(), keyWhat, mirror.OneLine(r.URL.Path), keyError, clean(err.Error()))
}

// renew reads a channel when its tag names another index than the one that is served.
func (o *outlet) renew(ctx context.Context, s *supply, offer *offer) error {
	at := offer.In(s.host, s.prefix)
	tagged, err := s.registry.Resolve(ctx, at)
	served := offer.now.Load()
	unmade := served == nil && errors.Is(err, mirror.ErrNotFound)
	if offer.unmade.Store(unmade); unmade {
		return errUnmade
	}
	if err != nil {
		return err
	}
	if served != nil && served.contents.Digest == tagged.Digest {
		return nil
	}
	others, mine := o.unpacked(offer), atomic.Int64{}
	defer func() { o.reading.Add(-mine.Load()) }()
	room := func(bytes int64) bool { mine.Add(bytes); return others+o.reading.Add(bytes) <= o.most }
	contents, err := epr.ReadContentsWithin(ctx, s.registry, at.WithDigest(tagged.Digest), room, o.contents(offer.Set)...)
	if errors.Is(err, mirror.ErrTooLarge) && others+o.reading.Load() > o.most {
		return fmt.Errorf("%w: all channels of this server together would have more than %d bytes", err, o.most)
	}
	if err != nil {
		return err
	}
	if contents.Name != offer.Name {
		return fmt.Errorf("%w: it is of channel %s", epr.ErrMalformed, mirror.OneLine(contents.String()))
	}
	o.taking.Lock()
	defer o.taking.Unlock()
	if err := contents.Share(o.contents(offer.Set)...); err != nil {
		return err
	}
	if sum := o.unpacked(offer, contents); sum > o.most {
		return fmt.Errorf("%w: all channels of this server together would have %d bytes, more than %d", mirror.ErrTooLarge, sum, o.most)
	}
	offer.now.Store(&loaded{contents, epr.NewChannel(contents.Items), o.now()})
	o.log.Info("channel is served", keyChannel, offer.String(), keyPackages, contents.Packages, keyDigest, contents.Digest.String())
	return nil
}

// contents gives what is served of a set: channels have most of their shards in common.
func (o *outlet) contents(set string) (all []*epr.Contents) {
	for name, offer := range *o.offers.Load() {
		if l := offer.now.Load(); l != nil && name.Set == set {
			all = append(all, l.contents)
		}
	}
	return all
}

// unpacked gives how many bytes the channels have that are served, without one, and contents that are to be served of its set.
// What channels of a set have in common counts once, as it is once in memory.
func (o *outlet) unpacked(without *offer, more ...*epr.Contents) (sum int64) {
	type key struct {
		set   string
		shard mirror.Digest
	}
	seen := map[key]bool{}
	add := func(set string, c *epr.Contents) {
		c.Bytes(func(shard mirror.Digest, bytes int64) {
			if !seen[key{set, shard}] {
				seen[key{set, shard}] = true
				sum += bytes
			}
		})
	}
	for name, offer := range *o.offers.Load() {
		if l := offer.now.Load(); l != nil && offer != without {
			add(name.Set, l.contents)
		}
	}
	for _, c := range more {
		add(without.Set, c)
	}
	return sum
}

// ready says why not everything that there is is served; nil where it is. What was never written is not there.
func (o *outlet) ready() error {
	offers := *o.offers.Load()
	if len(offers) == 0 {
		return errors.New("no channel was read yet")
	}
	var missing []string
	served := false
	for _, name := range namesOf(offers) {
		offer := offers[name]
		read := offer.now.Load() != nil
		if served = served || read; !read && !offer.unmade.Load() {
			missing = append(missing, name.String())
		}
	}
	if strange := strangers(o.inForce.Load().config.EPR, offers); len(strange) > 0 {
		return fmt.Errorf("epr.ports names %s, which the fleet does not have", strings.Join(strange, ", "))
	}
	if len(missing) == 0 && !served {
		return errors.New("no channel was written yet")
	}
	if len(missing) > 0 {
		return fmt.Errorf("not read yet: %s", strings.Join(missing, ", "))
	}
	return nil
}

func namesOf(offers map[epr.Name]*offer) []epr.Name {
	return slices.SortedFunc(maps.Keys(offers), func(a, b epr.Name) int { return strings.Compare(a.String(), b.String()) })
}
