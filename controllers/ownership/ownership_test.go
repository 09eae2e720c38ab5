package ownership

import (
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/streampair/streampair/api/v1alpha1"
)

// A ownershipTest is one operator, beside pairs that another operator has marked.
type ownershipTest struct {
	t   *testing.T
	r   Others
	now time.Time
}

func (x *ownershipTest) expect(what string, pair *v1alpha1.StreamPair, want Action) {
	x.t.Helper()
	if got := x.r.Decide(pair, "new/operator", x.now); got != want {
		x.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (x *ownershipTest) pair(name string) *v1alpha1.StreamPair {
	pair := &v1alpha1.StreamPair{ObjectMeta: metav1.ObjectMeta{Namespace: "live", Name: name, ResourceVersion: "10"}}
	pair.Status.Operator = "old/operator"
	return pair
}

// claim writes the question into the pair, as the API server then has it.
func (x *ownershipTest) claim(pair *v1alpha1.StreamPair, who string) {
	version, err := strconv.Atoi(pair.ResourceVersion)
	if err != nil {
		x.t.Fatal(err)
	}
	pair.ResourceVersion = strconv.Itoa(version + 1)
	if who == "new/operator" {
		x.r.HasAsked(pair, pair.ResourceVersion, x.now)
	}
	pair.Status.OperatorClaim = &v1alpha1.OperatorClaim{Operator: who, Time: metav1.NewTime(x.now)}
}

// answer does what a running operator does about the question.
func (x *ownershipTest) answer(pair *v1alpha1.StreamPair) {
	pair.ResourceVersion += "0"
	pair.Status.OperatorClaim = nil
}

func TestAnOperatorThatAnswersKeepsItsPairs(t *testing.T) {
	x := &ownershipTest{t: t, now: time.Unix(1_000_000, 0)}
	sunday, monday := x.pair("sunday"), x.pair("monday")
	x.expect("at first sight", sunday, LeaveAlone)
	x.now = x.now.Add(claimAfter - time.Second)
	x.expect("before it is time to ask", sunday, LeaveAlone)
	for range 5 {
		x.now = x.now.Add(claimAfter)
		x.expect("when it is time to ask", sunday, Ask)
		stale := sunday.DeepCopy()
		x.claim(sunday, "new/operator")
		x.expect("while the cache is behind", stale, LeaveAlone)
		x.expect("another pair while one is asked", monday, LeaveAlone)
		x.expect("while the answer is awaited", sunday, LeaveAlone)
		x.now = x.now.Add(time.Second)
		x.answer(sunday)
		x.expect("after the answer", sunday, LeaveAlone)
		x.expect("another pair after the answer", monday, LeaveAlone)
	}
}

func TestTheOperatorThatIsGoneLosesAllItsPairs(t *testing.T) {
	x := &ownershipTest{t: t, now: time.Unix(1_000_000, 0)}
	sunday, monday, elsewhere := x.pair("sunday"), x.pair("monday"), x.pair("sunday")
	elsewhere.Namespace = "another"
	x.expect("at first sight", sunday, LeaveAlone)
	x.expect("at first sight in another namespace", elsewhere, LeaveAlone)
	x.now = x.now.Add(claimAfter)
	x.expect("when it is time to ask", sunday, Ask)
	x.claim(sunday, "new/operator")
	x.now = x.now.Add(ClaimPatience - time.Second)
	x.expect("before the patience ends", sunday, LeaveAlone)
	x.now = x.now.Add(time.Second)
	x.expect("a pair that was not asked", monday, LeaveAlone)
	x.expect("the pair that was asked", sunday, TakeOver)
	x.expect("a pair that was not asked, after that", monday, TakeOver)
	x.expect("a pair of another namespace, which may be served", elsewhere, Ask)
	if whole := claimAfter + ClaimPatience + 2*Recheck; whole > 3*time.Minute {
		t.Errorf("a release that moved is served after %v", whole)
	}
	x.now = x.now.Add(claimValid)
	x.expect("a pair that bears the mark later", x.pair("tuesday"), Ask)
}

func TestAQuestionOutlivesWhoAsks(t *testing.T) {
	before := &ownershipTest{t: t, now: time.Unix(1_000_000, 0)}
	sunday := before.pair("sunday")
	before.claim(sunday, "new/operator")
	x := &ownershipTest{t: t, now: before.now.Add(ClaimPatience / 2)}
	x.expect("after a restart", sunday, LeaveAlone)
	x.now = before.now.Add(ClaimPatience)
	x.expect("after a restart, when the patience ends", sunday, TakeOver)
}

func TestAThirdOperatorWaits(t *testing.T) {
	x := &ownershipTest{t: t, now: time.Unix(1_000_000, 0)}
	sunday := x.pair("sunday")
	x.expect("at first sight", sunday, LeaveAlone)
	x.claim(sunday, "third/operator")
	x.now = x.now.Add(ClaimPatience)
	x.expect("while another one asks", sunday, LeaveAlone)
	x.now = x.now.Add(claimValid)
	x.expect("when that one is gone too", sunday, Ask)
}

func TestAQuestionToAPairThatIsGoneIsAskedElsewhere(t *testing.T) {
	x := &ownershipTest{t: t, now: time.Unix(1_000_000, 0)}
	sunday, monday := x.pair("sunday"), x.pair("monday")
	x.expect("at first sight", sunday, LeaveAlone)
	x.now = x.now.Add(claimAfter)
	x.expect("when it is time to ask", sunday, Ask)
	x.claim(sunday, "new/operator")
	x.expect("another pair while one is asked", monday, LeaveAlone)
	x.r.Forget(types.NamespacedName{Namespace: "live", Name: "sunday"})
	x.expect("another pair once the first is deleted", monday, Ask)
}
