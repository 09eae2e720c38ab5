package controllers

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestAnOutageIsNotLoggedForEachPair(t *testing.T) {
	var lines []string
	now := sceneNow
	log := funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})
	of := logConstructor(log, newLogLimit(func() time.Time { return now }))
	fail := func(n int) {
		for range n {
			one := of(&reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "live", Name: "sunday"}})
			one.WithValues("reconcileID", "1").Error(errors.New("connection refused"), "Reconciler error")
		}
	}
	fail(500)
	if len(lines) != maxLoggedErrors || !strings.Contains(lines[0], `"name"="sunday"`) {
		t.Errorf("%d lines of 500 errors, such as %s", len(lines), lines[0])
	}
	of(nil).Info("still there")
	if len(lines) != maxLoggedErrors+1 {
		t.Error("what is no error is left out")
	}
	now, lines = now.Add(logPeriod), nil
	fail(2)
	if len(lines) != 2 || !strings.Contains(lines[0], `"leftOut"=480`) || strings.Contains(lines[1], "leftOut") {
		t.Errorf("later: %q", lines)
	}
}
