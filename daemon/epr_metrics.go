package daemon

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/wire"
)

// outletMetrics are what /metrics shows of channels that are served.
type outletMetrics struct {
	requests        *prometheus.CounterVec
	packages, fresh *prometheus.GaugeVec
	bytes           prometheus.Gauge
	handler         http.Handler
	observe         func(wire.Event)
}

func newOutletMetrics(m *metrics) *outletMetrics {
	of := []string{"set", "channel"}
	o := &outletMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "poundlock_epr_requests_total", Help: "Requests that were answered for a channel of packages, by status."}, append(of, "code")),
		packages: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_epr_packages", Help: "Packages in a channel as it is served."}, of),
		fresh:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_epr_fresh", Help: "1 while a channel is served as the registry last said it is, 0 while it could not be read."}, of),
		handler:  m.handler(), observe: m.observe,
	}
	o.bytes = prometheus.NewGauge(prometheus.GaugeOpts{Name: "poundlock_epr_unpacked_bytes", Help: "Bytes that all channels which are served have in memory, about; at most 768 MiB, and a channel that would be more is not taken."})
	m.registry.MustRegister(o.requests, o.packages, o.fresh, o.bytes)
	return o
}

// newMetricsAlone gives the metrics of a process that serves channels and nothing else: those of a daemon would show a
// configuration that was never read, and a heartbeat that stands still.
func newMetricsAlone(version string) *metrics {
	m := newMetrics(version)
	m.registry = prometheus.NewRegistry()
	m.outlet = newOutletMetrics(m)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_build_info", Help: "Constant 1, by version."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(build, m.requests)
	return m
}

func (m *outletMetrics) answered(n epr.Name, status int) {
	m.requests.WithLabelValues(n.Set, n.Channel, strconv.Itoa(status)).Inc()
}

func (m *outletMetrics) renewed(o *offer, err error) {
	fresh := 1.0
	if err != nil {
		fresh = 0
	}
	m.fresh.WithLabelValues(o.Set, o.Channel).Set(fresh)
	if l := o.now.Load(); l != nil {
		m.packages.WithLabelValues(o.Set, o.Channel).Set(float64(l.contents.Packages))
	}
}

func (m *outletMetrics) drop(n epr.Name) {
	m.packages.DeleteLabelValues(n.Set, n.Channel)
	m.fresh.DeleteLabelValues(n.Set, n.Channel)
}
