package audience

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/streampair/streampair/hack/e2e/measure"
	"github.com/streampair/streampair/hack/hlscheck/rules"
)

// HLSConfig says what an HLSViewer plays.
type HLSConfig struct {
	// Find returns the base URLs of the pods that may be asked, without a slash at the
	// end. It is called again and again. If it returns none, the pods stay as they were.
	Find func(ctx context.Context) []string
	// Path is the path of the playlist, with the query that names the backup.
	Path string
	// Logf logs discontinuities and mistakes. Default: nothing is logged.
	Logf func(format string, args ...any)
}

// An HLSViewer reads the playlist of a pair as a player of low latency does. It uses blocking
// reloads, and reads each new part and each new segment. Requests go to the pods in turn.
// An HLSViewer notes what breaks the rules of the draft, and each request that failed.
type HLSViewer struct {
	cfg     HLSConfig
	pods    *eitherPod
	stop    context.CancelFunc
	running sync.WaitGroup

	// Owned by run's goroutine:
	checker rules.Checker
	reads   int
	at      position
	sums    map[string][sha256.Size]byte // by name

	mu       sync.Mutex // guards all below
	growths  measure.Pictures
	stays    []Stay
	mistakes []string
}

// A position is how far an HLSViewer has read.
type position struct {
	number uint64 // the media sequence number of the segment
	parts  int    // of the segment
	media  []byte // of these parts
}

// A Stay is what was read between two discontinuities. All of it is from one leg.
type Stay struct {
	// Discontinuity is the discontinuity sequence number.
	Discontinuity uint64
	// Parts are all parts that were read, in order.
	Parts []HLSPart
	// Media is a playable file: the initialization section and the first parts.
	Media []byte
}

// An HLSPart is a part that was read.
type HLSPart struct {
	// Read is when its last byte arrived.
	Read time.Time
	// End is its end, as a time of day, by EXT-X-PROGRAM-DATE-TIME.
	End time.Time
}

const (
	// keptParts is how many parts of a Stay are kept.
	keptParts = 4
	// mostMistakes bounds the mistakes that are noted. One mistake may cause hundreds.
	mostMistakes = 20
)

// WatchHLS starts an HLSViewer. Close must be called.
func WatchHLS(cfg HLSConfig) *HLSViewer {
	if cfg.Logf == nil {
		cfg.Logf = func(string, ...any) {}
	}
	ctx, stop := context.WithCancel(context.Background())
	v := &HLSViewer{cfg: cfg, pods: newEitherPod(cfg.Find), stop: stop, sums: map[string][sha256.Size]byte{}}
	v.pods.look(ctx)
	v.running.Go(func() { v.pods.run(ctx) })
	v.running.Go(func() { v.run(ctx) })
	return v
}

// Close ends the HLSViewer.
func (v *HLSViewer) Close() {
	v.stop()
	v.running.Wait()
	v.pods.close()
}

// Growths returns when each playlist arrived that was longer than the playlist before.
func (v *HLSViewer) Growths() measure.Pictures {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.growths)
}

// Stays returns what was read so far, in order.
func (v *HLSViewer) Stays() []Stay {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.stays)
}

// Mistakes returns what was wrong so far, in the order in which
// it was noticed. Only the first mistakes are returned.
func (v *HLSViewer) Mistakes() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.mistakes)
}

// Answers returns how many answers came, by base URL and status.
func (v *HLSViewer) Answers() map[string]int {
	v.pods.mu.Lock()
	defer v.pods.mu.Unlock()
	return maps.Clone(v.pods.answers)
}

func (v *HLSViewer) mistake(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.mistakes) < mostMistakes {
		text := time.Now().Format(clock) + " " + fmt.Sprintf(format, args...)
		v.cfg.Logf("%s", text)
		v.mistakes = append(v.mistakes, text)
	}
}

func (v *HLSViewer) run(ctx context.Context) {
	for ctx.Err() == nil {
		if v.reload(ctx) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryDelay):
		}
	}
}

// reload reads the playlist once, and what is new in it. It reports whether there was a playlist.
func (v *HLSViewer) reload(ctx context.Context) bool {
	request, before := v.cfg.Path, v.checker.Last()
	asksDelta := false
	if before != nil {
		request += fmt.Sprintf("&_HLS_msn=%d&_HLS_part=%d", before.Next(), len(before.Open.Parts))
		// Every second answer is a whole playlist, which delta updates are compared with.
		if v.reads++; v.reads%2 == 0 {
			request, asksDelta = request+"&_HLS_skip=YES", true
		}
	}
	body, ok := v.get(ctx, request)
	if !ok {
		return false
	}
	at := time.Now()
	breaches := slices.DeleteFunc(v.checker.Next(rules.Fetch{Text: string(body), At: at, SkipAsked: asksDelta}),
		func(b rules.Breach) bool { return b.Advice })
	if len(breaches) > 0 {
		v.mistake("%v\n%s", breaches, body)
	}
	now := v.checker.Last()
	if now == nil || now == before {
		return false // the rules say why
	}
	if before == nil {
		// A player of low latency begins close to the end.
		v.at.number = max(now.MediaSequence, now.Next()-1)
	}
	if before == nil || now.Next() > before.Next() || len(now.Open.Parts) > len(before.Open.Parts) {
		v.mu.Lock()
		v.growths = append(v.growths, at)
		v.mu.Unlock()
	}
	v.read(ctx, now)
	return true
}

// get requests a path. A failure is a mistake.
func (v *HLSViewer) get(ctx context.Context, path string) (body []byte, ok bool) {
	body, err := v.pods.get(ctx, path)
	if err != nil && !errors.Is(err, context.Canceled) {
		v.mistake("%v", err)
	}
	return body, err == nil
}

// fetch reads a name of the playlist. A name must always have the same content.
func (v *HLSViewer) fetch(ctx context.Context, name string) []byte {
	body, ok := v.get(ctx, path.Dir(v.cfg.Path)+"/"+name)
	if !ok {
		return nil
	}
	sum := sha256.Sum256(body)
	if known, ok := v.sums[name]; ok && known != sum {
		v.mistake("%s has two contents", name)
	}
	v.sums[name] = sum
	return body
}

// read reads the parts and segments that are new.
func (v *HLSViewer) read(ctx context.Context, m *rules.Media) {
	for i := range m.Segments {
		s := &m.Segments[i]
		if s.Number < v.at.number {
			continue
		}
		if s.Number > v.at.number {
			v.mistake("segments %d to %d left the playlist before they were read", v.at.number, s.Number-1)
			v.at = position{number: s.Number}
		}
		v.readParts(ctx, s)
		whole := v.fetch(ctx, s.URI)
		switch {
		case ctx.Err() != nil:
			return
		case len(s.Parts) == 0:
			v.note(ctx, s, s.Date.Add(s.Duration), whole)
		case !bytes.Equal(whole, v.at.media):
			v.mistake("segment %d is not the sum of its parts", s.Number)
		}
		v.at = position{number: s.Number + 1}
	}
	v.readParts(ctx, &m.Open)
}

func (v *HLSViewer) readParts(ctx context.Context, s *rules.Segment) {
	end := s.Date
	for i, p := range s.Parts {
		end = end.Add(p.Duration)
		if i < v.at.parts {
			continue
		}
		media := v.fetch(ctx, p.URI)
		if ctx.Err() != nil {
			return
		}
		v.note(ctx, s, end, media)
		v.at.parts, v.at.media = i+1, append(v.at.media, media...)
	}
}

// note adds a part that was just read.
func (v *HLSViewer) note(ctx context.Context, s *rules.Segment, end time.Time, media []byte) {
	read := time.Now()
	n := len(v.stays)
	if n == 0 || v.stays[n-1].Discontinuity != s.Discontinuity {
		v.cfg.Logf("%s discontinuity %d begins with %s", read.Format(clock), s.Discontinuity, s.Map.URI)
		section := v.fetch(ctx, s.Map.URI)
		v.mu.Lock()
		v.stays = append(v.stays, Stay{Discontinuity: s.Discontinuity, Media: section})
		v.mu.Unlock()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	stay := &v.stays[len(v.stays)-1]
	stay.Parts = append(stay.Parts, HLSPart{Read: read, End: end})
	if len(stay.Parts) <= keptParts {
		stay.Media = append(slices.Clip(stay.Media), media...)
	}
}
