package daemon

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/internal/wire"
)

// metrics are what /metrics shows. A digest is never a label.
type metrics struct {
	registry    *prometheus.Registry
	lastSuccess *prometheus.GaugeVec
	duration    *prometheus.HistogramVec
	entries     *prometheus.GaugeVec
	copied      *prometheus.CounterVec
	verified    *prometheus.CounterVec
	requests    *prometheus.CounterVec
	conflicts   prometheus.Counter
	reloadOK    prometheus.Gauge
	reloadAt    prometheus.Gauge
	suspended   *prometheus.GaugeVec
}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry:    prometheus.NewRegistry(),
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
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_build_info", Help: "Constant 1, by version."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(m.lastSuccess, m.duration, m.entries, m.copied, m.verified, m.requests, m.conflicts, m.reloadOK, m.reloadAt, m.suspended, build)
	return m
}

// observe counts one request; it is called by the transport.
func (m *metrics) observe(e wire.Event) {
	m.requests.WithLabelValues(e.Host, strconv.Itoa(e.Status)).Inc()
}

// plan shows what the last plan of a set held.
func (m *metrics) plan(p mirror.Plan) {
	for _, k := range []mirror.Kind{mirror.Copy, mirror.Tag, mirror.Refuse, mirror.Missing, mirror.Failed, mirror.Unchanged} {
		m.entries.WithLabelValues(p.Set, string(k)).Set(float64(p.Count(k)))
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
