//go:build !linux

package rtc

import (
	"errors"
	"net"
	"net/netip"
)

// sendSegments is for Linux alone.
func sendSegments(*net.UDPConn, []byte, int, netip.AddrPort) error { return errors.ErrUnsupported }
