package antmedia

// A message is a message of either side. Each is one JSON object.
type message struct {
	Command  string `json:"command"`
	StreamID string `json:"streamId,omitempty"`
	Token    string `json:"token,omitempty"`

	// SDP is an offer or an answer, by Type. IDMapping names the stream of each section of an offer.
	Type      string            `json:"type,omitempty"`
	SDP       string            `json:"sdp,omitempty"`
	IDMapping map[string]string `json:"idMapping,omitempty"`

	// Definition says what a notification or an error is about. ErrorCode is a status of HTTP.
	Definition string `json:"definition,omitempty"`
	ErrorCode  string `json:"error_code,omitempty"`
	Message    string `json:"errorMessage,omitempty"`

	StreamInfo    []streamInfo `json:"streamInfo,omitempty"`
	TrackList     *[]string    `json:"trackList,omitempty"`
	STUNServerURI *string      `json:"stunServerUri,omitempty"`
	TURNUsername  string       `json:"turnServerUsername,omitempty"`
	TURNPassword  string       `json:"turnServerCredential,omitempty"`
}

// A streamInfo is a quality in which a stream can be had.
type streamInfo struct {
	Width        int    `json:"streamWidth"`
	Height       int    `json:"streamHeight"`
	VideoBitrate int64  `json:"videoBitrate"`
	AudioBitrate int64  `json:"audioBitrate"`
	VideoCodec   string `json:"videoCodec"`
}

// Commands of clients.
const (
	commandPlay          = "play"
	commandPublish       = "publish"
	commandStop          = "stop"
	commandConfiguration = "takeConfiguration"
	commandCandidate     = "takeCandidate"
	commandPing          = "ping"
	commandICEServers    = "getIceServerConfig"
	commandStreamInfo    = "getStreamInfo"
	commandTrackList     = "getTrackList"
	commandQuality       = "forceStreamQuality"
)

// Commands of the server.
const (
	commandStart           = "start"
	commandPong            = "pong"
	commandNotification    = "notification"
	commandError           = "error"
	commandICEServerConfig = "iceServerConfig"
	commandInformation     = "streamInformation"
	commandTracks          = "trackList"
)

// Types of a takeConfiguration.
const (
	typeOffer  = "offer"
	typeAnswer = "answer"
)

// Definitions of notifications and errors, as clients know them.
const (
	definitionPlayStarted     = "play_started"
	definitionPlayFinished    = "play_finished"
	definitionPublishStarted  = "publish_started"
	definitionPublishFinished = "publish_finished"

	definitionNoStream     = "no_stream_exist"
	definitionUnauthorized = "unauthorized_access"
	definitionInUse        = "streamIdInUse"
	definitionNoName       = "noStreamNameSpecified"
	definitionInvalidName  = "invalidStreamName"
	definitionOverload     = "highResourceUsage"
	definitionNotSet       = "notSetRemoteDescription"
)
