package rollout

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/v1alpha1"
)

func TestRollout(t *testing.T) {
	fine := legRollout{exists: true, rolledOut: true, live: true, used: true, watched: true}
	with := func(change func(*legRollout)) legRollout {
		leg := fine
		change(&leg)
		return leg
	}
	outdated := with(func(l *legRollout) { l.outdated = true })
	ours := with(func(l *legRollout) { l.outdated, l.operatorChange = true, true })
	idleTooLong := with(func(l *legRollout) { l.live, l.used, l.watched, l.idleTooLong = false, false, false, true })
	ending := func(l legRollout) legRollout { l.live, l.ending, l.rolledOut = false, true, false; return l }
	notHeardYet := with(func(l *legRollout) { l.outdated, l.live, l.notHeardYet = true, false, true })
	starting := with(func(l *legRollout) { l.rolledOut, l.live, l.used, l.watched = false, false, false, false })
	quiet := with(func(l *legRollout) { l.live, l.used, l.watched = false, false, false })
	idle := func(l legRollout) legRollout { l.live, l.used, l.watched = false, false, false; return l }
	watched := func(l legRollout) legRollout { l.live, l.used, l.watched = false, false, true; return l }
	both, none := []v1alpha1.Role{v1alpha1.RolePrimary, v1alpha1.RoleBackup}, []v1alpha1.Role(nil)
	onlyPrimary, onlyBackup := []v1alpha1.Role{v1alpha1.RolePrimary}, []v1alpha1.Role{v1alpha1.RoleBackup}

	for _, test := range []struct {
		name            string
		primary, backup legRollout
		active          v1alpha1.Role
		paused, auto    bool
		turn            bool
		want            Rollout
	}{
		{name: "nothing to do", primary: fine, backup: fine, active: v1alpha1.RolePrimary},
		{name: "a new pair", primary: legRollout{}, backup: legRollout{}, want: Rollout{Running: both}},
		{name: "both outdated: the standby first", primary: outdated, backup: outdated, active: v1alpha1.RolePrimary,
			want: Rollout{Running: both, MustWait: onlyPrimary}},
		{name: "both outdated, the backup on air: the primary first", primary: outdated, backup: outdated, active: v1alpha1.RoleBackup,
			want: Rollout{Running: both, MustWait: onlyBackup}},
		{name: "the standby starts: the leg on air waits", primary: outdated, backup: starting, active: v1alpha1.RolePrimary,
			want: Rollout{Running: both, MustWait: onlyPrimary}},
		{name: "the standby is ready, its encoder not back: the leg on air waits", primary: outdated, backup: quiet, active: v1alpha1.RolePrimary,
			want: Rollout{Running: none, MustWait: onlyPrimary, WaitsForStandby: true}},
		{name: "the standby is live again: the leg on air follows", primary: outdated, backup: fine, active: v1alpha1.RolePrimary,
			want: Rollout{Running: onlyPrimary}},
		{name: "nothing on air, the backup live alone: the primary first", primary: idle(outdated), backup: outdated,
			want: Rollout{Running: both, MustWait: onlyBackup}},
		{name: "the pods say that the primary is on air, and the backup alone has media: the primary first", primary: idle(outdated), backup: outdated,
			active: v1alpha1.RolePrimary, want: Rollout{Running: both, MustWait: onlyBackup}},
		{name: "no word from the pod that was on air: the other one first", active: v1alpha1.RolePrimary, backup: outdated,
			primary: with(func(l *legRollout) { l.outdated, l.live, l.lost = true, false, true }), want: Rollout{Running: both, MustWait: onlyPrimary}},
		{name: "the pod on air was deleted: it comes back up to date, the other one waits", primary: ending(outdated), backup: outdated, active: v1alpha1.RolePrimary,
			want: Rollout{Running: both, MustWait: onlyBackup}},
		{name: "the pod on air was deleted, and the other encoder is away: both wait", primary: ending(outdated), backup: idle(outdated), active: v1alpha1.RolePrimary,
			want: Rollout{Running: both, MustWait: both}},
		{name: "the standby alone is outdated, and the pod on air was deleted", primary: ending(fine), backup: outdated, active: v1alpha1.RolePrimary,
			want: Rollout{Running: both, MustWait: onlyBackup}},
		{name: "the standby is ready, its encoder still at the pod before: the leg on air waits", primary: outdated, active: v1alpha1.RolePrimary,
			backup: with(func(l *legRollout) { l.live, l.ending = false, true }),
			want:   Rollout{Running: none, MustWait: onlyPrimary, WaitsForStandby: true}},
		{name: "the standby alone is outdated, has no encoder, and the pod on air was deleted", primary: ending(fine), backup: idle(outdated), active: v1alpha1.RolePrimary,
			want: Rollout{Running: both, MustWait: onlyBackup}},
		{name: "the standby alone is outdated, has no encoder, and the pod on air is about to be replaced", backup: idle(outdated), active: v1alpha1.RolePrimary,
			primary: with(func(l *legRollout) { l.rolledOut = false }), want: Rollout{Running: both, MustWait: onlyBackup}},
		{name: "nobody publishes: both at once", primary: idle(outdated), backup: idle(outdated), want: Rollout{Running: both}},
		{name: "the standby alone is outdated", primary: fine, backup: outdated, active: v1alpha1.RolePrimary, want: Rollout{Running: onlyBackup}},
		{name: "the standby alone is outdated, and the leg on air starts", primary: starting, backup: outdated, active: v1alpha1.RolePrimary,
			want: Rollout{Running: both, MustWait: onlyBackup}},
		{name: "a change of ours waits while somebody publishes", primary: ours, backup: ours, active: v1alpha1.RolePrimary,
			want: Rollout{MustWait: both, WaitsForIdle: true}},
		{name: "a change of ours waits while somebody watches", primary: watched(ours), backup: idle(ours),
			want: Rollout{MustWait: both, WaitsForIdle: true}},
		{name: "a change of ours, and nobody there", primary: idle(ours), backup: idle(ours), turn: true, want: Rollout{Running: both, NeedsTurn: true}},
		{name: "a change of ours, and nobody there, but not our turn", primary: idle(ours), backup: idle(ours),
			want: Rollout{MustWait: both, NeedsTurn: true, WaitsForTurn: true}},
		{name: "a change of ours whose pods are being made keeps its turn", primary: starting, backup: starting, turn: true,
			want: Rollout{Running: both, NeedsTurn: true}},
		{name: "a change of ours that is through gives its turn back", primary: fine, backup: fine, active: v1alpha1.RolePrimary, turn: true},
		{name: "pods being made for another reason take no turn", primary: starting, backup: starting, want: Rollout{Running: both}},
		{name: "a pair that is paused gives its turn back", primary: idle(ours), backup: idle(ours), turn: true, paused: true},
		{name: "a pair that is watched again gives its turn back", primary: ours, backup: ours, active: v1alpha1.RolePrimary, turn: true,
			want: Rollout{MustWait: both, WaitsForIdle: true}},
		{name: "a change of the spec needs no turn", primary: outdated, backup: ours, active: v1alpha1.RolePrimary, turn: true,
			want: Rollout{Running: both, MustWait: onlyPrimary}},
		{name: "a change of ours that has begun goes on", primary: ours, backup: fine, active: v1alpha1.RolePrimary,
			want: Rollout{Running: onlyPrimary, NeedsTurn: true}},
		{name: "a change of ours that waits for the standby keeps its turn", primary: ours, backup: quiet, active: v1alpha1.RolePrimary, turn: true,
			want: Rollout{Running: none, MustWait: onlyPrimary, WaitsForStandby: true, NeedsTurn: true}},
		{name: "but not for ever", primary: ours, backup: idleTooLong, active: v1alpha1.RolePrimary, turn: true,
			want: Rollout{Running: none, MustWait: onlyPrimary, WaitsForStandby: true}},
		{name: "a change of ours with updatePolicy Auto", primary: ours, backup: ours, active: v1alpha1.RolePrimary, auto: true, turn: true,
			want: Rollout{Running: both, MustWait: onlyPrimary, NeedsTurn: true}},
		{name: "a change of ours with updatePolicy Auto, but not our turn", primary: ours, backup: ours, active: v1alpha1.RolePrimary, auto: true,
			want: Rollout{MustWait: both, NeedsTurn: true, WaitsForTurn: true}},
		{name: "both outdated, and nobody knows yet who is on air: both wait", primary: notHeardYet, backup: notHeardYet, want: Rollout{Running: both, MustWait: both}},
		{name: "the leg on air is outdated, the other not heard yet: wait", primary: outdated, backup: with(func(l *legRollout) { l.live, l.notHeardYet = false, true }),
			active: v1alpha1.RolePrimary, want: Rollout{Running: onlyPrimary, MustWait: onlyPrimary}},
		{name: "paused: all goes, heard or not", primary: notHeardYet, backup: notHeardYet, paused: true},
		{name: "paused: all goes", primary: outdated, backup: outdated, active: v1alpha1.RolePrimary, paused: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.primary.role, test.backup.role = v1alpha1.RolePrimary, v1alpha1.RoleBackup
			policy := v1alpha1.UpdateWhenIdle
			if test.auto {
				policy = v1alpha1.UpdateAuto
			}
			got := order([2]legRollout{test.primary, test.backup}, test.active, test.paused, policy, test.turn)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("rollout (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever is outdated, a live leg is replaced only while the other leg is live, ready
// and stays. A rollout that may go on does not wait for ever if waiting changes nothing.
func TestARolloutNeverTakesThePicture(t *testing.T) {
	bools := []bool{false, true}
	var legs []legRollout
	for _, outdated := range bools {
		for _, ours := range bools {
			for _, rolledOut := range bools {
				for _, live := range bools {
					for _, used := range bools {
						if live && !used {
							continue
						}
						leg := legRollout{exists: true, outdated: outdated, operatorChange: ours, rolledOut: rolledOut, live: live, used: used, watched: used}
						legs = append(legs, leg)
						if leg.ending = used && !live; leg.ending {
							legs = append(legs, leg)
						}
					}
				}
			}
		}
	}
	for _, p := range legs {
		for _, b := range legs {
			p.role, b.role = v1alpha1.RolePrimary, v1alpha1.RoleBackup
			for _, active := range []v1alpha1.Role{"", v1alpha1.RolePrimary, v1alpha1.RoleBackup} {
				r := order([2]legRollout{p, b}, active, false, v1alpha1.UpdateAuto, true)
				replaced := func(l legRollout) bool { return l.outdated && r.MayWrite(l.role) }
				if replaced(p) && replaced(b) && (p.used || b.used) {
					t.Fatalf("both replaced at once: %+v %+v active %q", p, b, active)
				}
				for _, pair := range [][2]legRollout{{p, b}, {b, p}} {
					one, other := pair[0], pair[1]
					safe := other.live && other.rolledOut
					if replaced(one) && one.live && (one.role == active || !other.live) && !safe {
						t.Fatalf("the leg on air is replaced: %+v, and the other is %+v", one, other)
					}
					if replaced(one) && one.used && other.ending && one.live {
						t.Fatalf("viewers flee to a leg that is replaced: %+v, and the other is %+v", one, other)
					}
					if replaced(one) && other.used && !other.outdated && !other.rolledOut {
						t.Fatalf("a leg is replaced while the other's pod is: %+v, and the other is %+v", one, other)
					}
				}
				if p.outdated && b.outdated && !p.ending && !b.ending && !replaced(p) && !replaced(b) {
					t.Fatalf("neither replaced: %+v %+v active %q", p, b, active)
				}
			}
		}
	}
}
