package tcp

import "golang.org/x/sys/unix"

// setLimits sets the options of tcp(7).
func setLimits(fd int, l Limits) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, l.UnsentBytes)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(l.UserTimeout.Milliseconds()))
}

// unsent returns the number of bytes that wait in the kernel and were never sent, or 0
// if the number is unknown.
func unsent(fd int) int64 {
	n, err := unix.IoctlGetUint32(fd, unix.SIOCOUTQNSD)
	if err != nil {
		return 0
	}
	return int64(n)
}
