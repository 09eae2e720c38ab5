package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/streampair/streampair/hack/cluster/client"
)

// relayPorts are the media server's ports for the other leg's pod: over
// TLS, and in clear while one of the pods is of a version without TLS.
const relayPorts = "{ 5080, 9092 }"

// A side says which packets of a connection a cut affects.
type side int

const (
	fromClients side = iota // packets of the side that connected
	fromBoth
)

// ruleset returns the rules of a node's packet filter, which replace the earlier ones.
// The rules isolate the node from the API server, and cut connections between pods.
func ruleset(isolated bool, cuts map[[2]string]client.Cut, which side) string {
	var b strings.Builder
	const table = "table inet streampair-faults"
	fmt.Fprintf(&b, "%s\ndelete %s\n%s {\n", table, table, table)
	if isolated {
		for _, chain := range []struct{ hook, packets string }{
			{"output", "daddr"}, {"input", "saddr"}, {"forward", "daddr"}, {"forward", "saddr"},
		} {
			fmt.Fprintf(&b, "chain %s-%s { type filter hook %s priority -10; ip %s %s drop; }\n",
				chain.hook, chain.packets, chain.hook, chain.packets, controlAddress)
		}
	}
	b.WriteString("chain relay { type filter hook forward priority -10;\n")
	for _, pods := range slices.SortedFunc(maps.Keys(cuts), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		verdict := "drop"
		if cuts[pods] == client.Reset {
			verdict = "reject with tcp reset"
		}
		for _, way := range [][2]string{pods, {pods[1], pods[0]}} {
			fmt.Fprintf(&b, "ip saddr %s ip daddr %s tcp dport %s %s\n", way[0], way[1], relayPorts, verdict)
			if which == fromBoth {
				fmt.Fprintf(&b, "ip saddr %s ip daddr %s tcp sport %s %s\n", way[0], way[1], relayPorts, verdict)
			}
		}
	}
	b.WriteString("}\n}\n")
	return b.String()
}

func (n *node) filter(ctx context.Context, cuts map[[2]string]client.Cut, which side) error {
	_, err := n.host.Output(ctx, strings.NewReader(ruleset(n.isolated, cuts, which)), "nft", "-f", "-")
	return err
}
