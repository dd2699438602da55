package daemon

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
)

// metrics are what /metrics shows. A digest is never a label.
type metrics struct {
	registry    *prometheus.Registry
	lastSuccess *prometheus.GaugeVec
	listed      *prometheus.GaugeVec
	duration    *prometheus.HistogramVec
	entries     *prometheus.GaugeVec
	copied      *prometheus.CounterVec
	verified    *prometheus.CounterVec
	requests    *prometheus.CounterVec
	conflicts   prometheus.Counter
	reloadOK    prometheus.Gauge
	reloadAt    prometheus.Gauge
	suspended   *prometheus.GaugeVec
	exceptions  *prometheus.GaugeVec
	warnings    *prometheus.GaugeVec
	noLonger    *prometheus.GaugeVec
	unjudged    *prometheus.GaugeVec
	statements  *prometheus.GaugeVec
	refused     prometheus.Gauge
	hooks       *prometheus.CounterVec
	told        *prometheus.CounterVec
	rewritten   prometheus.Gauge
	heartbeat   prometheus.Gauge
	forgeOK     prometheus.Gauge
	nextLook    *prometheus.GaugeVec
	overdue     *prometheus.GaugeVec
	channels    channelMetrics
	outlet      *outletMetrics
	fetched     prometheus.Counter
	spooled     prometheus.Gauge
}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry:    prometheus.NewRegistry(),
		listed:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_source_listed_timestamp_seconds", Help: "When the source of the set was asked last what there is, and its answer was taken."}, []string{"set"}),
		lastSuccess: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_run_last_success_timestamp_seconds", Help: "When the set last reached what is wanted, as far as policy admits it."}, []string{"set"}),
		duration:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "poundlock_run_duration_seconds", Help: "Time of one step of the line for a set.", Buckets: prometheus.ExponentialBuckets(0.05, 4, 8)}, []string{"set"}),
		entries:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_images", Help: "Entries of a set by the kind of action that the last plan had for them."}, []string{"set", "state"}),
		copied:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "poundlock_copy_bytes_total", Help: "Blob bytes that crossed."}, []string{"registry", "result"}),
		verified:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "poundlock_verify_total", Help: "Judgements that did not admit."}, []string{"result", "reason"}),
		requests:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "poundlock_requests_total", Help: "HTTP requests sent, by host and status; code 0 means no answer."}, []string{"host", "code"}),
		conflicts:   prometheus.NewCounter(prometheus.CounterOpts{Name: "poundlock_git_push_conflicts_total", Help: "Pushes that were rejected because the branch had moved."}),
		reloadOK:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "poundlock_config_reload_ok", Help: "1 while the configuration in the files is the one in force, 0 while a changed one was refused."}),
		reloadAt:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "poundlock_config_reload_timestamp_seconds", Help: "When the configuration in force was last read and accepted."}),
		suspended:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_suspended", Help: "1 for a set that somebody suspended, else 0."}, []string{"set"}),
	}
	m.exceptions = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_policy_exceptions", Help: "Entries of a set, by stage, that an exception admits."}, []string{"set", "stage"})
	m.warnings = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_policy_warnings", Help: "Entries of a set, by stage, that policy admits with a warning: a rule is not enforced, or an exception ends soon."}, []string{"set", "stage"})
	m.noLonger = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_policy_no_longer_admitted", Help: "Entries of a set, by stage, that stand and that policy admits no longer."}, []string{"set", "stage"})
	m.unjudged = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_policy_unjudged", Help: "Entries of a set that stand and are still to be judged by a changed policy."}, []string{"set"})
	m.refused = prometheus.NewGauge(prometheus.GaugeOpts{Name: "poundlock_fleet_refused", Help: "1 while the newest commit of the fleet repository does not count by its signatures, else 0."})
	m.rewritten = prometheus.NewGauge(prometheus.GaugeOpts{Name: "poundlock_fleet_rewritten", Help: "1 while the history of the fleet repository is another one than before and nobody acknowledged that, else 0."})
	m.statements = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_statements_missing", Help: "Statements and signatures of this site that are still to be attached to what stands of a set."}, []string{"set"})
	m.heartbeat = prometheus.NewGauge(prometheus.GaugeOpts{Name: "poundlock_heartbeat_timestamp_seconds", Help: "When a cycle of the daemon last ended, whatever came of it; it stands still when the daemon does."})
	m.forgeOK = prometheus.NewGauge(prometheus.GaugeOpts{Name: "poundlock_forge_ok", Help: "1 while proposals can be looked at, 0 while the last look at the forge failed; 1 where no forge is configured."})
	m.forgeOK.Set(1)
	m.nextLook = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_next_look_timestamp_seconds", Help: "When the schedule of a set asks its moving upstream tags again."}, []string{"set"})
	m.overdue = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_overdue", Help: "1 while a scheduled look at a set has not happened in time, else 0."}, []string{"set"})
	m.hooks = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "poundlock_webhooks_total", Help: "Webhook deliveries, by receiver and what became of them."}, []string{"receiver", "result"})
	m.told = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "poundlock_notifications_total", Help: "Messages to notifiers, by what became of them."}, []string{"notifier", "result"})
	m.registry.MustRegister(m.hooks, m.told)
	m.channels, m.outlet = newChannelMetrics(m.registry), newOutletMetrics(m)
	m.fetched = prometheus.NewCounter(prometheus.CounterOpts{Name: "poundlock_packages_fetched_bytes_total", Help: "Bytes of Elastic packages that came from their upstreams."})
	m.spooled = prometheus.NewGauge(prometheus.GaugeOpts{Name: "poundlock_packages_spool_bytes", Help: "Bytes of Elastic packages that lie in the state directory: fetched, and not yet in the local registry."})
	m.registry.MustRegister(m.fetched, m.spooled)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_build_info", Help: "Constant 1, by version."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(m.lastSuccess, m.listed, m.duration, m.entries, m.copied, m.verified, m.requests, m.conflicts, m.reloadOK, m.reloadAt, m.suspended, m.exceptions, m.warnings, m.noLonger, m.unjudged, m.statements, m.refused, m.rewritten, m.heartbeat, m.forgeOK, m.nextLook, m.overdue, build)
	return m
}

// observe counts one request; it is called by the transport.
func (m *metrics) observe(e wire.Event) {
	m.requests.WithLabelValues(e.Host, strconv.Itoa(e.Status)).Inc()
}

// plan shows what the last plan of a set held.
func (m *metrics) plan(p mirror.Plan) {
	for _, k := range []mirror.Kind{mirror.Fetch, mirror.Copy, mirror.Tag, mirror.Refuse, mirror.Missing, mirror.Failed, mirror.Unchanged} {
		m.entries.WithLabelValues(p.Set, string(k)).Set(float64(p.Count(k)))
	}
	wait := countFunc(p.Actions, waiting) // nobody has to mend these
	m.entries.WithLabelValues(p.Set, string(mirror.Refuse)).Set(float64(p.Count(mirror.Refuse) - wait))
	m.entries.WithLabelValues(p.Set, "waiting").Set(float64(wait))
}

// remarks shows how much of a set is admitted in spite of the rules, or stands in spite of them.
func (m *metrics) remarks(set string, all []Remark, unjudged int) {
	of := prometheus.Labels{"set": set}
	for _, g := range []*prometheus.GaugeVec{m.exceptions, m.warnings, m.noLonger} {
		g.DeletePartialMatch(of)
	}
	for _, r := range all {
		if r.Outcome == mirror.OutcomeException {
			m.exceptions.WithLabelValues(set, string(r.Stage)).Inc()
		}
		if len(r.Warnings) > 0 {
			m.warnings.WithLabelValues(set, string(r.Stage)).Inc()
		}
		if r.Stands {
			m.noLonger.WithLabelValues(set, string(r.Stage)).Inc()
		}
	}
	m.unjudged.WithLabelValues(set).Set(float64(unjudged))
}

// looks shows when a set is looked at by its schedule, and whether that is late.
func (m *metrics) looks(set string, next time.Time, late bool) {
	if m.nextLook.DeleteLabelValues(set); !next.IsZero() {
		m.nextLook.WithLabelValues(set).Set(float64(next.Unix()))
	}
	m.overdue.WithLabelValues(set).Set(0)
	if late {
		m.overdue.WithLabelValues(set).Set(1)
	}
}

// noLooks forgets a set that is no more.
func (m *metrics) noLooks(set string) {
	m.nextLook.DeleteLabelValues(set)
	m.overdue.DeleteLabelValues(set)
}

// head shows whether the newest commit of the fleet repository counts.
func (m *metrics) head(t headTrust) {
	for g, is := range map[prometheus.Gauge]bool{m.refused: t.refused != nil, m.rewritten: t.rewritten != nil} {
		g.Set(0)
		if is {
			g.Set(1)
		}
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
