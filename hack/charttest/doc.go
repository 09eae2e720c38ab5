// Package charttest tests what is delivered to clusters: the chart in charts/streampair
// and the kustomizations in config. It has nothing that runs in a cluster.
//
// It is a module of its own, since Helm and kustomize as libraries would raise the versions
// of what the product links. Start from chart, which loads and renders.
package charttest
