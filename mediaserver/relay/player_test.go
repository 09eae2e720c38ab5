package relay

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// tags returns the tags of an FLV file.
func tags(t *testing.T, file []byte) (all []flv.Tag) {
	t.Helper()
	for r := flv.NewReader(bytes.NewReader(file), maxTag); ; {
		tag, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tag)
	}
}

// firstOf returns the first tag of a kind that is no configuration; nil: there is none.
func firstOf(t *testing.T, file []byte, kind flv.TagType) *flv.Tag {
	t.Helper()
	for _, tag := range tags(t, file) {
		if tag.Type == kind && !bytes.Contains(tag.Body, []byte("OpusHead")) && !bytes.Contains(tag.Body, sps240) {
			return &tag
		}
	}
	return nil
}

func TestAPlayerGetsTheSoundOfALegWhosePictureIsFaulty(t *testing.T) {
	never := &stream.Fault{Code: "NoVideoPackets", Message: "x"}
	undecodable := &stream.Fault{Code: "NoPicture", Message: "x"}
	limited := &stream.Fault{Code: "LimitedVideo", Message: "x", Limited: true}
	for _, test := range []struct {
		name  string
		fault *stream.Fault
		// announced reports whether the video has parameter sets. stopped reports whether it had
		// pictures too, and has them again after the player came, first in the middle of a GOP.
		announced, stopped bool
		want               bool // whether the sound is sent
	}{
		{"sound without a picture", nil, false, false, true},
		{"a picture that is yet to come", nil, true, false, false},
		{"a picture that never came", never, false, false, true},
		{"a picture that cannot be decoded any more", undecodable, true, true, true},
		{"a picture that some players show is yet to come", limited, true, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				must := func(err error) {
					t.Helper()
					if err != nil {
						t.Fatal(err)
					}
				}
				r := stream.NewRegistry(stream.Config{})
				defer r.Close()
				pub, err := r.Publish(stream.PublishRequest{Key: primaryKey, Authenticated: true, Protocol: "test"})
				must(err)
				must(pub.SetAudioFormat(opus))
				if test.announced {
					must(pub.SetVideoParameters(sps240, pps0))
				}
				picture := func(at time.Duration, header byte) {
					if test.stopped {
						must(pub.WriteVideo(at, at, [][]byte{{header, 0x88, 0x80, 1}}))
					}
				}
				picture(0, 0x65)
				picture(frame, 0x41)
				time.Sleep(3 * time.Second)
				pub.SetFault(stream.Video, test.fault)

				body := &deadlines{ResponseRecorder: httptest.NewRecorder()}
				p := newPlayerSender(newAnswer(t.Context(), body, "video/x-flv"), r.Stream(primaryKey))
				sub := r.Stream(primaryKey).Subscribe(1024)
				defer sub.Close()
				must(p.begin())
				for at := 3 * time.Second; at < 6*time.Second; at += sound {
					must(pub.WriteAudio(at, []byte{0xfc, 1}))
					switch {
					case at == 5500*ms:
						picture(at, 0x65)
					case at >= 5*time.Second:
						picture(at, 0x41)
					}
					time.Sleep(sound)
					for _, u := range drain(sub) {
						must(p.send(u))
					}
					must(p.beat())
				}
				sounding := firstOf(t, body.Body.Bytes(), flv.AudioTag)
				if (sounding != nil) != test.want || sounding != nil && sounding.Timestamp > 100 {
					t.Errorf("the first sound is %+v; sound from the start: want %v", sounding, test.want)
				}
				seen := firstOf(t, body.Body.Bytes(), flv.VideoTag)
				if test.stopped && (seen == nil || !bytes.Contains(seen.Body, []byte{0x65, 0x88}) || seen.Timestamp < 2000) {
					t.Errorf("the first picture is %+v, want the IDR that comes later", seen)
				}
			})
		})
	}
}
