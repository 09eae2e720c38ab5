// Package control holds the wire types of a media pod's command port, shared by the
// operator and the media server. It has no logic.
//
//	GET  /v1/status                Status
//	GET  /v1/events                server-sent events named "status", each a whole Status
//	PUT  /v1/config                a manifest; the pairs it holds replace those declared
//	PUT  /v1/pairs/{name}/select   Selection
//
// Errors are answered as Error.
package control

import "time"

// Status is the state of one media server.
type Status struct {
	// Version of the media server, and BootID, which changes at every start.
	Version string `json:"version"`
	BootID  string `json:"bootID"`
	// StartTime is when it started.
	StartTime time.Time `json:"startTime"`
	// Addresses are those really bound, host:port.
	Addresses Addresses `json:"addresses"`
	// Viewers connected now.
	Viewers int      `json:"viewers"`
	Streams []Stream `json:"streams"`
	Pairs   []Pair   `json:"pairs"`
}

// Addresses are the bound addresses; empty: that port is off.
type Addresses struct {
	RTMP   string `json:"rtmp,omitempty"`
	RTMPS  string `json:"rtmps,omitempty"`
	HTTP   string `json:"http,omitempty"`
	HTTPS  string `json:"https,omitempty"`
	WebRTC string `json:"webrtc,omitempty"`
	// Probe and Control are the probe and the command port.
	Probe   string `json:"probe,omitempty"`
	Control string `json:"control,omitempty"`
}

// Stream is one stream that somebody publishes or asks for.
type Stream struct {
	App      string `json:"app"`
	StreamID string `json:"streamID"`
	// Publishing says that a publisher is connected.
	Publishing bool       `json:"publishing"`
	Protocol   string     `json:"protocol,omitempty"`
	Remote     string     `json:"remote,omitempty"`
	StartTime  *time.Time `json:"startTime,omitempty"`
	BitrateBPS int64      `json:"bitrateBPS,omitempty"`
	Video      *Track     `json:"video,omitempty"`
	Audio      *Track     `json:"audio,omitempty"`
	// EntryPoint says that viewers can begin with it: an IDR is cached.
	EntryPoint bool      `json:"entryPoint"`
	Warnings   []Warning `json:"warnings,omitempty"`
}

// Track is one track of a stream.
type Track struct {
	Codec  string `json:"codec"`
	Width  int    `json:"width,omitempty"`
	Height int    `json:"height,omitempty"`
	// FrameRate in pictures per second, as measured.
	FrameRate    float64 `json:"frameRate,omitempty"`
	SampleRateHz int     `json:"sampleRateHz,omitempty"`
	Channels     int     `json:"channels,omitempty"`
	// SilentMilliseconds is the time since its last access unit.
	SilentMilliseconds int64 `json:"silentMilliseconds"`
}

// Warning tells users about a stream that works less well than it could.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Pair is one pair, declared by a manifest or made on demand by a viewer's URL. A
// single stream that somebody watches is a pair without a backup.
type Pair struct {
	Name           string `json:"name"`
	Declared       bool   `json:"declared"`
	App            string `json:"app"`
	PrimaryID      string `json:"primaryStreamID"`
	BackupID       string `json:"backupStreamID,omitempty"`
	Active         string `json:"active,omitempty"`
	ActiveStreamID string `json:"activeStreamID,omitempty"`
	OnAir          bool   `json:"onAir"`
	Reason         string `json:"reason"`
	// SwitchingTo is the leg of a switch that waits for that leg's next IDR.
	SwitchingTo string `json:"switchingTo,omitempty"`
	// Since is when the active leg was put on air.
	Since    *time.Time `json:"since,omitempty"`
	Switches int        `json:"switches"`
	Select   string     `json:"select"`
	Viewers  int        `json:"viewers"`
	Legs     []Leg      `json:"legs"`
}

// Leg is the state of one leg of a pair.
type Leg struct {
	Role       string    `json:"role"`
	StreamID   string    `json:"streamID"`
	Live       bool      `json:"live"`
	Rank       string    `json:"rank"`
	EntryPoint bool      `json:"entryPoint"`
	Warnings   []Warning `json:"warnings,omitempty"`
}

// Selection pins a leg: Auto, Primary or Backup.
type Selection struct {
	Select string `json:"select"`
}

// Error says what was wrong with a request, one line per mistake.
type Error struct {
	Errors []string `json:"errors"`
}
