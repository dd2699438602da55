package daemon

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/poundlock/poundlock/internal/epr"
	"github.com/poundlock/poundlock/internal/mirror"
)

// Channel gives the index that we wrote last for a channel and what it was made of; zero values where none is known.
func (s *State) Channel(n epr.Name) (index mirror.Digest, sum string) {
	v, _ := s.get(bucketChannels, n.String())
	digest, sum, _ := strings.Cut(v, " ")
	index, err := mirror.ParseDigest(digest)
	if err != nil {
		return mirror.Digest{}, ""
	}
	return index, sum
}

// SetChannel remembers the index of a channel, which the registry's tag names.
func (s *State) SetChannel(n epr.Name, index mirror.Digest, sum string) error {
	if was, of := s.Channel(n); was == index && of == sum {
		return nil
	}
	return s.put(bucketChannels, map[string]string{n.String(): index.String() + " " + sum})
}

// channelMetrics are what /metrics shows of channels that were written.
type channelMetrics struct {
	packages, leftOut, at *prometheus.GaugeVec
}

func newChannelMetrics(to *prometheus.Registry) channelMetrics {
	of := []string{"set", "channel"}
	m := channelMetrics{
		packages: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_channel_packages", Help: "Packages in a channel as it was written last."}, of),
		leftOut:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_channel_left_out", Help: "Packages that stand and could not be put into the channel when it was written last."}, of),
		at:       prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "poundlock_channel_written_timestamp_seconds", Help: "When a channel was written last."}, of),
	}
	to.MustRegister(m.packages, m.leftOut, m.at)
	return m
}

func (m channelMetrics) written(n epr.Name, packages, leftOut int, at time.Time) {
	m.packages.WithLabelValues(n.Set, n.Channel).Set(float64(packages))
	m.leftOut.WithLabelValues(n.Set, n.Channel).Set(float64(leftOut))
	m.at.WithLabelValues(n.Set, n.Channel).Set(float64(at.Unix()))
}

func (m channelMetrics) stands(n epr.Name, packages int) {
	m.packages.WithLabelValues(n.Set, n.Channel).Set(float64(packages))
	m.leftOut.WithLabelValues(n.Set, n.Channel).Set(0)
}

// drop forgets a channel that is no more.
func (m channelMetrics) drop(n epr.Name) {
	for _, g := range []*prometheus.GaugeVec{m.packages, m.leftOut, m.at} {
		g.DeleteLabelValues(n.Set, n.Channel)
	}
}
