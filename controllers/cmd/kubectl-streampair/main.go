// Command kubectl-streampair is a kubectl plugin for StreamPairs. It shows which leg is on
// air, switches, prints where encoders and viewers connect, and forwards a pair of a cluster
// without load balancers to this machine. On the PATH it runs as `kubectl streampair`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/streampair/streampair/api/preflight"
	"github.com/streampair/streampair/api/v1alpha1"
)

const usage = `StreamPairs at a glance and by hand.

  kubectl streampair status [NAME]            both legs, which is on air and since when
  kubectl streampair history [NAME]           the last 50 events: switches, times without a picture or redundancy
  kubectl streampair report [NAME]            minutes on each leg, without a picture, without redundancy; each switch
  kubectl streampair check [NAME]             what is wrong before an event; exit code 1 with errors, 2 if it cannot tell
  kubectl streampair switch LEG [NAME]        pin a leg: primary or backup; auto: let the media servers decide
  kubectl streampair url [NAME]               the URL that viewers open
  kubectl streampair keys [NAME]              where to publish, with tokens, for ffmpeg and OBS
  kubectl streampair monitor [NAME...]        serve the control room of pairs on this machine, and print its URL
  kubectl streampair play [NAME]              bring the player to this machine, and print its URL
  kubectl streampair publish [NAME]           bring both RTMP ports to this machine, and print the URLs

NAME may be left out if the namespace has one StreamPair. With several, status prints a line for each.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(preflight.ExitCode(err))
	}
}

// A plugin is one run of the command.
type plugin struct {
	client    client.Client
	config    *rest.Config
	namespace string
	// out is for output that scripts use, such as a URL. errOut is for comments to people.
	out, errOut io.Writer
	// port is where play, publish and monitor listen; 0: a free port.
	port int
	// since is where report begins, as parseSince takes it. output is the form of report and check.
	since, output string
	// readLimit is how long check may take to read the media pods. Default: apiTimeout.
	readLimit time.Duration
	// operator is the Lease of the operator, NAMESPACE/NAME, for monitor.
	operator string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	p := &plugin{out: stdout, errOut: stderr}
	flags := pflag.NewFlagSet("kubectl streampair", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	flags.StringVar(&rules.ExplicitPath, "kubeconfig", "", "path to the kubeconfig file")
	overrides := &clientcmd.ConfigOverrides{}
	clientcmd.BindOverrideFlags(overrides, flags, clientcmd.RecommendedConfigOverrideFlags(""))
	flags.IntVar(&p.port, "port", 0, "local port of play and monitor, and of publish for the primary; 0: a free port")
	flags.StringVar(&p.since, "since", "", "where report begins: how long ago, such as 24h, or a time, such as 2026-11-22T18:00:00Z (default: where the history is complete)")
	flags.StringVarP(&p.output, "output", "o", "text", "form of report and check: text, json or, of report, markdown")
	flags.StringVar(&p.operator, "operator", "streampair-system/streampair-operator", "the operator's Deployment, NAMESPACE/NAME, whose Lease monitor looks at")
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) || err == nil && flags.NArg() == 0 {
		fmt.Fprint(stdout, usage+flags.FlagUsages())
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; see kubectl streampair --help", err)
	}
	command, err := parseCommand(flags.Args())
	if err != nil {
		return err
	}
	err = p.execute(ctx, command, clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides))
	if command.isCheck && err != nil && !errors.Is(err, preflight.ErrFound) {
		return &preflight.NotCheckedError{Err: err}
	}
	return err
}

// execute runs a command with a client for the cluster of kubeconfig.
func (p *plugin) execute(ctx context.Context, command command, kubeconfig clientcmd.ClientConfig) (err error) {
	if p.config, err = kubeconfig.ClientConfig(); err != nil {
		return err
	}
	if p.namespace, _, err = kubeconfig.Namespace(); err != nil {
		return err
	}
	p.config.QPS, p.config.Burst = 50, 100 // a wall of pairs asks for each pair every second
	p.config.WarningHandler = rest.NewWarningWriter(p.errOut, rest.WarningWriterOptions{Deduplicate: true})
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	if p.client, err = client.New(p.config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if command.serve != nil {
		return command.serve(p, ctx)
	}
	pairs, err := p.pairs(ctx, command.pair)
	switch {
	case err != nil:
		return err
	case len(pairs) == 1:
		return command.run(p, ctx, &pairs[0])
	case command.runAll != nil:
		return command.runAll(p, pairs)
	}
	var names []string
	for _, pair := range pairs {
		names = append(names, pair.Name)
	}
	return fmt.Errorf("namespace %s has several StreamPairs: name one of %s", p.namespace, strings.Join(names, ", "))
}

// A command is what the arguments ask for.
type command struct {
	run func(*plugin, context.Context, *v1alpha1.StreamPair) error
	// runAll runs for several pairs; nil: the command needs the name of one.
	runAll func(*plugin, []v1alpha1.StreamPair) error
	// serve runs for pairs that come and go; nil: the command is for those that are there.
	serve func(*plugin, context.Context) error
	pair  string // empty: all pairs of the namespace
	// isCheck reports whether the exit code tells a check that could not be made from one that found
	// errors.
	isCheck bool
}

func parseCommand(args []string) (command, error) {
	verb, rest := args[0], args[1:]
	var c command
	switch verb {
	case "status":
		c.run, c.runAll = (*plugin).status, (*plugin).statusOfAll
	case "history":
		c.run = (*plugin).history
	case "check":
		c.run, c.isCheck = (*plugin).check, true
	case "report":
		c.run = (*plugin).report
	case "url":
		c.run = (*plugin).url
	case "keys":
		c.run = (*plugin).keys
	case "play":
		c.run = (*plugin).play
	case "publish":
		c.run = (*plugin).publish
	case "monitor":
		c.serve = func(p *plugin, ctx context.Context) error { return p.monitor(ctx, rest) }
		return c, nil
	case "switch":
		if len(rest) == 0 {
			return command{}, errors.New("switch to what? primary, backup or auto")
		}
		pin, err := parseSelection(rest[0])
		if err != nil {
			return command{}, err
		}
		c.run = func(p *plugin, ctx context.Context, pair *v1alpha1.StreamPair) error { return p.pin(ctx, pair, pin) }
		rest = rest[1:]
	default:
		return command{}, fmt.Errorf("unknown command %q; see kubectl streampair --help", verb)
	}
	if len(rest) > 1 {
		return command{}, fmt.Errorf("%s takes the name of one StreamPair, not %s", verb, strings.Join(rest, " "))
	}
	if len(rest) == 1 {
		c.pair = rest[0]
	}
	return c, nil
}

func parseSelection(s string) (v1alpha1.Selection, error) {
	all := []v1alpha1.Selection{v1alpha1.SelectPrimary, v1alpha1.SelectBackup, v1alpha1.SelectAuto}
	i := slices.IndexFunc(all, func(v v1alpha1.Selection) bool { return strings.EqualFold(string(v), s) })
	if i < 0 {
		return "", fmt.Errorf("cannot switch to %q, but to primary, backup or auto", s)
	}
	return all[i], nil
}

// pairs reads the StreamPair of that name, or all of the namespace. It returns at least one.
func (p *plugin) pairs(ctx context.Context, name string) ([]v1alpha1.StreamPair, error) {
	if name != "" {
		var pair v1alpha1.StreamPair
		err := p.client.Get(ctx, client.ObjectKey{Namespace: p.namespace, Name: name}, &pair)
		return []v1alpha1.StreamPair{pair}, err
	}
	var list v1alpha1.StreamPairList
	if err := p.client.List(ctx, &list, client.InNamespace(p.namespace)); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("no StreamPair in namespace %s; choose another with -n", p.namespace)
	}
	return list.Items, nil
}
