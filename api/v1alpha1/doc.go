// Package v1alpha1 is the StreamPair: what a person writes to get one programme
// from two encoders, and what is reported back.
//
// The package holds the types, their defaults ([StreamPair.Default]) and the one
// place that judges them without a cluster ([StreamPair.Validate]). The same rules
// are written as markers on the types, from which the CustomResourceDefinition is
// generated, so that an API server refuses what the media server refuses. The
// package reads no files, talks to nobody and knows nothing of media.
//
// Start at [StreamPair]. What an operator needs beside it, and a media server does
// not, is in package applyconfiguration/api/v1alpha1: it brings client-go with it.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +kubebuilder:ac:output:package=applyconfiguration
// +groupName=media.streampair.dev
package v1alpha1
