package mpegts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/asticode/go-astits"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	videoPID = 0x100
	audioPID = 0x101
)

// A test is a testing.TB or a rapid.T.
type test interface{ Fatal(args ...any) }

// A muxer writes a transport stream with the library's own writer.
type muxer struct {
	t   test
	out bytes.Buffer
	mux *astits.Muxer
}

func newMuxer(t test, streams ...*astits.PMTElementaryStream) *muxer {
	m := &muxer{t: t}
	m.mux = astits.NewMuxer(context.Background(), &m.out)
	for _, s := range streams {
		if err := m.mux.AddElementaryStream(*s); err != nil {
			t.Fatal(err)
		}
	}
	m.mux.SetPCRPID(streams[0].ElementaryPID)
	m.tables()
	return m
}

func (m *muxer) tables() {
	if _, err := m.mux.WriteTables(); err != nil {
		m.t.Fatal(err)
	}
}

// pes writes a PES packet with these times, in units of 90 kHz.
func (m *muxer) pes(pid uint16, dts, pts int64, data []byte) {
	header := &astits.PESOptionalHeader{MarkerBits: 2, PTSDTSIndicator: astits.PTSDTSIndicatorBothPresent,
		PTS: &astits.ClockReference{Base: pts}, DTS: &astits.ClockReference{Base: dts}}
	id := uint8(0xc0)
	if pid == videoPID {
		id = 0xe0
	}
	if _, err := m.mux.WriteData(&astits.MuxerData{PID: pid, PES: &astits.PESData{
		Header: &astits.PESHeader{StreamID: id, OptionalHeader: header}, Data: data}}); err != nil {
		m.t.Fatal(err)
	}
}

func h264Stream() *astits.PMTElementaryStream {
	return &astits.PMTElementaryStream{ElementaryPID: videoPID, StreamType: astits.StreamTypeH264Video}
}

func aacStream() *astits.PMTElementaryStream {
	return &astits.PMTElementaryStream{ElementaryPID: audioPID, StreamType: astits.StreamTypeAACAudio}
}

// A record is what a Demuxer returns.
type record struct {
	tracks []Tracks
	pes    []PES
	errs   []error
}

func newRecorded(cfg Config) (*Demuxer, *record) {
	r := &record{}
	cfg.OnTracks = func(t Tracks) { r.tracks = append(r.tracks, t) }
	cfg.OnPES = func(p PES) { r.pes = append(r.pes, p) }
	cfg.OnError = func(_ *Track, err error) { r.errs = append(r.errs, err) }
	return NewDemuxer(cfg), r
}

// content returns a payload that names itself.
func content(kind string, n, size int) []byte {
	b := bytes.Repeat([]byte{byte(n)}, size)
	copy(b, fmt.Sprintf("%s %d", kind, n))
	return b
}

// programme returns a transport stream of n pictures and n pieces of sound, from a time on.
func programme(t test, n int, from int64) []byte {
	m := newMuxer(t, h264Stream(), aacStream())
	for i := range n {
		if i%10 == 0 {
			m.tables()
		}
		at := from + int64(i)*3000
		m.pes(videoPID, at, at+6000, content("picture", i, 100+i*37%1000))
		m.pes(audioPID, at, at, content("sound", i, 50+i*13%300))
	}
	return m.out.Bytes()
}

func TestPESPacketsComeOutAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 30
		from := rapid.SampledFrom([]int64{0, 1<<33 - 20*3000}).Draw(t, "from")
		stream := programme(t, n, from)
		d, r := newRecorded(Config{})
		for rest := stream; len(rest) > 0; {
			size := min(len(rest), rapid.IntRange(1, 3000).Draw(t, "size"))
			piece := bytes.Clone(rest[:size])
			d.Write(piece)
			for i := range piece {
				piece[i] = 0xff // nothing of it may be kept
			}
			rest = rest[size:]
		}
		d.Flush()
		if len(r.errs) > 0 {
			t.Fatal(r.errs)
		}
		want := []Tracks{{Video: Track{Codec: H264, PID: videoPID}, Audio: Track{Codec: ADTS, PID: audioPID}}}
		if diff := cmp.Diff(want, r.tracks); diff != "" {
			t.Fatal(diff)
		}
		if len(r.pes) != 2*n {
			t.Fatalf("%d PES packets, want %d", len(r.pes), 2*n)
		}
		seen := map[Codec]int{}
		for _, p := range r.pes {
			i := seen[p.Track.Codec]
			seen[p.Track.Codec]++
			kind, size, later := "sound", 50+i*13%300, time.Duration(0)
			if p.Track.Codec == H264 {
				kind, size, later = "picture", 100+i*37%1000, 6000*time.Second/clockRate
			}
			if !bytes.Equal(p.Data, content(kind, i, size)) {
				t.Fatalf("%s %d: %q", kind, i, p.Data)
			}
			if at := time.Duration(i) * time.Second / 30; !p.HasTime || (p.DTS-at).Abs() > time.Microsecond || (p.PTS-p.DTS-later).Abs() > time.Microsecond {
				t.Fatalf("%s %d at %v, PTS %v, want %v", kind, i, p.DTS, p.PTS, at)
			}
		}
	})
}

// What is returned is whole, whatever is missing. Each packet of the transport stream that is lost
// costs at most the PES packets that it belongs to.
func TestLostPacketsCostTheirOwnPESPackets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := programme(t, 40, 0)
		whole := map[string]bool{}
		d, r := newRecorded(Config{})
		d.Write(stream)
		d.Flush()
		for _, p := range r.pes {
			whole[string(p.Data)] = true
		}
		all := len(r.pes)
		d, r = newRecorded(Config{})
		lost := 0
		for at := 0; at < len(stream); at += packetSize {
			if rapid.IntRange(0, 20).Draw(t, "fate") == 0 {
				lost++
				d.Lost(1)
				continue
			}
			d.Write(stream[at : at+packetSize])
		}
		d.Flush()
		for _, p := range r.pes {
			if !whole[string(p.Data)] {
				t.Fatalf("a damaged PES packet: %q", p.Data)
			}
		}
		if len(r.tracks) > 0 && len(r.pes) < all-12*lost-2*10 {
			t.Fatalf("%d of %d PES packets after %d lost packets", len(r.pes), all, lost)
		}
	})
}

func TestMoreLostPacketsThanTheCountersShow(t *testing.T) {
	m := newMuxer(t, h264Stream())
	m.pes(videoPID, 0, 0, content("picture", 0, 16*184*2))
	m.pes(videoPID, 3000, 3000, content("picture", 1, 100))
	m.pes(videoPID, 6000, 6000, content("picture", 2, 100))
	stream := m.out.Bytes()
	const tables, lost = 2, 16
	d, r := newRecorded(Config{})
	d.Write(stream[:(tables+3)*packetSize])
	d.Lost(lost)
	d.Write(stream[(tables+3+lost)*packetSize:])
	d.Flush()
	if len(r.pes) != 2 || len(r.errs) != 1 || !errors.Is(r.errs[0], ErrLost) {
		t.Errorf("%d PES packets, errors %v", len(r.pes), r.errs)
	}
}

func TestBytesThatAreNoTransportStream(t *testing.T) {
	stream := programme(t, 20, 0)
	for _, garbage := range [][]byte{{0}, bytes.Repeat([]byte{1}, 100), bytes.Repeat([]byte{0x47, 2}, 300), make([]byte, 10_000)} {
		d, r := newRecorded(Config{})
		d.Write(garbage)
		for at := 0; at < len(stream); at += 7 * packetSize {
			d.Write(stream[at:min(at+7*packetSize, len(stream))])
			d.Write(garbage)
		}
		if len(r.tracks) != 1 || len(r.pes) < 10 || len(r.errs) == 0 {
			t.Errorf("%d bytes of garbage: %d tables, %d PES packets, %d errors", len(garbage), len(r.tracks), len(r.pes), len(r.errs))
		}
	}
}

func TestTracksAreChosen(t *testing.T) {
	registration := func(format uint32) []*astits.Descriptor {
		return []*astits.Descriptor{{Length: 4, Tag: astits.DescriptorTagRegistration, Registration: &astits.DescriptorRegistration{FormatIdentifier: format}}}
	}
	stream := func(pid uint16, kind astits.StreamType) *astits.PMTElementaryStream {
		return &astits.PMTElementaryStream{ElementaryPID: pid, StreamType: kind}
	}
	opus := stream(0x105, astits.StreamTypePrivateData)
	opus.ElementaryStreamDescriptors = registration(formatOpus)
	s302 := stream(0x106, astits.StreamTypePrivateData)
	s302.ElementaryStreamDescriptors = registration(formatS302)
	for _, test := range []struct {
		name    string
		streams []*astits.PMTElementaryStream
		want    Tracks
	}{
		{"picture and sound", []*astits.PMTElementaryStream{h264Stream(), aacStream()},
			Tracks{Video: Track{H264, videoPID, ""}, Audio: Track{ADTS, audioPID, ""}}},
		{"picture and Opus", []*astits.PMTElementaryStream{h264Stream(), opus},
			Tracks{Video: Track{H264, videoPID, ""}, Audio: Track{Opus, 0x105, ""}}},
		{"AC-3 before AAC", []*astits.PMTElementaryStream{h264Stream(), stream(0x104, astits.StreamTypeAC3Audio), aacStream()},
			Tracks{Video: Track{H264, videoPID, ""}, Audio: Track{ADTS, audioPID, ""}, SeveralAudio: true}},
		{"only LATM", []*astits.PMTElementaryStream{h264Stream(), stream(0x104, astits.StreamTypeAACLATMAudio)},
			Tracks{Video: Track{H264, videoPID, ""}, Audio: Track{Unsupported, 0x104, "AAC in LATM"}}},
		{"SMPTE 302M", []*astits.PMTElementaryStream{h264Stream(), s302},
			Tracks{Video: Track{H264, videoPID, ""}, Audio: Track{Unsupported, 0x106, "LPCM (SMPTE 302M)"}}},
		{"H.265 and H.264", []*astits.PMTElementaryStream{stream(0x103, astits.StreamTypeH265Video), h264Stream()},
			Tracks{Video: Track{H264, videoPID, ""}, SeveralVideo: true}},
		{"subtitles", []*astits.PMTElementaryStream{h264Stream(), stream(0x107, astits.StreamTypePrivateData)},
			Tracks{Video: Track{H264, videoPID, ""}}},
	} {
		m := newMuxer(t, test.streams...)
		d, r := newRecorded(Config{})
		d.Write(m.out.Bytes())
		if len(r.tracks) != 1 || r.tracks[0] != test.want || len(r.errs) > 0 {
			t.Errorf("%s: %+v, %v, want %+v", test.name, r.tracks, r.errs, test.want)
		}
	}
}

// An encoder may begin anew within the stream, with other tables.
func TestNewTablesAreFollowed(t *testing.T) {
	first := newMuxer(t, h264Stream(), aacStream())
	first.pes(videoPID, 0, 0, content("picture", 1, 500))
	other := newMuxer(t, &astits.PMTElementaryStream{ElementaryPID: 0x200, StreamType: astits.StreamTypeH264Video})
	other.pes(0x200, 9000, 9000, content("picture", 2, 500))
	other.tables()
	d, r := newRecorded(Config{})
	d.Write(first.out.Bytes())
	d.Write(other.out.Bytes())
	d.Flush()
	if len(r.tracks) != 2 || r.tracks[1].Video.PID != 0x200 || len(r.pes) != 2 || r.pes[1].Track.PID != 0x200 {
		t.Errorf("tracks %+v, PES %+v, errors %v", r.tracks, r.pes, r.errs)
	}
}

func TestALongPESPacketIsDropped(t *testing.T) {
	m := newMuxer(t, h264Stream())
	m.pes(videoPID, 0, 0, content("picture", 0, 5000))
	m.pes(videoPID, 3000, 3000, content("picture", 1, 500))
	d, r := newRecorded(Config{MaxVideo: 4000})
	d.Write(m.out.Bytes())
	d.Flush()
	var tooLong *TooLongError
	if len(r.pes) != 1 || len(r.errs) != 1 || !errors.As(r.errs[0], &tooLong) || tooLong.Limit != 4000 {
		t.Errorf("%d PES packets, errors %v", len(r.pes), r.errs)
	}
	if d.Held() > 8000 {
		t.Errorf("%d bytes are held", d.Held())
	}
}

// Beginnings of PES packets after a long one cost no buffers of its size.
func TestLostPESPacketsCostNoMemory(t *testing.T) {
	d, _ := newRecorded(Config{})
	a := &assembler{limit: 4 << 20}
	d.pieces[0] = a
	payload := make([]byte, 184)
	for i := range 20_000 {
		_, _ = a.add(packet{payload: payload, starts: i == 0, counter: byte(i) & 15})
	}
	if d.Held() < 3<<20 {
		t.Fatalf("%d bytes are held", d.Held())
	}
	for i := range 3 {
		_, _ = a.add(packet{payload: payload, starts: true, counter: byte(2*i+1) & 15})
		if i > 0 && d.Held() > 64<<10 {
			t.Errorf("%d bytes are held for the beginning of a PES packet", d.Held())
		}
	}
}

func FuzzDemuxer(f *testing.F) {
	f.Add(programme(f, 5, 0))
	f.Add(programme(f, 2, 1<<33-3000))
	f.Add(bytes.Repeat([]byte{syncByte}, 1000))
	table := programme(f, 1, 0)[:2*packetSize]
	f.Add(append(bytes.Clone(table[packetSize:]), table...))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, r := newRecorded(Config{MaxVideo: 4096, MaxAudio: 1024})
		for len(b) > 0 {
			n := min(len(b), 7*packetSize)
			d.Write(b[:n])
			b = b[n:]
			if d.Held() > 16<<10 {
				t.Fatalf("%d bytes are held", d.Held())
			}
		}
		d.Flush()
		for _, p := range r.pes {
			if len(p.Data) > 4096 || (p.PTS-p.DTS).Abs() > 10*time.Second {
				t.Fatalf("%+v", p)
			}
		}
	})
}

func BenchmarkDemuxer(b *testing.B) {
	stream := programme(b, 300, 0)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		d := NewDemuxer(Config{OnTracks: func(Tracks) {}, OnPES: func(PES) {}, OnError: func(*Track, error) {}})
		d.Write(stream)
	}
}
