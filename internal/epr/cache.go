package epr

import (
	lru "container/list"
	"sync"
)

// cache keeps what was used last, up to a sum of weights.
type cache[K comparable, V any] struct {
	mu    sync.Mutex
	room  int
	used  int
	order *lru.List // of *kept[K, V], the latest first
	byKey map[K]*lru.Element
}

type kept[K comparable, V any] struct {
	key    K
	value  V
	weight int
}

func newCache[K comparable, V any](room int) *cache[K, V] {
	return &cache[K, V]{room: room, order: lru.New(), byKey: map[K]*lru.Element{}}
}

func (c *cache[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*kept[K, V]).value, true
}

// add keeps a value, unless it alone is more than there is room for.
func (c *cache[K, V]) add(key K, value V, weight int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, has := c.byKey[key]; has || weight > c.room {
		return
	}
	c.byKey[key] = c.order.PushFront(&kept[K, V]{key, value, weight})
	for c.used += weight; c.used > c.room; {
		last := c.order.Remove(c.order.Back()).(*kept[K, V])
		delete(c.byKey, last.key)
		c.used -= last.weight
	}
}
