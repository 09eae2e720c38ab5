package mpegts

import (
	"bytes"
	"errors"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
)

// Config configures a Demuxer.
type Config struct {
	// MaxVideo and MaxAudio bound a PES packet, in bytes; defaults 4 MiB and 64 KiB.
	MaxVideo, MaxAudio int
	// OnTracks is called with the tracks of the first programme, at first and whenever they change.
	OnTracks func(Tracks)
	// OnPES is called with each PES packet of the two tracks, and owns the packet's data.
	OnPES func(PES)
	// OnError is called for whatever could not be used. track is the track that lost a PES packet;
	// nil: it is not known.
	OnError func(track *Track, err error)
}

// A PES is a PES packet: usually one picture, or some frames of sound.
type PES struct {
	Track Track
	// PTS and DTS are on the publisher's clock, from its first time on, without wrapping. They are not
	// set if HasTime is false.
	PTS, DTS time.Duration
	HasTime  bool
	Data     []byte
}

var (
	// ErrSync is the error for bytes that are no transport stream.
	ErrSync = errors.New("bytes that are no MPEG transport stream")
	// ErrScrambled is the error for a packet that only a subscriber's receiver can read.
	ErrScrambled = errors.New("the transport stream is scrambled")
)

// A Demuxer takes a transport stream apart. It is for one goroutine.
type Demuxer struct {
	cfg    Config
	tables *tables
	tracks Tracks
	known  bool          // a table of tracks has come
	pieces [2]*assembler // of Tracks.Video and Tracks.Audio; nil: there is no usable track
	rest   []byte        // the beginning of a packet whose end has not come
	times  mpegts.TimeDecoder
}

// NewDemuxer returns a Demuxer at the beginning of a transport stream.
func NewDemuxer(cfg Config) *Demuxer {
	if cfg.MaxVideo <= 0 {
		cfg.MaxVideo = 4 << 20
	}
	if cfg.MaxAudio <= 0 {
		cfg.MaxAudio = 64 << 10
	}
	return &Demuxer{cfg: cfg, tables: newTables()}
}

// Held returns the size of what the Demuxer holds of PES packets, in bytes.
func (d *Demuxer) Held() int {
	held := 0
	for _, a := range d.pieces {
		if a != nil {
			held += cap(a.buffer)
		}
	}
	return held
}

// Write takes the next bytes. They are not kept.
func (d *Demuxer) Write(b []byte) {
	if len(d.rest) > 0 {
		n := min(packetSize-len(d.rest), len(b))
		d.rest, b = append(d.rest, b[:n]...), b[n:]
		if len(d.rest) < packetSize {
			return
		}
		d.packet(d.rest)
		d.rest = d.rest[:0]
	}
	for len(b) > 0 {
		if b[0] != syncByte || len(b) > packetSize && b[packetSize] != syncByte {
			d.cfg.OnError(nil, ErrSync)
			b = b[nextPacket(b):]
			continue
		}
		if len(b) < packetSize {
			d.rest = append(d.rest, b...)
			return
		}
		d.packet(b[:packetSize])
		b = b[packetSize:]
	}
}

// nextPacket returns where a packet may begin in b, after its first byte.
func nextPacket(b []byte) int {
	for from := 1; ; from++ {
		i := bytes.IndexByte(b[from:], syncByte)
		if i < 0 {
			return len(b)
		}
		from += i
		if next := from + packetSize; next >= len(b) || b[next] == syncByte {
			return from
		}
	}
}

// Tracks returns the tracks that OnTracks was called with last.
func (d *Demuxer) Tracks() Tracks { return d.tracks }

// Lost notes that at most that many packets are missing here.
func (d *Demuxer) Lost(packets int) {
	d.rest = d.rest[:0]
	for i, a := range d.pieces {
		if a == nil {
			continue
		}
		if err := a.skip(packets); err != nil {
			d.cfg.OnError(d.track(i), err)
		}
	}
}

// Flush returns the last PES packets, whose ends are not known. The stream ends here.
func (d *Demuxer) Flush() {
	for i, a := range d.pieces {
		if a == nil {
			continue
		}
		pes, err := a.end()
		if err != nil {
			d.cfg.OnError(d.track(i), err)
		}
		if pes != nil {
			d.pes(d.track(i), pes)
		}
	}
}

func (d *Demuxer) track(i int) *Track {
	if i == 0 {
		return &d.tracks.Video
	}
	return &d.tracks.Audio
}

// packet takes a packet of packetSize bytes.
func (d *Demuxer) packet(b []byte) {
	p, err := parsePacket(b)
	switch {
	case b[0] != syncByte:
		d.cfg.OnError(nil, ErrSync)
	case err != nil:
		d.cfg.OnError(nil, err)
	case p.damaged || p.pid == nullPID:
	case d.tables.has(p.pid):
		d.table(p, b)
	default:
		for i, a := range d.pieces {
			if a != nil && a.pid == p.pid {
				d.piece(d.track(i), a, p)
			}
		}
	}
}

func (d *Demuxer) table(p packet, b []byte) {
	tracks, err := d.tables.add(p, b)
	if err != nil {
		d.cfg.OnError(nil, err)
	}
	if tracks == nil || d.known && *tracks == d.tracks {
		return
	}
	d.Flush()
	d.known, d.tracks = true, *tracks
	for i, limit := range [...]int{d.cfg.MaxVideo, d.cfg.MaxAudio} {
		d.pieces[i] = nil
		if t := d.track(i); t.Codec != None {
			d.pieces[i] = &assembler{pid: t.PID, limit: limit}
		}
	}
	d.cfg.OnTracks(d.tracks)
}

func (d *Demuxer) piece(t *Track, a *assembler, p packet) {
	if p.scrambled {
		d.cfg.OnError(t, ErrScrambled)
		return
	}
	done, err := a.add(p)
	if err != nil {
		d.cfg.OnError(t, err)
	}
	for _, pes := range done {
		d.pes(t, pes)
	}
}

// pes passes a PES packet on.
func (d *Demuxer) pes(t *Track, b []byte) {
	data, times, err := parsePES(b)
	if err != nil {
		d.cfg.OnError(t, err)
		return
	}
	p := PES{Track: *t, Data: data, HasTime: times.ok}
	if times.ok {
		later := difference(times.pts, times.dts)
		if later < -mostReordering || later > mostReordering {
			d.cfg.OnError(t, errPESTimes)
			return
		}
		dts := d.times.Decode(times.dts)
		p.DTS, p.PTS = duration(dts), duration(dts+later)
	}
	d.cfg.OnPES(p)
}

// duration returns a time in units of clockRate as a Duration.
func duration(ticks int64) time.Duration {
	return time.Duration(ticks/clockRate)*time.Second + time.Duration(ticks%clockRate)*time.Second/clockRate
}
