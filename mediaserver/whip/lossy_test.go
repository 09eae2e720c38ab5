package whip

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
)

// lossy is the network between an encoder and the server. It loses, repeats and
// reorders RTP packets.
type lossy struct {
	interceptor.NoOp
	mu      sync.Mutex
	random  *rand.Rand
	lose    float64
	reorder float64
	held    func()
	lost    int
	sent    int
}

func (l *lossy) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }

func (l *lossy) BindLocalStream(_ *interceptor.StreamInfo, next interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.sent++
		switch x := l.random.Float64(); {
		case x < l.lose:
			l.lost++
			return len(payload), nil
		case x < l.lose+l.reorder && l.held == nil:
			header, body := *h, slices.Clone(payload)
			l.held = func() { _, _ = next.Write(&header, body, a) }
			return len(payload), nil
		}
		n, err := next.Write(h, payload, a)
		if l.held != nil {
			l.held()
			l.held = nil
		}
		return n, err
	})
}
