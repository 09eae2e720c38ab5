package relay

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// published returns a publication, and a subscription to its access units.
func published(t *testing.T) (*stream.Publication, *stream.Subscription) {
	t.Helper()
	p, err := stream.NewRegistry(stream.Config{}).Publish(stream.PublishRequest{Key: primaryKey})
	if err != nil {
		t.Fatal(err)
	}
	sub := p.Stream().Subscribe(64)
	t.Cleanup(func() {
		sub.Close()
		p.End(stream.EndClosed)
	})
	return p, sub
}

func TestARecoveryPointIsOneForTheReaderToo(t *testing.T) {
	intra, inter := []byte{0x41, 0x88, 0x84}, []byte{0x41, 0x9a, 0x24}
	recovery := []byte{0x06, 0x06, 0x01, 0xc4, 0x80}
	for name, tt := range map[string]struct {
		first [][]byte
		want  [][]byte // the NAL units that are sent first
	}{
		"by SEI":                           {[][]byte{recovery, inter}, [][]byte{recovery, inter}},
		"by its SPS":                       {[][]byte{sps240, pps0, intra}, [][]byte{sps240, pps0, intra}},
		"by its SPS, with a second PPS":    {[][]byte{sps240, pps0, pps1, intra}, [][]byte{sps240, pps0, pps1, intra}},
		"by SEI, with its parameter sets":  {[][]byte{sps240, pps0, recovery, inter}, [][]byte{recovery, inter}},
		"none: the stream begins with IDR": {[][]byte{sps240, pps0, {0x65, 0x88, 0x84}}, [][]byte{{0x65, 0x88, 0x84}}},
	} {
		t.Run(name, func(t *testing.T) {
			p, there := published(t)
			err := errors.Join(
				p.SetVideoParameters(sps240, pps0),
				p.WriteVideo(0, 0, tt.first),
				p.WriteVideo(40*time.Millisecond, 40*time.Millisecond, [][]byte{inter}),
			)
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			w, err := flv.NewWriter(&file, true, true)
			if err != nil {
				t.Fatal(err)
			}
			m := muxer{flv: w}
			var sent []*stream.AccessUnit
			for _, u := range drain(there) {
				sent = append(sent, u)
				if err := m.write(u); err != nil {
					t.Fatal(err)
				}
			}

			read, here := published(t)
			f := feed.New(read)
			var pictures [][][]byte
			for tags := flv.NewReader(&file, 0); ; {
				tag, err := tags.Next()
				if errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				if tag.Type != flv.VideoTag {
					continue // a script tag
				}
				if packet, err := flv.ParseVideo(tag.Body); err != nil {
					t.Fatal(err)
				} else if packet.Kind == flv.CodedFrames {
					nalus, err := flv.SplitAVCC(packet.Data, 4)
					if err != nil {
						t.Fatal(err)
					}
					pictures = append(pictures, nalus)
				}
				if err := f.Video(tag.Timestamp, tag.Body); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff([][][]byte{tt.want, {inter}}, pictures); diff != "" {
				t.Errorf("what is sent: %s", diff)
			}
			got := drain(here)
			if len(sent) != 2 || len(got) != 2 {
				t.Fatalf("%d pictures were sent and %d came, want 2", len(sent), len(got))
			}
			for i, u := range got {
				if u.IDR != sent[i].IDR || u.RecoveryPoint != sent[i].RecoveryPoint {
					t.Errorf("picture %d: IDR %v, recovery point %v, want %v and %v", i, u.IDR, u.RecoveryPoint, sent[i].IDR, sent[i].RecoveryPoint)
				}
			}
		})
	}
}
