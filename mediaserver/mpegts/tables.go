package mpegts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/asticode/go-astits"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/substructs"
)

// maxSectionPackets bounds the packets of a table. A table has at most 1,024 bytes (section 2.4.4).
const maxSectionPackets = 8

// tables follows the tables of a transport stream: the programmes (PAT), and the tracks of the first
// programme (PMT).
type tables struct {
	demuxer *astits.Demuxer
	in      packetReader
	pmt     uint16 // PID of the first programme's PMT; 0: not known yet
	// unfinished counts the packets since the last beginning of a table.
	unfinished map[uint16]int
	// severalPrograms reports whether there are more programmes than one.
	severalPrograms bool
}

func newTables() *tables {
	t := &tables{unfinished: make(map[uint16]int)}
	t.restart()
	return t
}

func (t *tables) restart() {
	t.demuxer = astits.NewDemuxer(context.Background(), &t.in, astits.DemuxerOptPacketSize(packetSize),
		astits.DemuxerOptLogger(log.New(io.Discard, "", 0)))
}

// has reports whether the packets of a PID belong to a table that is followed.
func (t *tables) has(pid uint16) bool { return pid == 0 || t.pmt != 0 && pid == t.pmt }

// add takes the packet p, which is b. It returns the tracks if p ends a table of them.
func (t *tables) add(p packet, b []byte) (tracks *Tracks, err error) {
	if p.starts {
		t.unfinished[p.pid] = 0
	}
	if t.unfinished[p.pid]++; t.unfinished[p.pid] > maxSectionPackets {
		return nil, nil
	}
	t.in.packet = b
	for {
		data, err := t.demuxer.NextData()
		switch {
		case errors.Is(err, errNoPacket):
			return tracks, nil
		case err != nil:
			return tracks, fmt.Errorf("a malformed table of the transport stream: %w", err)
		case data.PAT != nil:
			t.programs(data.PAT)
		case data.PMT != nil && data.PID == t.pmt:
			tracks = tracksOf(data.PMT)
			tracks.SeveralPrograms = t.severalPrograms
		}
	}
}

// programs notes the programmes. Program number 0 stands for the network's own table.
func (t *tables) programs(pat *astits.PATData) {
	first, count := uint16(0), 0
	for _, program := range pat.Programs {
		if program.ProgramNumber == 0 || program.ProgramMapID == 0 || program.ProgramMapID == nullPID {
			continue
		}
		if count++; count == 1 {
			first = program.ProgramMapID
		}
	}
	t.severalPrograms = count > 1
	if first == t.pmt {
		return
	}
	if t.pmt != 0 {
		t.restart() // what astits keeps of the old table is of no use
	}
	t.pmt = first
	clear(t.unfinished)
}

// A packetReader gives astits one packet. errNoPacket tells it to come again later; at io.EOF
// it would drop what it has of a table.
type packetReader struct{ packet []byte }

var errNoPacket = errors.New("no packet")

func (r *packetReader) Read(b []byte) (int, error) {
	if len(r.packet) == 0 {
		return 0, errNoPacket
	}
	n := copy(b, r.packet)
	r.packet = r.packet[n:]
	return n, nil
}

// A Codec is the codec of a track.
type Codec int

// Codecs that can be used.
const (
	None        Codec = iota // there is no such track
	H264                     // byte stream format (Rec. H.264 annex B)
	ADTS                     // AAC with ADTS headers (ISO/IEC 14496-3 section 1.A.2)
	Opus                     // ETSI TS 101 154 annex, with control headers
	Unsupported              // see Track.Name
)

// A Track is a track of the first programme.
type Track struct {
	Codec Codec
	PID   uint16
	// Name is the codec of an unsupported track, in words for people.
	Name string
}

// Tracks are the tracks that a Demuxer returns: the first picture and the first sound that can be
// used. If none can be used, they are the first of their kind.
type Tracks struct {
	Video, Audio Track
	// SeveralPrograms, SeveralVideo and SeveralAudio report whether there are others that are left out.
	SeveralPrograms, SeveralVideo, SeveralAudio bool
}

func tracksOf(pmt *astits.PMTData) *Tracks {
	t := &Tracks{}
	for _, stream := range pmt.ElementaryStreams {
		codec, name, isVideo := codecOf(stream)
		if codec == None || stream.ElementaryPID == 0 || stream.ElementaryPID == nullPID {
			continue
		}
		track, several := &t.Audio, &t.SeveralAudio
		if isVideo {
			track, several = &t.Video, &t.SeveralVideo
		}
		*several = *several || track.Codec != None
		if track.Codec == None || track.Codec == Unsupported && codec != Unsupported {
			*track = Track{Codec: codec, PID: stream.ElementaryPID, Name: name}
		}
	}
	return t
}

// Stream types that go-astits has no name for: ISO/IEC 14496-17, SMPTE RP 227, ATSC and Blu-ray.
const (
	streamTypeJPEG2000 = 0x21
	streamTypeVVC      = 0x33
	streamTypeLPCM     = 0x80
	streamTypeDTSHD    = 0x85
)

// codecOf returns the codec of an elementary stream. The codec is None if the stream is neither a
// picture nor sound, such as subtitles.
func codecOf(s *astits.PMTElementaryStream) (codec Codec, name string, isVideo bool) {
	switch s.StreamType {
	case astits.StreamTypeH264Video:
		return H264, "", true
	case astits.StreamTypeADTS:
		return ADTS, "", false
	case astits.StreamTypePrivateData:
		codec, name = privateCodec(s.ElementaryStreamDescriptors)
		return codec, name, false
	case astits.StreamTypeMPEG1Audio, astits.StreamTypeMPEG2Audio:
		return Unsupported, "MPEG audio", false
	case astits.StreamTypeAACLATMAudio:
		return Unsupported, "AAC in LATM", false
	case astits.StreamTypeAC3Audio:
		return Unsupported, "AC-3", false
	case astits.StreamTypeEAC3Audio:
		return Unsupported, "E-AC-3", false
	case astits.StreamTypeDTSAudio, streamTypeDTSHD:
		return Unsupported, "DTS", false
	case astits.StreamTypeTRUEHDAudio:
		return Unsupported, "Dolby TrueHD", false
	case streamTypeLPCM:
		return Unsupported, "LPCM", false
	case astits.StreamTypeMPEG1Video, astits.StreamTypeMPEG2Video:
		return Unsupported, "MPEG-2 video", true
	case astits.StreamTypeMPEG4Video:
		return Unsupported, "MPEG-4 Visual", true
	case astits.StreamTypeH265Video:
		return Unsupported, "H.265", true
	case streamTypeVVC:
		return Unsupported, "H.266", true
	case streamTypeJPEG2000:
		return Unsupported, "JPEG 2000", true
	case astits.StreamTypeCAVSVideo, astits.StreamTypeVC1Video, astits.StreamTypeDIRACVideo:
		return Unsupported, s.StreamType.String(), true
	}
	return None, "", false
}

// Format identifiers of registration descriptors (section 2.6.8), as smpte-ra.org lists them.
const (
	formatOpus = 0x4f707573 // "Opus"
	formatAC3  = 0x41432d33 // "AC-3"
	formatEAC3 = 0x45414333 // "EAC3"
	formatS302 = 0x42535344 // "BSSD"
)

// privateCodec returns the codec of private data, by its descriptors. An Opus track with more than
// two channels has several streams in each packet, which no browser plays.
func privateCodec(descriptors []*astits.Descriptor) (codec Codec, name string) {
	for _, d := range descriptors {
		switch {
		case d.Tag == astits.DescriptorTagAC3:
			return Unsupported, "AC-3"
		case d.Tag == astits.DescriptorTagEnhancedAC3:
			return Unsupported, "E-AC-3"
		case d.Registration != nil:
			switch d.Registration.FormatIdentifier {
			case formatOpus:
				codec = Opus
			case formatAC3:
				return Unsupported, "AC-3"
			case formatEAC3:
				return Unsupported, "E-AC-3"
			case formatS302:
				return Unsupported, "LPCM (SMPTE 302M)"
			}
		}
	}
	if codec == Opus && isSurround(descriptors) {
		return Unsupported, "Opus with more than two channels"
	}
	return codec, ""
}

// isSurround reports whether an Opus audio descriptor declares more than two channels, or a mapping of
// its own (ETSI TS Opus table 4-3).
func isSurround(descriptors []*astits.Descriptor) bool {
	const opusExtension = 0x80
	for _, d := range descriptors {
		if d.Extension == nil || d.Extension.Tag != opusExtension || d.Extension.Unknown == nil || len(*d.Extension.Unknown) == 0 {
			continue
		}
		switch (*d.Extension.Unknown)[0] { // channel_config_code
		case 0, 1, 2, 0x80, 0x82, 0x83:
			return false
		}
		return true
	}
	return false
}

// OpusPackets splits the data of a PES packet into Opus packets, which point into it.
func OpusPackets(data []byte) (packets [][]byte, err error) {
	for len(data) > 0 {
		var unit substructs.OpusAccessUnit
		n, err := unit.Unmarshal(data)
		if err != nil {
			return packets, fmt.Errorf("a malformed Opus access unit: %w", err)
		}
		packets = append(packets, unit.Packet)
		data = data[n:]
	}
	return packets, nil
}
