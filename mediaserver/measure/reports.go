package measure

import (
	"sync"
	"time"

	"github.com/streampair/streampair/mediaserver/measure/sound"
	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

// localFor is how long a stream counts as measured here after the last report of a Watcher.
const localFor = 3 * time.Second

// queued is how many reports wait for whoever follows a stream: some 15 s.
const queued = 64

// Reports passes on what is measured of each stream, here and at peers. It is safe for concurrent use.
type Reports struct {
	closed chan struct{} // ends all answers to peers
	close  func()

	mu      recovery.Mutex // guards all below
	streams map[stream.Key]*reported
}

// reported is what is known of one stream.
type reported struct {
	local     time.Time            // when a Watcher last reported
	followers map[chan Report]bool // whether it follows the reports of peers too
	thumbnail Thumbnail
	latest    Latest
}

// Latest is what was measured last of a stream, here or at a peer.
type Latest struct {
	// Time is when the last report came; zero: none has.
	Time time.Time
	// Publication is that of the last report.
	Publication int64
	// Sound, Picture and Rates are the last ones of the publication; nil: none has come. SoundTime
	// and PictureTime are when they came.
	Sound                  *SoundBlock
	Picture                *PictureSample
	Rates                  *Rates
	SoundTime, PictureTime time.Time
	// Clipped is for how long the sound of the publication had samples at full scale.
	Clipped   time.Duration
	Unwatched Unwatched
	Undecoded bool
	// Local reports whether the stream is measured here.
	Local bool
}

// after returns what is known after a report.
func (l Latest) after(r Report, isLocal bool, now time.Time) Latest {
	if l.Publication != r.Publication {
		l = Latest{Publication: r.Publication}
	}
	l.Time, l.Unwatched, l.Undecoded, l.Local = now, r.Unwatched, r.Undecoded, isLocal
	for _, b := range r.Sound {
		if b.Clipped > 0 {
			l.Clipped += sound.BlockLength
		}
	}
	if n := len(r.Sound); n > 0 {
		l.Sound, l.SoundTime = &r.Sound[n-1], now
	}
	if r.Picture != nil {
		l.Picture, l.PictureTime = r.Picture, now
	}
	if r.Rates != nil {
		l.Rates = r.Rates
	}
	return l
}

// A Thumbnail is a JPEG file of a key frame.
type Thumbnail struct {
	// Time is when the key frame was measured; zero: there is none.
	Time time.Time
	JPEG []byte
}

// NewReports returns Reports without a report.
func NewReports() *Reports {
	r := &Reports{closed: make(chan struct{}), streams: make(map[stream.Key]*reported)}
	r.close = sync.OnceFunc(func() { close(r.closed) })
	return r
}

// Close ends all answers to peers.
func (r *Reports) Close() { r.close() }

// of returns what is known of a stream. r.mu must be held.
func (r *Reports) of(key stream.Key) *reported {
	one := r.streams[key]
	if one == nil {
		one = &reported{followers: make(map[chan Report]bool)}
		r.streams[key] = one
	}
	return one
}

// forgetIdle forgets a stream that nobody follows. r.mu must be held.
func (r *Reports) forgetIdle(key stream.Key) {
	if one := r.streams[key]; one != nil && len(one.followers) == 0 {
		delete(r.streams, key)
	}
}

// Measured takes a report of a Watcher.
func (r *Reports) Measured(key stream.Key, report Report, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.of(key)
	one.local = now
	one.tell(report, true, now)
	r.forgetIdle(key)
}

// Told takes a report of a peer. It does not count while a Watcher measures the stream: the stream is
// published here.
func (r *Reports) Told(key stream.Key, report Report, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.of(key); now.Sub(one.local) >= localFor {
		one.tell(report, false, now)
	}
	r.forgetIdle(key)
}

// tell passes a report on. A follower that does not keep up loses reports.
func (o *reported) tell(report Report, isLocal bool, now time.Time) {
	o.latest = o.latest.after(report, isLocal, now)
	for follower, followsPeers := range o.followers {
		if !isLocal && !followsPeers {
			continue
		}
		select {
		case follower <- report:
		default:
		}
	}
}

// Follow returns the reports of a stream from now on, with or without those of peers. stop must be
// called. The reports must not be changed.
func (r *Reports) Follow(key stream.Key, peersToo bool) (reports <-chan Report, stop func()) {
	c := make(chan Report, queued)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of(key).followers[c] = peersToo
	return c, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if one := r.streams[key]; one != nil {
			delete(one.followers, c)
		}
		r.forgetIdle(key)
	}
}

// SetThumbnail keeps the newest thumbnail of a stream that somebody follows.
func (r *Reports) SetThumbnail(key stream.Key, t Thumbnail) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.streams[key]; one != nil {
		one.thumbnail = t
	}
}

// Thumbnail returns the newest thumbnail of a stream that is measured here.
func (r *Reports) Thumbnail(key stream.Key) Thumbnail {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.streams[key]; one != nil {
		return one.thumbnail
	}
	return Thumbnail{}
}

// Latest returns what was measured last of a stream.
func (r *Reports) Latest(key stream.Key) Latest {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.streams[key]; one != nil {
		return one.latest
	}
	return Latest{}
}
