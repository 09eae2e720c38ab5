package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// exist reports files that are named but do not exist.
func (f *flags) exist(files map[string]string, mistakes *Mistakes) {
	for name, file := range files {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			mistakes.add("%s: %v", f.where(name), err)
		}
	}
}

func (f *flags) count(name, text string, mistakes *Mistakes) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		mistakes.add("%s: %q must be a whole number, 0 or more", f.where(name), text)
		return 0
	}
	return n
}

// countIn is count for a number that must be from least to most.
func (f *flags) countIn(name, text string, least, most int, mistakes *Mistakes) int {
	before := len(*mistakes)
	n := f.count(name, text, mistakes)
	if len(*mistakes) == before && (n < least || n > most) {
		mistakes.add("%s: %d must be %d to %d", f.where(name), n, least, most)
	}
	return n
}

func checkAddress(address string) error {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q must be host:port or :port", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: the port must be a number from 0 to 65535", address)
	}
	if strings.ContainsAny(host, "/ ") {
		return fmt.Errorf("%q: %q is no host", address, host)
	}
	return nil
}

// isLoopback reports whether the address is on loopback. It does not
// resolve names: a name other than localhost may point anywhere later.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // checkAddress reports it
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
