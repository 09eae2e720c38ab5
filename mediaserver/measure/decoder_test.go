package measure

import (
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
	"github.com/streampair/streampair/mediaserver/testunits"
)

// keyFrames returns the key frames of a programme.
func keyFrames(t *testing.T) []*stream.AccessUnit {
	t.Helper()
	path := mediatest.File(t, mediatest.Spec{GOP: time.Second, NoAudio: true, Width: 640, Height: 360})
	var keys []*stream.AccessUnit
	for _, u := range testunits.Of(stream.Video, testunits.Load(t, path)) {
		if u.IDR {
			keys = append(keys, u)
		}
	}
	return keys
}

func TestEachKeyFrameIsDecodedAtOnce(t *testing.T) {
	path, keys := mediatest.RequireFFmpeg(t), keyFrames(t)
	d, err := startDecoder(path, keys[0].Format, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		d.decode(key, time.Now())
		select {
		case f, ok := <-d.frames:
			if !ok || f.at != key.PTS {
				t.Fatalf("key frame %d: ok %v, time %v", i, ok, f.at)
			}
			d.since = time.Time{}
		case <-time.After(20 * time.Second):
			t.Fatalf("key frame %d is not decoded", i)
		}
	}
	d.Stop()
	<-d.Done
}
