package testenv

import (
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Growth gives how many bytes the heap in use and the resident memory of this process grew by at most while f ran,
// looked at every millisecond. Where the system does not tell what is resident that is 0.
func Growth(f func()) (heap, resident int64) {
	debug.FreeOSMemory()
	heapBefore, residentBefore := heapInUse(), residentMemory()
	done, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			heap, resident = max(heap, heapInUse()-heapBefore), max(resident, residentMemory()-residentBefore)
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	f()
	close(stop)
	<-done
	return heap, resident
}

// heapInUse is HeapInuse of runtime.MemStats, without stopping the world for it.
func heapInUse() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64() + sample[1].Value.Uint64())
}

// residentMemory reads /proc/self/statm (proc(5)): the second number is that of resident pages.
func residentMemory() (bytes int64) {
	body, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var all, pages int64
	if _, err := fmt.Sscan(string(body), &all, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
