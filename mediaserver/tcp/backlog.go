package tcp

import "time"

const (
	// maxMarks and markSpacing make a Backlog exact for 8 s. Older bytes count as if
	// they were that old.
	maxMarks    = 32
	markSpacing = 250 * time.Millisecond
)

// A Backlog remembers when the bytes of a connection were due. From this it knows how
// long the oldest unsent byte has waited. It is for one goroutine. Several Backlogs
// may share a Conn, as the streams of HTTP/2 do.
type Backlog struct {
	conn  *Conn
	marks marks
}

// NewBacklog returns the empty Backlog of a connection. It stays empty if c is nil.
func NewBacklog(c *Conn) *Backlog { return &Backlog{conn: c} }

// Mark records that the bytes written since the last Mark were due at a time. Times
// must not decrease.
func (b *Backlog) Mark(due time.Duration) {
	if b.conn != nil {
		b.marks.add(mark{b.conn.written.Load(), due})
	}
}

// Due returns when the oldest unsent byte was due. If all bytes were sent, it returns
// next, the time at which the next byte to write was due.
func (b *Backlog) Due(next time.Duration) time.Duration {
	if b.conn == nil || len(b.marks) == 0 {
		return next
	}
	sent, _ := b.conn.Sent()
	if due, waiting := b.marks.oldest(sent); waiting {
		return min(due, next)
	}
	return next
}

// A mark is the time at which the connection's bytes up to end were due.
type mark struct {
	end int64
	due time.Duration
}

// marks are in the order in which they were added. There are at most maxMarks.
type marks []mark

// add appends m. Marks that are close together become one, with the later time. So the
// age of a byte is never overstated.
func (s *marks) add(m mark) {
	list := *s
	if n := len(list); n > 0 && m.end == list[n-1].end {
		return // nothing was written
	}
	if n := len(list); n > 1 && m.due-list[n-2].due < markSpacing {
		list[n-1] = m
		return
	}
	if len(list) == maxMarks {
		list = append(list[:0], list[1:]...)
	}
	*s = append(list, m)
}

// oldest returns when the first byte after the sent ones was due. waiting reports
// whether there is such a byte.
func (s *marks) oldest(sent int64) (due time.Duration, waiting bool) {
	for i, m := range *s {
		if m.end > sent {
			*s = append((*s)[:0], (*s)[i:]...)
			return m.due, true
		}
	}
	*s = (*s)[:0]
	return 0, false
}
