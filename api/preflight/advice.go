package preflight

// An advice is what to set for one code, in OBS and in ffmpeg.
type advice struct{ obs, ffmpeg string }

const (
	output = "Settings, Output, Streaming: "
	audio  = "Settings, Audio: "
)

var (
	setH264      = advice{output + "a Video Encoder for H.264, such as x264.", "-c:v libx264 -pix_fmt yuv420p"}
	setKeyFrames = advice{output + "Keyframe Interval 2 s.", `-force_key_frames "expr:gte(t,n_forced*2)", or -g with twice the frame rate`}
	setAAC       = advice{audio + "Channels Stereo, 48 kHz; " + output + "Audio Encoder AAC.", "-c:a aac -ar 48000 -ac 2"}
	setSource    = advice{"Unmute a source, and look at the meters of the Audio Mixer.", "-map the audio stream of the input, and measure it with -af ebur128"}
	setLevel     = advice{"Set the sources in the Audio Mixer so that speech is at some -20 to -12 dB.", "-af loudnorm=I=-18:TP=-1.5"}
	setRestart   = advice{"Stop and start streaming; update OBS.", "restart ffmpeg, with -c:v libx264 -c:a aac"}
	setFrameRate = advice{"Settings, Video: 25 to 60 FPS, and look at View, Stats for skipped frames.", "-r 30, and look whether speed= stays at 1x"}
	setBitrate   = advice{output + "Rate Control CBR, Bitrate 2500 to 6000 Kbps.", "-b:v 4M -maxrate 4M -bufsize 4M"}
	setTrack     = advice{output + "one Audio Track.", "-map 0:v:0 -map 0:a:0"}
	setSame      = advice{"Use the same profile at both encoders.", "use the same arguments at both encoders"}
)

// SettingsFor returns what to set in OBS and in ffmpeg for the code of a finding. Both are empty if no
// encoder's setting mends what the code tells.
func SettingsFor(code string) (obs, ffmpeg string) {
	set := advices[code]
	return set.obs, set.ffmpeg
}

// advices are by the code of a finding. Codes that no encoder's setting mends are not listed.
var advices = map[string]advice{
	"AccessUnitTooLarge": setBitrate,
	"BFrames":            {output + "Max B-frames 0; x264: Tune zerolatency.", "-bf 0, or -tune zerolatency"},
	"BurstyInput":        {output + "Rate Control CBR; look at View, Stats for dropped frames.", "-re for files; -b:v 4M -maxrate 4M -bufsize 4M"},
	"ChannelsDiffer":     setSame,
	"ClippedSound":       {"Lower the sources in the Audio Mixer, or add a Limiter filter at -3 dB.", "-af loudnorm=I=-18:TP=-1.5"},
	"ClockJumps":         {"Stop and start streaming; remove media sources that loop with a gap.", "-re -fflags +genpts, and no -stream_loop over files with gaps"},
	"DeadChannel":        {"Advanced Audio Properties: set Mono for a source that has one channel only.", "-af pan=stereo|c0=c0|c1=c0"},
	"DifferentSound":     {"Give both encoders the same sound.", "give both encoders the same sound"},
	"Drift":              {"Synchronise the clocks of both machines (NTP), and use the same audio device or source.", "-af aresample=async=1"},
	"HighBitrate":        setBitrate,
	"KeyFrameInterval":   setKeyFrames,
	"LargePicture":       {"Settings, Video: Output Resolution 1920x1080.", "-vf scale=1920:-2"},
	"LimitedVideo":       {"Settings, Advanced: Color Format NV12 or I420; deinterlace interlaced sources.", "-pix_fmt yuv420p; -vf bwdif for an interlaced input"},
	"LoudnessDiffers":    setLevel,
	"LoudSound":          setLevel,
	"LowBitrate":         setBitrate,
	"LowFrameRate":       setFrameRate,
	"MalformedAudio":     setRestart,
	"MalformedVideo":     setRestart,
	"MissingVideo":       setH264,
	"MixedSound":         setSame,
	"Multitrack":         setTrack,
	"NoAudioPackets":     setSource,
	"NoEntryPoint":       setKeyFrames,
	"NoIDR":              {output + "x264 Options intra-refresh=0 open-gop=0.", "-x264-params intra-refresh=0:open-gop=0"},
	"NonSquarePixels":    {"Settings, Video: an Output Resolution of the same shape as the canvas.", "-vf scale=1920:1080,setsar=1"},
	"NoPicture":          setKeyFrames,
	"NoSound":            setAAC,
	"NoVideo":            setH264,
	"NoVideoPackets":     setH264,
	"OutOfStep":          {"Settings, Advanced: Stream Delay at the encoder that is ahead.", "delay the input of the encoder that is ahead, such as by -vf tpad=start_duration=2 -af adelay=2s:all=1"},
	"ParametersChange":   {"Settings, Video: one Output Resolution.", "-vf scale=1920:1080 -profile:v high"},
	"QuietSound":         setLevel,
	"RateDiffers":        setSame,
	"ReencodedAudio":     setAAC,
	"ResampledSound":     setAAC,
	"SeveralPrograms":    setTrack,
	"SilentSound":        setSource,
	"SizeDiffers":        setSame,
	"StreamEnded":        setRestart,
	"SoundNotMeasured":   setAAC,
	"TranscodeFailed":    setRestart,
	"TranscodesFull":     {output + "Max B-frames 0; Color Format NV12.", "-bf 0 -pix_fmt yuv420p"},
	"UnsteadyFrameRate":  setFrameRate,
	"UnsupportedAudio":   setAAC,
	"UnsupportedVideo":   setH264,
}
