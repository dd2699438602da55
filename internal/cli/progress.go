package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/poundlock/poundlock/daemon"
	"github.com/poundlock/poundlock/internal/mirror"
	"github.com/poundlock/poundlock/sync/plan"
)

const (
	heartbeat  = 10 * time.Second       // between two lines off a terminal
	frame      = 150 * time.Millisecond // between two drawings on a terminal
	rowsAtOnce = 8                      // images, or layers of them, that are drawn
)

// beat writes a line on how far the copies are every now and then, for whoever reads a log, until stop. It says
// nothing while there is nothing to copy.
func beat(copying func() daemon.Copying, say func(line string, now daemon.Copying)) (stop func()) {
	var last int64
	return every(heartbeat, func() {
		now := copying()
		crossed := now.Bytes - now.Here
		if now.Images > now.Done+now.Failed {
			say(distance(now, max(0, crossed-last)), now)
		}
		last = crossed
	})
}

// beatLooking says which sets are being looked at, at each heartbeat while some are, until stop.
func beatLooking(looking func() []string, say func(sets []string)) (stop func()) {
	return every(heartbeat, func() {
		if sets := looking(); len(sets) > 0 {
			say(sets)
		}
	})
}

// watch shows how far the copies of a line are, until stop: drawn on a terminal, a line now and then elsewhere.
func (a *app) watch(line *daemon.Line, layers bool) (stop func()) {
	if !a.draws() {
		looking := beatLooking(line.Looking, func(sets []string) { fmt.Fprintln(a.talk, "looking at "+clean(strings.Join(sets, ", "))) })
		copying := beat(line.Copying, func(text string, _ daemon.Copying) { fmt.Fprintln(a.talk, text) })
		return func() { looking(); copying() }
	}
	drawn, end := draw(a.talk.to, line.Copying, layers)
	a.talk.draws(drawn)
	return func() {
		a.talk.draws(nil)
		end()
	}
}

// draws says whether progress is drawn: on a terminal that can move its cursor.
func (a *app) draws() bool { return a.terminalOf(a.talk).moves }

// distance is how far the copies are in words. crossed are the bytes that came in during the last heartbeat.
func distance(now daemon.Copying, crossed int64) string {
	rate := crossed / int64(heartbeat/time.Second)
	text := fmt.Sprintf("copying: %d of %d images, %s of %s, %s/s", now.Done, now.Images, plan.Bytes(now.Bytes), plan.Bytes(now.Total), plan.Bytes(rate))
	if rate > 0 && now.Total > now.Bytes {
		text += fmt.Sprintf(", about %s left", (time.Duration((now.Total-now.Bytes)/rate) * time.Second).String())
	}
	if now.Failed > 0 {
		text += fmt.Sprintf(", %d failed", now.Failed)
	}
	return text
}

// every does something at an interval until stop, which waits for the last time to end.
func every(interval time.Duration, do func()) (stop func()) {
	ended, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				do()
			case <-ended:
				return
			}
		}
	}()
	return func() { close(ended); <-gone }
}

// drawing is the progress on a terminal: one line for all, and one for each image on its way. What is written
// to it appears above these lines.
type drawing struct {
	bars    *mpb.Progress
	total   *mpb.Bar
	copying func() daemon.Copying
	layers  bool // draw the layers too

	mu   sync.Mutex // guards rows; never held by what the library calls back
	rows map[string]*mpb.Bar
	seen atomic.Pointer[scene]
}

// scene is what is drawn.
type scene struct {
	now  daemon.Copying
	text map[string]string // of each row
}

// draw begins to draw on a terminal.
func draw(terminal io.Writer, copying func() daemon.Copying, layers bool) (d *drawing, stop func()) {
	d = &drawing{copying: copying, layers: layers, rows: map[string]*mpb.Bar{},
		bars: mpb.New(mpb.WithOutput(terminal), mpb.WithAutoRefresh(), mpb.WithRefreshRate(frame))}
	halt := every(frame, d.refresh)
	return d, func() {
		halt()
		d.refresh()
		d.mu.Lock()
		for _, row := range d.rows {
			row.Abort(true)
		}
		if d.total != nil {
			d.total.Abort(true)
		}
		d.mu.Unlock()
		d.bars.Shutdown()
	}
}

// Write puts text above the lines that are drawn.
func (d *drawing) Write(b []byte) (int, error) { return d.bars.Write(b) }

// refresh looks how far the copies are. The line for all appears with the first image.
func (d *drawing) refresh() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.copying()
	text, order := d.list(now)
	d.seen.Store(&scene{now, text})
	if d.total == nil {
		if now.Images == 0 {
			return
		}
		d.total = d.bars.AddBar(0, mpb.BarPriority(0), mpb.BarWidth(24),
			mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return d.counted() })),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f of % .1f"), decor.Name("  "),
				decor.EwmaSpeed(decor.SizeB1024(0), "% .1f", 30), decor.Name("  "), decor.EwmaETA(decor.ET_STYLE_GO, 30)))
	}
	d.total.SetTotal(now.Total, false)
	d.total.EwmaSetCurrent(now.Bytes, frame)
	d.arrange(order)
}

func (d *drawing) counted() string {
	now := d.seen.Load().now
	text := fmt.Sprintf("[%d/%d] ", now.Done, now.Images)
	if now.Failed > 0 {
		text += fmt.Sprintf("%d failed ", now.Failed)
	}
	return text
}

// list gives every image on its way a row, as far as there is room.
func (d *drawing) list(now daemon.Copying) (text map[string]string, order []string) {
	text = map[string]string{}
	add := func(key, line string) {
		if _, twice := text[key]; !twice && len(order) < rowsAtOnce {
			order = append(order, key)
			text[key] = line
		}
	}
	for _, image := range now.Active {
		name := image.Image.WithDigest(mirror.Digest{}).String()
		add(name, fmt.Sprintf("  %s  %s of %s", name, plan.Bytes(image.Bytes), plan.Bytes(image.Total)))
		for _, l := range image.Layers {
			if d.layers && l.State == daemon.BlobCopies {
				add(name+l.Digest.Hex, fmt.Sprintf("    %s  %s of %s", mirror.Short(l.Digest), plan.Bytes(l.Bytes), plan.Bytes(l.Total)))
			}
		}
	}
	return text, order
}

// arrange makes the rows that are new and takes away those that are over.
func (d *drawing) arrange(order []string) {
	for key, row := range d.rows {
		if !slices.Contains(order, key) {
			row.Abort(true)
			delete(d.rows, key)
		}
	}
	for i, key := range order {
		if d.rows[key] != nil {
			d.rows[key].SetPriority(i + 1)
			continue
		}
		d.rows[key] = d.bars.New(0, mpb.NopStyle(), mpb.BarPriority(i+1), mpb.BarFillerTrim(),
			mpb.PrependDecorators(decor.Any(func(s decor.Statistics) string { return d.row(key, s.AvailableWidth) })))
	}
}

func (d *drawing) row(key string, width int) string {
	return ansi.Truncate(d.seen.Load().text[key], width, "")
}
