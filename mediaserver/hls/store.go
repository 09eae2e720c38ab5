package hls

import (
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streampair/streampair/mediaserver/budget"
	"github.com/streampair/streampair/mediaserver/hls/cut"
	"github.com/streampair/streampair/mediaserver/hls/list"
)

// leastSegments is how many segments stay when memory is short.
const leastSegments = 2

// A store has the bytes of one programme, by name. The programme's mu guards it.
type store struct {
	account *budget.Account
	pieces  map[cut.Name][][]byte
	// maps has the initialization sections, with the number of segments that need each.
	maps  map[cut.Name]int
	gone  []goneSegment // oldest first
	bytes int
	gauge prometheus.Gauge // of the bytes of all stores
}

// A goneSegment has left the playlist. Players that have an old playlist still get it.
type goneSegment struct {
	*list.Segment
	until time.Time
}

// overhead is about how many bytes a piece takes beside its content.
const overhead = 256

func newStore(account *budget.Account, gauge prometheus.Gauge) *store {
	return &store{account: account, gauge: gauge, pieces: make(map[cut.Name][][]byte), maps: make(map[cut.Name]int)}
}

// add keeps a part. first reports whether it is the first of its segment.
func (s *store) add(p cut.Part, first bool) {
	s.pieces[p.Name] = [][]byte{p.Data}
	s.grow(len(p.Data) + overhead)
	if first {
		if s.maps[p.Run.Map] == 0 {
			s.pieces[p.Run.Map] = [][]byte{p.Run.Init}
			s.grow(len(p.Run.Init) + overhead)
		}
		s.maps[p.Run.Map]++
	}
}

func (s *store) grow(bytes int) {
	s.bytes += bytes
	s.gauge.Add(float64(bytes))
	s.account.Set(s.bytes)
}

// complete makes a segment that has all its parts available by its own name.
func (s *store) complete(segment *list.Segment) {
	whole := make([][]byte, len(segment.Parts))
	for i, p := range segment.Parts {
		whole[i] = p.Data
	}
	s.pieces[segment.Name] = whole
}

// retire keeps segments that have left the playlist until a time.
func (s *store) retire(segments []*list.Segment, until time.Time) {
	for _, one := range segments {
		s.gone = append(s.gone, goneSegment{one, until})
	}
}

// expire forgets the segments that no player needs any more. If memory is short it forgets all that
// have left the playlist.
func (s *store) expire(now time.Time) {
	for len(s.gone) > 0 && (now.After(s.gone[0].until) || s.account.Short()) {
		s.forget(s.gone[0].Segment)
		s.gone = s.gone[1:]
	}
}

func (s *store) forget(segment *list.Segment) {
	for _, p := range segment.Parts {
		delete(s.pieces, p.Name)
		s.grow(-len(p.Data) - overhead)
	}
	delete(s.pieces, segment.Name)
	section := segment.Run.Map
	if s.maps[section]--; s.maps[section] == 0 {
		delete(s.maps, section)
		delete(s.pieces, section)
		s.grow(-len(segment.Run.Init) - overhead)
	}
}

func (s *store) close() {
	s.grow(-s.bytes)
	s.pieces, s.maps, s.gone = nil, nil, nil
	s.account.Close()
}

// A content is bytes in several slices, for http.ServeContent.
type content struct {
	slices [][]byte
	size   int64
	offset int64
}

func newContent(slices [][]byte) *content {
	c := &content{slices: slices}
	for _, s := range slices {
		c.size += int64(len(s))
	}
	return c
}

func (c *content) Read(b []byte) (n int, err error) {
	at := c.offset
	for _, s := range c.slices {
		if at >= int64(len(s)) {
			at -= int64(len(s))
			continue
		}
		copied := copy(b[n:], s[at:])
		n, at = n+copied, 0
		c.offset += int64(copied)
		if n == len(b) {
			return n, nil
		}
	}
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Seek is for http.ServeContent, which only seeks within the content.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.offset
	case io.SeekEnd:
		offset += c.size
	}
	c.offset = max(offset, 0)
	return c.offset, nil
}

// A wholeWriter sends a content without copying it into a buffer first. Only ReadFrom differs from the
// ResponseWriter.
type wholeWriter struct{ http.ResponseWriter }

// ReadFrom is for http.ServeContent, which copies a number of bytes of the content.
func (w wholeWriter) ReadFrom(r io.Reader) (sent int64, err error) {
	limited, _ := r.(*io.LimitedReader)
	if limited == nil {
		return io.Copy(w.ResponseWriter, r)
	}
	c, _ := limited.R.(*content)
	if c == nil {
		return io.Copy(w.ResponseWriter, r)
	}
	at := c.offset
	for _, slice := range c.slices {
		if at >= int64(len(slice)) {
			at -= int64(len(slice))
			continue
		}
		n, err := w.Write(slice[at:min(int64(len(slice)), at+limited.N-sent)])
		sent, at = sent+int64(n), 0
		if err != nil || sent == limited.N {
			return sent, err
		}
	}
	return sent, nil
}
