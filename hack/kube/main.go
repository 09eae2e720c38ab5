// Command kube is etcd, Kubernetes and kubectl in one binary, for tests. It runs the program by
// whose name it is called. hack/kube.sh builds the binary and a symlink for each program. The
// programs share most of their packages, so four binaries would take four times the disk.
//
// The programs are those of the Kubernetes release in go.mod, as its main packages start them.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	// A further component is one line here, and its name in hack/kube.sh.
	components := map[string]func() *cobra.Command{
		"kube-apiserver":          apiserver.NewAPIServerCommand,
		"kube-controller-manager": controllermanager.NewControllerManagerCommand,
		"kube-proxy":              proxy.NewProxyCommand,
		"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
		"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	}

	name := filepath.Base(os.Args[0])
	switch component := components[name]; {
	case name == "etcd":
		etcdmain.Main(os.Args)
	case name == "kubectl":
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err) // ends the process, with kubectl's wording
		}
	case component != nil:
		os.Exit(cli.Run(component()))
	default:
		fmt.Fprintf(os.Stderr, "kube: no program is called %q; hack/kube.sh makes the symlinks to call\n", name)
		os.Exit(2)
	}
}
