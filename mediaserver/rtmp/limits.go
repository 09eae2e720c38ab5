package rtmp

import "time"

// Limits bound what clients may cost. The zero value of each field means its default.
type Limits struct {
	// MaxConnections, without those that linger; default 1024. One more pushes out one that
	// does not publish, if there is one.
	MaxConnections int
	// MaxUnauthenticated connections that have not begun to publish; default 64. One
	// more pushes out the oldest of the address with the most, so that idle strangers cannot
	// lock publishers out.
	MaxUnauthenticated int
	// MaxLingering refused connections whose client has not read why; default 128. One more
	// ends the oldest of the address with the most at once.
	MaxLingering int
	// MaxBytesBeforePublish a connection may send until it publishes, the handshake
	// included; default 64 KiB.
	MaxBytesBeforePublish int
	// MaxVideoMessage and MaxAudioMessage in bytes; defaults 4 MiB and 64 KiB.
	MaxVideoMessage, MaxAudioMessage int
	// MaxCommandMessage in bytes, of all other messages; default 64 KiB.
	MaxCommandMessage int
	// MaxUnfinished bytes of messages under way on all chunk streams; default 6 MiB.
	MaxUnfinished int
	// MaxChunkStreams a client may use; default 16.
	MaxChunkStreams int
	// PublishTimeout from connecting until publishing; default 10 s.
	PublishTimeout time.Duration
	// IdleTimeout without any audio or video once publishing; default 30 s. (The
	// viewers have long been switched to the other leg: this one only tidies up.)
	IdleTimeout time.Duration
	// WriteTimeout for a client that does not read; default 5 s.
	WriteTimeout time.Duration
}

func (l Limits) withDefaults() Limits {
	orInt := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	orDuration := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	orInt(&l.MaxConnections, 1024)
	orInt(&l.MaxUnauthenticated, 64)
	orInt(&l.MaxLingering, 128)
	orInt(&l.MaxBytesBeforePublish, 64<<10)
	orInt(&l.MaxVideoMessage, 4<<20)
	orInt(&l.MaxAudioMessage, 64<<10)
	orInt(&l.MaxCommandMessage, 64<<10)
	orInt(&l.MaxUnfinished, 6<<20)
	orInt(&l.MaxChunkStreams, 16)
	orDuration(&l.PublishTimeout, 10*time.Second)
	orDuration(&l.IdleTimeout, 30*time.Second)
	orDuration(&l.WriteTimeout, 5*time.Second)
	return l
}
