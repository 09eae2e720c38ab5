package server

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// An edit makes what some encoders send but ffmpeg does
// not. Each call returns the edit of a new encoder.
type edit func() func(flv.Tag) []flv.Tag

// audioTags edits only the tags of sound.
func audioTags(change func(body []byte) [][]byte) edit {
	return func() func(flv.Tag) []flv.Tag {
		return func(tag flv.Tag) []flv.Tag {
			if tag.Type != flv.AudioTag {
				return []flv.Tag{tag}
			}
			var tags []flv.Tag
			for _, body := range change(tag.Body) {
				tags = append(tags, flv.Tag{Type: tag.Type, Timestamp: tag.Timestamp, Body: body})
			}
			return tags
		}
	}
}

func isHeader(aac []byte) bool { return aac[1] == 0 }

// withoutHeader drops AAC's sequence header.
func withoutHeader(body []byte) [][]byte {
	if isHeader(body) {
		return nil
	}
	return [][]byte{body}
}

// asADTS sends each frame with an ADTS header of AAC-LC, 48 kHz, stereo.
func asADTS(body []byte) [][]byte {
	if isHeader(body) {
		return [][]byte{body}
	}
	n := len(body) - 2 + 7
	header := []byte{0xff, 0xf1, 0x4c, 0x80 | byte(n>>11), byte(n >> 3), byte(n&7)<<5 | 0x1f, 0xfc}
	return [][]byte{slices.Concat(body[:2], header, body[2:])}
}

// withSecondTrack repeats each tag as another track of Enhanced RTMP.
func withSecondTrack(body []byte) [][]byte {
	packetType := byte(1)
	if isHeader(body) {
		packetType = 0
	}
	return [][]byte{body, slices.Concat([]byte{0x95, packetType}, []byte("mp4a"), []byte{1}, body[2:])}
}

// withFatKeyFrame appends a NAL unit of 4.5 MB to the second key frame.
func withFatKeyFrame(naluType byte) edit {
	return func() func(flv.Tag) []flv.Tag {
		keyFrames := 0
		return func(tag flv.Tag) []flv.Tag {
			if tag.Type != flv.VideoTag || tag.Body[0] != 0x17 || tag.Body[1] != 1 {
				return []flv.Tag{tag}
			}
			if keyFrames++; keyFrames == 2 {
				nalu := slices.Repeat([]byte{0xff}, 4_500_000)
				nalu[0] = naluType
				body := binary.BigEndian.AppendUint32(slices.Clone(tag.Body), uint32(len(nalu)))
				tag.Body = append(body, nalu...)
			}
			return []flv.Tag{tag}
		}
	}
}

// An encoder may send media that cannot be used. Its picture stays, a leg
// that lacks something does not count as whole, and its user is told.
func TestWhatEncodersSendOtherwise(t *testing.T) {
	for name, tt := range map[string]struct {
		edit    edit
		rank    string
		warning string
	}{
		"AAC without its header": {audioTags(withoutHeader), "VideoOnly", feed.WarningMalformedAudio},
		"ADTS without a header": {audioTags(func(body []byte) [][]byte {
			if isHeader(body) {
				return nil
			}
			return asADTS(body)
		}), "Full", ""},
		"ADTS with a header": {audioTags(asADTS), "Full", ""},
		"MP3":                {audioTags(func([]byte) [][]byte { return [][]byte{{0x2f, 0xff, 0xfb, 0x90, 0}} }), "VideoOnly", feed.WarningUnsupportedAudio},
		"G.711":              {audioTags(func([]byte) [][]byte { return [][]byte{{0x80, 1, 2, 3}} }), "VideoOnly", feed.WarningUnsupportedAudio},
		"one tag of MP3": {func() func(flv.Tag) []flv.Tag {
			n := 0
			return func(tag flv.Tag) []flv.Tag {
				if n++; n == 60 {
					return []flv.Tag{{Type: flv.AudioTag, Timestamp: tag.Timestamp, Body: []byte{0x2f, 0, 0, 0}}, tag}
				}
				return []flv.Tag{tag}
			}
		}, "Full", ""},
		"a second audio track":              {audioTags(withSecondTrack), "Full", feed.WarningMultitrack},
		"a key frame with much filler data": {withFatKeyFrame(12), "Full", ""},
		"a key frame that is too large":     {withFatKeyFrame(6), "Full", feed.WarningTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, sticky)
			leg := func() control.Leg { return s.pair("sunday").Legs[0] }
			encoder := s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{Edit: tt.edit()})
			v := s.watchPair()
			v.sees(0, fps, time.Time{})
			eventually.True(t, "rank "+tt.rank+" and the warning", func() bool {
				l := leg()
				warned := slices.ContainsFunc(l.Warnings, func(w control.Warning) bool { return w.Code == tt.warning })
				return l.Rank == tt.rank && (warned || tt.warning == "" && len(l.Warnings) == 0)
			})
			v.sees(0, 4*fps, time.Now()) // past the second key frame, and past the next one
			v.hears(time.Second, time.Now())
			v.leaves().isContinuous()
			select {
			case <-encoder.Done():
				t.Errorf("the encoder was cut off: %v", encoder.Err())
			default:
			}
			if tt.warning == "" && len(leg().Warnings) != 0 {
				t.Errorf("warnings %v", leg().Warnings)
			}
			if p := s.pair("sunday"); p.ActiveStreamID != "primary" || !p.OnAir || p.Switches != 0 {
				t.Errorf("%s is on air: %v, after %d switches", p.ActiveStreamID, p.OnAir, p.Switches)
			}

			s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
			better := tt.rank != "Full"
			eventually.True(t, "a backup at full rank", func() bool { return s.pair("sunday").Legs[1].Rank == "Full" })
			if better {
				eventually.True(t, "the better leg on air", func() bool { return s.pair("sunday").ActiveStreamID == "backup" })
			} else if p := s.pair("sunday"); p.ActiveStreamID != "primary" {
				t.Errorf("%s is on air although the primary is whole", p.ActiveStreamID)
			}
		})
	}
}

// Some encoders send each slice, or each NAL unit, in a message of its own.
func TestASliceAMessageIsAPictureAFrame(t *testing.T) {
	s := startServer(t, sticky)
	path := mediatest.File(t, mediatest.Spec{Duration: 4 * time.Second, VideoArgs: []string{"-x264-params", "slices=3"}})
	tape, err := mediatest.Load(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	apart := func(tag flv.Tag) []flv.Tag {
		if tag.Type != flv.VideoTag || tag.Body[1] != 1 {
			return []flv.Tag{tag}
		}
		nalus, err := flv.SplitAVCC(tag.Body[5:], 4)
		if err != nil {
			t.Error(err)
		}
		var tags []flv.Tag
		for _, nalu := range nalus {
			body := flv.AppendAVCC(slices.Clone(tag.Body[:5]), [][]byte{nalu})
			tags = append(tags, flv.Tag{Type: tag.Type, Timestamp: tag.Timestamp, Body: body})
		}
		return tags
	}
	r, err := mediatest.Replay(t.Context(), s.publishURL("primary"), tape, mediatest.ReplayOptions{Edit: apart})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	s.onAir("primary", true, false)
	v := s.watch(mediatest.WatchOptions{}, "primary", "backupStreamId", "backup")
	eventually.True(t, "pictures", func() bool { return len(v.PicturesFrom(0)) >= 30 })
	from := len(v.PicturesFrom(0))
	eventually.True(t, "60 more pictures", func() bool { return len(v.PicturesFrom(from)) >= 60 })
	pictures := v.PicturesFrom(from)[:60]
	// Each picture has its own RTP timestamp and its own frame. With
	// a picture for each slice there would be three times as many.
	span := time.Duration(pictures[59].Timestamp-pictures[0].Timestamp) * time.Second / 90000
	if span < 59*time.Second/30*9/10 || span > 59*time.Second/30*11/10 {
		t.Errorf("60 pictures at 30 a second span %v of the media clock", span)
	}
	v.leaves().isContinuous()
	if l := s.pair("sunday").Legs[0]; l.Rank != "Full" || len(l.Warnings) != 0 {
		t.Errorf("rank %s, warnings %v", l.Rank, l.Warnings)
	}
}

// Broadcast encoders refresh the picture bit by bit, and send only one IDR at the
// start. Viewers who come later, or who are switched to such a leg, need an IDR.
func TestLegsWithoutIDRs(t *testing.T) {
	for name, withFFmpeg := range map[string]bool{"with ffmpeg": true, "without ffmpeg": false} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, sticky, func(c *Config) {
				if !withFFmpeg {
					c.FFmpegPath = ""
				}
			})
			encoder := func(streamID string, leg int) *mediatest.Replayer {
				began := false
				return s.replay(streamID, mediatest.Programme{Leg: leg, IntraRefresh: true, GOP: time.Second, Duration: 40 * time.Second}, mediatest.ReplayOptions{
					Once: true,
					Edit: func(tag flv.Tag) []flv.Tag { // as for a server that joined after the IDR
						if tag.Type == flv.VideoTag && tag.Body[1] == 1 && !began {
							began = true
							return nil
						}
						return []flv.Tag{tag}
					},
				})
			}
			primary := encoder("primary", 0)
			encoder("backup", 1)
			warned := func() bool {
				for _, l := range s.pair("sunday").Legs {
					if !slices.ContainsFunc(l.Warnings, func(w control.Warning) bool { return w.Code == "NoIDR" }) {
						return false
					}
				}
				return true
			}
			eventually.True(t, "both legs are told that they have no IDR", warned)
			if !withFFmpeg {
				for _, l := range s.pair("sunday").Legs {
					if l.EntryPoint || l.Rank == "Full" {
						t.Errorf("%s looks whole: rank %s, entry point %v", l.Role, l.Rank, l.EntryPoint)
					}
				}
				return
			}
			s.onAir("primary", true, true)
			v := s.watchPair()
			v.sees(0, 2*fps, time.Time{})
			killed := time.Now()
			primary.Kill()
			v.sees(1, 2*fps, killed)
			v.leaves().isContinuous()
		})
	}
}

// A picture that many players cannot show is only played if there is nothing better.
func TestALegOfLimitedPictures(t *testing.T) {
	s := startServer(t, sticky, func(c *Config) { c.FFmpegPath = "" })
	s.replay("primary", mediatest.Programme{PixelFormat: "yuv422p"}, mediatest.ReplayOptions{})
	eventually.True(t, "the limited leg on air", func() bool {
		p := s.pair("sunday")
		return p.OnAir && p.ActiveStreamID == "primary" && p.Legs[0].Rank == "LimitedVideo"
	})
	s.replay("backup", mediatest.Programme{Leg: 1}, mediatest.ReplayOptions{})
	eventually.True(t, "the better leg on air", func() bool { return s.pair("sunday").ActiveStreamID == "backup" })
}
