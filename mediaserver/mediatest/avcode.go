package mediatest

import (
	"image/color"
)

// A TimeCode is what a programme's picture shows about itself.
type TimeCode struct {
	// Leg is the identity of the encoder, 0 to 3.
	Leg int
	// Frame counts pictures from the beginning of the programme, modulo MaxFrames.
	Frame int
}

// MaxFrames is how many pictures have different time codes: 9 minutes at 30 pictures a second.
const MaxFrames = 1 << frameBits

// The code is a row of blocks across the top sixth of the picture, each black or white.
// First come one white and one black block for reference, then leg, frame and a check,
// highest bits first. Such large blocks survive any usable compression.
const (
	legBits, frameBits, checkBits = 2, 14, 4

	codeBlocks = 2 + legBits + frameBits + checkBits
	// codeRows gives the height of the row: 1/codeRows of the picture's height.
	codeRows = 6
)

// value returns the bits of the code as a number, without the two reference blocks.
func (c TimeCode) value() uint32 {
	v := uint32(c.Leg)<<frameBits | uint32(c.Frame%MaxFrames)
	// With 0x5, neither an all black nor an all white row passes the check.
	check := (v ^ v>>4 ^ v>>8 ^ v>>12 ^ 0x5) & (1<<checkBits - 1)
	return v<<checkBits | check
}

// blocks reports for each block whether it is white.
func (c TimeCode) blocks() (white [codeBlocks]bool) {
	white[0] = true
	v := c.value()
	for i := range codeBlocks - 2 {
		white[2+i] = v>>(codeBlocks-3-i)&1 == 1
	}
	return white
}

// draw writes the code into the luma plane of a picture.
func (c TimeCode) draw(luma []byte, width, height int) {
	for i, white := range c.blocks() {
		y := byte(lumaBlack)
		if white {
			y = lumaWhite
		}
		fillRect(luma, width, i*width/codeBlocks, 0, (i+1)*width/codeBlocks, height/codeRows, y)
	}
}

// ReadTimeCode reads the code of a picture from its luma plane. ok is false if the
// picture has no code that can be read reliably.
func ReadTimeCode(luma []byte, width, height int) (c TimeCode, ok bool) {
	if len(luma) < width*height || width < 2*codeBlocks || height < 2*codeRows {
		return TimeCode{}, false
	}
	var levels [codeBlocks]int
	for i := range levels {
		// Only the middle half of each block is read, because edges blur.
		x0, x1 := i*width/codeBlocks, (i+1)*width/codeBlocks
		quarter := (x1 - x0) / 4
		levels[i] = meanRect(luma, width, x0+quarter, height/codeRows/4, x1-quarter, height/codeRows*3/4)
	}
	white, black := levels[0], levels[1]
	if white-black < 80 {
		return TimeCode{}, false
	}
	var v uint32
	for _, level := range levels[2:] {
		place := (level - black) * 100 / (white - black) // 0 black, 100 white
		if place > 35 && place < 65 {
			return TimeCode{}, false // neither black nor white
		}
		v <<= 1
		if place >= 50 {
			v |= 1
		}
	}
	c = TimeCode{Leg: int(v >> (checkBits + frameBits)), Frame: int(v >> checkBits & (MaxFrames - 1))}
	return c, c.value() == v
}

// TimeCodeJS is a JavaScript function of a <video> element, or of anything that
// drawImage takes. It returns {leg, frame, flash} of the picture that is shown, or
// null if the picture has no readable time code.
const TimeCodeJS = `(video) => {
	const blocks = 22, w = blocks * 8, h = 96, row = h / 6;
	const c = globalThis.__timeCodeCanvas ??= Object.assign(document.createElement("canvas"), {width: w, height: h});
	const g = c.getContext("2d", {willReadFrequently: true});
	g.clearRect(0, 0, w, h); // a video without a picture draws nothing
	g.drawImage(video, 0, 0, w, h);
	const d = g.getImageData(0, 0, w, h).data;
	const mean = (x0, y0, x1, y1) => {
		let s = 0, n = 0;
		for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++, n++) s += d[4 * (y * w + x) + 1];
		return s / n;
	};
	const level = (i) => mean(i * 8 + 2, row / 4, i * 8 + 6, row * 3 / 4);
	const white = level(0), black = level(1);
	if (white - black < 90) return null;
	let v = 0;
	for (let i = 2; i < blocks; i++) {
		const place = (level(i) - black) / (white - black);
		if (place > 0.35 && place < 0.65) return null;
		v = v * 2 + (place >= 0.5 ? 1 : 0);
	}
	const code = v >> 4;
	if (((code ^ code >> 4 ^ code >> 8 ^ code >> 12 ^ 5) & 15) !== (v & 15)) return null;
	const flash = mean(w * 7 / 16, h * 9 / 16, w * 9 / 16, h * 12 / 16) > (white + black) / 2;
	return {leg: code >> 14, frame: code & 16383, flash};
}`

// LegColor returns the colour at the lower edge of a leg's pictures.
func LegColor(leg int) color.YCbCr {
	rgb := [...]color.RGBA{
		{R: 32, G: 64, B: 192}, {R: 208, G: 112, B: 16}, {R: 16, G: 144, B: 48}, {R: 160, G: 32, B: 144},
	}[leg&3]
	y, cb, cr := color.RGBToYCbCr(rgb.R, rgb.G, rgb.B)
	// Go's values have the full range. Video's have 16 to 235 (luma) and 16 to 240
	// (chroma), BT.601.
	limit := func(v byte, from, span int) byte { return byte(from + (int(v)*span+127)/255) }
	return color.YCbCr{Y: limit(y, 16, 219), Cb: limit(cb, 16, 224), Cr: limit(cr, 16, 224)}
}

const (
	lumaBlack = 16
	lumaWhite = 235
)

func fillRect(plane []byte, stride, x0, y0, x1, y1 int, v byte) {
	for y := y0; y < y1; y++ {
		row := plane[y*stride+x0 : y*stride+x1]
		for i := range row {
			row[i] = v
		}
	}
}

func meanRect(plane []byte, stride, x0, y0, x1, y1 int) int {
	sum, n := 0, 0
	for y := y0; y < y1; y++ {
		for _, v := range plane[y*stride+x0 : y*stride+x1] {
			sum += int(v)
			n++
		}
	}
	return sum / max(n, 1)
}
