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
	m.registry.MustRegister(o.requests, o.packages, o.fresh)
	return o
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
