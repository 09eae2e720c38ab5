package mediatest

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/png"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTimeCodeIsReadInABrowser(t *testing.T) {
	ctx := Browser(t)
	Open(t, ctx, "about:blank")
	type seen struct {
		Leg, Frame int
		Flash      bool
	}
	p := Programme{Leg: 2, Width: 640, Height: 360, FPS: 30}.withDefaults()
	for _, frame := range []int{0, 2, 3, 31, 239} {
		picture := make([]byte, p.Width*p.Height*3/2)
		p.draw(picture, frame)
		gray := image.NewGray(image.Rect(0, 0, p.Width, p.Height))
		copy(gray.Pix, picture)
		var file bytes.Buffer
		if err := png.Encode(&file, gray); err != nil {
			t.Fatal(err)
		}
		got := Eval[*seen](t, ctx, `(async () => {
			const img = new Image();
			img.src = "data:image/png;base64,`+base64.StdEncoding.EncodeToString(file.Bytes())+`";
			await img.decode();
			return (`+TimeCodeJS+`)(img);
		})()`)
		if d := cmp.Diff(&seen{2, frame, frame%30 < 3}, got); d != "" {
			t.Errorf("frame %d: %s", frame, d)
		}
	}
	got := Eval[*seen](t, ctx, `(`+TimeCodeJS+`)(Object.assign(document.createElement("canvas"), {width: 640, height: 360}))`)
	if got != nil {
		t.Errorf("an empty picture shows %+v", got)
	}
}
