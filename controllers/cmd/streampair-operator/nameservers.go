package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
)

const (
	resolverFile = "/etc/resolv.conf"
	// maxNameServers is how many name servers a resolver asks (resolv.conf(5), MAXNS).
	maxNameServers = 3
)

// readNameServers returns the name servers in a file of the format of resolv.conf(5),
// sorted. Those on loopback are left out, because another pod cannot reach them.
func readNameServers(file string) ([]netip.Addr, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the name servers: %w", err)
	}
	var servers []netip.Addr
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan() && len(servers) < maxNameServers; {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		server, err := netip.ParseAddr(fields[1])
		if err != nil || server.IsLoopback() {
			continue
		}
		servers = append(servers, server.Unmap().WithZone(""))
	}
	slices.SortFunc(servers, netip.Addr.Compare)
	return slices.Compact(servers), nil
}
