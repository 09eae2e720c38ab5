package rtmp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/mediatest"
	"github.com/streampair/streampair/mediaserver/stream"
)

func keyOf(name string) stream.Key {
	id, _, _ := strings.Cut(name, "?")
	return stream.Key{App: "live", ID: id}
}

// An attack is what a client does. Either the connection is refused for a reason, or it
// survives. A client that survives must still be able to publish.
type attack struct {
	run     func(c *client, name string)
	refused Reason
	dropped Reason // a message of the attack is dropped for that reason
}

// nest sends a command whose values are nested as deeply as the message allows.
func nest(c *client, opening []byte) {
	c.setChunkSize(0xffffff)
	p := append(amf("connect", 1.0), amfObject)
	p = append(p, bytes.Repeat(opening, (60<<10)/len(opening))...)
	c.message(3, typeCommand, 0, 0, p)
}

// raw returns a chunk of type 0. Its header may state a wrong length.
func raw(chunkStream byte, typ messageType, length int, data []byte) []byte {
	b := []byte{chunkStream, 0, 0, 0, byte(length >> 16), byte(length >> 8), byte(length), byte(typ), 1, 0, 0, 0}
	return append(b, data...)
}

// attacks are the probes that crashed, bloated or cut off go-rtmp without a guard, and others.
var attacks = map[string]attack{
	"deep objects":       {refused: ReasonAMF, run: func(c *client, _ string) { nest(c, []byte{0, 1, 'a', amfObject}) }},
	"deep arrays":        {refused: ReasonAMF, run: func(c *client, _ string) { nest(c, []byte{amfStrictArray, 0, 0, 0, 1}) }},
	"deep ECMA arrays":   {refused: ReasonAMF, run: func(c *client, _ string) { nest(c, []byte{0, 1, 'a', amfECMAArray, 0, 0, 0, 1}) }},
	"deep typed objects": {refused: ReasonAMF, run: func(c *client, _ string) { nest(c, []byte{0, 1, 'a', amfTypedObject, 0, 0}) }},
	"huge array length": {refused: ReasonAMF, run: func(c *client, _ string) {
		c.connect(key("fourCcList"), []byte{amfStrictArray, 0x7f, 0xff, 0xff, 0xff})
	}},
	"huge string length": {refused: ReasonAMF, run: func(c *client, _ string) {
		c.connect(key("x"), []byte{amfLongString, 0xff, 0xff, 0xff, 0xff})
	}},
	"many values": {refused: ReasonAMF, run: func(c *client, _ string) {
		c.connect(bytes.Repeat(append(key("k"), amfNull), 2000))
	}},
	"unknown AMF0 marker": {refused: ReasonAMF, run: func(c *client, _ string) { c.connect(key("x"), []byte{0x55}) }},
	"Enhanced RTMP connect, then HEVC": {refused: ReasonUnsupportedCodec, run: func(c *client, name string) {
		c.connect(key("fourCcList"), []byte{amfStrictArray, 0, 0, 0, 3}, amf("av01", "vp09", "hvc1"), key("videoFunction"), amf(1.0), key("capsEx"), amf(7.0))
		c.command(0, "createStream", 2.0, nil)
		c.command(1, "publish", 3.0, nil, name, "live")
		c.waitFor("NetStream.Publish.Start")
		for range feed.MaxUnusable {
			c.message(6, typeVideo, 1, 0, []byte{0x90, 'h', 'v', 'c', '1'}, make([]byte, 40))
		}
		c.waitFor("HEVC (H.265) is not supported")
	}},
	"undefined in connect": {run: func(c *client, name string) { connectWith(c, name, key("pageUrl"), []byte{amfUndefined}) }},
	"wrong types in connect": {run: func(c *client, name string) {
		connectWith(c, name, key("fpad"), amf(0.0), key("videoCodecs"), amf("x"))
	}},
	"date in connect": {run: func(c *client, name string) {
		connectWith(c, name, key("d"), make([]byte, 0), append([]byte{amfDate}, make([]byte, 10)...))
	}},
	"invalid UTF-8":          {run: func(c *client, name string) { connectWith(c, name, key("flashVer"), amf("\xff\xfe")) }},
	"long string in connect": {run: func(c *client, name string) { connectWith(c, name, key("a"), []byte{amfLongString, 0, 0, 0, 1, 'x'}) }},
	"object in an array": {run: func(c *client, name string) {
		connectWith(c, name, key("a"), []byte{amfStrictArray, 0, 0, 0, 1, amfObject, 0, 0, 9})
	}},
	"NaN as transaction": {run: func(c *client, name string) {
		publishVia(c, name, func() {
			c.message(3, typeCommand, 0, 0, amf("createStream"), []byte{0, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1, 5})
		})
	}},
	"second connect":         {dropped: ReasonUnknownCommand, run: func(c *client, name string) { c.publish(name); c.connect() }},
	"unasked result":         {dropped: ReasonUnknownCommand, run: func(c *client, name string) { c.publish(name); c.command(0, "_result", 99.0, nil) }},
	"unknown command":        {dropped: ReasonUnknownCommand, run: func(c *client, name string) { c.publish(name); c.command(0, "_checkbw", 5.0, nil) }},
	"command without a name": {dropped: ReasonUnknownCommand, run: func(c *client, name string) { c.publish(name); c.command(0, 1.0, 2.0) }},
	"publish without a name": {refused: ReasonInvalidName, run: func(c *client, _ string) {
		c.connect()
		c.command(0, "createStream", 2.0, nil)
		c.command(1, "publish", 3.0, nil, nil)
	}},
	"publish twice": {refused: ReasonStreamInUse, run: func(c *client, name string) {
		c.publish(name)
		c.command(0, "createStream", 4.0, nil)
		c.command(2, "publish", 3.0, nil, name)
	}},
	"publish before connect": {refused: ReasonPublishTimeout, run: func(c *client, name string) { c.command(1, "publish", 3.0, nil, name, "live") }},
	"publish on no stream": {dropped: ReasonStreamID, run: func(c *client, name string) {
		c.connect()
		c.command(5, "publish", 3.0, nil, name, "live")
		c.command(0, "createStream", 2.0, nil)
		c.command(1, "publish", 3.0, nil, name, "live")
	}},
	"delete of no stream": {dropped: ReasonStreamID, run: func(c *client, name string) { c.publish(name); c.command(0, "deleteStream", 0.0, nil, 1e300) }},
	"hundred streams": {dropped: ReasonStreamID, run: func(c *client, name string) {
		c.publish(name)
		for range 100 {
			c.command(0, "createStream", 2.0, nil)
		}
	}},
	"play": {refused: ReasonPlay, run: func(c *client, name string) {
		c.connect()
		c.command(0, "createStream", 2.0, nil)
		c.command(1, "play", 3.0, nil, name)
		c.waitFor("NetStream.Play.Failed")
	}},
	"AMF3 command": {run: func(c *client, name string) { publishVia(c, name, nil) }},
	"real AMF3":    {dropped: ReasonAMF3, run: func(c *client, name string) { c.publish(name); c.message(3, typeCommandAMF3, 0, 0, []byte{0x11, 1, 2}) }},
	"AMF3 data": {run: func(c *client, name string) {
		c.publish(name)
		c.message(4, typeDataAMF3, 1, 0, []byte{0}, amf("onMetaData"))
	}},
	"metadata, odd": {run: func(c *client, name string) {
		c.publish(name)
		c.message(4, typeData, 1, 0, amf("onMetaData"), []byte{3, 0, 1, 'a', 12, 0, 0, 0, 1, 'x', 0, 0, 9})
	}},
	"metadata, undefined": {run: func(c *client, name string) {
		c.publish(name)
		c.message(4, typeData, 1, 0, amf("@setDataFrame", "onMetaData"), []byte{8, 0, 0, 0, 1, 0, 1, 'a', 6, 0, 0, 9})
	}},
	"empty audio":   {dropped: ReasonEmpty, run: func(c *client, name string) { c.publish(name); c.message(4, typeAudio, 1, 10) }},
	"empty video":   {dropped: ReasonEmpty, run: func(c *client, name string) { c.publish(name); c.message(6, typeVideo, 1, 10) }},
	"empty command": {dropped: ReasonEmpty, run: func(c *client, name string) { c.publish(name); c.message(3, typeCommand, 0, 10) }},
	"unknown type":  {dropped: ReasonUnknownType, run: func(c *client, name string) { c.publish(name); c.message(4, 99, 1, 10, []byte{1, 2, 3}) }},
	"shared object": {dropped: ReasonUnknownType, run: func(c *client, name string) { c.publish(name); c.message(4, 19, 1, 10, []byte{1, 2, 3}) }},
	"malformed aggregate": {dropped: ReasonAggregate, run: func(c *client, name string) {
		c.publish(name)
		c.message(6, typeAggregate, 1, 10, []byte{9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1})
	}},
	"aggregate in aggregate": {dropped: ReasonAggregate, run: func(c *client, name string) {
		c.publish(name)
		c.message(6, typeAggregate, 1, 10, []byte{22, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 12})
	}},
	"user control": {run: func(c *client, name string) {
		c.publish(name)
		c.message(2, typeUserControl, 0, 0, []byte{0, 31, 0, 0, 0, 0})
		c.message(2, typeUserControl, 0, 0, []byte{0})
	}},
	"one byte of ack window": {dropped: ReasonAckWindow, run: func(c *client, name string) { c.publish(name); c.message(2, typeAckWindow, 0, 0, []byte{0, 0, 0, 1}) }},
	"short ack window":       {dropped: ReasonAckWindow, run: func(c *client, name string) { c.publish(name); c.message(2, typeAckWindow, 0, 0, []byte{1}) }},
	"acknowledged ack window": {run: func(c *client, name string) {
		c.publish(name)
		c.message(2, typeAckWindow, 0, 0, []byte{0, 0x26, 0x25, 0xa0})
	}},
	"abort of a stranger": {run: func(c *client, name string) {
		c.publish(name)
		c.message(2, typeAbort, 0, 0, []byte{0, 0, 0, 77})
		c.message(2, typeAbort, 0, 0, []byte{0, 0, 0, 2})
	}},
	"abort within a message": {run: func(c *client, name string) {
		c.publish(name)
		c.send(raw(7, typeVideo, 1000, make([]byte, 128)))
		c.message(2, typeAbort, 0, 0, []byte{0, 0, 0, 7})
	}},
	"chunk size 0": {refused: ReasonChunkSize, run: func(c *client, name string) {
		c.publish(name)
		c.message(2, typeSetChunkSize, 0, 0, []byte{0, 0, 0, 0})
	}},
	"chunk size 2^31": {refused: ReasonChunkSize, run: func(c *client, name string) {
		c.publish(name)
		c.message(2, typeSetChunkSize, 0, 0, []byte{0x80, 0, 0, 0})
	}},
	"chunk size 1": {run: func(c *client, name string) { c.publish(name); c.setChunkSize(1) }},
	"chunk size 2^31-1": {run: func(c *client, name string) {
		c.publish(name)
		c.message(2, typeSetChunkSize, 0, 0, []byte{0x7f, 0xff, 0xff, 0xff})
		c.chunkSize = 0xffffff
	}},
	"headless chunk": {refused: ReasonChunkHeader, run: func(c *client, _ string) { c.send([]byte{3<<6 | 9}) }},
	"16 MB of video": {dropped: ReasonMessageSize, run: func(c *client, name string) {
		c.publish(name)
		c.setChunkSize(0xffffff)
		c.send(raw(6, typeVideo, 255<<16, nil))
		c.flood(255 << 16)
	}},
	"6 MB of filler data": {run: func(c *client, name string) {
		c.publish(name)
		c.setChunkSize(0xffffff)
		c.message(6, typeVideo, 1, 0, videoConfig())
		filler := append([]byte{12}, bytes.Repeat([]byte{0xff}, 6<<20)...)
		c.message(6, typeVideo, 1, 0, picture(true, 50), binary.BigEndian.AppendUint32(nil, uint32(len(filler))), filler)
	}},
	"1 MB of audio": {dropped: ReasonMessageSize, run: func(c *client, name string) {
		c.publish(name)
		c.message(4, typeAudio, 1, 0, make([]byte, 1<<20))
	}},
	"70 KiB of data": {dropped: ReasonMessageSize, run: func(c *client, name string) {
		c.publish(name)
		c.message(4, typeData, 1, 0, make([]byte, 70<<10))
	}},
	"1 MB of command": {refused: ReasonMessageSize, run: func(c *client, _ string) { c.send(raw(3, typeCommand, 1<<20, nil)) }},
	"flood before publishing": {refused: ReasonTooMuchBeforehand, run: func(c *client, _ string) {
		c.setChunkSize(1 << 20)
		c.send(raw(6, typeVideo, 4<<20, nil))
		c.flood(8 << 20)
	}},
	"media before publishing": {dropped: ReasonNotPublishing, run: func(c *client, name string) { c.message(6, typeVideo, 1, 0, videoConfig()); c.publish(name) }},
	"unfinished on many streams": {refused: ReasonUnfinished, run: func(c *client, name string) {
		c.publish(name)
		c.setChunkSize(1 << 20)
		b := make([]byte, 1<<20)
		for id := byte(8); id < 16; id++ {
			if !c.send(raw(id, typeVideo, 4<<20, b)) {
				return
			}
		}
	}},
	"many chunk streams": {refused: ReasonChunkStreams, run: func(c *client, name string) {
		c.publish(name)
		for id := byte(8); id < 40; id++ {
			c.send(raw(id, typeAudio, 1, []byte{0xaf}))
		}
	}},
	"a million NAL units": {run: func(c *client, name string) {
		c.publish(name)
		c.setChunkSize(0xffffff)
		c.message(6, typeVideo, 1, 0, videoConfig())
		c.message(6, typeVideo, 1, 0, []byte{0x17, 1, 0, 0, 0}, bytes.Repeat([]byte{0, 0, 0, 1, 0x65}, 800_000))
	}},
	"garbage for ever": {refused: ReasonMalformedMedia, run: func(c *client, name string) {
		c.publish(name)
		for range feed.MaxUnusable {
			c.message(6, typeVideo, 1, 0, []byte{0x17, 1, 0, 0, 0, 9, 9, 9, 9, 9})
		}
		c.waitFor("the stream cannot be used")
	}},
	"malformed sequence headers": {run: func(c *client, name string) {
		c.publish(name)
		record := videoConfig()
		for n := range record {
			c.message(6, typeVideo, 1, 0, record[:n])
		}
		c.message(4, typeAudio, 1, 0, []byte{0xaf, 0, 0xff})
		c.message(4, typeAudio, 1, 0, []byte{0xaf, 1, 0xff})
		c.message(4, typeAudio, 1, 0, []byte{0x90, 'O', 'p', 'u', 's', 0})
	}},
	"clock that jumps by 24 days": {run: func(c *client, name string) {
		c.publish(name)
		c.message(6, typeVideo, 1, 0, videoConfig())
		for i := range uint32(200) {
			c.message(6, typeVideo, 1, i*2_100_000_000, picture(true, 50))
		}
	}},
}

// connectWith publishes after a connect with odd properties.
func connectWith(c *client, name string, extra ...[]byte) {
	c.connect(extra...)
	c.command(0, "createStream", 2.0, nil)
	c.command(1, "publish", 3.0, nil, name, "live")
	c.waitFor("NetStream.Publish.Start")
}

// publishVia publishes after an AMF3 connect. It uses create for createStream if create is not nil.
func publishVia(c *client, name string, create func()) {
	c.message(3, typeCommandAMF3, 0, 0, []byte{0}, connectCommand("live"))
	if create == nil {
		create = func() { c.message(3, typeCommandAMF3, 0, 0, []byte{0}, amf("createStream", 2.0, nil)) }
	}
	create()
	c.message(3, typeCommandAMF3, 1, 0, []byte{0}, amf("publish", 3.0, nil, name, "live"))
	c.waitFor("NetStream.Publish.Start")
}

// heapPeak watches the memory of Go objects until the test ends.
func heapPeak(t *testing.T) func() uint64 {
	runtime.GC()
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		var peak uint64
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			metrics.Read(sample)
			peak = max(peak, sample[0].Value.Uint64())
			select {
			case <-stop:
				done <- peak
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-done
	}
}

// All attacks run at once, beside an honest publisher.
func TestAttacks(t *testing.T) {
	h := start(t, func(c *Config) { c.Limits.PublishTimeout = 5 * time.Second })
	mediatest.Publish(t, mediatest.File(t, mediatest.Spec{GOP: time.Second}), h.url("/live/primary"), "-stream_loop", "-1")
	sub := h.subscribe(live)
	h.receive(sub, func(r *received) bool { return r.video >= 10 })
	honest := h.registry.Stream(live).Snapshot().Publication.ID
	peak := heapPeak(t)

	t.Run("attacks", func(t *testing.T) {
		for name, a := range attacks {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := &harness{t, h.server, h.registry, h.metrics}
				before := h.guardRefusals(a.dropped)
				c := h.dial()
				id := strings.NewReplacer(" ", "-", ",", "", "^", "").Replace(name)
				a.run(c, id)
				if a.refused != "" {
					c.waitClosed()
					eventually.True(h, fmt.Sprintf("a refusal for %s is counted", a.refused), func() bool {
						return h.guardRefusals(a.refused)+h.publishRefusals(a.refused) > 0
					})
					return
				}
				h.showsPictures(c, id, 1000)
				if a.dropped != "" && h.guardRefusals(a.dropped) == before {
					t.Errorf("nothing dropped for %s", a.dropped)
				}
			})
		}
	})

	got := h.receive(sub, func(r *received) bool { return len(r.units) >= 30 })
	last := got.units[0]
	for _, u := range got.units {
		if u.Kind == last.Kind && u.DTS-last.DTS > time.Second {
			t.Errorf("the honest publisher's stream has a gap of %v", u.DTS-last.DTS)
		}
		if u.Kind == last.Kind {
			last = u
		}
	}
	if p := h.registry.Stream(live).Snapshot().Publication; p == nil || p.ID != honest {
		t.Error("the honest publisher was cut off")
	}
	if n := h.guardRefusals(ReasonPanic); n != 0 {
		t.Errorf("%d panics", n)
	}
	p := peak()
	t.Logf("%d attacks, peak heap %.1f MB", len(attacks), float64(p)/1e6)
	if p > 50e6 {
		t.Errorf("the heap grew to %d MB", p/1e6)
	}
}
