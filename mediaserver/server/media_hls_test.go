package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/hack/hlscheck/rules"
	"github.com/streampair/streampair/mediaserver/failover"
	"github.com/streampair/streampair/mediaserver/hls"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// An hlsReader reads the playlist of a pair as a player of low latency does, and checks the rules
// that hold from one playlist to the next. It keeps all media.
type hlsReader struct {
	t   *testing.T
	url string // of the playlist
	// mayWait reports whether the server may answer that nothing has come.
	mayWait bool
	// mayShorten reports whether another playlist may take the place of this one: most segments are lost
	// at once, and what was announced does not come.
	mayShorten atomic.Bool

	mu       sync.Mutex // guards all below
	contents map[string][sha256.Size]byte
	segments []hlsSegment // that were complete, in order
	reads    int
	switched []time.Time // when each discontinuity was first read
	last     hlsPlaylist
	// grown is when the playlist last became longer, and slowest the longest time in which it did not.
	grown   time.Time
	slowest time.Duration

	rules rules.Checker // of the draft; for run only
}

type hlsSegment struct {
	sequence      int64
	discontinuity int64 // sequence number
	begins        bool  // whether EXT-X-DISCONTINUITY precedes it
	init, uri     string
	at            time.Time
	duration      time.Duration
	parts         []string
	section       []byte // the initialization section
	media         []byte
}

type hlsPlaylist struct {
	target   time.Duration
	segments []hlsSegment // the last may lack its uri
	hint     string
}

// parseHLS reads a playlist. segments that a delta update skips are taken from before.
func parseHLS(text string, before hlsPlaylist) (p hlsPlaylist, err error) {
	var sequence, discontinuity int64
	var next hlsSegment
	init := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, ":")
		number, _ := strconv.ParseInt(value, 10, 64)
		attribute := func(name string) string {
			_, rest, _ := strings.Cut(value, name+`="`)
			found, _, _ := strings.Cut(rest, `"`)
			return found
		}
		switch name {
		case "#EXT-X-TARGETDURATION":
			p.target = time.Duration(number) * time.Second
		case "#EXT-X-MEDIA-SEQUENCE":
			sequence = number
		case "#EXT-X-DISCONTINUITY-SEQUENCE":
			discontinuity = number
		case "#EXT-X-SKIP":
			_, count, _ := strings.Cut(value, "=")
			skipped, _ := strconv.Atoi(count)
			for _, s := range before.segments {
				if s.sequence >= sequence && skipped > 0 {
					p.segments = append(p.segments, s)
					sequence, discontinuity, skipped, init = s.sequence+1, s.discontinuity, skipped-1, s.init
				}
			}
			if skipped > 0 {
				return p, fmt.Errorf("%d skipped segments are unknown", skipped)
			}
		case "#EXT-X-DISCONTINUITY":
			discontinuity++
			next.begins = true
		case "#EXT-X-MAP":
			init = attribute("URI")
		case "#EXT-X-PROGRAM-DATE-TIME":
			if next.at, err = time.Parse(time.RFC3339Nano, value); err != nil {
				return p, err
			}
		case "#EXT-X-PART":
			next.parts = append(next.parts, attribute("URI"))
		case "#EXTINF":
			seconds, _ := strconv.ParseFloat(strings.TrimSuffix(value, ","), 64)
			next.duration = time.Duration(seconds * float64(time.Second))
		case "#EXT-X-PRELOAD-HINT":
			p.hint = attribute("URI")
		default:
			if strings.HasPrefix(line, "#") || line == "" {
				continue
			}
			next.uri, next.sequence, next.discontinuity, next.init = line, sequence, discontinuity, init
			p.segments = append(p.segments, next)
			sequence++
			next = hlsSegment{}
		}
	}
	if len(next.parts) > 0 {
		next.sequence, next.discontinuity, next.init = sequence, discontinuity, init
		p.segments = append(p.segments, next)
	}
	return p, nil
}

func (r *hlsReader) get(ctx context.Context, url string) (body []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return body, res.StatusCode, err
}

// run reads until ctx ends.
func (r *hlsReader) run(ctx context.Context) {
	directives := ""
	for ctx.Err() == nil {
		body, status, err := r.get(ctx, r.url+directives)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && status == http.StatusServiceUnavailable && r.mayWait:
			continue
		case err != nil || status != http.StatusOK:
			r.t.Errorf("playlist: status %d, %v: %s", status, err, body)
			return
		}
		asked := strings.Contains(directives, "_HLS_skip")
		for _, breach := range r.rules.Next(rules.Fetch{Text: string(body), At: time.Now(), SkipAsked: asked}) {
			if excused := r.mayShorten.Load() && (breach.Rule == "window-short" || breach.Rule == "hint-kept"); !breach.Advice && !excused {
				r.t.Errorf("%v:\n%s", breach, body)
			}
		}
		p, err := parseHLS(string(body), r.last)
		if err != nil {
			r.t.Errorf("%v:\n%s", err, body)
			return
		}
		r.check(ctx, p)
		newest := p.segments[len(p.segments)-1]
		if newest.uri == "" {
			directives = fmt.Sprintf("&_HLS_msn=%d&_HLS_part=%d", newest.sequence, len(newest.parts))
		} else {
			directives = fmt.Sprintf("&_HLS_msn=%d&_HLS_part=0", newest.sequence+1)
		}
		if r.reads%2 == 0 {
			directives += "&_HLS_skip=YES"
		}
	}
}

// check compares a playlist with the playlist before, and fetches what is new.
func (r *hlsReader) check(ctx context.Context, p hlsPlaylist) {
	r.mu.Lock()
	before := r.last
	r.mu.Unlock()
	if before.target != 0 && p.target != before.target {
		r.t.Errorf("the target duration was %v and is %v", before.target, p.target)
	}
	known := make(map[int64]hlsSegment)
	for _, s := range before.segments {
		known[s.sequence] = s
	}
	for i, s := range p.segments {
		if was, ok := known[s.sequence]; ok && (was.discontinuity != s.discontinuity || !was.at.Equal(s.at) || was.init != s.init || was.uri != "" && was.uri != s.uri) {
			r.t.Errorf("segment %d was %+v and is %+v", s.sequence, was, s)
		}
		if i == 0 {
			continue
		}
		if _, ok := known[s.sequence]; !ok && s.begins {
			r.mu.Lock()
			r.switched = append(r.switched, time.Now())
			r.mu.Unlock()
		}
		previous := p.segments[i-1]
		if s.discontinuity < previous.discontinuity || !s.at.After(previous.at) {
			r.t.Errorf("%+v after %+v", s, previous)
		}
		if hole := s.at.Sub(previous.at.Add(previous.duration)); hole > p.target {
			r.t.Errorf("segment %d begins %v after its predecessor has ended", s.sequence, hole)
		}
		if s.duration.Round(time.Second) > p.target {
			r.t.Errorf("segment %d lasts %v", s.sequence, s.duration)
		}
	}
	r.noteGrowth(before, p)
	first, newest := p.segments[0], p.segments[len(p.segments)-1]
	if len(before.segments) > 0 && (first.sequence < before.segments[0].sequence || newest.sequence < before.segments[len(before.segments)-1].sequence) {
		r.t.Errorf("media sequence numbers go back from %d to %d", before.segments[0].sequence, first.sequence)
	}
	for i, s := range p.segments {
		var parts []byte
		for _, part := range s.parts {
			parts = append(parts, r.fetch(ctx, part)...)
		}
		if s.uri == "" || len(r.segments) > 0 && s.sequence <= r.segments[len(r.segments)-1].sequence {
			continue
		}
		whole := r.fetch(ctx, s.uri)
		if len(s.parts) > 0 && !bytes.Equal(parts, whole) && ctx.Err() == nil {
			r.t.Errorf("segment %d is not the sum of its parts", s.sequence)
		}
		p.segments[i].section, p.segments[i].media = r.fetch(ctx, s.init), whole
		r.mu.Lock()
		r.segments = append(r.segments, p.segments[i])
		r.mu.Unlock()
	}
	r.mu.Lock()
	r.last = p
	r.reads++
	r.mu.Unlock()
}

// noteGrowth notes for how long the playlist stood still.
func (r *hlsReader) noteGrowth(before, p hlsPlaylist) {
	if len(before.segments) > 0 {
		was, is := before.segments[len(before.segments)-1], p.segments[len(p.segments)-1]
		if was.sequence == is.sequence && len(was.parts) == len(is.parts) {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !r.grown.IsZero() {
		r.slowest = max(r.slowest, now.Sub(r.grown))
	}
	r.grown = now
}

// stoodStill returns the longest time in which the playlist did not become longer, since the last
// call.
func (r *hlsReader) stoodStill() (longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	longest, r.slowest = r.slowest, 0
	return longest
}

// fetch returns the content of a name, which must always be the same.
func (r *hlsReader) fetch(ctx context.Context, name string) []byte {
	body, status, err := r.get(ctx, r.url[:strings.LastIndex(r.url, "/")+1]+name)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil || status != http.StatusOK || len(body) == 0 {
		r.t.Errorf("%s: status %d, %d bytes, %v", name, status, len(body), err)
		return nil
	}
	sum := sha256.Sum256(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.contents[path.Base(name)]; ok && known != sum {
		r.t.Errorf("%s has two contents", name)
	}
	r.contents[path.Base(name)] = sum
	return body
}

// An hlsPlayer is ffmpeg, which plays a playlist and hands its pictures over.
type hlsPlayer struct {
	mu        sync.Mutex // guards sightings
	sightings []mediatest.Sighting
}

func playHLS(t *testing.T, url string) *hlsPlayer {
	const width, height = 640, 360
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, mediatest.RequireFFmpeg(t), "-hide_banner", "-loglevel", "warning", "-nostdin",
		"-i", url, "-map", "0:v", "-vf", fmt.Sprintf("scale=%d:%d", width, height), "-fps_mode", "passthrough", "-pix_fmt", "yuv420p",
		"-f", "rawvideo", "pipe:1")
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p, done := &hlsPlayer{}, make(chan struct{})
	go func() {
		defer close(done)
		in := bufio.NewReaderSize(out, 1<<20)
		picture := make([]byte, width*height*3/2)
		for {
			if _, err := io.ReadFull(in, picture); err != nil {
				return
			}
			if code, ok := (mediatest.Image{Width: width, Height: height, Y: picture[:width*height]}).TimeCode(); ok {
				p.mu.Lock()
				p.sightings = append(p.sightings, mediatest.Sighting{Seen: time.Now(), TimeCode: code})
				p.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = cmd.Wait()
		t.Logf("ffmpeg: %s", log.String())
	})
	return p
}

func (p *hlsPlayer) seen() []mediatest.Sighting {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]mediatest.Sighting(nil), p.sightings...)
}

// sees waits for pictures of a leg since a moment, and returns when the first came.
func (p *hlsPlayer) sees(t *testing.T, leg int, since time.Time) time.Time {
	t.Helper()
	var at time.Time
	eventually.True(t, fmt.Sprintf("pictures of leg %d in ffmpeg", leg), func() bool {
		n := 0
		for _, s := range p.seen() {
			if s.Leg == leg && s.Seen.After(since) {
				if n++; n == 1 {
					at = s.Seen
				}
			}
		}
		return n >= fps
	})
	return at
}

func TestAServerWithoutHLSSaysWhy(t *testing.T) {
	s := startServer(t, sticky, func(c *Config) { c.HLS.Off = true })
	res, err := http.Get(s.url("streams/primary.m3u8"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusNotFound || !strings.Contains(string(text), "--hls") {
		t.Errorf("status %d, %q, %v", res.StatusCode, text, err)
	}
}

func TestTheManifestSaysHowHLSIsServed(t *testing.T) {
	const hlsSpec = "  playback: {hls: {mode: %q, segmentSeconds: 1, partMilliseconds: 500, windowSeconds: 60}, allowedOrigins: [https://www.example.com]}\n"
	s := startServer(t, sticky)
	s.status() // the manifest of the start is in force now
	for _, key := range []failover.PairKey{{App: "live", Primary: "primary", Backup: "backup"}, {App: "live", Primary: "backup"}} {
		if got := s.hlsSettings(key); got != hls.DefaultSettings() {
			t.Errorf("by default %+v", got)
		}
		for name, mode := range map[string]hls.Mode{"OnDemand": hls.OnDemand, "Always": hls.Always, "Off": hls.Off} {
			if err := s.Configure([]byte(sticky + fmt.Sprintf(hlsSpec, name))); err != nil {
				t.Fatal(err)
			}
			want := hls.Settings{Mode: mode, Segment: time.Second, Part: 500 * ms, Window: time.Minute}
			if got := s.hlsSettings(key); got != want {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if err := s.Configure([]byte(sticky)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Configure([]byte(sticky + fmt.Sprintf(hlsSpec, "Off"))); err != nil {
		t.Fatal(err)
	}
	answer, text := s.do("GET", s.url("streams/primary.m3u8", "backupStreamId", "backup"), "", "Origin", "https://www.example.com")
	if answer.StatusCode != http.StatusNotFound || !strings.Contains(text, "HLS is off") || answer.Header.Get("Access-Control-Allow-Origin") != "https://www.example.com" {
		t.Errorf("%s: %s, %v", answer.Status, text, answer.Header)
	}
}

func TestHLSGoesOnThroughSwitches(t *testing.T) {
	t.Parallel()
	mediatest.RequireFFmpeg(t)
	s := startServer(t, sticky)
	var publish [2]func() publisher
	for leg, id := range legIDs {
		p := mediatest.Programme{Leg: leg, BFrames: leg == 0}
		if leg == 1 {
			p.Width, p.Height, p.GOPPhase = 480, 270, 700*ms
		}
		programme := file(t, p)
		publish[leg] = func() publisher {
			return mediatest.Publish(t, programme, s.publishURL(id), "-stream_loop", "-1")
		}
	}
	encoders := [2]publisher{publish[0](), nil}
	s.onAir(legIDs[0], true, false)
	encoders[1] = publish[1]()
	s.onAir(legIDs[0], true, true)

	url := s.url("streams/primary.m3u8", "backupStreamId", "backup")
	reader := &hlsReader{t: t, url: url, mayWait: true, contents: make(map[string][sha256.Size]byte)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var reading sync.WaitGroup
	reading.Go(func() { reader.run(ctx) })
	player := playHLS(t, url)
	player.sees(t, 0, time.Time{})

	const switches = 4
	var kills []time.Time
	for n := range switches {
		active, other := n%2, 1-n%2
		s.onAir(legIDs[active], true, true)
		killed := time.Now()
		kills = append(kills, killed)
		encoders[active].Kill()
		s.onAir(legIDs[other], other == 0, other == 1)
		seen := player.sees(t, other, killed)
		t.Logf("switch %d: ffmpeg showed the other leg after %v", n, seen.Sub(killed).Round(ms))
		encoders[active] = publish[active]()
		s.onAir(legIDs[other], true, true)
		player.sees(t, other, time.Now())
	}
	stop()
	reading.Wait()

	if len(reader.switched) != switches {
		t.Errorf("%d discontinuities, want %d", len(reader.switched), switches)
	}
	for n, at := range reader.switched[:min(len(reader.switched), switches)] {
		t.Logf("switch %d: the other leg's first part was read %v after the kill", n, at.Sub(kills[n]).Round(ms))
	}
	// What was read is decoded, so that nothing depends on when it was read.
	stays := decodeStays(t, reader.segments)
	t.Logf("%d playlists, %d names, %d segments, %d stays", reader.reads, len(reader.contents), len(reader.segments), len(stays))
	if len(stays) < switches+1 {
		t.Errorf("%d stays on a leg, want %d", len(stays), switches+1)
	}
	for i, stay := range stays {
		if leg := stay[0].Leg; leg != i%2 {
			t.Errorf("stay %d is on leg %d", i, leg)
		}
		// An encoder that is killed may have sent a picture, and not those that are shown before it.
		const reordered = 4
		for j := 1; j < len(stay)-reordered; j++ {
			if stay[j].Leg != stay[0].Leg || stay[j].Frame != (stay[j-1].Frame+1)%(8*fps) {
				t.Errorf("stay %d: picture %d of leg %d after %d of leg %d", i, stay[j].Frame, stay[j].Leg, stay[j-1].Frame, stay[j-1].Leg)
			}
		}
	}
	if missing := missingPictures(player.seen()); missing > switches {
		t.Errorf("ffmpeg lost pictures in %d places", missing)
	}
}

// decodeStays decodes segments, and returns the pictures of each stretch without a discontinuity.
func decodeStays(t *testing.T, segments []hlsSegment) (stays [][]mediatest.TimeCode) {
	t.Helper()
	decode := func(media []byte) {
		if len(media) == 0 {
			return
		}
		name := filepath.Join(t.TempDir(), "stay.mp4")
		if err := os.WriteFile(name, media, 0o600); err != nil {
			t.Fatal(err)
		}
		var codes []mediatest.TimeCode
		if err := mediatest.DecodeFile(t.Context(), name, 640, 360, func(m mediatest.Image) {
			if code, ok := m.TimeCode(); ok {
				codes = append(codes, code)
			}
		}); err != nil {
			t.Error(err)
		}
		if len(codes) == 0 {
			t.Fatalf("a stay of %d bytes has no pictures", len(media))
		}
		stays = append(stays, codes)
	}
	var media []byte
	for i, s := range segments {
		if i == 0 || s.begins {
			decode(media)
			media = bytes.Clone(s.section)
		}
		media = append(media, s.media...)
	}
	decode(media)
	return stays
}

// missingPictures returns in how many places pictures are missing between two of the same leg.
func missingPictures(sightings []mediatest.Sighting) (n int) {
	for i := 1; i < len(sightings); i++ {
		if a, b := sightings[i-1], sightings[i]; a.Leg == b.Leg && b.Frame != (a.Frame+1)%(8*fps) {
			n++
		}
	}
	return n
}
