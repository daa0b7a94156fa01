package translog

import "time"

// Stats are a Log's numbers, over all its tenants.
type Stats struct {
	Unsigned uint64        // entries that are applied and that no checkpoint covers
	Oldest   time.Duration // how long the first of them has waited; 0: there is none
	Stopped  int           // logs that stopped for good
}

// Stats returns the numbers as they are now, from memory.
func (l *Log) Stats() Stats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var s Stats
	for _, t := range l.trees {
		t.mu.Lock()
		if n := len(t.pending); n > 0 {
			s.Unsigned += uint64(n)
			s.Oldest = max(s.Oldest, time.Since(t.since))
		}
		if t.failed != nil {
			s.Stopped++
		}
		t.mu.Unlock()
	}
	return s
}
