package transcode

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/streampair/streampair/mediaserver/stream"
)

// keyframeSeconds is the child's GOP, in seconds.
const keyframeSeconds = 2

// childArgs returns ffmpeg's arguments. These were measured. Without -probesize and the
// like, ffmpeg examines 5 s of input first. -analyzeduration 0 does not help, because 0
// means the default. With -fflags nobuffer it loses the input that it examined. Slice
// threads are used because each frame thread would hold back a picture.
func childArgs(bitrateBPS int64, from time.Duration, trim, interlaced bool) []string {
	args := strings.Fields("-hide_banner -nostdin -loglevel error" +
		" -copyts -thread_type slice -probesize 20000 -analyzeduration 1 -fpsprobesize 0 -f flv -i pipe:0 -an")
	var filters []string
	if trim {
		filters = append(filters, fmt.Sprintf("trim=start=%.3f", from.Seconds()))
	}
	if interlaced {
		// Frames that are marked as interlaced become one picture each.
		filters = append(filters, "bwdif=mode=send_frame:deint=interlaced")
	}
	if len(filters) > 0 {
		args = append(args, "-vf", strings.Join(filters, ","))
	}
	rate := strconv.FormatInt(bitrateBPS, 10)
	args = append(args,
		"-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-bf", "0", "-pix_fmt", "yuv420p",
		"-threads", strconv.Itoa(min(runtime.NumCPU(), 4)),
		"-crf", "20", "-maxrate", rate, "-bufsize", rate,
		"-g", "600", "-sc_threshold", "0",
		"-force_key_frames", fmt.Sprintf("expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+%d))", keyframeSeconds),
		"-enc_time_base", "1:1000")
	return append(args, strings.Fields("-f flv -flvflags no_duration_filesize -flush_packets 1 pipe:1")...)
}

// childBitrate returns the output's maximum bit rate: 1.5 times the source's. An
// encoder without B-frames and look-ahead needs more for the same picture. measured is
// the source's bit rate, or 0 while it is unknown.
func childBitrate(since []*stream.AccessUnit, measured int64) int64 {
	const floor, ceiling = 500_000, 20_000_000
	rate := float64(measured)
	if span := since[len(since)-1].DTS - since[0].DTS; rate == 0 && span >= time.Second {
		size := 0
		for _, u := range since {
			size += u.Size()
		}
		rate = float64(size) * 8 / span.Seconds()
	}
	if rate == 0 { // an IDR with little else does not show the rate: estimate it from the picture's size
		f := since[0].Format
		fps := f.FrameRate
		if fps <= 0 {
			fps = 30
		}
		rate = float64(f.Width*f.Height) * fps * 0.08
	}
	return min(max(int64(rate*1.5), floor), ceiling)
}
